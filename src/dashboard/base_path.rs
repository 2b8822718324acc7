//! The path under which a proxy shows this daemon.
//!
//! Owns its removal from requests and its addition to places in answers. A proxy may remove it itself: both work.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tower_service::Service;

/// The router under this path; without one as it is, at no cost.
pub(super) fn under(base: &str, router: Router) -> Router {
    if base.is_empty() {
        return router;
    }
    Router::new().fallback_service(UnderPath { base: base.to_owned(), router })
}

/// A router under a path.
#[derive(Debug, Clone)]
struct UnderPath {
    base: String,
    router: Router,
}

impl Service<Request> for UnderPath {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if request.uri().path() == self.base {
            // Cookies and relative addresses need the slash.
            let place = format!("{}/", self.base);
            return ready(Ok(Redirect::permanent(&place).into_response())).boxed();
        }
        if let Some(uri) = without(&self.base, request.uri()) {
            *request.uri_mut() = uri;
        }
        let (base, answer) = (self.base.clone(), self.router.call(request));
        async move {
            let mut response = answer.await?;
            let place = response.headers().get(header::LOCATION);
            let place = place.and_then(|place| place.to_str().ok());
            let place = place.filter(|place| place.starts_with('/'));
            let place =
                place.and_then(|place| HeaderValue::from_str(&format!("{base}{place}")).ok());
            if let Some(place) = place {
                response.headers_mut().insert(header::LOCATION, place);
            }
            Ok(response)
        }
        .boxed()
    }
}

/// The uri without the path; `None` if it does not begin with it.
fn without(base: &str, uri: &Uri) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(base)?;
    let rest = Some(rest).filter(|rest| rest.starts_with('/'))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_removed_once_and_whole() {
        let rest = |uri: &str| {
            without("/tide", &uri.parse().unwrap()).map(|uri| uri.to_string()).unwrap_or_default()
        };
        assert_eq!(rest("/tide/ui/dead?queue=sms"), "/ui/dead?queue=sms");
        assert_eq!(rest("/tide/"), "/");
        assert_eq!(rest("/tidegate/"), "");
        assert_eq!(rest("/v1/queues"), "");
        assert_eq!(rest("http://h/tide/x"), "http://h/x");
    }
}
