//! One connection to a downstream, driven by whoever makes a call on it.
//!
//! Owns the pair that the client library makes of a connection: the end that takes a request, and the
//! work of writing and reading. Both run in the task of the call: a task of its own for the connection
//! would be woken for each request and would wake the call for each answer. Refuses to know when
//! connections are made and kept (see `pool`).

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Most bytes of headers of an answer, and of anything read ahead.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// What bytes travel over.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
/// A request as it leaves.
pub(super) type Outgoing = Request<Full<Bytes>>;

/// An open connection; dropped, it is closed.
pub(super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    /// Writes and reads while it is polled; `None` once it has ended.
    work: Option<Connection<Stream, Full<Bytes>>>,
}

impl Line {
    /// Speaks HTTP over a stream.
    pub(super) async fn over(stream: Stream) -> hyper::Result<Box<Self>> {
        let handshake = Builder::new().max_buf_size(READ_BUFFER_BYTES_MAX).handshake(stream);
        let (sender, work) = handshake.await?;
        Ok(Box::new(Self { sender, work: Some(work) }))
    }

    /// Hands a request over and waits for the head of its answer. An error that carries the request says
    /// that nothing of it was written.
    pub(super) async fn ask(
        &mut self,
        request: Outgoing,
    ) -> Result<Response<Incoming>, TrySendError<Outgoing>> {
        let answer = self.sender.try_send_request(request);
        Self::during(&mut self.work, answer).await
    }

    /// Waits for something that comes over this connection.
    pub(super) async fn bring<F: Future>(&mut self, wait: F) -> F::Output {
        Self::during(&mut self.work, wait).await
    }

    /// Whether it takes another request, as far as can be told now: the answer before has been read to its
    /// end, and the other side has not closed.
    pub(super) async fn is_fit(&mut self) -> bool {
        let look = |cx: &mut Context<'_>| {
            proceed(&mut self.work, cx);
            Poll::Ready(())
        };
        poll_fn(look).await;
        self.work.is_some() && self.sender.is_ready()
    }

    async fn during<F: Future>(
        work: &mut Option<Connection<Stream, Full<Bytes>>>,
        wait: F,
    ) -> F::Output {
        let mut wait = pin!(wait);
        poll_fn(|cx| {
            if let Poll::Ready(output) = wait.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            proceed(work, cx);
            // What the work has brought is there now: nobody need wake us for it.
            wait.as_mut().poll(cx)
        })
        .await
    }
}

/// Writes and reads as far as possible. Why a connection ended is told to whoever waits for an answer.
fn proceed(work: &mut Option<Connection<Stream, Full<Bytes>>>, cx: &mut Context<'_>) {
    if work.as_mut().is_some_and(|work| Pin::new(work).poll(cx).is_ready()) {
        *work = None;
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("has_ended", &self.work.is_none()).finish_non_exhaustive()
    }
}
