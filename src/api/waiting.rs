//! The door while the store is not there yet: `/livez` answers, everything else is told why it waits.
//!
//! A Redis with millions of messages takes its time to load them; whoever asks meanwhile whether this
//! process lives must not take it for dead.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::get;

use super::health;
use super::problem::Problem;

/// What is answered until the store is there; `why` is told to everybody.
pub fn waiting_router(why: Arc<ArcSwap<String>>) -> Router {
    Router::new().route("/livez", get(health::livez)).fallback(move || {
        let why = why.load_full();
        async move { Problem::store_unavailable(why.as_str()) }
    })
}
