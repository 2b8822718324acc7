//! Exchanges over HTTP/1.1, on pooled connections.
//!
//! Owns the client of one downstream and the question "may a byte have left?". Refuses to know what
//! a status means (see `domain::outcome`), proxies and redirects.
//!
//! How that question is answered: a request first waits for a connection (looked up, connected,
//! TLS agreed, or kept from a call before), and is then handed over to it. So
//!
//! - no connection yet: the request never left our hands, surely not sent;
//! - handed over, and given back unstarted (the connection had been closed meanwhile): surely not
//!   sent, try the next connection;
//! - handed over, and anything else: bytes may be in some buffer on the way. Unknown.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::uri::Parts;
use rustls::ClientConfig;
use tokio::time::Instant;

use super::line::Line;
use super::pool::Pool;
use super::request::Template;
use super::{Call, TransportError, answer, deadline, failure, tls};
use crate::domain::endpoint::HttpDownstream;
use crate::domain::outcome::Answer;

/// Kept connections that may turn out closed before a call gives up.
const HANDOVERS_MAX: u32 = 4;

/// The way to one HTTP endpoint; cheap to clone, clones share their connections.
#[derive(Clone)]
pub struct HttpTransport {
    template: Arc<Template>,
    pool: Pool,
}

/// Connections to whatever host, without an address; cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpConnections {
    pool: Pool,
}

impl HttpConnections {
    /// Connects to nothing yet; `timeout_ms` bounds the wait for a connection.
    pub(super) fn new(timeout_ms: u64) -> Self {
        Self::with_tls(timeout_ms, tls::client_config())
    }

    fn with_tls(timeout_ms: u64, trust: Arc<ClientConfig>) -> Self {
        Self { pool: Pool::new(timeout_ms, trust) }
    }

    /// The way to one endpoint, on these connections.
    pub(super) fn towards(
        &self,
        downstream: &HttpDownstream,
    ) -> Result<HttpTransport, TransportError> {
        let template = Arc::new(Template::new(downstream)?);
        Ok(HttpTransport { template, pool: self.pool.clone() })
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
        self.exchange(call).await.unwrap_or_else(|nothing| nothing)
    }

    /// Sends the request and reads its answer; `Err` says why there is none.
    async fn exchange(&self, call: &Call) -> Result<Answer, Answer> {
        let started = Instant::now();
        if call.deadline <= started {
            return Err(not_sent("no time was left for the call"));
        }
        let mut request = self.template.request(call).map_err(not_sent)?;
        let uri = std::mem::take(request.uri_mut());
        *request.uri_mut() = origin_form(&uri);
        let within = || failure::span(call.deadline - started);
        for _ in 0..HANDOVERS_MAX {
            let mut line = self.line(&uri, call.deadline, within).await?;
            match deadline::by(call.deadline, line.ask(request)).await {
                Ok(Ok(response)) => {
                    let answer = line.bring(answer::read(response, call)).await;
                    self.pool.keep(&uri, line).await;
                    return Ok(answer);
                }
                Ok(Err(mut error)) => match error.take_message() {
                    Some(unstarted) => request = unstarted,
                    None => return Err(unknown(failure::sentence(&error.into_error()))),
                },
                Err(_) => return Err(unknown(format!("no answer within {}", within()))),
            }
        }
        Err(not_sent("every connection was closed before the request could start"))
    }

    /// A connection: a kept one, or a new one.
    async fn line(
        &self,
        uri: &Uri,
        until: Instant,
        within: impl Fn() -> String,
    ) -> Result<Box<Line>, Answer> {
        if let Some(line) = self.pool.take(uri).await {
            return Ok(line);
        }
        match deadline::by(until, self.pool.connect(uri)).await {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(error)) => Err(Answer::NotSent {
                error: failure::sentence(&*error),
                is_local: failure::is_local(&*error),
            }),
            Err(_) => Err(not_sent(format!("no connection within {}", within()))),
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

fn not_sent(error: impl Into<String>) -> Answer {
    Answer::NotSent { error: error.into(), is_local: false }
}

fn unknown(error: impl Into<String>) -> Answer {
    Answer::Unknown { error: error.into() }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("host", self.template.host()).finish_non_exhaustive()
    }
}
