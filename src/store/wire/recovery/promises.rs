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

/// A message that was promised: its accept sequence, or 0 where it was another call that took it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Promise {
    pub(in crate::store) ulid: Ulid,
    pub(in crate::store) sequence: u64,
}

#[derive(Debug, Default)]
struct Rings {
    accepted: VecDeque<(ShardMark, Promise)>,
    delivered: VecDeque<(ShardMark, Ulid)>,
}

/// The promises of this node.
#[derive(Debug, Default)]
pub(in crate::store) struct Promises {
    // A plain mutex: held to push a call's worth and to copy, never across an await.
    rings: Mutex<Rings>,
}

impl Promises {
    /// Producers are told 201 for these.
    pub(in crate::store) fn accepted(
        &self,
        shard: ShardMark,
        promises: impl Iterator<Item = Promise>,
    ) {
        let mut rings = self.lock();
        rings.accepted.extend(promises.map(|promise| (shard, promise)));
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
    pub(in crate::store) fn of(&self, shard: ShardMark) -> (Vec<Promise>, Vec<Ulid>) {
        let rings = self.lock();
        let accepted = rings.accepted.iter().filter(|(at, _)| *at == shard);
        let delivered = rings.delivered.iter().filter(|(at, _)| *at == shard);
        (
            accepted.map(|(_, promise)| *promise).collect(),
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
        rings.accepted.retain(|(_, promise)| !lost.contains(&promise.ulid));
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

    fn promise(number: u64) -> Promise {
        Promise { ulid: Ulid::from_parts(number, 0), sequence: number }
    }

    #[test]
    fn each_shard_has_its_own_and_what_was_reported_is_forgotten() {
        let promises = Promises::default();
        promises.accepted(HERE, [1, 2].map(promise).into_iter());
        promises.accepted(THERE, [3].map(promise).into_iter());
        promises.delivered(HERE, [promise(1).ulid].into_iter());
        assert_eq!(promises.of(HERE), ([1, 2].map(promise).to_vec(), vec![promise(1).ulid]));
        assert_eq!(promises.of(THERE).0, [promise(3)]);

        promises.forget(&[promise(2).ulid], &[promise(1).ulid]);

        assert_eq!(promises.of(HERE), (vec![promise(1)], vec![]));
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let promises = Promises::default();
        let count = KEPT as u64 + 2;
        promises.accepted(HERE, (1..=count).map(promise));
        promises.delivered(HERE, (1..=count).map(|number| promise(number).ulid));
        let (accepted, delivered) = promises.of(HERE);
        assert_eq!((accepted.len(), delivered.len()), (KEPT, KEPT));
        assert_eq!((accepted[0], delivered[0]), (promise(3), promise(3).ulid));
    }
}
