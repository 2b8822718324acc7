//! What both versions of HTTP have in common when a request is handed over to a connection.
//!
//! Owns the form of a request as it leaves, what a connection is made of, and the reasons why a request got no answer.
//! Refuses to know how either version speaks.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A request as it leaves.
pub(super) type Outgoing = Request<Full<Bytes>>;
/// What bytes travel over.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// How long an unused connection is kept. Many servers close theirs after 5 s (Node, Apache,
/// uvicorn); a request that meets that close on the way is lost without an answer and parks its
/// message under `on_uncertain = "park"`. Whoever calls less often than this can afford to connect.
pub(super) const IDLE: Duration = Duration::from_secs(4);
/// Most bytes of the head of an answer.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Interim answers (1xx) before the final one; further ones are not HTTP as anybody means it.
pub(super) const INTERIM_ANSWERS_MAX: usize = 100;

/// Why a request got no answer that could be read.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The other side did not begin with it, for this reason; another connection may do better.
    NotBegun(String),
    /// It was surely not sent, for this reason, which holds for every other connection too.
    Refused(String),
    /// A status arrived, in a head that cannot be read any further.
    HeadAlone {
        status: u16,
        /// As far as they can be read.
        headers: HeaderMap,
        /// Why the rest cannot be read, for people.
        reason: &'static str,
    },
    /// Nothing that could be understood, for this reason.
    Nothing(String),
}

/// Why a connection does not go on, where the reason is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// Nothing of the request was written.
    #[error("the other side had closed, or had sent something, before the request could start")]
    NotFit,
    /// The answer takes too much reading for what is in it.
    #[error("the answer is too long")]
    TooLong,
    /// There were too many interim answers, and no final one.
    #[error("the answer is not HTTP: it has interim answers (1xx) without end")]
    Endless,
}

/// Whether a failed write means that the other side is gone. It may have answered before: whoever refuses a large
/// request early closes before all of it has come.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
    )
}

/// The socket below a connection.
pub(super) fn socket(stream: &Stream) -> &TcpStream {
    match stream {
        MaybeHttpsStream::Http(tcp) => tcp.inner(),
        MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner().inner(),
    }
}
