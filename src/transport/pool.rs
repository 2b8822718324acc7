//! Connections that are kept between calls.
//!
//! Owns when a connection is made, how long an unused one is kept and how many of them. Refuses to know
//! what is sent. The pools of the client library drive each connection in a task of its own, or have no
//! bounds.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tokio::time::Instant;
use tower_service::Service as _;

use super::dns::Resolver;
use super::line::Line;

/// How long an unused connection is kept. Many servers close theirs after 5 s (Node, Apache,
/// uvicorn); a request that meets that close on the way is lost without an answer and parks its
/// message under `on_uncertain = "park"`. Whoever calls less often than this can afford to connect.
const IDLE: Duration = Duration::from_secs(4);
/// Unused connections kept for each host; the queue's `concurrency` bounds those in use.
const IDLE_CONNECTIONS_MAX: usize = 256;

type Connector = HttpsConnector<HttpConnector<Resolver>>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where a connection leads.
type Place = (Option<Scheme>, Option<Authority>);

/// Connections to whatever host; cheap to clone, clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    connector: Connector,
    kept: Arc<Kept>,
}

#[derive(Default)]
struct Kept {
    // A plain mutex: held to put and to take, never across an await.
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The one last used is at the end, and the next to be used.
    lines: HashMap<Place, Vec<(Instant, Box<Line>)>>,
    /// Whether somebody looks after those that nobody uses.
    is_swept: bool,
}

impl Pool {
    /// Connects to nothing yet; `timeout_ms` bounds the wait for a connection.
    pub(super) fn new(timeout_ms: u64, trust: Arc<ClientConfig>) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared out over the addresses of a name, or a silent first one would use all the time.
        tcp.set_connect_timeout(Some(Duration::from_millis(timeout_ms)));
        Self { connector: HttpsConnector::from((tcp, trust)), kept: Arc::default() }
    }

    /// A kept connection to the host of `uri`, the one last used.
    pub(super) async fn take(&self, uri: &Uri) -> Option<Box<Line>> {
        let place = place(uri);
        loop {
            let mut line = self.kept.take(&place)?;
            if line.is_fit().await {
                return Some(line);
            }
        }
    }

    /// A new one.
    pub(super) async fn connect(&self, uri: &Uri) -> Result<Box<Line>, Error> {
        let mut connector = self.connector.clone();
        poll_fn(|cx| connector.poll_ready(cx)).await?;
        let stream = connector.call(uri.clone()).await?;
        Ok(Line::over(stream).await?)
    }

    /// Keeps a connection for the next call, if it is fit for one.
    pub(super) async fn keep(&self, uri: &Uri, mut line: Box<Line>) {
        if line.is_fit().await && self.kept.put(place(uri), line) {
            sweep(Arc::downgrade(&self.kept));
        }
    }
}

/// Closes what nobody uses, until nothing is kept or the pool is gone.
#[expect(
    clippy::disallowed_methods,
    reason = "a drain has nothing to wait for: it only closes connections that nobody uses"
)]
fn sweep(kept: Weak<Kept>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(IDLE).await;
            if kept.upgrade().is_none_or(|kept| kept.sweep()) {
                return;
            }
        }
    });
}

fn place(uri: &Uri) -> Place {
    (uri.scheme().cloned(), uri.authority().cloned())
}

impl Kept {
    fn take(&self, place: &Place) -> Option<Box<Line>> {
        let (since, line) = self.lock().lines.get_mut(place)?.pop()?;
        // Those below it are older still; they are swept.
        (since.elapsed() < IDLE).then_some(line)
    }

    /// Returns whether a sweeper is wanted.
    fn put(&self, place: Place, line: Box<Line>) -> bool {
        let mut idle = self.lock();
        let lines = idle.lines.entry(place).or_default();
        if lines.len() < IDLE_CONNECTIONS_MAX {
            lines.push((Instant::now(), line));
        }
        !std::mem::replace(&mut idle.is_swept, true)
    }

    /// Closes what nobody used for too long. Returns whether nothing is left.
    fn sweep(&self) -> bool {
        let mut idle = self.lock();
        idle.lines.retain(|_, lines| {
            lines.retain(|(since, _)| since.elapsed() < IDLE);
            !lines.is_empty()
        });
        idle.is_swept = !idle.lines.is_empty();
        !idle.is_swept
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}
