//! How bytes leave.
//!
//! Owns the wire to a downstream: connections, deadlines, signatures, reading the answer. Knows
//! nothing of queues, windows, limits, retries or Redis.

mod deadline;
mod http;
mod paced;
mod shortage;

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

pub use self::http::{HttpConnections, HttpTransport};
pub use self::paced::Paced;
use crate::domain::endpoint::HttpDownstream;
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;

/// One call at a downstream: a single message, or a batch, ready to leave.
///
/// Headers are laid over each other in this order, a later layer replacing an earlier one: our
/// defaults (`User-Agent`, `Accept`), the message's own, the operator's from the configuration (a
/// producer must not replace the operator's credentials), those of its templates, ours. A reserved name (see
/// [`is_reserved_header`](crate::domain::headers::is_reserved_header)) counts only in the last.
#[derive(Debug, Clone)]
pub struct Call {
    /// Another address than the downstream's, on its connections.
    pub url: Option<url::Url>,
    /// `webhook-id` and `Idempotency-Key`: the message's id, or the batch's.
    pub id: String,
    /// `Content-Type`; empty: none is sent.
    pub content_type: String,
    /// The message's own headers, as the producer gave them; none for a batch.
    pub message_headers: Vec<(String, String)>,
    /// What the operator's templates made of the message.
    pub request_headers: Vec<(::http::HeaderName, ::http::HeaderValue)>,
    /// Tidegate's headers: `Tidegate-Queue`, `Tidegate-Attempt` and so on. They win.
    pub own_headers: Vec<(&'static str, String)>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The wall clock for `webhook-timestamp` and `Retry-After` dates, in milliseconds.
    pub now_ms: u64,
    /// The whole exchange ends here.
    pub deadline: Instant,
    /// How much of the answer is read and kept.
    pub response_bytes_max: usize,
}

/// What comes of a call that goes nowhere.
const TAKEN: Answer = Answer::Answered {
    status: 200,
    retry_after_ms: None,
    content_type: None,
    encoding: None,
    body: Bytes::new(),
    pending: None,
    missing: None,
};

/// Why no transport can be built for a downstream: a sentence, free of secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(String);

/// The way to one downstream, with connections of its own; cheap to clone.
#[derive(Debug, Clone)]
pub enum Transport {
    /// HTTP calls.
    Http(HttpTransport),
    /// Takes everything at once and sends nothing.
    Null,
    /// Connections to many hosts, see [`Self::towards`].
    ByHost(HttpConnections),
}

impl Transport {
    /// The way to `downstream`; connects to nothing yet. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the URL, a header or the signing secret cannot be used, or nobody is to be called.
    pub fn new(downstream: &Downstream) -> Result<Self, TransportError> {
        match downstream {
            Downstream::Http(http) => HttpTransport::new(http).map(Self::Http),
            Downstream::Null => Ok(Self::Null),
            Downstream::Pull => Err(TransportError(
                "nobody is called here: workers claim (downstream.type = \"pull\")".to_owned(),
            )),
            Downstream::Callbacks(callback) => {
                if let Ok(own) = callback.target(None) {
                    HttpTransport::new(&own)?;
                }
                Ok(Self::ByHost(HttpConnections::new(callback.timeout_ms)))
            }
            Downstream::MessageUrls(urls) => {
                let egress = Arc::clone(&urls.egress);
                HttpConnections::of_messages(&urls.http, egress).map(Self::ByHost)
            }
        }
    }

    /// The way to one of many hosts, on the connections that all of them share.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn towards(&self, target: &HttpDownstream) -> Result<Self, TransportError> {
        match self {
            Self::ByHost(shared) => shared.towards(target).map(Self::Http),
            Self::Http(_) | Self::Null => Ok(self.clone()),
        }
    }

    /// The answer, where it is there at once, whatever the call.
    #[must_use]
    pub const fn immediate(&self) -> Option<Answer> {
        match self {
            Self::Http(_) | Self::ByHost(_) => None,
            Self::Null => Some(TAKEN),
        }
    }

    /// Carries out one exchange and tells what came of it, at the latest at the call's deadline.
    pub async fn send(&self, call: Call) -> Answer {
        match self {
            Self::Http(http) => http.send(&call).await,
            Self::Null => TAKEN,
            Self::ByHost(_) => {
                Answer::NotSent { error: "it has no address yet".to_owned(), is_local: false }
            }
        }
    }
}
