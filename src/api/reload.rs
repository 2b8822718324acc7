//! Whether the last reload was refused: who asked for it learns nothing else of it.
//!
//! Owns the answer and its metric. Refuses to know how a configuration is read.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::doctor::RefusedReload;
use crate::telemetry::Metrics;

/// What the last reload came to; all clones share it.
#[derive(Debug, Clone)]
pub struct LastReload {
    // A plain mutex: held to read and to write, never across an await.
    refused: Arc<Mutex<Option<RefusedReload>>>,
    metrics: Arc<Metrics>,
}

impl LastReload {
    /// There was none yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { refused: Arc::default(), metrics }
    }

    /// The new configuration is in force.
    pub fn succeeded(&self) {
        *self.refused.lock() = None;
        self.metrics.store.reload_failed.set(0);
    }

    /// The old configuration stays in force.
    pub fn failed(&self, refused: RefusedReload) {
        *self.refused.lock() = Some(refused);
        self.metrics.store.reload_failed.set(1);
    }

    pub(super) fn refused(&self) -> Option<RefusedReload> {
        self.refused.lock().clone()
    }
}
