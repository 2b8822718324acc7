//! The HTTP door.
//!
//! Owns routes, who may enter, the JSON of requests and answers, and every problem that is told.
//! Refuses to know how messages are kept (see `store`) and how they leave: a test call is handed in
//! by whoever builds the door.

mod actions;
mod allowed;
mod audit;
mod auth;
mod backlog;
mod batch;
mod batch_results;
mod body;
mod budget;
mod change;
mod client;
mod clock;
mod cors;
mod cursor;
mod doctor;
mod estimate;
mod events;
mod explain;
mod fields;
mod fingerprint;
mod forecast;
mod guard;
mod health;
mod held_by;
mod history;
mod idempotency;
mod intake;
mod items;
mod key_wish;
mod keys;
mod leftover;
mod limits;
mod lines;
mod list;
mod loopback;
mod message_body;
mod messages;
mod openapi;
mod operation_wish;
mod operations;
mod overrides;
mod pace;
mod page;
mod page_guard;
mod paths;
mod payload;
mod peer;
mod places;
mod policy_schema;
mod policy_view;
mod problem;
mod pull;
mod query;
mod queue_view;
mod queues;
mod reached;
mod receipt_words;
mod receipts;
mod reload;
mod repeat;
mod request_head;
mod rollbacks;
mod router;
mod schedule_fields;
mod schedule_view;
mod schedules;
mod search;
mod send;
mod sending;
mod serve;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;
mod topics;
mod traced;
mod try_call;
mod url_token;
mod values;
mod view;
mod waiting;
mod windows;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use doctor::IdleTime;
pub use page_guard::{Holder, PageGuard};
pub use reload::LastReload;
pub use router::router;
pub use serve::serve;
pub use tokens::Tokens;
pub use try_call::{TryCall, TryFuture, TryReport, TryRequest};
pub use waiting::Entrance;

use crate::config::ServerSettings;
use crate::engine::pull::Polls;
use crate::store::Store;

/// What the door is built from.
#[derive(Clone)]
pub struct ApiState {
    /// Where messages are kept.
    pub store: Store,
    /// Size limits.
    pub server: ServerSettings,
    /// Who may call.
    pub tokens: Tokens,
    /// What the last reload came to.
    pub reload: LastReload,
    /// Fires when a graceful stop begins: intake answers 503 draining, open waits end; reads go on.
    pub draining: CancellationToken,
    /// Carries out the test calls of `tidegate try`.
    pub try_call: Arc<dyn TryCall>,
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").field("server", &self.server).finish_non_exhaustive()
    }
}

/// What every handler shares.
struct Door {
    state: ApiState,
    readiness: health::Readiness,
    bodies: body::Bodies,
    pages: list::Pages,
    polls: Polls,
}

type Shared = axum::extract::State<Arc<Door>>;

impl Door {
    fn new(state: ApiState) -> Self {
        Self {
            bodies: body::Bodies::new(state.server.batch_body_limit_bytes),
            state,
            readiness: health::Readiness::default(),
            pages: list::Pages::default(),
            polls: Polls::default(),
        }
    }

    fn store(&self) -> &Store {
        &self.state.store
    }

    /// What time it is at Redis.
    ///
    /// # Errors
    /// While Redis has never been reached: no clock of our own decides.
    fn now_ms(&self) -> Result<u64, problem::Problem> {
        Ok(self.store().clock().require_ms()?)
    }

    /// Refuses intake while a graceful stop is under way.
    fn open_for_intake(&self) -> Result<(), problem::Problem> {
        if self.state.draining.is_cancelled() { Err(problem::Problem::draining()) } else { Ok(()) }
    }
}
