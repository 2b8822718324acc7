//! What held a queue lately, for those who ask what a message waited for.
//!
//! The scripts write it (see `lua/include/hold_book.lua`); what holds still, or has just ended, stands beside it.

use super::Queues;
use crate::domain::waited::{QueueHold, read_holds};
use crate::store::StoreError;
use crate::store::queue::Shard;
use crate::store::redis::reply::Reply;

/// The letter of each kind, and the fields that say since when it holds, and until when.
const KINDS: [(char, &str, &str); 3] = [
    ('p', "pause_since", "pause_until"),
    ('g', "shut_since", "gate_until"),
    ('w', "closed_since", "closed_until"),
];

impl Queues {
    /// What held the queue of this shard lately, up to a moment, ms.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn holds(&self, shard: &Shard, now_ms: u64) -> Result<Vec<QueueHold>, StoreError> {
        let key = shard.key("meta");
        let mut command = redis::cmd("HMGET");
        command.arg(key).arg("held");
        for (_, since, until) in KINDS {
            command.arg(since).arg(until);
        }
        let mut reply = Reply::new(self.wire.plain_at(&command, key).await?)?;
        let mut holds = read_holds(&reply.text()?);
        for (letter, _, _) in KINDS {
            let (since, until) = (reply.text()?, reply.text()?);
            // What is not there holds still, or does not hold; what cannot be read is left out.
            let until_ms = if until.is_empty() { Ok(0) } else { until.parse::<u64>() };
            let (Ok(since_ms), Ok(until_ms)) = (since.parse::<u64>(), until_ms) else { continue };
            let until_ms = if until_ms == 0 { now_ms } else { until_ms.min(now_ms) };
            if since_ms < until_ms {
                holds.extend(read_holds(&format!("{letter}{since_ms}+{}", until_ms - since_ms)));
            }
        }
        Ok(holds)
    }
}
