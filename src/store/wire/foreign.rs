//! What stands in our structures and is not ours, as far as a reader met it: written by hand, or by a newer
//! version.
//!
//! Owns that each is said and counted once, however often it is passed over. What the audit of a shard finds
//! it counts itself. Refuses to know what follows.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::Wire;
use crate::telemetry::FaultLabel;

/// So many are remembered.
const KNOWN_MAX: usize = 1000;
/// So many operations are passed over.
pub(in crate::store) const PASSED_OVER_MAX: usize = 100;

/// What was met.
#[derive(Debug, Default)]
pub(in crate::store) struct Foreign {
    // A plain mutex: held to insert a name or to copy a few, never across an await.
    known: Mutex<BTreeSet<(String, String)>>,
}

impl Foreign {
    /// Whether it was not known yet.
    fn add(&self, structure: &str, name: &str) -> bool {
        let mut known = self.known.lock();
        known.len() < KNOWN_MAX && known.insert((structure.to_owned(), name.to_owned()))
    }

    /// What is known of one structure.
    pub(in crate::store) fn of(&self, structure: &str) -> Vec<String> {
        let known = self.known.lock();
        let ours = known.iter().filter(|(of, _)| of == structure);
        ours.take(PASSED_OVER_MAX).map(|(_, name)| name.clone()).collect()
    }
}

impl Wire {
    /// An entry of this structure cannot be read and is passed over.
    pub(in crate::store) fn note_foreign(
        &self,
        structure: &str,
        name: &str,
        why: &dyn std::fmt::Display,
    ) {
        if !self.foreign.add(structure, name) {
            return;
        }
        tracing::error!(structure, name, %why, "an entry cannot be read; it is skipped and not changed");
        let label = FaultLabel { queue: structure.to_owned(), fault: "foreign" };
        self.metrics().queue.index_faults.get_or_create(&label).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_new_once() {
        let foreign = Foreign::default();
        assert!(foreign.add("a", "x") && foreign.add("b", "x") && !foreign.add("a", "x"));
        assert_eq!(foreign.of("a"), ["x"]);
        let added = (0..2 * KNOWN_MAX).filter(|n| foreign.add("c", &n.to_string())).count();
        assert_eq!((added, foreign.of("c").len()), (KNOWN_MAX - 2, PASSED_OVER_MAX));
    }
}
