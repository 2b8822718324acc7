//! How long this machine kept a ready thread waiting: what a recorder cannot know better than.
//!
//! Owns a thread and a task beside the test's own that do nothing but wake up on time, and their record
//! of when they did not. A test of moments measures its own lateness instead of guessing it: on an idle
//! machine it is next to none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

const STEP: Duration = Duration::from_millis(1);

/// Watches until it is dropped.
#[derive(Debug)]
pub(crate) struct Stalls {
    worst_us: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Dropping it ends the task.
    _task: JoinSet<()>,
}

impl Stalls {
    pub(crate) fn watch() -> Self {
        let (worst_us, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (worst, stopped) = (Arc::clone(&worst_us), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let late_us = u64::try_from(late_by().as_micros()).unwrap_or(u64::MAX);
                worst.fetch_max(late_us, Ordering::Relaxed);
            }
        });
        let mut task = JoinSet::new();
        let worst = Arc::clone(&worst_us);
        task.spawn(async move {
            loop {
                let began = Instant::now();
                tokio::time::sleep(STEP).await;
                // Its timer knows whole milliseconds.
                let late = began.elapsed().saturating_sub(2 * STEP);
                worst.fetch_max(
                    u64::try_from(late.as_micros()).unwrap_or(u64::MAX),
                    Ordering::Relaxed,
                );
            }
        });
        Self { worst_us, stop, thread: Some(thread), _task: task }
    }

    /// The longest stall so far.
    pub(crate) fn worst(&self) -> Duration {
        Duration::from_micros(self.worst_us.load(Ordering::Relaxed))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it only sleeps");
        }
    }
}

/// How much later than asked for this thread runs again.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, which blocks nobody")]
fn late_by() -> Duration {
    let began = Instant::now();
    std::thread::sleep(STEP);
    began.elapsed().saturating_sub(STEP)
}
