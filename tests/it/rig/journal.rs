//! What was done to the system, as it is done.
//!
//! Owns the list of faults of a run; clones are the same list. Refuses to know who does them.

use std::sync::{Arc, Mutex};

use super::history::{Fault, FaultKind, Life};
use super::stage::Harmed;
use crate::support::clocks::wall_us;

/// Takes down faults when they are over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<Fault>>>);

impl Journal {
    /// A fault that began at `at_us` and is over now.
    pub(crate) fn note(&self, kind: FaultKind, at_us: u64, life: Option<Life>, detail: &str) {
        let fault = Fault { at_us, until_us: wall_us(), kind, life, detail: detail.to_owned() };
        self.0.lock().expect("nobody panics").push(fault);
    }

    /// What Redis suffered.
    pub(crate) fn note_harmed(&self, harmed: &Harmed) {
        let &Harmed { at_us, until_us, kind, ref detail } = harmed;
        let fault = Fault { at_us, until_us, kind, life: None, detail: detail.clone() };
        self.0.lock().expect("nobody panics").push(fault);
    }

    /// All of them, by their beginning.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = self.0.lock().expect("nobody panics").clone();
        faults.sort_by_key(|fault| fault.at_us);
        faults
    }

    pub(crate) fn count(&self, kind: FaultKind) -> usize {
        self.0.lock().expect("nobody panics").iter().filter(|fault| fault.kind == kind).count()
    }
}
