//! A connection that is there for a call, whichever version of HTTP it speaks.
//!
//! Owns what both versions can do. Refuses to know when connections are made and kept (see `pool`).

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::handover::{NoAnswer, Outgoing};
use super::one::DrivenLine;
use super::two::{SharedLine, StreamBody, StreamPlace};

/// Connections that may turn out closed before a call gives up: a kept one, and new ones.
const HANDOVERS_MAX: u32 = 4;
/// The same where calls share connections: a server that closes after every few requests leaves out many others each
/// time, and says so.
const SHARED_HANDOVERS_MAX: u32 = 16;

/// A connection, or a place on one that others use too.
#[derive(Debug)]
pub(super) enum Line {
    /// HTTP/1.1.
    One(Box<DrivenLine>),
    /// HTTP/2.
    Two(StreamPlace),
}

/// A connection on which a call has not begun.
#[derive(Debug)]
pub(super) struct LeftLine(Option<Weak<SharedLine>>);

impl LeftLine {
    /// Whether it is this one.
    pub(super) fn is_on(&self, line: &Arc<SharedLine>) -> bool {
        self.0.as_ref().is_some_and(|left| std::ptr::eq(left.as_ptr(), Arc::as_ptr(line)))
    }
}

/// What is known of a request without an answer when its time is over.
#[derive(Debug)]
pub(super) enum Overdue {
    /// The other side has surely not begun with it.
    NotBegun,
    /// The status, and the headers as far as they came.
    HeadAlone(u16, HeaderMap),
    /// Nothing.
    Nothing,
}

impl Line {
    /// Hands a request to `uri` over and waits for the head of its answer. At most `bytes_max` are read for the answer,
    /// whatever it consists of.
    pub(super) async fn ask(
        &mut self,
        request: Outgoing,
        uri: &Uri,
        bytes_max: usize,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        match self {
            Self::One(line) => Ok(line.ask(request, bytes_max).await?.map(AnswerBody::One)),
            Self::Two(place) => Ok(place.ask(request, uri).await?.map(AnswerBody::Two)),
        }
    }

    /// Waits for something that comes over this connection.
    pub(super) async fn bring<F: Future>(&mut self, wait: F) -> F::Output {
        match self {
            Self::One(line) => line.bring(wait).await,
            Self::Two(_) => wait.await,
        }
    }

    /// The call's time is over, and no answer has come.
    pub(super) fn give_up(&self) -> Overdue {
        match self {
            Self::One(line) if !line.has_begun() => Overdue::NotBegun,
            Self::One(line) => match line.unfinished_head() {
                Some((status, headers)) => Overdue::HeadAlone(status, headers),
                None => Overdue::Nothing,
            },
            Self::Two(place) if place.give_up() => Overdue::NotBegun,
            Self::Two(_) => Overdue::Nothing,
        }
    }

    /// Goes, since the call has not begun on it.
    pub(super) fn leave(self) -> LeftLine {
        LeftLine(match self {
            Self::One(_) => None,
            Self::Two(place) => Some(Arc::downgrade(place.line())),
        })
    }

    /// How many connections such as this one may turn out unfit before a call gives up.
    pub(super) const fn handovers_max(&self) -> u32 {
        match self {
            Self::One(_) => HANDOVERS_MAX,
            Self::Two(_) => SHARED_HANDOVERS_MAX,
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum AnswerBody {
    One(Incoming),
    Two(StreamBody),
}

impl AnswerBody {
    /// Whether the connection can only be used again when the body was read to its end.
    pub(super) const fn is_in_the_way(&self) -> bool {
        matches!(self, Self::One(_))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::One(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Two(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::One(body) => body.is_end_stream(),
            Self::Two(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::One(body) => body.size_hint(),
            Self::Two(body) => body.size_hint(),
        }
    }
}
