//! Whether a form comes from a page of this daemon.
//!
//! Owns what browsers say of it. Refuses to know what else protects a form.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use url::Url;

use super::problem_page::problem;
use super::state::Dashboard;
use crate::wire::problem::{ProblemCode, ProblemView};

/// Whether a form comes from a page of this daemon. Browsers say so, in one of two ways.
///
/// # Errors
/// 403 for a form of another site.
pub(super) fn check_origin(
    dashboard: &Dashboard,
    headers: &HeaderMap,
) -> Result<(), Box<ProblemView>> {
    if is_own(dashboard, headers) {
        return Ok(());
    }
    let detail = "the form was sent by a page of another site; behind a proxy, the proxy must pass the header Host on, or server.origins must name the origin of the pages";
    Err(problem(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail))
}

fn is_own(dashboard: &Dashboard, headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    if origin.is_some_and(|origin| dashboard.origins.iter().any(|own| own == origin)) {
        return true;
    }
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => origin.is_none_or(|origin| is_of_host(origin, headers.get(header::HOST))),
    }
}

/// Whether an origin is that of the host that was asked.
fn is_of_host(origin: &str, host: Option<&HeaderValue>) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    let host = host.and_then(|host| host.to_str().ok());
    // The authority of a url leaves out the usual port, as a browser does.
    host.is_some_and(|host| host.eq_ignore_ascii_case(url.authority()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_belongs_to_its_host() {
        let is = |origin: &str, host: &'static str| {
            is_of_host(origin, Some(&HeaderValue::from_static(host)))
        };
        assert!(is("http://127.0.0.1:7411", "127.0.0.1:7411"));
        assert!(is("https://tidegate.example", "Tidegate.example"));
        assert!(!is("https://evil.example", "tidegate.example"));
        assert!(!is("null", "tidegate.example"));
        assert!(!is_of_host("https://tidegate.example", None));
    }
}
