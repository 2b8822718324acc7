//! How a chunk of rows gets through: patiently, and each row by itself.
//!
//! Owns retries, waiting and splitting. Repeating is safe, as every row has an idempotency key.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::Instant;

use super::Session;
use super::batch_fate::{Rejects, Tally};
use super::batch_rows::Row;
use super::client::{Answer, Target};
use super::exit::{Exit, Failure};
use super::progress::Progress;
use super::times::span;
use crate::wire::problem::{BatchAnswer, BatchItemView, ProblemCode, ProblemView};

/// How long the command bears no progress at all before it gives up.
const PATIENCE: Duration = Duration::from_secs(300);
/// The first pause, where the daemon named none; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// The longest pause, whatever the daemon says.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Between two words on a wait whose reason has been said.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// The shortest pause.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Problems of single rows that pass by themselves.
const PASSING: [ProblemCode; 3] =
    [ProblemCode::StoreUnavailable, ProblemCode::StoreFull, ProblemCode::Draining];

/// Sends rows to one queue.
pub(crate) struct Sender<'a> {
    queue: &'a str,
    /// What became of the rows.
    pub(crate) tally: Tally,
    /// What is shown meanwhile.
    pub(crate) progress: Progress,
    has_been_there: bool,
    pause: Duration,
    give_up_at: Instant,
    /// What it waits for, as it was said, and since when; `None`: it does not wait.
    stalled: Option<Stall>,
}

/// A time without progress.
struct Stall {
    why: String,
    since: Instant,
    said_at: Instant,
}

/// What one request came to.
enum Came {
    /// These rows are left, for this passing reason.
    Left(Vec<Row>, Failure, Option<Duration>),
    /// The request was too large.
    TooLarge(Vec<Row>, Failure),
}

impl<'a> Sender<'a> {
    /// A sender to this queue.
    pub(crate) fn new(queue: &'a str, progress: Progress) -> Self {
        Self {
            queue,
            tally: Tally::default(),
            progress,
            has_been_there: false,
            pause: PAUSE_FIRST,
            give_up_at: Instant::now() + PATIENCE,
            stalled: None,
        }
    }

    /// Sends these rows until the fate of each is known.
    pub(crate) async fn send(
        &mut self,
        rows: Vec<Row>,
        rejects: &mut Rejects,
        session: &mut Session,
    ) -> Result<(), Failure> {
        let mut pieces = vec![rows];
        while let Some(rows) = pieces.pop() {
            match self.try_once(rows, rejects, session).await? {
                Came::Left(rows, ..) if rows.is_empty() => self.made_progress(),
                Came::Left(rows, why, pause) => {
                    self.wait(&why, pause, session).await?;
                    pieces.push(rows);
                }
                Came::TooLarge(mut rows, _) if rows.len() > 1 => {
                    let second = rows.split_off(rows.len() / 2);
                    pieces.extend([second, rows]);
                }
                Came::TooLarge(rows, why) => {
                    for row in rows {
                        self.reject(&row, &why.what, why.problem.as_deref(), rejects)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Shows how far the file has been read.
    pub(crate) fn show(&mut self, bytes_read: u64, session: &mut Session) -> Result<(), Failure> {
        let Tally { accepted, duplicates, rejected, .. } = &self.tally;
        let text = format!("{accepted} accepted, {duplicates} duplicates, {rejected} rejected");
        self.progress.show(bytes_read, &text, &mut session.screen)
    }

    async fn try_once(
        &mut self,
        rows: Vec<Row>,
        rejects: &mut Rejects,
        session: &Session,
    ) -> Result<Came, Failure> {
        let answer = match self.exchange(&rows, session).await {
            Ok(answer) => answer,
            // A daemon that cannot even be reached is not there; one that was may come back.
            Err(failure) if failure.is_nobody_there && !self.has_been_there => return Err(failure),
            Err(failure) => {
                self.has_been_there |= !failure.is_nobody_there;
                return Ok(Came::Left(rows, failure, None));
            }
        };
        self.has_been_there = true;
        let pause = answer.retry_after();
        match answer.status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Ok(Came::TooLarge(rows, Failure::from_answer(answer.status, &answer.body)))
            }
            status if is_passing(status) => {
                Ok(Came::Left(rows, Failure::from_answer(status, &answer.body), pause))
            }
            _ => self.settle(rows, &answer.ok()?, rejects),
        }
    }

    async fn exchange(&self, rows: &[Row], session: &Session) -> Result<Answer, Failure> {
        let mut body = String::new();
        for message in rows.iter().filter_map(|row| row.message.as_ref().ok()) {
            body.push_str(message);
            body.push('\n');
        }
        let target = Target::new(&["v1", "queues", self.queue, "messages", "batch"]);
        let body = Some(("application/x-ndjson", Bytes::from(body)));
        session.client.exchange(Method::POST, &target, body, Duration::ZERO).await
    }

    /// Counts what is decided; a row without a result, or with a passing problem, is left.
    fn settle(
        &mut self,
        rows: Vec<Row>,
        answer: &Answer,
        rejects: &mut Rejects,
    ) -> Result<Came, Failure> {
        let mut results: Vec<Option<BatchItemView>> = rows.iter().map(|_| None).collect();
        for result in answer.read::<BatchAnswer>()?.results {
            let index = usize::try_from(result.index).unwrap_or(usize::MAX);
            if let Some(slot) = results.get_mut(index) {
                *slot = Some(result);
            }
        }
        let sent = rows.len();
        let mut left = Vec::new();
        let mut why = Failure::new(Exit::Failure, "the answer did not speak of all rows");
        for (row, result) in rows.into_iter().zip(results) {
            let is_collapsed = result.as_ref().is_some_and(|result| result.collapsed == Some(true));
            match result.map(|result| (result.duplicate == Some(true), result.problem)) {
                Some((false, None)) => {
                    self.tally.accepted += 1;
                    self.tally.collapsed += u64::from(is_collapsed);
                }
                Some((true, None)) => self.tally.duplicates += 1,
                Some((_, Some(problem))) if passes(&problem) => {
                    why = Failure::from_problem(StatusCode::SERVICE_UNAVAILABLE, problem);
                    left.push(row);
                }
                Some((_, Some(problem))) => {
                    let detail =
                        problem.errors.first().map_or(&problem.detail, |error| &error.detail);
                    self.reject(&row, detail, Some(&problem), rejects)?;
                }
                None => left.push(row),
            }
        }
        if left.len() < sent {
            self.made_progress();
        }
        Ok(Came::Left(left, why, answer.retry_after()))
    }

    fn reject(
        &mut self,
        row: &Row,
        why: &str,
        problem: Option<&ProblemView>,
        rejects: &mut Rejects,
    ) -> Result<(), Failure> {
        self.tally.rejected += 1;
        rejects.write(row, why, &problem)
    }

    fn made_progress(&mut self) {
        self.pause = PAUSE_FIRST;
        self.give_up_at = Instant::now() + PATIENCE;
        self.stalled = None;
    }

    /// Waits as long as the daemon asked, else longer each time; gives up when patience ends.
    async fn wait(
        &mut self,
        why: &Failure,
        asked: Option<Duration>,
        session: &mut Session,
    ) -> Result<(), Failure> {
        let pause = asked.unwrap_or(self.pause).clamp(PAUSE_MIN, PAUSE_MAX);
        if Instant::now() + pause > self.give_up_at {
            return Err(why
                .clone()
                .next("run the same command again later: it goes on where it stopped"));
        }
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        if let Some(text) = self.stalled_by(&why.what) {
            self.progress.stalled(&text, &mut session.screen)?;
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// What is to be said of a pause: the reason once, and then now and then that it goes on.
    fn stalled_by(&mut self, why: &str) -> Option<String> {
        let now = Instant::now();
        match &mut self.stalled {
            Some(stall) if stall.why == why => {
                if now < stall.said_at + SAY_EVERY {
                    return None;
                }
                stall.said_at = now;
                Some(format!("still waiting, for {} so far", seconds(now - stall.since)))
            }
            stalled => {
                let since = stalled.as_ref().map_or(now, |stall| stall.since);
                *stalled = Some(Stall { why: why.to_owned(), since, said_at: now });
                Some(format!("waiting, and trying again for up to {}: {why}", seconds(PATIENCE)))
            }
        }
    }
}

fn seconds(time: Duration) -> String {
    span(time.as_secs() * 1000)
}

/// Answers that pass by themselves.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504)
}

fn passes(problem: &ProblemView) -> bool {
    problem.code.known().is_some_and(|code| PASSING.contains(&code))
}
