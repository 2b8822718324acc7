//! The time until Redis is there: told to whoever asks, to the log, and to the service manager.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::watchdog;
use crate::api::{self, Entrance};
use crate::domain::human::lasting;
use crate::shutdown::Tasks;

/// How often waiting is said.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long requests under way may take once the API ends; waits have been ended before.
const REQUESTS_PATIENCE: Duration = Duration::from_secs(3);

/// A door that says why it is not open yet.
pub(super) struct Waiting {
    entrance: Entrance,
    why: Arc<ArcSwap<String>>,
    began: Instant,
    said: Instant,
}

impl Waiting {
    /// Answers at most so many connections on the listener's port, until the stop token of `tasks` fires.
    pub(super) fn begin(listener: TcpListener, connections_max: u32, tasks: &Tasks) -> Self {
        let why = Arc::new(ArcSwap::from_pointee("the store is not there yet".to_owned()));
        let entrance = Entrance::waiting(Arc::clone(&why));
        let (serving, answering) = (tasks.clone(), entrance.clone());
        tasks.spawn("api", async move {
            api::serve(listener, connections_max, answering, &serving, REQUESTS_PATIENCE).await;
        });
        let now = Instant::now();
        Self { entrance, why, began: now, said: now }
    }

    /// How long it has lasted.
    pub(super) fn lasts(&self) -> Duration {
        self.began.elapsed()
    }

    /// Why it goes on: said to whoever asks, and now and then to the log.
    pub(super) fn go_on(&mut self, why: &str) {
        let lasts = lasting(self.lasts());
        self.why.store(Arc::new(format!("{why}; waiting for {lasts} so far")));
        if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            tracing::info!(lasts, why, "waiting for Redis");
            watchdog::waiting(&format!("Waiting for Redis: {why} ({lasts})"), SAY_EVERY * 6);
        }
    }

    /// The store is there: from the next request on, this answers.
    pub(super) fn end(self, router: Router) {
        self.entrance.open(router);
    }
}
