//! Following a page: its `main` is rendered again while somebody looks, and sent when it differs.
//!
//! Owns how often: never more than a small share of the time goes into it, and viewers of the same page with the same token
//! share what was rendered. A page that nobody looks at costs nothing. Refuses to know what a page shows.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Request, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::time::Instant;
use tower_service::Service as _;

use super::form::FormFields;
use super::state::Dashboard;
use super::visit::{IdleMeter, Visit};

/// The least time between two looks.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The same while the store is away: a page that cannot be rendered costs little, however long that takes to tell.
const PAUSE_AWAY: Duration = Duration::from_secs(3);
/// Between two signs of life to a browser: that it has gone is seen by what is written to it.
const SIGN_EVERY: Duration = Duration::from_secs(3);
/// The looks at all pages together take one of so many parts of the time at most.
const PAUSE_SHARE: u32 = 100;
/// Pages that are kept at most for those who look at the same; further ones are rendered for each viewer.
const KEPT_MAX: usize = 256;
/// The largest page that is followed.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A page that was rendered, and how long that took.
#[derive(Debug, Clone)]
struct Look {
    at: Instant,
    took: Duration,
    main: LookedMain,
}

/// What there is of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LookedMain {
    /// Its `main`.
    Shown(Arc<str>),
    /// Nothing now: the store is away. What the browser has stays there.
    Away,
    /// Nothing any more: the browser must ask for the whole page.
    Gone,
}

impl Look {
    /// How long it counts while so many pages are followed.
    fn pause(&self, pages: usize) -> Duration {
        if self.main == LookedMain::Away {
            return PAUSE_AWAY;
        }
        let pages = u32::try_from(pages.max(1)).unwrap_or(u32::MAX);
        self.took.saturating_mul(PAUSE_SHARE.saturating_mul(pages)).clamp(PAUSE_MIN, PAUSE_MAX)
    }
}

/// What was rendered of one page for one token; whoever comes first renders.
type LookSlot = Arc<tokio::sync::Mutex<Option<Look>>>;

/// The pages that are followed.
#[derive(Debug)]
struct LivePages {
    dashboard: Arc<Dashboard>,
    pages: Router,
    kept: Mutex<HashMap<String, LookSlot>>,
}

/// The route on which these pages are followed.
pub(super) fn router(dashboard: Arc<Dashboard>, pages: Router) -> Router {
    let kept = Mutex::new(HashMap::new());
    let live = Arc::new(LivePages { dashboard, pages, kept });
    Router::new().route("/ui/live", get(follow)).with_state(live)
}

/// One browser that follows a page.
struct Follower {
    live: Arc<LivePages>,
    headers: HeaderMap,
    page: String,
    /// What it shares with others who look at the same page, under this key.
    slot: LookSlot,
    key: String,
    /// What the browser has; `Away`: it was told so.
    sent: Option<LookedMain>,
    next_look: Instant,
    has_ended: bool,
}

async fn follow(
    State(live): State<Arc<LivePages>>,
    RawQuery(query): RawQuery,
    request: Request<Body>,
) -> Result<Response, Response> {
    let (mut head, _) = request.into_parts();
    <Visit as axum::extract::FromRequestParts<_>>::from_request_parts(&mut head, &live.dashboard)
        .await?;
    let page = FormFields::read(query.unwrap_or_default().as_bytes()).text("page").to_owned();
    let next_look = Instant::now() + PAUSE_MIN;
    let (headers, sent, has_ended) = (head.headers, None, false);
    let (key, slot) = live.slot(&page, &headers);
    let follower = Follower { live, headers, page, slot, key, sent, next_look, has_ended };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_EVERY)).into_response())
}

impl Follower {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        let draining = self.live.dashboard.draining.clone();
        while !self.has_ended {
            tokio::select! {
                () = draining.cancelled() => return None,
                () = tokio::time::sleep_until(self.next_look) => {}
            }
            let look = self.live.look(&self.slot, &self.page, &self.headers).await;
            // Whether it is time to render is decided then: others may have left by that time.
            self.next_look = Instant::now() + PAUSE_MIN;
            if self.sent.as_ref() == Some(&look.main) {
                continue;
            }
            let event = match &look.main {
                LookedMain::Shown(main) => Event::default().event("main").data(&**main),
                LookedMain::Away => Event::default().event("away").data("away"),
                LookedMain::Gone => {
                    self.has_ended = true;
                    Event::default().event("gone").data("reload")
                }
            };
            self.sent = Some(look.main);
            return Some(event);
        }
        None
    }
}

/// What nobody looks at any more is not kept.
impl Drop for Follower {
    fn drop(&mut self) {
        let mut kept = self.live.kept.lock();
        // The list and this one have it, and nobody else.
        if kept.get(&self.key).is_some_and(|slot| Arc::strong_count(slot) <= 2) {
            kept.remove(&self.key);
        }
    }
}

impl LivePages {
    fn pages_followed(&self) -> usize {
        self.kept.lock().len()
    }

    /// How the page looks, as far as it was not rendered just now for another viewer.
    async fn look(&self, slot: &LookSlot, page: &str, headers: &HeaderMap) -> Look {
        let mut kept = slot.lock().await;
        let pages = self.pages_followed();
        if let Some(look) = kept.as_ref().filter(|look| look.at.elapsed() < look.pause(pages)) {
            return look.clone();
        }
        let began = Instant::now();
        let idle = IdleMeter::default();
        let main = self.render(page, headers, &idle).await;
        let idle = Duration::from_millis(idle.0.load(Ordering::Relaxed));
        let look = Look { at: Instant::now(), took: began.elapsed().saturating_sub(idle), main };
        *kept = Some(look.clone());
        look
    }

    /// The slot of a page for this token, and the key under which it is kept.
    fn slot(&self, page: &str, headers: &HeaderMap) -> (String, LookSlot) {
        let text = |name: header::HeaderName| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let key = format!("{page}\n{}\n{}", text(header::COOKIE), text(header::HOST));
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT_MAX && !kept.contains_key(&key) {
            return (key, LookSlot::default());
        }
        let slot = Arc::clone(kept.entry(key.clone()).or_default());
        (key, slot)
    }

    async fn render(&self, page: &str, headers: &HeaderMap, idle: &IdleMeter) -> LookedMain {
        let mut request = Request::builder().uri(page).extension(idle.clone());
        for name in [header::HOST, header::COOKIE] {
            for value in headers.get_all(&name) {
                request = request.header(&name, value);
            }
        }
        let Ok(request) = request.body(Body::empty()) else { return LookedMain::Gone };
        let response: Response = match self.pages.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if response.status().is_server_error() {
            return LookedMain::Away;
        }
        if !response.status().is_success() {
            return LookedMain::Gone;
        }
        let bytes = to_bytes(response.into_body(), PAGE_BYTES_MAX).await.unwrap_or_default();
        let main = std::str::from_utf8(&bytes).ok().and_then(main_of);
        main.map_or(LookedMain::Gone, LookedMain::Shown)
    }
}

/// The `main` of a page.
fn main_of(page: &str) -> Option<Arc<str>> {
    let from = page.find("<main")?;
    let to = page[from..].find("</main>")?;
    // A stream of events cannot carry the character itself.
    Some(page[from..from + to + "</main>".len()].replace('\r', "&#13;").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pages_together_take_a_small_share_of_the_time() {
        let look = |took_ms| Look {
            at: Instant::now(),
            took: Duration::from_millis(took_ms),
            main: LookedMain::Shown("<main></main>".into()),
        };
        assert_eq!(look(1).pause(1), PAUSE_MIN);
        assert_eq!(look(100).pause(1), Duration::from_secs(10));
        assert_eq!(look(20).pause(10), Duration::from_secs(20));
        assert_eq!(look(10_000).pause(10), PAUSE_MAX);
        assert_eq!(look(1).pause(0), PAUSE_MIN, "nobody else looks");
        let away = Look { main: LookedMain::Away, ..look(10_000) };
        assert_eq!(away.pause(10), PAUSE_AWAY);
    }

    #[test]
    fn the_main_of_a_page_is_found() {
        let main = main_of("<body><main id=\"m\">a\rb</main></body>");
        assert_eq!(main.as_deref(), Some("<main id=\"m\">a&#13;b</main>"));
        assert_eq!(main_of("<body></body>"), None);
    }
}
