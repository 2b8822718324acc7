//! What this node has told others lately: messages it accepted, messages it knows as delivered.
//!
//! Owns two bounded rings; against them a server that takes over is held (`rollback`). Cheap, since
//! every message passes here twice. Refuses to know Redis.

use std::collections::{HashSet, VecDeque};

use parking_lot::{Mutex, MutexGuard};
use ulid::Ulid;

use crate::store::queue::ShardMark;

/// How many of each kind are remembered: a minute at a thousand a second, in five megabytes.
const KEPT: usize = 65_536;

/// An accepted message that somebody was told of: its accept sequence, or 0 where it was another call that took it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Acknowledged {
    pub(in crate::store) ulid: Ulid,
    pub(in crate::store) sequence: u64,
}

#[derive(Debug, Default)]
struct Rings {
    accepted: VecDeque<(ShardMark, Acknowledged)>,
    delivered: VecDeque<(ShardMark, Ulid)>,
}

/// What this node has acknowledged lately.
#[derive(Debug, Default)]
pub(in crate::store) struct RecentAcknowledgements {
    // A plain mutex: held to push a call's worth and to copy, never across an await.
    rings: Mutex<Rings>,
}

impl RecentAcknowledgements {
    /// Producers are told 201 for these.
    pub(in crate::store) fn accepted(
        &self,
        shard: ShardMark,
        messages: impl Iterator<Item = Acknowledged>,
    ) {
        let mut rings = self.lock();
        rings.accepted.extend(messages.map(|message| (shard, message)));
        let over = rings.accepted.len().saturating_sub(KEPT);
        rings.accepted.drain(..over);
    }

    /// Redis keeps these as delivered.
    pub(in crate::store) fn delivered(&self, shard: ShardMark, ulids: impl Iterator<Item = Ulid>) {
        let mut rings = self.lock();
        rings.delivered.extend(ulids.map(|ulid| (shard, ulid)));
        let over = rings.delivered.len().saturating_sub(KEPT);
        rings.delivered.drain(..over);
    }

    /// What is remembered of a shard: accepted, delivered; the oldest first.
    pub(in crate::store) fn of(&self, shard: ShardMark) -> (Vec<Acknowledged>, Vec<Ulid>) {
        let rings = self.lock();
        let accepted = rings.accepted.iter().filter(|(at, _)| *at == shard);
        let delivered = rings.delivered.iter().filter(|(at, _)| *at == shard);
        (
            accepted.map(|(_, message)| *message).collect(),
            delivered.map(|(_, ulid)| *ulid).collect(),
        )
    }

    /// These were reported as broken: once is enough.
    pub(in crate::store) fn forget(&self, lost: &[Ulid], again: &[Ulid]) {
        if lost.is_empty() && again.is_empty() {
            return;
        }
        let (lost, again): (HashSet<_>, HashSet<_>) =
            (lost.iter().collect(), again.iter().collect());
        let mut rings = self.lock();
        rings.accepted.retain(|(_, message)| !lost.contains(&message.ulid));
        rings.delivered.retain(|(_, ulid)| !again.contains(ulid));
    }

    fn lock(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ShardMark = ShardMark(1);
    const THERE: ShardMark = ShardMark(2);

    fn message(number: u64) -> Acknowledged {
        Acknowledged { ulid: Ulid::from_parts(number, 0), sequence: number }
    }

    #[test]
    fn each_shard_has_its_own_and_what_was_reported_is_forgotten() {
        let messages = RecentAcknowledgements::default();
        messages.accepted(HERE, [1, 2].map(message).into_iter());
        messages.accepted(THERE, [3].map(message).into_iter());
        messages.delivered(HERE, [message(1).ulid].into_iter());
        assert_eq!(messages.of(HERE), ([1, 2].map(message).to_vec(), vec![message(1).ulid]));
        assert_eq!(messages.of(THERE).0, [message(3)]);

        messages.forget(&[message(2).ulid], &[message(1).ulid]);

        assert_eq!(messages.of(HERE), (vec![message(1)], vec![]));
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let messages = RecentAcknowledgements::default();
        let count = KEPT as u64 + 2;
        messages.accepted(HERE, (1..=count).map(message));
        messages.delivered(HERE, (1..=count).map(|number| message(number).ulid));
        let (accepted, delivered) = messages.of(HERE);
        assert_eq!((accepted.len(), delivered.len()), (KEPT, KEPT));
        assert_eq!((accepted[0], delivered[0]), (message(3), message(3).ulid));
    }
}
