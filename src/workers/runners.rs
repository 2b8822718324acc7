//! Tasks that carry out exchanges, one after the other.
//!
//! A task for each message would allocate and move its whole future, which is some kilobytes: a task
//! that has ended one exchange takes the next. There are as many as there are exchanges at once; who
//! has nothing to do for a while ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

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
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    // A plain mutex: held to push and to take, never across an await.
    waiting: Mutex<Waiting>,
    /// One permit for each exchange that an idle runner is to take.
    calls: Semaphore,
}

#[derive(Debug, Default)]
struct Waiting {
    works: VecDeque<Work>,
    /// Runners that wait and have not been called.
    idle: usize,
}

impl Runners {
    pub(super) fn new(exchanges: Arc<Exchanges>, tasks: Tasks) -> Self {
        let line = Line { waiting: Mutex::default(), calls: Semaphore::new(0) };
        Self { exchanges, tasks, line: Arc::new(line) }
    }

    /// Starts an exchange now.
    pub(super) fn start(&self, work: Work) {
        {
            let mut waiting = self.line.lock();
            if waiting.idle > 0 {
                waiting.idle -= 1;
                waiting.works.push_back(work);
                self.line.calls.add_permits(1);
                return;
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
        self.line.lock().idle += 1;
        tokio::select! {
            called = self.line.calls.acquire() => {
                // Never closed.
                called.ok()?.forget();
                return self.line.lock().works.pop_front();
            }
            () = self.tasks.stop_token().cancelled() => {}
            () = tokio::time::sleep(IDLE) => {}
        }
        let mut waiting = self.line.lock();
        if waiting.idle > 0 {
            waiting.idle -= 1;
            return None;
        }
        // All who wait have been called, so this one was: its call is there.
        if let Ok(call) = self.line.calls.try_acquire() {
            call.forget();
        }
        waiting.works.pop_front()
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
