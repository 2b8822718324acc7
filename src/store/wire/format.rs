//! The format in force: which version this node writes new records as.
//!
//! Owns the way from one version to the next. Nodes write the version before until every node in the registry says that
//! it reads the newer one; then the beat of one of them raises `schema` (`lua/include/format.lua`), from which moment on a
//! program that does not read it refuses to start, and a moment later, when one that had started before must have
//! shown itself, all nodes write the newer one. Readers take both. What was written stays: there is no way back.
//!
//! What was raised is never lowered: a node that finds `schema` deleted, or lower than it was, writes there what it
//! knows. Refuses to know how a record is packed.

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::store::record::{RECORD_VERSION, RECORD_VERSION_OLDEST};

/// For how long after `schema` was raised the version before is still written: a program that read the lower one just
/// before that starts and shows itself within this time.
pub(in crate::store) const FORMAT_SETTLE_MS: u64 = 10_000;

/// What this node knows of the format in force.
#[derive(Debug)]
pub(in crate::store) struct Format {
    /// What new records are written as.
    version: AtomicU8,
    /// The newest version that was found in `schema`; 0: it was not read yet.
    known: AtomicU8,
    // A plain mutex: held for a comparison, never across an await.
    /// The nodes behind that were named in the log.
    named: Mutex<Vec<String>>,
}

impl Default for Format {
    /// Until it is known: what every node reads.
    fn default() -> Self {
        Self {
            version: AtomicU8::new(RECORD_VERSION_OLDEST),
            known: AtomicU8::new(0),
            named: Mutex::default(),
        }
    }
}

impl Format {
    /// What new records are written as.
    pub(in crate::store) fn version(&self) -> u8 {
        self.version.load(Ordering::Relaxed)
    }

    /// The newest version that was found in the namespace; 0 before it was looked for.
    pub(in crate::store) fn known(&self) -> u8 {
        self.known.load(Ordering::Relaxed)
    }

    /// Takes what a script has found; returns what was written before.
    pub(in crate::store) fn learn(&self, schema: u64, version: u64) -> u8 {
        let at_most =
            |number: u64| u8::try_from(number).unwrap_or(RECORD_VERSION).min(RECORD_VERSION);
        self.known.fetch_max(at_most(schema), Ordering::Relaxed);
        self.version.swap(at_most(version), Ordering::Relaxed)
    }

    /// The same, at a beat: what has changed is logged once. `nodes`: those that do not read the newest
    /// version.
    pub(in crate::store) fn hear(&self, schema: u64, version: u64, mut nodes: Vec<String>) {
        let before = self.learn(schema, version);
        nodes.sort();
        let mut named = self.named.lock();
        if nodes != *named && !nodes.is_empty() {
            tracing::warn!(
                nodes = nodes.join(", "),
                schema,
                "some nodes read records up to version {RECORD_VERSION_OLDEST} only; new messages are written as version \
                 {RECORD_VERSION_OLDEST} until these nodes are upgraded or gone"
            );
        }
        *named = nodes;
        if u64::from(before) < version {
            tracing::info!(
                version,
                "new messages are written as records of this version from now on; a tidegate that does not read it \
                 refuses to start"
            );
        }
    }
}
