//! Who looks at which page: what every page is given.
//!
//! Owns the order in which a request is let in: where it comes from, then whose token it brings. Refuses to know what
//! the token may do: the API says so when it is asked.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};

use super::cookies;
use super::frame::{Frame, FrameSession};
use super::problem_page::ShownProblem;
use super::state::Dashboard;
use super::zones::Zones;
use crate::api::Holder;
use crate::config::Scope;
use crate::wire::problem::ProblemView;

/// A request for a page that was let in.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) dashboard: Arc<Dashboard>,
    pub(super) holder: Holder,
    /// What the API is asked with.
    pub(super) token: Option<String>,
    /// How the browser names this daemon; the API judges it too.
    pub(super) host: Option<HeaderValue>,
    pub(super) zones: Zones,
    /// The page's path and query.
    pub(super) place: String,
    /// How long the API did nothing while it was asked.
    pub(super) idle: IdleMeter,
}

/// Adds up how long the API did nothing while a page was made, ms.
#[derive(Debug, Clone, Default)]
pub(super) struct IdleMeter(pub(super) Arc<AtomicU64>);

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the token.
        f.debug_struct("Visit").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Visit {
    /// What surrounds the content of a page; `here`: its entry in the navigation.
    pub(super) fn frame(&self, title: impl Into<String>, here: &'static str) -> Frame {
        let session = FrameSession {
            holder: &self.holder,
            base: &self.dashboard.base,
            place: &self.place,
            form_token: self.form_token(),
        };
        Frame::new(&session, title.into(), here)
    }

    /// A problem in place of the page.
    pub(super) fn problem(&self, problem: Box<ProblemView>) -> ShownProblem {
        ShownProblem::new(self.frame(problem.title.clone(), ""), problem)
    }

    /// Whether the token may change things.
    pub(super) fn may_operate(&self) -> bool {
        self.holder.may(Scope::Operate)
    }

    /// What the forms of this session carry.
    pub(super) fn form_token(&self) -> String {
        cookies::form_token(&self.dashboard, self.token.as_deref())
    }
}

impl FromRequestParts<Arc<Dashboard>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(
        head: &mut Parts,
        dashboard: &Arc<Dashboard>,
    ) -> Result<Self, Response> {
        let refused = |problem| ShownProblem::bare(&dashboard.base, problem).into_response();
        dashboard.guard.check_place(&head.uri, &head.headers).map_err(refused)?;
        let place = head.uri.path_and_query().map_or("/", |place| place.as_str()).to_owned();
        let token = cookies::token(&head.headers);
        let holder = if dashboard.guard.is_open() {
            Holder::ANYBODY
        } else {
            match token.as_deref().map(|token| dashboard.guard.holder(token.as_bytes())) {
                Some(Ok(holder)) => holder,
                Some(Err(problem)) if problem.status != 401 => return Err(refused(problem)),
                _ if is_from_elsewhere(&head.headers) => return Err(once_more()),
                _ => return Err(cookies::login_first(&place)),
            }
        };
        let now_ms = dashboard.guard.now_ms().unwrap_or_default();
        let local = cookies::zone(&head.headers).and_then(|name| name.parse().ok());
        Ok(Self {
            holder,
            token: token.filter(|_| !dashboard.guard.is_open()),
            host: head.headers.get(header::HOST).cloned(),
            zones: Zones { now_ms, window: None, local },
            place,
            idle: head.extensions.get::<IdleMeter>().cloned().unwrap_or_default(),
            dashboard: Arc::clone(dashboard),
        })
    }
}

/// Whether the browser follows a link of another site: then it does not send the cookie, though it may have it.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
}

/// A page that asks for itself again. The second request comes from this site, so that the browser sends its cookie.
fn once_more() -> Response {
    let text = "<!doctype html><html lang=\"en\"><title>Tidegate</title><meta http-equiv=\"refresh\" content=\"0\"></html>";
    axum::response::Html(text).into_response()
}
