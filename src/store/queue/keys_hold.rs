//! Until when keys hold all that is ready in a shard, as its last claim told.
//!
//! Whatever happens in the shard makes that void: a message comes, a call ends, a limit changes. Refuses to know what holds.

use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(in crate::store) struct KeysHold {
    // A plain mutex: held for an assignment, never across an await.
    known: Mutex<KnownHold>,
}

#[derive(Debug, Default)]
struct KnownHold {
    /// Counts what has happened in the shard.
    happened: u64,
    until_us: Option<u64>,
}

impl KeysHold {
    /// Before this moment, by the time of the home shard, nothing here may start; `None`: something may.
    pub(in crate::store) fn until_us(&self) -> Option<u64> {
        self.known.lock().until_us
    }

    /// Something happened: what was known is void.
    pub(in crate::store) fn forget(&self) {
        let mut known = self.known.lock();
        known.happened += 1;
        known.until_us = None;
    }

    /// A claim begins. Returns what its end has to show.
    pub(in crate::store) fn begin(&self) -> u64 {
        let mut known = self.known.lock();
        known.until_us = None;
        known.happened
    }

    /// The claim that began with `begun` told until when keys hold what is left. Void if something happened meanwhile.
    pub(in crate::store) fn tell(&self, begun: u64, until_us: Option<u64>) {
        let mut known = self.known.lock();
        if known.happened == begun {
            known.until_us = until_us;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_claim_told_is_void_once_something_happens() {
        let keys = KeysHold::default();
        assert_eq!(keys.until_us(), None);
        keys.tell(keys.begin(), Some(5));
        assert_eq!(keys.until_us(), Some(5));
        keys.forget();
        assert_eq!(keys.until_us(), None);
        let begun = keys.begin();
        keys.forget();
        keys.tell(begun, Some(5));
        assert_eq!(keys.until_us(), None, "it happened while the claim was under way");
    }
}
