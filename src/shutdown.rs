//! How the daemon ends: one token tree and one tracker of named tasks.
//!
//! Owns "has everything ended?". Refuses to know what the tasks do.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle to start tasks that the drain will join; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// A fresh group of tasks with a stop token of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same tracker, with a token that also stops when this one does.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { tracker: self.tracker.clone(), stop: self.stop.child_token() }
    }

    /// Fires when these tasks are to end.
    #[must_use]
    pub fn stop_token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Tells these tasks to end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Starts a task; a panic in it is logged and the process goes on.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(self.tracker.spawn(AssertUnwindSafe(task).catch_unwind().map(move |ended| {
            if ended.is_err() {
                tracing::error!(task = name, "a task ended by a panic; please report this");
            }
        })));
    }

    /// Waits until every task of the group (and of its children) has ended.
    pub async fn join(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
