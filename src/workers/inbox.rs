//! Takes in what producers added to streams.
//!
//! One look for all queues now and then, more seldom while nothing comes; what lies there is then taken in
//! queue by queue, so that one that cannot take its messages holds up no other. An entry leaves its stream
//! when its message is safe. A node that dies leaves entries behind, which come again, under the same
//! ids.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::domain::backlog::Full;
use crate::domain::gates::Gates;
use crate::domain::id::{MessageId, QueueName};
use crate::domain::inbox::{self, AskedMessage};
use crate::domain::message::{Details, Origin};
use crate::domain::trace_context;
use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::failpoint::failpoint;
use crate::store::{Accepted, Drawn, InboxEntry, NotAccepted, Queue, Store, StoreError};
use crate::telemetry::{IntakeEnd, IntakeSpan, Kind, QueueLabel, SpanKind};

/// Between two looks while entries come.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Between two looks while nothing comes.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Draws of one queue before another look.
const DRAWS_MAX: usize = 50;

/// The reader of this node, for all streams.
#[derive(Debug)]
pub struct InboxReader {
    store: Store,
    payload_bytes_max: usize,
    pause: Duration,
    /// Queues that are being read.
    busy: HashSet<QueueName>,
    readings: FuturesUnordered<BoxFuture<'static, (QueueName, usize)>>,
    stop: CancellationToken,
}

impl Pass for InboxReader {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        if !self.store.inbox.is_enabled() && self.readings.is_empty() {
            return Ok(Next::Woken);
        }
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        for queue in self.look().await {
            self.busy.insert(queue.policy.name.clone());
            let (store, stop) = (self.store.clone(), self.stop.clone());
            self.readings.push(Box::pin(read(store, queue, self.payload_bytes_max, stop)));
        }
        Ok(Next::about(self.pause))
    }

    /// Until whether streams are read was set, or soon after a reading that found something.
    async fn woken(&mut self) {
        let mut soon = None;
        loop {
            tokio::select! {
                () = self.store.inbox.changed() => return,
                () = sleep_until(soon.unwrap_or_else(Instant::now)), if soon.is_some() => return,
                Some((name, taken)) = self.readings.next() => {
                    self.busy.remove(&name);
                    if taken > 0 && soon.is_none() {
                        self.pause = PAUSE_MIN;
                        soon = Some(Instant::now() + PAUSE_MIN);
                    }
                }
            }
        }
    }
}

impl InboxReader {
    /// A reader that refuses payloads above this size, until `stop`.
    #[must_use]
    pub fn new(store: Store, payload_bytes_max: usize, stop: CancellationToken) -> Self {
        let (busy, readings) = (HashSet::new(), FuturesUnordered::new());
        Self { store, payload_bytes_max, pause: PAUSE_MAX, busy, readings, stop }
    }

    /// The loop; each reading ends after what it has drawn.
    pub async fn run(self, pulse: Pulse) {
        let stop = self.stop.clone();
        let mut ended = cadence::run(&stop, pulse, self).await;
        while ended.readings.next().await.is_some() {}
    }

    /// Queues with something in their streams that are not being read.
    async fn look(&mut self) -> Vec<Arc<Queue>> {
        if !self.store.inbox.is_enabled() || !self.store.servers.health().is_up() {
            return Vec::new();
        }
        let mut queues = self.store.queues.all();
        queues.retain(|queue| !queue.retired && !self.busy.contains(&queue.policy.name));
        let names: Vec<_> = queues.iter().map(|queue| queue.policy.name.clone()).collect();
        match self.store.inbox.glance(&names).await {
            Ok(found) => {
                queues.retain(|queue| {
                    found.get(&queue.policy.name).is_some_and(|backlog| backlog.entries > 0)
                });
                queues
            }
            Err(error) => {
                tracing::debug!(%error, "the inbox is looked at later");
                Vec::new()
            }
        }
    }
}

/// Takes in what lies in the stream of a queue; returns how many entries were done with.
async fn read(
    store: Store,
    queue: Arc<Queue>,
    payload_bytes_max: usize,
    stop: CancellationToken,
) -> (QueueName, usize) {
    let name = queue.policy.name.clone();
    let (mut taken, mut from) = (0, None);
    for _ in 0..DRAWS_MAX {
        if stop.is_cancelled() {
            break;
        }
        match draw(&store, &queue, payload_bytes_max, from.as_deref()).await {
            Ok(draw) => {
                taken += draw.done;
                from = draw.next;
                let has_more = draw.goes_on || from.is_some();
                if draw.is_full || !has_more {
                    break;
                }
            }
            Err(error) => {
                tracing::debug!(%error, queue = %name, "the inbox waits");
                break;
            }
        }
    }
    (name, taken)
}

/// What a draw came to.
#[derive(Debug, Default)]
struct DrawEnd {
    /// How many entries were done with.
    done: usize,
    /// Where the next draw looks for what was left behind; `None`: it was the last.
    next: Option<String>,
    /// The next draw may find something that can be taken.
    goes_on: bool,
    /// Nothing was taken, since the queue takes nothing more, of whatever key.
    is_full: bool,
}

/// Why the queue cannot take a message; `None`: it can. `gates`: those of the queue, once they were read.
async fn why_unfit(
    store: &Store,
    queue: &Queue,
    (asked, now_ms): (&AskedMessage, u64),
    gates: &mut Option<Gates>,
) -> Result<Option<String>, StoreError> {
    let AskedMessage { message, .. } = asked;
    if let Err(unfit) = store.queues.check(&queue.policy, &message.details).await? {
        return Ok(Some(unfit.to_string()));
    }
    let due_ms = message.due.at_ms(now_ms);
    if message.details.must_dispatch_ms.is_none() {
        return Ok(None);
    }
    if gates.is_none() {
        *gates = Some(store.queues.gates(&queue.policy).await?);
    }
    let missed =
        gates.as_ref().and_then(|gates| gates.why_missed(&queue.policy, &message.details, due_ms));
    Ok(missed.map(|why| format!("must_dispatch_by: {why}")))
}

/// One draw. What waits for the backlog of its key holds nobody up; where the whole queue is full, all wait.
async fn draw(
    store: &Store,
    queue: &Arc<Queue>,
    payload_bytes_max: usize,
    from: Option<&str>,
) -> Result<DrawEnd, StoreError> {
    let Drawn { entries, next } = store.inbox.draw(queue, from).await?;
    if entries.is_empty() {
        return Ok(DrawEnd { next, ..DrawEnd::default() });
    }
    let mut end = DrawEnd { next, ..DrawEnd::default() };
    failpoint!("drawn");
    let name = &queue.policy.name;
    let (now_ms, routing) = (store.clock().require_ms()?, queue.routing());
    let (mut good, mut messages, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    // Read once for all entries of this draw that name a moment.
    let mut gates = None;
    for entry in entries {
        let read = inbox::read(&entry.fields, entry.added_ms(), now_ms, payload_bytes_max);
        let asked = match read {
            Ok(asked) => {
                why_unfit(store, queue, (&asked, now_ms), &mut gates).await?.map_or(Ok(asked), Err)
            }
            Err(why) => Err(why),
        };
        match asked {
            Ok(mut asked) => {
                let key = asked.key.clone().unwrap_or_else(|| entry.id.clone());
                let to = (&**queue, &routing);
                let span = begin_trace(store, &mut asked.message.details, entry.added_ms());
                messages.push((entry.given(&key, to, &asked.message.details), {
                    asked.message.details.idempotency_key = Some(key);
                    asked.message
                }));
                good.push((entry, span));
            }
            Err(why) => bad.push((entry, why)),
        }
    }
    let answers = store.messages.schedule_given(name, messages, Origin::Producer).await?;
    failpoint!("taken-in");
    let mut done = Vec::new();
    for ((entry, span), answer) in good.into_iter().zip(answers) {
        let answer = match answer {
            Err(NotAccepted::Mismatch(first)) => {
                in_other_words(store, queue, &entry, payload_bytes_max, first).await?
            }
            answer => answer,
        };
        end_trace(store, name, span, &answer);
        match answer {
            Ok(_) => done.push(entry.id),
            Err(NotAccepted::Mismatch(first)) => {
                bad.push((entry, format!("its key was given to a different message, {first}")));
            }
            Err(NotAccepted::Store(error @ StoreError::TooLarge(_))) => {
                bad.push((entry, error.to_string()));
            }
            // Left in the stream: it comes again.
            Err(NotAccepted::Backlog(Full::Key(_))) => end.goes_on = true,
            Err(error @ (NotAccepted::Store(_) | NotAccepted::Backlog(_))) => {
                tracing::debug!(%error, queue = %name, entry = entry.id, "an entry waits");
                end.is_full |= matches!(error, NotAccepted::Backlog(_));
            }
        }
    }
    let label = QueueLabel { queue: name.to_string() };
    store.metrics().intake.inbox_entries.get_or_create(&label).inc_by(done.len() as u64);
    reject(store, name, bad, &mut done).await;
    store.inbox.digest(name, &done).await?;
    failpoint!("digested");
    end.done = done.len();
    end.goes_on |= end.done > 0;
    end.is_full &= end.done == 0;
    Ok(end)
}

/// Begins the span of an entry's way in, where its trace is recorded: it began when the entry was added.
fn begin_trace(store: &Store, details: &mut Details, added_ms: u64) -> Option<IntakeSpan> {
    trace_context::drop_invalid(details);
    let tracer = store.metrics().tracer.as_ref()?;
    tracer.begin_intake(SpanKind::Internal, details, added_ms * 1000)
}

/// Records it. One that waits in its stream is taken in later, by another span.
fn end_trace(
    store: &Store,
    queue: &QueueName,
    span: Option<IntakeSpan>,
    answer: &Result<Accepted, NotAccepted>,
) {
    let (Some(span), Some(tracer), Ok(accepted)) = (span, &store.metrics().tracer, answer) else {
        return;
    };
    let end = IntakeEnd {
        destination: queue.as_str(),
        id: Ok(accepted.id.to_string()),
        is_duplicate: accepted.duplicate,
        is_collapsed: accepted.collapsed,
        at_us: store.clock().now_us().unwrap_or_default(),
    };
    tracer.end_intake(span, end);
}

/// What becomes of an entry whose key belongs to `first`, as it is written another message: it may say the same
/// with the content type named that it has anyway, or left out.
async fn in_other_words(
    store: &Store,
    queue: &Queue,
    entry: &InboxEntry,
    payload_bytes_max: usize,
    first: MessageId,
) -> Result<Result<Accepted, NotAccepted>, StoreError> {
    let (added_ms, now_ms) = (entry.added_ms(), store.clock().require_ms()?);
    let asked = inbox::read(&entry.fields, added_ms, now_ms, payload_bytes_max).ok();
    let (Some(AskedMessage { mut message, key }), Some(fingerprint)) =
        (asked, inbox::other_fingerprint(&entry.fields))
    else {
        return Ok(Err(NotAccepted::Mismatch(first)));
    };
    let key = key.unwrap_or_else(|| entry.id.clone());
    let given = entry.given(&key, (queue, &queue.routing()), &message.details);
    message.details.idempotency_key = Some(key);
    message.fingerprint = fingerprint;
    let (name, messages) = (&queue.policy.name, vec![(given, message)]);
    let mut answers = store.messages.schedule_given(name, messages, Origin::Producer).await?;
    Ok(answers.pop().unwrap_or(Err(NotAccepted::Mismatch(first))))
}

async fn reject(
    store: &Store,
    queue: &QueueName,
    bad: Vec<(InboxEntry, String)>,
    done: &mut Vec<String>,
) {
    for (entry, why) in bad {
        let digest = &store.metrics().digest;
        digest.note(Kind::Rejected, queue.as_str(), &why, || entry.id.clone());
        match store.inbox.reject(queue, &entry, &why).await {
            Ok(()) => done.push(entry.id),
            Err(error) => tracing::debug!(%error, %queue, "a rejected entry waits"),
        }
    }
}
