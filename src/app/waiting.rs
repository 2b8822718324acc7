//! The time until Redis is there: told to whoever asks, to the log, and to the service manager.

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::watchdog;
use crate::api;
use crate::shutdown::Tasks;

/// How often waiting is said.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long requests under way may take when the waiting is over.
const REQUESTS_PATIENCE: Duration = Duration::from_secs(1);

/// A door that says why it is not open yet.
pub(super) struct Waiting {
    tasks: Tasks,
    why: Arc<ArcSwap<String>>,
    began: Instant,
    said: Instant,
}

impl Waiting {
    /// Answers on the listener's port until the waiting ends.
    pub(super) fn begin(listener: &StdListener) -> std::io::Result<Self> {
        let listener = TcpListener::from_std(listener.try_clone()?)?;
        let why = Arc::new(ArcSwap::from_pointee("the store is not there yet".to_owned()));
        let tasks = Tasks::new();
        let (router, serving) = (api::waiting_router(Arc::clone(&why)), tasks.clone());
        tasks.spawn("waiting room", async move {
            api::serve(listener, router, &serving, REQUESTS_PATIENCE).await;
        });
        let now = Instant::now();
        Ok(Self { tasks, why, began: now, said: now })
    }

    /// How long it has lasted.
    pub(super) fn lasts(&self) -> Duration {
        self.began.elapsed()
    }

    /// Why it goes on: said to whoever asks, and now and then to the log.
    pub(super) fn go_on(&mut self, why: &str) {
        let seconds = self.lasts().as_secs();
        self.why.store(Arc::new(format!("{why}; waiting for {seconds} s so far")));
        if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            tracing::info!(seconds, why, "waiting for Redis");
            watchdog::waiting(&format!("Waiting for Redis: {why} ({seconds} s)"), SAY_EVERY * 6);
        }
    }

    /// The store is there: the door is free for the API.
    pub(super) async fn end(self) {
        self.tasks.stop();
        self.tasks.join().await;
    }
}
