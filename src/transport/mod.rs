//! How bytes leave.
//!
//! Owns the wire to a downstream: connections, deadlines, signatures, reading the answer; each protocol in a folder of its own,
//! behind [`ProtocolTransport`]. Knows nothing of queues, windows, limits, retries or Redis, nor of what an answer means (see
//! `domain::protocol`).

mod deadline;
mod http;
mod incoming;
mod null;
mod paced;
mod shortage;

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

pub use self::http::{HttpConnections, HttpTransport};
pub use self::incoming::{Incoming, IncomingReceipt, ReceiptKept};
use self::null::NullTransport;
pub use self::paced::Paced;
use crate::domain::endpoint::HttpDownstream;
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;

/// One call at a downstream: a single message, or a batch, ready to leave.
///
/// Each protocol makes of it what it can carry.
#[derive(Debug, Clone)]
pub struct Call {
    /// The message's id, or the batch's: the same for each attempt.
    pub id: String,
    /// The kind of the body; empty: none is named.
    pub content_type: String,
    /// The message's own headers, as the producer gave them; none for a batch.
    pub message_headers: Vec<(String, String)>,
    /// What Tidegate says of the call: `tidegate-queue`, `tidegate-attempt` and so on.
    pub facts: Vec<(&'static str, String)>,
    /// What the operator's templates made of the message for HTTP; other protocols leave it out.
    pub http: HttpParts,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The wall clock, in milliseconds: what is signed carries it, and dates in answers are measured against it.
    pub now_ms: u64,
    /// The whole exchange ends here.
    pub deadline: Instant,
    /// How much of the answer is read and kept.
    pub response_bytes_max: usize,
}

/// What the operator's templates made of a message for HTTP.
#[derive(Debug, Clone, Default)]
pub struct HttpParts {
    /// Another address than the downstream's, on its connections.
    pub url: Option<url::Url>,
    /// Headers beside those of the configuration.
    pub headers: Vec<(::http::HeaderName, ::http::HeaderValue)>,
}

/// What each protocol does, in its own folder.
trait ProtocolTransport {
    /// Carries out one exchange and tells what came of it, at the latest at the call's deadline.
    fn send(&self, call: &Call) -> impl Future<Output = Answer> + Send;

    /// The answer, where it is there at once, whatever the call.
    fn immediate(&self) -> Option<Answer> {
        None
    }

    /// The receipts that come on the connections of its calls, where the protocol has such; whoever asks first gets them.
    fn incoming(&self) -> Option<Incoming> {
        None
    }
}

/// Why no transport can be built for a downstream: a sentence, free of secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(String);

/// The way to one downstream, with connections of its own; cheap to clone. The list of protocols: a line here and a folder beside
/// for each.
#[derive(Debug, Clone)]
pub enum Transport {
    /// HTTP calls.
    Http(HttpTransport),
    /// Takes everything at once and sends nothing.
    Null(NullTransport),
    /// Connections to many hosts, see [`Self::towards`].
    ByHost(HttpConnections),
}

impl Transport {
    /// The way to `downstream`; `None`: it is not called, as workers claim. Connects to nothing yet. Call it inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// When the URL, a header or the signing secret cannot be used.
    pub fn new(downstream: &Downstream) -> Result<Option<Self>, TransportError> {
        match downstream {
            Downstream::Http(http) => Self::to_url(http).map(Some),
            Downstream::Null => Ok(Some(Self::Null(NullTransport))),
            Downstream::Pull => Ok(None),
            Downstream::Callbacks(callback) => {
                if let Ok(own) = callback.target(None) {
                    HttpTransport::new(&own)?;
                }
                Ok(Some(Self::ByHost(HttpConnections::new(callback.timeout_ms))))
            }
            Downstream::MessageUrls(urls) => {
                let egress = Arc::clone(&urls.egress);
                HttpConnections::of_messages(&urls.http, egress).map(Self::ByHost).map(Some)
            }
        }
    }

    /// The way to one endpoint of HTTP.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn to_url(http: &HttpDownstream) -> Result<Self, TransportError> {
        HttpTransport::new(http).map(Self::Http)
    }

    /// The way to one of many hosts, on the connections that all of them share.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn towards(&self, target: &HttpDownstream) -> Result<Self, TransportError> {
        match self {
            Self::ByHost(shared) => shared.towards(target).map(Self::Http),
            Self::Http(_) | Self::Null(_) => Ok(self.clone()),
        }
    }

    /// The answer, where it is there at once, whatever the call.
    #[must_use]
    pub fn immediate(&self) -> Option<Answer> {
        match self {
            Self::Http(http) => http.immediate(),
            Self::Null(null) => null.immediate(),
            Self::ByHost(_) => None,
        }
    }

    /// The receipts that come on the connections of its calls; `None`: they come by the API alone.
    #[must_use]
    pub fn incoming(&self) -> Option<Incoming> {
        match self {
            Self::Http(http) => http.incoming(),
            Self::Null(null) => null.incoming(),
            Self::ByHost(_) => None,
        }
    }

    /// Carries out one exchange and tells what came of it, at the latest at the call's deadline.
    pub async fn send(&self, call: Call) -> Answer {
        match self {
            Self::Http(http) => http.send(&call).await,
            Self::Null(null) => null.send(&call).await,
            Self::ByHost(_) => {
                Answer::NotSent { error: "it has no address yet".to_owned(), is_local: false }
            }
        }
    }
}
