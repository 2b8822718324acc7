//! Connections that are kept between calls.
//!
//! Owns when a connection is made, how long an unused one is kept and how many of them. Refuses to know
//! what is sent. The pools of the client library drive each connection in a task of its own, or have no
//! bounds.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::Uri;
use http::header::PROXY_AUTHORIZATION;
use http::uri::{Authority, Parts, Scheme};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use parking_lot::{Mutex, MutexGuard};
use rustls::ClientConfig;
use tokio::time::Instant;
use tower_service::Service as _;

use super::dns::Resolver;
use super::egress_guard::EgressGuard;
use super::keeping::IDLE;
use super::line::{Line, Outgoing};
use super::way::{Proxy, TcpWay};

/// Unused connections kept for each host; the queue's `concurrency` bounds those in use.
const IDLE_CONNECTIONS_MAX: usize = 256;

type Connector = HttpsConnector<TcpWay>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where a connection leads.
type Place = (Option<Scheme>, Option<Authority>);

/// Connections to whatever host; cheap to clone, clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    way: TcpWay,
    connector: Connector,
    guard: Option<EgressGuard>,
    kept: Arc<KeptConnections>,
}

#[derive(Default)]
struct KeptConnections {
    // A plain mutex: held to put and to take, never across an await.
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// Until when each is kept. The one last used is at the end, and the next to be used.
    lines: HashMap<Place, Vec<(Instant, Box<Line>)>>,
    /// Whether somebody looks after those that nobody uses.
    is_swept: bool,
}

impl Pool {
    /// Connects to nothing yet; `timeout_ms` bounds the wait for a connection.
    /// `guard` checks the address of every server before it is connected to; behind a proxy, before the proxy is told of it.
    pub(super) fn new(
        timeout_ms: u64,
        trust: Arc<ClientConfig>,
        proxy: Option<Proxy>,
        guard: Option<EgressGuard>,
    ) -> Self {
        let checked = guard.clone().map(|guard| Resolver::new(Some(guard)));
        let (direct, behind_proxy) =
            if proxy.is_some() { (None, checked) } else { (checked, None) };
        let direct = direct.unwrap_or_else(|| Resolver::new(None));
        let mut tcp = HttpConnector::new_with_resolver(direct);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared out over the addresses of a name, or a silent first one would use all the time.
        tcp.set_connect_timeout(Some(Duration::from_millis(timeout_ms)));
        let way = TcpWay::new(tcp, proxy.map(Arc::new), behind_proxy);
        let connector = HttpsConnector::from((way.clone(), trust));
        Self { way, connector, guard, kept: Arc::default() }
    }

    /// Gives a request the form in which it goes over a connection to `uri`: path and query, or, to a proxy that reads
    /// it, the whole address and what the proxy wants to see.
    ///
    /// # Errors
    /// The proxy may not be told of this server.
    pub(super) async fn address(&self, request: &mut Outgoing, uri: &Uri) -> Result<(), Error> {
        self.check_literal(uri)?;
        let Some(proxy) = self.way.forwarder(uri) else {
            *request.uri_mut() = origin_form(uri);
            return Ok(());
        };
        *request.uri_mut() = self.way.as_told(uri).await?;
        if let Some(credentials) = proxy.credentials() {
            request.headers_mut().insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        Ok(())
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

    /// Whether an address that stands in the url itself may be called.
    fn check_literal(&self, uri: &Uri) -> Result<(), Error> {
        if let (Some(guard), Some(host)) = (&self.guard, uri.host()) {
            guard.literal(host)?;
        }
        Ok(())
    }

    /// Keeps a connection for the next call, if it is fit for one.
    pub(super) async fn keep(&self, uri: &Uri, mut line: Box<Line>) {
        let Some(idle_time) = line.idle_time() else { return };
        if line.is_fit().await && self.kept.put(place(uri), line, Instant::now() + idle_time) {
            sweep(Arc::downgrade(&self.kept));
        }
    }
}

/// Closes what nobody uses, until nothing is kept or the pool is gone.
#[expect(
    clippy::disallowed_methods,
    reason = "a drain has nothing to wait for: it only closes connections that nobody uses"
)]
fn sweep(kept: Weak<KeptConnections>) {
    tokio::spawn(async move {
        let mut at = Instant::now() + IDLE;
        loop {
            tokio::time::sleep_until(at).await;
            match kept.upgrade().and_then(|kept| kept.sweep()) {
                Some(next) => at = next,
                None => return,
            }
        }
    });
}

/// The address as it stands in a request: path and query.
fn origin_form(uri: &Uri) -> Uri {
    let mut parts = Parts::default();
    parts.path_and_query = uri.path_and_query().cloned();
    // A path alone is always an address.
    Uri::from_parts(parts).unwrap_or_default()
}

fn place(uri: &Uri) -> Place {
    (uri.scheme().cloned(), uri.authority().cloned())
}

impl KeptConnections {
    fn take(&self, place: &Place) -> Option<Box<Line>> {
        let mut idle = self.lock();
        let lines = idle.lines.get_mut(place)?;
        let now = Instant::now();
        while let Some((until, line)) = lines.pop() {
            if now < until {
                return Some(line);
            }
        }
        None
    }

    /// Returns whether a sweeper is wanted.
    fn put(&self, place: Place, line: Box<Line>, until: Instant) -> bool {
        let mut idle = self.lock();
        let lines = idle.lines.entry(place).or_default();
        if lines.len() < IDLE_CONNECTIONS_MAX {
            lines.push((until, line));
        }
        !std::mem::replace(&mut idle.is_swept, true)
    }

    /// Closes what nobody used for too long. Returns when to look again; `None`: nothing is left.
    fn sweep(&self) -> Option<Instant> {
        let mut idle = self.lock();
        let now = Instant::now();
        idle.lines.retain(|_, lines| {
            lines.retain(|(until, _)| now < *until);
            !lines.is_empty()
        });
        let next = idle.lines.values().flatten().map(|(until, _)| *until).min();
        idle.is_swept = next.is_some();
        next
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}
