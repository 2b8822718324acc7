//! Connections to whatever host, made and kept.
//!
//! Owns when a connection is made, which version of HTTP it speaks, and which call goes over which one. Refuses to know
//! what is sent. The pools of the client library drive each connection in a task of its own, or have no bounds, and hide what
//! tells whether a request has left.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::header::PROXY_AUTHORIZATION;
use http::uri::Parts;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};
use tower_service::Service as _;

use super::dns::Resolver;
use super::egress_guard::EgressGuard;
use super::handover::{Outgoing, Stream};
use super::kept::{Found, KeptConnections, Place};
use super::line::{LeftLine, Line};
use super::one::DrivenLine;
use super::tls;
use super::two::SharedLine;
use super::version_failure::VersionError;
use super::way::{Proxy, TcpWay};
use crate::domain::access::HttpVersion;

/// How long a call waits for a free stream before it looks again by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

type Connector = HttpsConnector<TcpWay>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Connections to whatever host; cheap to clone, clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    way: TcpWay,
    trust: Arc<ClientConfig>,
    connector: Connector,
    version: HttpVersion,
    guard: Option<EgressGuard>,
    kept: Arc<KeptConnections>,
}

impl Pool {
    /// Connects to nothing yet; `timeout_ms` bounds the wait for a connection.
    /// `guard` checks the address of every server before it is connected to; behind a proxy, before the proxy is told of it.
    pub(super) fn new(
        timeout_ms: u64,
        trust: Arc<ClientConfig>,
        proxy: Option<Proxy>,
        guard: Option<EgressGuard>,
        version: HttpVersion,
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
        let connector = HttpsConnector::from((way.clone(), tls::offering(&trust, version)));
        Self { way, trust, connector, version, guard, kept: Arc::default() }
    }

    /// The way to servers beside those that this one is meant for; see [`HttpVersion::beside`].
    pub(super) fn beside(&self) -> Self {
        let version = self.version.beside();
        if version == self.version {
            return self.clone();
        }
        let offered = tls::offering(&self.trust, version);
        let connector = HttpsConnector::from((self.way.clone(), offered));
        Self { connector, version, kept: Arc::default(), ..self.clone() }
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

    /// A connection for a call to `uri`: a kept one, or a new one. With `left`, a call begins anew that was not taken there.
    ///
    /// # Errors
    /// None can be made.
    pub(super) async fn line(&self, uri: &Uri, left: Option<&LeftLine>) -> Result<Line, Error> {
        let place = place(uri);
        let is_shared = self.version == HttpVersion::Two;
        loop {
            match self.kept.find(&place, is_shared, left) {
                Found::One(mut line) => {
                    if line.is_fit().await {
                        return Ok(Line::One(line));
                    }
                }
                Found::Two(found) => return Ok(Line::Two(found)),
                Found::AllTaken(freed) => {
                    // Told or not, there may be one now.
                    drop(timeout(LOOK_AGAIN, freed.notified()).await);
                }
                Found::Next(opening, count) => {
                    let turn = tokio::select! {
                        turn = opening.turn.lock() => turn,
                        () = opening.freed.notified() => continue,
                    };
                    if !opening.has_moved(count)
                        && let Some(line) = self.open(uri, &place, count).await?
                    {
                        return Ok(line);
                    }
                    drop(turn);
                }
                Found::Nothing => {
                    // Several may find so at a time: the first one whose connection can be shared opens it for all.
                    if let Some(line) = self.open(uri, &place, 0).await? {
                        return Ok(line);
                    }
                }
            }
        }
    }

    /// A new connection, so many shared ones having been opened before. `None`: there are enough of them meanwhile.
    async fn open(&self, uri: &Uri, place: &Place, count: u64) -> Result<Option<Line>, Error> {
        let opened = self.connect(uri, place, count).await;
        if matches!(opened, Ok(Some(Line::One(_))) | Err(_)) {
            self.kept.forget(place);
        }
        opened
    }

    async fn connect(&self, uri: &Uri, place: &Place, count: u64) -> Result<Option<Line>, Error> {
        let mut connector = self.connector.clone();
        poll_fn(|cx| connector.poll_ready(cx)).await?;
        let stream = connector.call(uri.clone()).await?;
        if !self.is_for_two(&stream, uri)? {
            return Ok(Some(Line::One(DrivenLine::over(stream).await?)));
        }
        let opening = self.kept.opening(place);
        let line = SharedLine::over(stream, Arc::clone(&opening.freed)).await?;
        Ok(self.kept.share(place.clone(), line, opening, count).map(Line::Two))
    }

    /// Whether the other side has chosen HTTP/2 on a new connection.
    fn is_for_two(&self, stream: &Stream, uri: &Uri) -> Result<bool, VersionError> {
        let is_required = self.version == HttpVersion::Two;
        match stream {
            MaybeHttpsStream::Https(tls) => {
                let has_agreed = tls.inner().get_ref().1.alpn_protocol() == Some(tls::HTTP_2);
                if is_required && !has_agreed {
                    Err(VersionError::NotOffered)
                } else {
                    Ok(has_agreed)
                }
            }
            MaybeHttpsStream::Http(_) if is_required && self.way.forwarder(uri).is_some() => {
                Err(VersionError::Forwarded)
            }
            MaybeHttpsStream::Http(_) => Ok(is_required),
        }
    }

    /// Whether an address that stands in the url itself may be called.
    fn check_literal(&self, uri: &Uri) -> Result<(), Error> {
        if let (Some(guard), Some(host)) = (&self.guard, uri.host()) {
            guard.literal(host)?;
        }
        Ok(())
    }

    /// Keeps a connection for the next call, if it is fit for one. What calls share is kept anyway.
    pub(super) async fn keep(&self, uri: &Uri, line: Line) {
        let Line::One(mut line) = line else { return };
        let Some(idle_time) = line.idle_time() else { return };
        if line.is_fit().await {
            self.kept.put(place(uri), line, Instant::now() + idle_time);
        }
    }
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

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}
