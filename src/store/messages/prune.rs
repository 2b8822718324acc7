//! Finished messages go: when their time is over, and, the oldest first, beyond the queue's limits.
//!
//! Owns the call, the counting of what went and why, and the look whether a limited shard needs the call.
//! Each call is bounded; callers ask again while there is more. Refuses to know when to look.

use std::sync::Arc;

use redis::{Value, cmd};

use super::Messages;
use super::housekeeping::{SWEEP_MAX, count_swept};
use crate::domain::retention::{KeepLimits, Retention};
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::redis::script::arg;
use crate::store::redis::script::{fields, rows, timed_call};
use crate::store::wire::clock_watch::Timed;
use crate::telemetry::PrunedLabel;

/// What a prune came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Messages that went.
    pub messages: u64,
    /// Of these, dead ones that went before their time.
    pub dead_early: u64,
    /// Whether there is more to do now.
    pub more: bool,
}

impl Messages {
    /// Finals whose retention is over are deleted, and the oldest of those beyond the queue's limits; with
    /// them the last claims of nodes that are gone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn prune(
        &self,
        queue: &Queue,
        shard: &Shard,
        living: &[String],
    ) -> Result<Pruned, StoreError> {
        let [delivered, dead] = shares(queue);
        let call = timed_call!(
            Prune,
            most = SWEEP_MAX,
            delivered_max = delivered.messages_max.unwrap_or(0),
            dead_max = dead.messages_max.unwrap_or(0),
            delivered_bytes_max = delivered.bytes_max.unwrap_or(0),
            dead_bytes_max = dead.bytes_max.unwrap_or(0),
            ..living.iter().map(|node| [arg(node)])
        );
        let called = self.wire.timed(shard, call).await?;
        let Some(Timed { mut reply, .. }) = called else { return Ok(Pruned::default()) };
        fields!(reply as Prune; has_more: bool);
        rows!(reply as Prune);
        let mut result = Pruned { more: has_more, ..Pruned::default() };
        while reply.len() > 0 {
            fields!(row of reply as Prune; state: String, reason: u64, pruned: u64);
            let (state, reason, count) = (state_word(&state), reason_word(reason), pruned);
            result.messages += count;
            if state == "dead" && reason != "age" {
                result.dead_early += count;
            }
            let label = PrunedLabel { queue: queue.policy.name.to_string(), state, reason };
            self.wire.metrics().queue.pruned.get_or_create(&label).inc_by(count);
        }
        count_swept(queue, "prune", result.messages);
        Ok(result)
    }

    /// Which of these shards are beyond the limits of their queues, or have to be weighed still; told by
    /// plain readings, no script runs. Those of queues without limits never are.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn beyond_limits(
        &self,
        limited: &[(Arc<Queue>, Arc<Shard>)],
    ) -> Result<Vec<bool>, StoreError> {
        let shards: Vec<_> = limited.iter().map(|(_, shard)| Arc::clone(shard)).collect();
        let replies = self
            .wire
            .read_each(&shards, &|shard| {
                let sizes = FINALS.iter().map(|name| cmd("ZCARD").arg(shard.key(name)).to_owned());
                let mut sums = cmd("HMGET");
                sums.arg(shard.key("meta")).arg(&SUMS);
                sizes.chain([sums]).collect()
            })
            .await?;
        let beyond = limited.iter().zip(replies).map(|((queue, _), replies)| {
            // What cannot be read has to be looked at.
            read_sums(replies).is_none_or(|sums| {
                sums.are_beyond(shares(queue), queue.policy.retention.is_weighed())
            })
        });
        Ok(beyond.collect())
    }
}

/// The final states: those that are limited together, and dead.
const FINALS: [&str; 4] = ["delivered", "expired", "cancelled", "dead"];
/// What `lua/include/weight.lua` keeps in meta.
const SUMS: [&str; 4] = ["weighing", "weigh_at", "weight_delivered", "weight_dead"];

/// What stands in one shard.
#[derive(Debug, Default)]
struct Sums {
    messages: [u64; 2],
    bytes: [i64; 2],
    is_weighed: bool,
    is_unfinished: bool,
}

impl Sums {
    fn are_beyond(&self, limits: [KeepLimits; 2], must_weigh: bool) -> bool {
        let has_finals = self.messages != [0, 0];
        if has_finals && (must_weigh != self.is_weighed || self.is_unfinished) {
            return true;
        }
        limits.iter().zip(self.messages).zip(self.bytes).any(|((limit, messages), bytes)| {
            limit.messages_max.is_some_and(|most| messages > most)
                || limit.bytes_max.is_some_and(|most| bytes > most.cast_signed() && messages > 0)
        })
    }
}

fn read_sums(replies: Vec<Value>) -> Option<Sums> {
    let mut replies = replies.into_iter();
    let mut sizes = [0; FINALS.len()];
    for size in &mut sizes {
        *size = redis::from_redis_value::<u64>(replies.next()?).ok()?;
    }
    let meta: [Option<String>; SUMS.len()] =
        redis::from_redis_value::<Vec<Option<String>>>(replies.next()?).ok()?.try_into().ok()?;
    let [weighing, weigh_at, delivered, dead] = meta;
    let bytes = |sum: Option<String>| sum.map_or(Some(0), |sum| sum.parse().ok());
    Some(Sums {
        messages: [sizes[0] + sizes[1] + sizes[2], sizes[3]],
        bytes: [bytes(delivered)?, bytes(dead)?],
        is_weighed: weighing.is_some(),
        is_unfinished: weigh_at.is_some(),
    })
}

/// What each shard of this queue may keep, of delivered (with expired and cancelled) and of dead ones.
fn shares(queue: &Queue) -> [KeepLimits; 2] {
    let Retention { delivered, dead, .. } = queue.policy.retention;
    [delivered, dead].map(|limits| limits.share(queue.policy.shards))
}

fn state_word(letter: &str) -> &'static str {
    match letter {
        "D" => "delivered",
        "X" => "dead",
        "E" => "expired",
        _ => "cancelled",
    }
}

/// Why messages are pruned, as the script has it: their time is over, they are too many, they take too much.
pub(in crate::store) const PRUNED_AGE: u64 = 1;
pub(in crate::store) const PRUNED_MESSAGES: u64 = 2;
pub(in crate::store) const PRUNED_BYTES: u64 = 3;

fn reason_word(reason: u64) -> &'static str {
    match reason {
        PRUNED_AGE => "age",
        PRUNED_MESSAGES => "messages",
        _ => "bytes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_tells_whether_the_call_is_needed() {
        let messages = |most| KeepLimits { messages_max: Some(most), bytes_max: None };
        let bytes = |most| KeepLimits { messages_max: None, bytes_max: Some(most) };
        let none = KeepLimits::default();
        let sums = |is_weighed| Sums {
            messages: [5, 3],
            bytes: [70, 40],
            is_weighed,
            is_unfinished: false,
        };
        assert!(!sums(false).are_beyond([none, none], false));
        assert!(!sums(false).are_beyond([messages(5), messages(3)], false));
        assert!(sums(false).are_beyond([messages(4), none], false));
        assert!(sums(false).are_beyond([none, messages(2)], false));
        assert!(!sums(true).are_beyond([bytes(70), bytes(40)], true));
        assert!(sums(true).are_beyond([none, bytes(39)], true));
        assert!(sums(false).are_beyond([bytes(70), none], true), "to be weighed");
        assert!(sums(true).are_beyond([messages(9), none], false), "weighed in vain");
        assert!(Sums { is_unfinished: true, ..sums(true) }.are_beyond([bytes(70), none], true));
        assert!(!Sums::default().are_beyond([bytes(70), none], true), "there is nothing");
    }
}
