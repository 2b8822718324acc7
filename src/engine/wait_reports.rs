//! The spans of long waits, which lack what held the whole queue until somebody has asked Redis for it.
//!
//! Owns asking, many at once, beside the sending: no message waits for it. Refuses to know when a wait begins and ends (see
//! `traces`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::domain::waited::{QueueHold, WaitBefore, Waited};
use crate::store::{Queue, Store};
use crate::telemetry::{FinishedSpan, Tracer};

/// Long waits of a queue whose spans may wait to be finished; those beyond are lost, and counted.
const LONG_WAITS_MAX: usize = 1024;
/// Long waits for which it is asked once what held the queue.
const TOGETHER_MAX: usize = 256;

/// With what was waited for, by gate; `holds`: what held the queue meanwhile, where that is known.
pub(super) fn waited(
    span: FinishedSpan,
    wait: &WaitBefore,
    holds: Option<&[QueueHold]>,
) -> FinishedSpan {
    let Waited(parts) = wait.parts(holds);
    parts
        .into_iter()
        .fold(span, |span, (what, ms)| span.with(format!("tidegate.waited.{what}_ms"), ms))
}

/// A long wait, whose span lacks what held the whole queue.
#[derive(Debug)]
pub(super) struct LongWait {
    span: FinishedSpan,
    wait: WaitBefore,
    shard: u16,
}

/// The way to whoever finishes the spans of long waits.
#[derive(Debug)]
pub(super) struct WaitReports(mpsc::Sender<LongWait>);

impl WaitReports {
    pub(super) fn new() -> (Self, mpsc::Receiver<LongWait>) {
        let (sender, receiver) = mpsc::channel(LONG_WAITS_MAX);
        (Self(sender), receiver)
    }

    /// Takes a wait; where too many wait for their answer, its span is lost.
    pub(super) fn report(&self, tracer: &Tracer, span: FinishedSpan, wait: WaitBefore, shard: u16) {
        if self.0.try_send(LongWait { span, wait, shard }).is_err() {
            tracer.lose(1);
        }
    }
}

/// Finishes the spans of long waits, until nobody can report one any more.
pub(super) async fn report_waits(
    store: Store,
    queue: Arc<Queue>,
    mut waits: mpsc::Receiver<LongWait>,
) {
    let mut gathered = Vec::with_capacity(TOGETHER_MAX);
    while waits.recv_many(&mut gathered, TOGETHER_MAX).await > 0 {
        let shards: HashSet<u16> = gathered.iter().map(|wait| wait.shard).collect();
        let mut by_shard = HashMap::with_capacity(shards.len());
        for shard in shards {
            by_shard.insert(shard, holds_of(&store, &queue, shard).await);
        }
        let Some(tracer) = &store.metrics().tracer else { return };
        for LongWait { span, wait, shard } in gathered.drain(..) {
            tracer.record(waited(span, &wait, by_shard[&shard].as_deref()));
        }
    }
}

/// `None`: Redis is away, and nobody knows.
async fn holds_of(store: &Store, queue: &Queue, shard: u16) -> Option<Vec<QueueHold>> {
    let shard = queue.shards.get(usize::from(shard))?;
    store.queues.holds(shard, store.clock().now_ms()?).await.ok()
}
