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
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::future::RouteFuture;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::service::Service;
use tower_service::Service as _;

use super::peer::Peer;
use super::problem::Problem;
use super::{doctor, health};

/// After so many seconds a browser asks again.
const REFRESH_S: u32 = 3;

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
        .fallback(move |headers: HeaderMap| {
            let why = why.load_full();
            async move {
                if wants_a_page(&headers) {
                    return waiting_page(&why);
                }
                Problem::store_unavailable(why.as_str()).into_response()
            }
        })
}

fn wants_a_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// For a browser: the dashboard is not there yet. It asks again by itself.
fn waiting_page(why: &str) -> Response {
    let why = why.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Tidegate waits for Redis</title><h1>Tidegate waits for Redis</h1><p>{why}</p>\
         <p>This page is loaded again every {REFRESH_S} seconds.</p></html>"
    );
    let refresh = (header::REFRESH, HeaderValue::from(REFRESH_S));
    let policy = (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    (StatusCode::SERVICE_UNAVAILABLE, [refresh, policy], Html(text)).into_response()
}
