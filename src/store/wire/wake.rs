//! What a wake-up from another node names.
//!
//! Owns the form of the tag. Refuses to know who listens (see `across::wake_ups`).

use super::Wire;
use crate::domain::id::QueueName;

impl Wire {
    /// Wakes whoever sweeps schedules on this node.
    pub(in crate::store) fn wake_schedules(&self) {
        self.schedules_shard.due.notify_one();
    }

    /// `<namespace>:<queue>.<shard>`
    pub(in crate::store) fn read_tag(&self, tag: &str) -> Option<(QueueName, usize)> {
        let rest = tag.strip_prefix(self.namespace())?.strip_prefix(':')?;
        let (queue, number) = rest.rsplit_once('.')?;
        Some((QueueName::any(queue).ok()?, number.parse().ok()?))
    }
}
