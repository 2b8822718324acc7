//! Tasks that carry out exchanges, one after the other.
//!
//! A task for each message would allocate and move its whole future, which is some kilobytes: a task
//! that has ended one exchange takes the next. There are as many as there are exchanges at once; who
//! has nothing to do for a while ends.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::exchange::Exchanges;
use super::work::Work;
use crate::shutdown::Tasks;

/// How long a task waits for more.
const IDLE: Duration = Duration::from_secs(2);

/// The runners of one queue.
#[derive(Debug, Clone)]
pub(super) struct Runners {
    exchanges: Arc<Exchanges>,
    tasks: Tasks,
    // A plain mutex: held to push and to pop, never across an await.
    idle: Arc<Mutex<IdleRunners>>,
}

/// Runners that wait, each with what it is called by; a timer for each of them would cost more than its
/// wait. Who waited least is called first, so that the others can end.
#[derive(Debug, Default)]
struct IdleRunners {
    runners: Vec<(Instant, oneshot::Sender<Work>)>,
    /// Whether somebody looks after those that nobody calls.
    is_watched: bool,
}

impl Runners {
    pub(super) fn new(exchanges: Arc<Exchanges>, tasks: Tasks) -> Self {
        Self { exchanges, tasks, idle: Arc::default() }
    }

    /// Starts an exchange now.
    pub(super) fn start(&self, mut work: Work) {
        loop {
            let idle = self.lock().runners.pop();
            let Some((_, runner)) = idle else { break };
            match runner.send(work) {
                Ok(()) => return,
                // It has ended.
                Err(back) => work = back,
            }
        }
        self.tasks.spawn("exchange", self.clone().run(work));
    }

    /// Starts exchanges that take no time, in one task.
    pub(super) fn start_in_turn(&self, works: Vec<Work>) {
        let exchanges = Arc::clone(&self.exchanges);
        self.tasks.spawn("exchange", async move {
            for work in works {
                work.run(&exchanges).await;
            }
        });
    }

    async fn run(self, first: Work) {
        let mut next = Some(first);
        while let Some(work) = next {
            work.run(&self.exchanges).await;
            next = self.next().await;
        }
    }

    /// The next exchange; `None`: there was none for a while, or the queue stops.
    async fn next(&self) -> Option<Work> {
        let (caller, called) = oneshot::channel();
        let is_watched = {
            let mut idle = self.lock();
            idle.runners.push((Instant::now(), caller));
            std::mem::replace(&mut idle.is_watched, true)
        };
        if !is_watched {
            self.tasks.spawn("idle exchanges", self.clone().watch());
        }
        called.await.ok()
    }

    /// Lets runners go that nobody called for a while, or all of them when the queue stops; ends once
    /// none waits.
    async fn watch(self) {
        loop {
            let stops = tokio::select! {
                () = self.tasks.stop_token().cancelled() => true,
                () = tokio::time::sleep(IDLE) => false,
            };
            let mut idle = self.lock();
            idle.runners.retain(|(since, _)| !stops && since.elapsed() < IDLE);
            if idle.runners.is_empty() {
                idle.is_watched = false;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, IdleRunners> {
        self.idle.lock()
    }
}
