//! The routes of the dashboard, beside those of the API.
//!
//! Owns where each page is, and the headers that every page carries. Refuses to know what a page shows (`pages`).

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

use super::cookies::see;
use super::state::Dashboard;
use super::{assets, base_path, live, pages, session};
use crate::api::PageGuard;
use crate::config::ServerSettings;

/// Pages load what this daemon serves and nothing else, run no script of their own text, and stand in no frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A page that cannot be shown while the store is away is asked for again after so many seconds.
const AWAY_REFRESH: HeaderValue = HeaderValue::from_static("3");

/// What the dashboard is built from.
#[derive(Debug)]
pub struct DashboardParts<'a> {
    /// The API that pages ask, and beside which they stand.
    pub api: Router,
    /// Who may see pages.
    pub guard: PageGuard,
    /// Where the API listens, and what it takes.
    pub server: &'a ServerSettings,
    /// Fires when a graceful stop begins: pages stop following.
    pub draining: CancellationToken,
}

/// The API together with its pages.
pub fn with_dashboard(parts: DashboardParts<'_>) -> Router {
    let DashboardParts { api, guard, server, draining } = parts;
    let base = server.base_path.as_str().to_owned();
    let dashboard = Arc::new(Dashboard {
        api: api.clone(),
        guard,
        base: base.clone(),
        origins: server.origins.iter().map(ToString::to_string).collect(),
        body_limit_bytes: server.body_limit_bytes,
        secret: rand::random(),
        draining,
    });
    let shown = shown().with_state(Arc::clone(&dashboard));
    let live = live::router(Arc::clone(&dashboard), shown.clone());
    let pages = shown.merge(steps().with_state(dashboard)).merge(live).layer(from_fn(protected));
    base_path::under(&base, api.merge(pages))
}

/// What is looked at; a page with a `main` can be followed.
fn shown() -> Router<Arc<Dashboard>> {
    Router::new()
        .route("/", get(pages::queues::page))
        .route("/ui/queues/{queue}", get(pages::queue::page))
        .route("/ui/messages", get(pages::messages::page))
        .route("/ui/messages/{id}", get(pages::message::page))
        .route("/ui/dead", get(pages::dead::page))
        .route("/ui/operations", get(pages::operations::page))
        .route("/ui/operations/{id}", get(pages::operation::page))
        .route("/ui/schedules", get(pages::schedules::page))
        .route("/ui/topics", get(pages::topics::page))
        .route("/ui/limits", get(pages::limits::page))
        .route("/ui/nodes", get(pages::nodes::page))
        .route("/ui/audit", get(pages::audit::page))
        .route("/ui/health", get(pages::health::page))
        .route("/docs", get(pages::docs::page))
}

/// What changes something, and what is no page.
fn steps() -> Router<Arc<Dashboard>> {
    Router::new()
        .route("/ui/login", get(session::page).post(session::login))
        .route("/ui/logout", post(session::logout))
        .route("/ui/openapi.json", get(pages::docs::document))
        .route("/ui/queues/{queue}/{step}", get(page_above).post(pages::queue_steps::step))
        .route("/ui/messages/{id}/{step}", get(page_above).post(pages::message_steps::step))
        .route("/ui", get(async || see("/")))
        .route("/ui/", get(async || see("/")))
        .route(
            "/ui/start-operation",
            get(async || see("/ui/operations")).post(pages::operation_steps::start),
        )
        .route("/ui/operations/{id}/stop", get(page_above).post(pages::operation_steps::stop))
        .route(
            "/ui/operations/{id}/carry-out",
            get(page_above).post(pages::operation_steps::carry_out),
        )
        .route("/ui/schedules/{name}/{step}", post(pages::schedules::step))
        .route("/ui/limits/{name}/charge", post(pages::limits::charge))
        .route("/ui/assets/{file}", get(assets::asset))
        .route("/ui/{*missing}", get(pages::missing::page))
}

/// Who asks for the address of a form's step, as after a refused form, is shown what the step is for.
async fn page_above(uri: Uri) -> Response {
    see(uri.path().rsplit_once('/').map_or("/", |(above, _)| above))
}

/// The headers that every page carries.
async fn protected(request: Request, next: Next) -> Response {
    let is_page = request.method() == Method::GET;
    let mut response = next.run(request).await;
    let is_away = is_page && response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: a form would then be sent without its origin.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_away {
        headers.insert(header::REFRESH, AWAY_REFRESH);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
