//! Pages of other origins that may call the API in a browser (CORS), as `server.origins` names them.
//!
//! Owns which headers they may send and read. Cookies are never meant: such a page sends a token. Refuses to know tokens.

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::request_head::REQUEST_ID;
use crate::domain::web_place::WebOrigin;

/// How long a browser keeps what it was allowed.
const KEPT: std::time::Duration = std::time::Duration::from_secs(600);

/// What answers the browser's questions; `None`: no page of another origin may call.
pub(super) fn layer(origins: &[WebOrigin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok());
    let name = HeaderName::from_static;
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            name("idempotency-key"),
            name("last-event-id"),
            name("traceparent"),
            name(REQUEST_ID),
        ])
        .expose_headers([header::LOCATION, header::RETRY_AFTER, name(REQUEST_ID)])
        .max_age(KEPT);
    Some(layer)
}
