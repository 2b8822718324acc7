//! Exchanges over HTTP/1.1 and HTTP/2, on pooled connections.
//!
//! Owns the client of one downstream and the question "may a byte have left?". Refuses to know what
//! a status means (see `domain::outcome`) and redirects.
//!
//! How that question is answered: a request first waits for a connection (looked up, connected,
//! TLS agreed, or kept from a call before), and is then handed over to it. So
//!
//! - no connection yet, a proxy that makes none, or no token: the request never left our hands, surely not sent;
//! - handed over, and nothing was written (the connection had been closed meanwhile, or held bytes that
//!   cannot be an answer yet): surely not sent, try a new connection;
//! - handed over, and left out by a server of HTTP/2 in so many words: surely not begun, try again (see `two`);
//! - handed over as the first request of its connection, and refused by the other side's TLS because of our certificate:
//!   surely not sent, as no TLS hands on what came before it has accepted the caller. In TLS 1.3 that word comes only
//!   when the handshake is over for us and the request is on its way;
//! - handed over, and anything else: bytes may be in some buffer on the way. Unknown.

mod answer;
mod dns;
mod egress_guard;
mod failure;
mod handover;
mod kept;
mod line;
mod one;
mod pool;
mod proxy_failure;
mod request;
mod signature;
#[cfg(test)]
mod tests;
mod tls;
mod tls_failure;
mod token;
mod token_answer;
mod two;
mod version_failure;
mod way;

use std::fmt;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use rustls::ClientConfig;
use tokio::time::Instant;

use self::egress_guard::EgressGuard;
use self::handover::{NoAnswer, Outgoing};
use self::line::{Line, Overdue};
use self::pool::Pool;
use self::request::{Common, Template};
use self::token::TokenSource;
use self::way::Proxy;
use crate::domain::access::HttpVersion;
use crate::domain::egress::EgressAllow;
use crate::domain::endpoint::HttpDownstream;
use crate::domain::outcome::Answer;
use crate::transport::{Call, ProtocolTransport, TransportError, deadline};

/// The way to one HTTP endpoint; cheap to clone, clones share their connections.
#[derive(Clone)]
pub struct HttpTransport {
    template: Arc<Template>,
    pool: Pool,
    /// Whence the tokens come, if calls carry one.
    tokens: Option<Arc<TokenSource>>,
}

/// Connections to whatever host, without an address; cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpConnections {
    pool: Pool,
    /// Those whose addresses are checked, since a message names their host.
    guarded: Option<Pool>,
    /// What goes with every call and whence the tokens come, where that is the same for all hosts.
    common: Option<Arc<Common>>,
    tokens: Option<Arc<TokenSource>>,
}

impl HttpConnections {
    /// Connects to nothing yet; `timeout_ms` bounds the wait for a connection.
    pub(super) fn new(timeout_ms: u64) -> Self {
        let pool = Pool::new(timeout_ms, tls::client_config(), None, None, HttpVersion::Auto);
        Self { pool, guarded: None, common: None, tokens: None }
    }

    /// Those of a queue whose messages bring their own urls: reached, and as whom, as `http` says. `egress`: what hosts may be, beside
    /// public, that only a pattern covers.
    pub(super) fn of_messages(
        http: &HttpDownstream,
        egress: Arc<EgressAllow>,
    ) -> Result<Self, TransportError> {
        let trust = tls::config_of(http.access.tls.as_ref())?;
        let pool = |guard| {
            let proxy = http.access.proxy.as_ref().map(Proxy::new).transpose()?;
            Ok(Pool::new(http.timeout_ms, Arc::clone(&trust), proxy, guard, http.access.http))
        };
        let (pool, guarded) = (pool(None)?, pool(Some(EgressGuard::new(egress)))?);
        let tokens = TokenSource::of(&http.access, &pool)?;
        let common = Some(Arc::new(Common::new(http)?));
        Ok(Self { pool, guarded: Some(guarded), common, tokens })
    }

    /// The way to one endpoint, on these connections.
    pub(super) fn towards(
        &self,
        downstream: &HttpDownstream,
    ) -> Result<HttpTransport, TransportError> {
        let template = match &self.common {
            Some(common) => Template::at(downstream, Arc::clone(common)),
            None => Template::new(downstream),
        };
        let template = Arc::new(template?);
        let pool = match (&downstream.egress, &self.guarded) {
            (None, _) => &self.pool,
            (Some(_), Some(guarded)) => guarded,
            (Some(_), None) => {
                let why =
                    "no connections are kept for hosts that messages name; please report this";
                return Err(TransportError(why.to_owned()));
            }
        };
        Ok(HttpTransport { template, pool: pool.clone(), tokens: self.tokens.clone() })
    }
}

impl HttpTransport {
    /// Prepares everything that does not change from call to call.
    pub(super) fn new(downstream: &HttpDownstream) -> Result<Self, TransportError> {
        Self::with_tls(downstream, tls::config_of(downstream.access.tls.as_ref())?)
    }

    /// The same with another opinion on whom to trust.
    pub(super) fn with_tls(
        downstream: &HttpDownstream,
        trust: Arc<ClientConfig>,
    ) -> Result<Self, TransportError> {
        let proxy = downstream.access.proxy.as_ref().map(Proxy::new).transpose()?;
        let version = downstream.access.http;
        let pool = Pool::new(downstream.timeout_ms, trust, proxy, None, version);
        let template = Arc::new(Template::new(downstream)?);
        let tokens = TokenSource::of(&downstream.access, &pool)?;
        Ok(Self { template, pool, tokens })
    }
}

impl ProtocolTransport for HttpTransport {
    /// One exchange under one deadline; a second one, if the downstream refuses a token that it may know to be void.
    async fn send(&self, call: &Call) -> Answer {
        let Some(tokens) = &self.tokens else {
            return exchange(&self.pool, call, || self.template.request(call)).await;
        };
        let whole = call.deadline.saturating_duration_since(Instant::now());
        let mut refused = None;
        loop {
            let token = match tokens.token(call, refused).await {
                Ok(token) => token,
                Err(without) => return without,
            };
            let left = call.deadline.saturating_duration_since(Instant::now());
            if left < whole / 2 {
                // Little time makes calls of which nobody knows what became of them. The next one has it all.
                return tokens.too_late();
            }
            let request = || {
                let mut request = self.template.request(call)?;
                request.headers_mut().insert(AUTHORIZATION, token.header.clone());
                Ok(request)
            };
            let answer = exchange(&self.pool, call, request).await;
            let is_refused = matches!(answer, Answer::Answered { status: 401, .. });
            if !is_refused || token.is_new || refused.is_some() {
                return answer;
            }
            refused = Some(token.number);
        }
    }
}

/// Sends a request and reads its answer, all before the call's deadline.
async fn exchange(
    pool: &Pool,
    call: &Call,
    request: impl Fn() -> Result<Outgoing, String>,
) -> Answer {
    answer_over(pool, call, request).await.unwrap_or_else(|nothing| nothing)
}

/// The same; `Err` says why there is no answer.
async fn answer_over(
    pool: &Pool,
    call: &Call,
    request: impl Fn() -> Result<Outgoing, String>,
) -> Result<Answer, Answer> {
    let started = Instant::now();
    if call.deadline <= started {
        return Err(not_sent("no time was left for the call"));
    }
    let within = || failure::span(call.deadline - started);
    let mut left = None;
    let mut handovers = 0;
    loop {
        let mut request = request().map_err(not_sent)?;
        let uri = std::mem::take(request.uri_mut());
        match deadline::by(call.deadline, pool.address(&mut request, &uri)).await {
            Ok(addressed) => addressed.map_err(|error| not_connected(&*error))?,
            Err(_) => return Err(not_sent(format!("no connection within {}", within()))),
        }
        let mut line = match deadline::by(call.deadline, pool.line(&uri, left.as_ref())).await {
            Ok(line) => line.map_err(|error| not_connected(&*error))?,
            Err(_) => return Err(not_sent(format!("no connection within {}", within()))),
        };
        let asked = line.ask(request, &uri, answer::wire_bytes_max(call));
        match deadline::by(call.deadline, asked).await {
            Ok(Ok(response)) => {
                let answer = line.bring(answer::read(response, call)).await;
                pool.keep(&uri, line).await;
                return Ok(answer);
            }
            Ok(Err(NoAnswer::NotBegun(reason))) => {
                handovers += 1;
                if handovers >= line.handovers_max() {
                    return Err(not_sent(reason));
                }
                left = Some(line.leave());
            }
            Ok(Err(NoAnswer::Refused(reason))) => return Err(not_sent(reason)),
            Ok(Err(NoAnswer::HeadAlone { status, headers, reason })) => {
                return Ok(answer::without_body(status, &headers, call, reason));
            }
            Ok(Err(NoAnswer::Nothing(reason))) => return Err(unknown(reason)),
            Err(_) => return Ok(overdue(&line, call, &within())),
        }
    }
}

/// What comes of a call whose time is over before an answer could be read.
fn overdue(line: &Line, call: &Call, within: &str) -> Answer {
    match line.give_up() {
        Overdue::NotBegun => not_sent(format!("nothing could be sent within {within}")),
        Overdue::Nothing => unknown(format!("no answer within {within}")),
        Overdue::HeadAlone(status, headers) => {
            let reason = "its head did not come to its end in time";
            answer::without_body(status, &headers, call, reason)
        }
    }
}

/// What comes of a call for which there is no connection.
fn not_connected(error: &(dyn std::error::Error + 'static)) -> Answer {
    let words = failure::sentence(error);
    if failure::is_not_allowed(error) {
        return Answer::NotAllowed { error: words };
    }
    Answer::NotSent { error: words, is_local: failure::is_local(error) }
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
