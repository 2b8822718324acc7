//! The body of an answer that comes over a shared connection.
//!
//! Owns that the other side is let send on as far as was read. Refuses to know how much is read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame};

/// The body; dropped before its end, it is withdrawn, and the connection stays usable.
#[derive(Debug)]
pub(in crate::transport::http) struct StreamBody(RecvStream);

impl StreamBody {
    pub(super) const fn new(stream: RecvStream) -> Self {
        Self(stream)
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let stream = &mut self.get_mut().0;
        // What may follow, trailers, carries nothing for us.
        let Some(data) = ready!(stream.poll_data(cx)) else { return Poll::Ready(None) };
        Poll::Ready(Some(data.and_then(|data| {
            stream.flow_control().release_capacity(data.len())?;
            Ok(Frame::data(data))
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
