//! One run of an operation: page after page, what matches goes into the hand, and from the hand at the
//! operation's pace through the verb.
//!
//! The hand is written down before anything is done to it, so that a run that takes over knows what may
//! be done already: for the verbs that is a wrong state, and counts as done. The lease is prolonged every
//! second, far below its length, and nothing is done before that has succeeded: another node may be at it.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::operation::{OperationPace, Stage, TOGETHER_MAX};
use crate::store::{Changed, Keep, Saved, Store, StoreError, TakenOperation};
use crate::telemetry::{OperationEndLabel, OperationLabel};

/// Messages looked at in one call.
const PAGE_MAX: usize = 100;
/// How far ahead of a slow pace messages are picked: what waits in the hand may change meanwhile.
const AHEAD: Duration = Duration::from_secs(2);
/// Progress is written down at least so often; a stop is noticed then.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Pause after Redis failed a step.
const FAILED_PAUSE: Duration = Duration::from_millis(500);
/// Replies that make no sense, in a row, after which an operation has failed.
const NONSENSE_MAX: u32 = 5;
/// Messages that are shown of a dry run.
const SAMPLE_MAX: usize = 10;

/// What is to happen next.
enum RunTurn {
    /// Another step.
    On,
    /// It has ended so.
    End(Stage),
    /// Somebody else goes on.
    Leave,
}

struct Run {
    store: Store,
    taken: TakenOperation,
    stop: CancellationToken,
    pace: Option<OperationPace>,
    /// When the lease was last prolonged, and the progress written down.
    saved_at: Instant,
    /// What lies in the hand may be done already, by the run before this one.
    is_inherited: bool,
    nonsense: u32,
}

/// Carries an operation out, until it has ended or this node stops or loses it.
pub(super) async fn run(store: Store, taken: TakenOperation, stop: CancellationToken) {
    let pace = taken.operation.rate.map(|rate| OperationPace::new(rate, taken.progress.next_us));
    let is_inherited = !taken.progress.hand.is_empty();
    let (id, action) = (taken.operation.id.clone(), taken.operation.action.as_str());
    tracing::info!(operation = id, action, queue = %taken.operation.queue, "an operation continues on this node");
    let saved_at = Instant::now();
    let mut run = Run { store, taken, stop, pace, saved_at, is_inherited, nonsense: 0 };
    loop {
        match run.turn().await {
            Ok(RunTurn::On) => run.nonsense = 0,
            Ok(RunTurn::End(stage)) => match run.end(stage).await {
                Ok(()) => return,
                Err(error) => run.failed(&error).await,
            },
            Ok(RunTurn::Leave) => return,
            Err(error) => run.failed(&error).await,
        }
    }
}

impl Run {
    async fn turn(&mut self) -> Result<RunTurn, StoreError> {
        if self.stop.is_cancelled() {
            // If this fails, the lease ends by itself.
            drop(self.store.operations.save(&self.taken, Keep::Free).await);
            return Ok(RunTurn::Leave);
        }
        if self.nonsense >= NONSENSE_MAX {
            return Ok(RunTurn::End(Stage::Failed));
        }
        if self.saved_at.elapsed() >= SAVE_EVERY
            && let Some(turn) = self.save().await?
        {
            return Ok(turn);
        }
        if let Some(by) = self.taken.stopping.take() {
            self.taken.progress.stopped_by = Some(by);
        }
        if self.taken.progress.stopped_by.is_some() {
            // What the run before has begun is brought to its end.
            if self.is_inherited {
                self.finish_begun().await?;
            }
            return Ok(RunTurn::End(Stage::Stopped));
        }
        if self.taken.progress.hand.is_empty() {
            return self.next_page().await;
        }
        self.work().await?;
        Ok(RunTurn::On)
    }

    /// Looks at the next page, and writes down what of it is to be dealt with.
    async fn next_page(&mut self) -> Result<RunTurn, StoreError> {
        let TakenOperation { operation, progress, .. } = &mut self.taken;
        if progress.is_walked() {
            return Ok(RunTurn::End(Stage::Done));
        }
        let most = operation.rate.map_or(PAGE_MAX, |rate| ahead(rate.per_second()));
        let from = (progress.shard, progress.cursor.as_str());
        let (queue, state) = (&operation.queue, operation.state);
        let page = self.store.messages.walk_page(queue, state, from, most).await?;
        for step in page.steps {
            if !operation.found(&step.message, step.uncertain_since_ms) {
                continue;
            }
            progress.seen += 1;
            if !operation.filter.matches(&step.message) {
                continue;
            }
            progress.matched += 1;
            let ulid = step.message.id.ulid;
            if progress.sample.len() < SAMPLE_MAX {
                progress.sample.push(ulid);
            }
            if !operation.is_dry {
                progress.hand.push(ulid);
            }
        }
        progress.go_on(page.next);
        if self.taken.progress.hand.is_empty() {
            return Ok(RunTurn::On);
        }
        Ok(self.save().await?.unwrap_or(RunTurn::On))
    }

    /// Deals with as much of the hand as the pace allows, or waits for it.
    async fn work(&mut self) -> Result<(), StoreError> {
        let held = self.taken.progress.hand.len();
        let now_us = self.store.clock().require_us()?;
        let mut pace = self.pace;
        let count = pace.as_mut().map_or(held.min(TOGETHER_MAX), |pace| pace.take(held, now_us));
        if count == 0 {
            let wait_us = pace.map_or(0, |pace| pace.next_us.saturating_sub(now_us));
            let wait = Duration::from_micros(wait_us).min(SAVE_EVERY);
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
            return Ok(());
        }
        // Used, whatever comes of it: a reply that is lost must not let it go faster.
        self.pace = pace;
        self.taken.progress.next_us = pace.map_or(0, |pace| pace.next_us);
        let ulids = self.taken.progress.hand[..count].to_vec();
        let came_to = self.store.messages.operate_on(&self.taken.operation, &ulids).await?;
        self.taken.progress.trouble = None;
        let done = came_to.values().filter(|changed| self.is_done(**changed)).count();
        let skipped = ulids.len() - done;
        self.taken.progress.hand.drain(..count);
        self.is_inherited &= !self.taken.progress.hand.is_empty();
        self.count(done, skipped);
        Ok(())
    }

    fn is_done(&self, changed: Changed) -> bool {
        match changed {
            Changed::Done => true,
            Changed::Already | Changed::WrongState(_) | Changed::NotFound => self.is_inherited,
            Changed::ExpiresBeforeDue | Changed::Late | Changed::Superseded => false,
        }
    }

    fn count(&mut self, done: usize, skipped: usize) {
        let [done, skipped] = [done, skipped].map(|n| u64::try_from(n).unwrap_or(0));
        self.taken.progress.done += done;
        self.taken.progress.skipped += skipped;
        let action = self.taken.operation.action.as_str();
        for (result, count) in [("done", done), ("skipped", skipped)] {
            let label = OperationLabel { action, result };
            self.store.metrics().operation.operations_messages.get_or_create(&label).inc_by(count);
        }
    }

    /// A move that was begun is finished even if the operation was stopped meanwhile.
    async fn finish_begun(&mut self) -> Result<(), StoreError> {
        let hand = std::mem::take(&mut self.taken.progress.hand);
        let finished = self.store.messages.finish_moves(&self.taken.operation, &hand).await;
        if finished.is_err() {
            self.taken.progress.hand = hand;
        }
        let done = finished?;
        self.count(done, 0);
        self.is_inherited = false;
        Ok(())
    }

    /// Prolongs the lease; says if this run is not to go on.
    async fn save(&mut self) -> Result<Option<RunTurn>, StoreError> {
        let asked_at = Instant::now();
        match self.store.operations.save(&self.taken, Keep::Going).await? {
            Saved::Kept => {}
            Saved::StopAsked(by) => self.taken.stopping = Some(by),
            Saved::Lost => {
                tracing::info!(
                    operation = self.taken.operation.id,
                    "another node continues the operation"
                );
                return Ok(Some(RunTurn::Leave));
            }
        }
        self.saved_at = asked_at;
        Ok(None)
    }

    async fn end(&mut self, stage: Stage) -> Result<(), StoreError> {
        let ended_ms = self.store.clock().require_ms()?;
        let progress = &mut self.taken.progress;
        progress.stage = stage;
        progress.ended_ms = Some(ended_ms);
        let TakenOperation { operation, progress, .. } = &self.taken;
        if self.store.operations.save(&self.taken, Keep::Ended).await? == Saved::Lost {
            return Ok(());
        }
        let (action, end) = (operation.action.as_str(), stage.as_str());
        let label = OperationEndLabel { action, end };
        self.store.metrics().operation.operations_ended.get_or_create(&label).inc();
        tracing::info!(
            operation = operation.id, action, queue = %operation.queue, by = operation.by, end,
            seen = progress.seen, matched = progress.matched, done = progress.done, "operation ended"
        );
        Ok(())
    }

    /// Redis failed a step: the operation waits, and says so, while its lease can be kept.
    async fn failed(&mut self, error: &StoreError) {
        tracing::debug!(operation = self.taken.operation.id, %error, "an operation waits");
        self.taken.progress.stage = Stage::Running;
        self.taken.progress.ended_ms = None;
        // Whatever lies in the hand may be done: the reply may have been lost, or came half-way.
        self.is_inherited = !self.taken.progress.hand.is_empty();
        self.taken.progress.trouble = Some(error.to_string());
        if matches!(error, StoreError::Reply(_)) {
            self.nonsense += 1;
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(FAILED_PAUSE) => {}
        }
    }
}

/// How many messages a pace of so many a second takes in a while; at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
fn ahead(per_second: f64) -> usize {
    ((per_second * AHEAD.as_secs_f64()) as usize).clamp(1, PAGE_MAX)
}
