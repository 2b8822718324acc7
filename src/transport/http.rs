//! Exchanges over HTTP/1.1, on pooled connections.
//!
//! Owns the client of one downstream and the question "may a byte have left?". Refuses to know what
//! a status means (see `domain::outcome`), proxies and redirects.
//!
//! How that question is answered: a request first waits for a connection (looked up, connected,
//! TLS agreed, or taken from the pool) inside our own future, and is then handed to the task that
//! drives the connection. The client notes the connection in the request right before it hands it
//! over, so
//!
//! - no connection noted: the request never left our hands, surely not sent;
//! - noted, and the driving task gave the request back unstarted (the pooled connection had been
//!   closed meanwhile): surely not sent, try the next connection;
//! - noted, and anything else: bytes may be in some buffer on the way. Unknown.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::Instant;

use super::dns::Resolver;
use super::request::Template;
use super::{Call, TransportError, answer, deadline, failure, tls};
use crate::domain::endpoint::HttpDownstream;
use crate::domain::outcome::Answer;

/// How long an unused connection is kept. Many servers close theirs after 5 s (Node, Apache,
/// uvicorn); a request that meets that close on the way is lost without an answer and parks its
/// message under `on_uncertain = "park"`. Whoever calls less often than this can afford to connect.
const IDLE_MS_MAX: u64 = 4000;
/// Unused connections kept; the queue's `concurrency` bounds those in use.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// Most bytes of headers of an answer, and of anything read ahead.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Pooled connections that may turn out closed before a call gives up.
const HANDOVERS_MAX: u32 = 4;

type HttpClient = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// The way to one HTTP endpoint; cheap to clone, clones share their connections.
#[derive(Clone)]
pub struct HttpTransport {
    template: Arc<Template>,
    client: HttpClient,
}

/// Connections to whatever host, without an address; cheap to clone.
#[derive(Clone)]
pub struct HttpConnections {
    client: HttpClient,
}

impl HttpConnections {
    /// Connects to nothing yet; `timeout_ms` bounds the wait for a connection.
    pub(super) fn new(timeout_ms: u64) -> Self {
        Self::with_tls(timeout_ms, tls::client_config())
    }

    fn with_tls(timeout_ms: u64, trust: Arc<ClientConfig>) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared out over the addresses of a name, or a silent first one would use all the time.
        tcp.set_connect_timeout(Some(Duration::from_millis(timeout_ms)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_millis(IDLE_MS_MAX))
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http1_max_buf_size(READ_BUFFER_BYTES_MAX)
            // We repeat ourselves, because then we know what was handed to which connection.
            .retry_canceled_requests(false)
            .build(HttpsConnector::from((tcp, trust)));
        Self { client }
    }

    /// The way to one endpoint, on these connections.
    pub(super) fn towards(
        &self,
        downstream: &HttpDownstream,
    ) -> Result<HttpTransport, TransportError> {
        let template = Arc::new(Template::new(downstream)?);
        Ok(HttpTransport { template, client: self.client.clone() })
    }
}

impl fmt::Debug for HttpConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnections").finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// Prepares everything that does not change from call to call.
    pub(super) fn new(downstream: &HttpDownstream) -> Result<Self, TransportError> {
        Self::with_tls(downstream, tls::client_config())
    }

    /// The same with another opinion on whom to trust.
    pub(super) fn with_tls(
        downstream: &HttpDownstream,
        trust: Arc<ClientConfig>,
    ) -> Result<Self, TransportError> {
        HttpConnections::with_tls(downstream.timeout_ms, trust).towards(downstream)
    }

    /// One exchange under one deadline.
    pub(super) async fn send(&self, call: &Call) -> Answer {
        match self.exchange(call).await {
            Ok(response) => answer::read(response, call).await,
            Err(answer) => answer,
        }
    }

    /// Sends the request and waits for the status; everything else is already an answer.
    async fn exchange(&self, call: &Call) -> Result<Response<Incoming>, Answer> {
        let started = Instant::now();
        if call.deadline <= started {
            return Err(not_sent("no time was left for the call"));
        }
        for _ in 0..HANDOVERS_MAX {
            let mut request = self.template.request(call).map_err(not_sent)?;
            let connection = capture_connection(&mut request);
            let result = deadline::by(call.deadline, self.client.request(request)).await;
            let handed_over = connection.connection_metadata().is_some();
            let within = || failure::span(call.deadline - started);
            return match result {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) if !handed_over => Err(not_sent(failure::sentence(&error))),
                Ok(Err(error)) if is_unstarted(&error) => continue,
                Ok(Err(error)) => Err(unknown(failure::sentence(&error))),
                Err(_) if !handed_over => {
                    Err(not_sent(format!("no connection within {}", within())))
                }
                Err(_) => Err(unknown(format!("no answer within {}", within()))),
            };
        }
        Err(not_sent("every connection was closed before the request could start"))
    }
}

/// Whether the connection gave the request back without having begun to write it.
fn is_unstarted(error: &Error) -> bool {
    error
        .source()
        .and_then(|source| source.downcast_ref::<hyper::Error>())
        .is_some_and(hyper::Error::is_canceled)
}

fn not_sent(error: impl Into<String>) -> Answer {
    Answer::NotSent { error: error.into() }
}

fn unknown(error: impl Into<String>) -> Answer {
    Answer::Unknown { error: error.into() }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("host", self.template.host()).finish_non_exhaustive()
    }
}
