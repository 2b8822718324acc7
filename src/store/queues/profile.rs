//! What of a backlog becomes due when, and how it lies in lines.
//!
//! Owns the reading, which is bounded whatever the backlog. What follows from it says `domain::forecast`.

use bytes::Bytes;

use super::Queues;
use crate::domain::forecast::LINES_MAX;
use crate::domain::id::QueueName;
use crate::store::StoreError;
use crate::store::redis::script::{call, fields};

/// Steps that one call counts: a millisecond or two of Redis.
const STEPS_A_CALL_MAX: u64 = 1000;
/// Lane, flow and count.
const LANE_BYTES: usize = 20;

/// Steps of time, of which each is counted for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSteps {
    /// Where the first begins, ms.
    pub from_ms: u64,
    /// How long each is, ms.
    pub step_ms: u64,
    /// How many there are.
    pub count: u64,
}

/// A backlog, as it lies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BacklogProfile {
    /// Ready messages.
    pub ready: u64,
    /// Messages that are due in each of the steps.
    pub due: Vec<u64>,
    /// Of a queue with keys: some of its lanes, the fullest first.
    pub lanes: Vec<LaneBacklog>,
}

/// Messages that wait in one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneBacklog {
    /// The lane.
    pub lane: [u8; 8],
    /// The flow that it is of, whose lanes share what is the flow's.
    pub flow: [u8; 8],
    /// How many wait.
    pub messages: u64,
}

impl Queues {
    /// The backlog of a queue, over all shards.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn profile(
        &self,
        name: &QueueName,
        steps: TimeSteps,
    ) -> Result<BacklogProfile, StoreError> {
        let queue = self.wire.queue(name)?;
        let count = usize::try_from(steps.count).unwrap_or(0);
        let mut profile = BacklogProfile { due: vec![0; count], ..BacklogProfile::default() };
        let lanes_max = (LINES_MAX / queue.shards.len().max(1)).max(1);
        for shard in &queue.shards {
            let mut at = 0;
            // At least one call: it also says what is ready.
            loop {
                let page = steps.count.saturating_sub(at).min(STEPS_A_CALL_MAX);
                let call = call!(
                    Profile,
                    is_first = at == 0,
                    from_ms = steps.from_ms + at * steps.step_ms,
                    step_ms = steps.step_ms,
                    steps = page,
                    lanes_max = u64::try_from(lanes_max).unwrap_or(1)
                );
                let mut reply = self.wire.read(shard, &call).await?;
                fields!(reply as Profile; ready: u64, due: String, lanes: Bytes);
                let from = usize::try_from(at).unwrap_or(usize::MAX);
                for (sum, counted) in profile.due.iter_mut().skip(from).zip(due.split(' ')) {
                    let wrong = || StoreError::Reply(format!("profile answered \"{due}\""));
                    *sum += counted.parse::<u64>().map_err(|_| wrong())?;
                }
                if at == 0 {
                    profile.ready += ready;
                    profile.lanes.extend(lanes.chunks_exact(LANE_BYTES).filter_map(lane));
                }
                at += page;
                if at >= steps.count {
                    break;
                }
            }
        }
        profile.lanes.sort_by_key(|lane| std::cmp::Reverse(lane.messages));
        Ok(profile)
    }
}

fn lane(packed: &[u8]) -> Option<LaneBacklog> {
    let (lane, rest) = packed.split_first_chunk()?;
    let (flow, count) = rest.split_first_chunk()?;
    let messages = u32::from_be_bytes(count.try_into().ok()?).into();
    Some(LaneBacklog { lane: *lane, flow: *flow, messages })
}
