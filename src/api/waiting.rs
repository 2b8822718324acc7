//! What answers before the API does: while the store is not there yet, `/livez` lives and everything
//! else is told why it waits.
//!
//! A Redis with millions of messages takes its time to load them; whoever asks meanwhile whether this
//! process lives must not take it for dead. Owns the change from the one to the other, which no
//! connection feels: one closed just then would cost its caller a request that nobody answers.

use std::convert::Infallible;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::http::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::service::Service;
use tower_service::Service as _;

use super::peer::Peer;
use super::problem::Problem;
use super::{doctor, health};

/// Who answers what comes in; every connection asks it anew for each request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Entrance {
    answering: Arc<ArcSwap<Router>>,
    /// Whose requests come in here.
    peer: Peer,
}

impl Entrance {
    pub(super) fn new(router: Router) -> Self {
        Self { answering: Arc::new(ArcSwap::from_pointee(router)), peer: Peer::default() }
    }

    /// The same for one connection.
    pub(super) fn of(mut self, peer: Peer) -> Self {
        self.peer = peer;
        self
    }

    /// Tells everybody `why` there is no API yet.
    #[must_use]
    pub fn waiting(why: Arc<ArcSwap<String>>) -> Self {
        Self::new(waiting_router(why))
    }

    /// From the next request on, this router answers.
    pub fn open(&self, router: Router) {
        self.answering.store(Arc::new(router));
    }
}

impl Service<Request<Incoming>> for Entrance {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer.clone());
        // A router is always ready.
        Router::clone(&self.answering.load()).call(request)
    }
}

fn waiting_router(why: Arc<ArcSwap<String>>) -> Router {
    let why_of_doctor = Arc::clone(&why);
    Router::new()
        .route("/livez", get(health::livez))
        .route(
            doctor::PATH,
            get(move || {
                let why = why_of_doctor.load_full();
                async move { doctor::while_waiting(&why) }
            }),
        )
        .fallback(move || {
            let why = why.load_full();
            async move { Problem::store_unavailable(why.as_str()) }
        })
}
