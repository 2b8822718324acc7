//! What a connection's bytes are watched for on their way to and from the client library.
//!
//! Owns three things that the library cannot tell or does not do. Whether a byte of the request may have
//! left: bytes that lay there before it are no answer to it. That an answer is read although the request
//! can no longer be written: whoever refuses a large body early closes before it has all come. And a bound
//! on how much is read for one answer.
//! Refuses to know what the bytes mean, except the heads (see `head`).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, MutexGuard};
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::Heads;
use crate::transport::Paced;
use crate::transport::http::handover::{Stream, WireError, is_gone, socket};

/// What is known of the exchange that is under way on a connection.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The heads of its answer.
    pub(super) heads: Heads,
    /// Whether a byte of the request may have left.
    has_begun: bool,
    /// Why the rest of the request cannot be written any more.
    write_error: Option<io::Error>,
    /// How much may be read yet.
    bytes_left: usize,
}

/// The two ends of it: one is with the call, one with the connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Watching(Arc<Mutex<Watch>>);

impl Watching {
    // A plain mutex: it is never held across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, Watch> {
        self.0.lock()
    }
}

impl Watch {
    /// The next exchange begins; at most `bytes_max` are read for its answer.
    pub(super) fn begin(&mut self, bytes_max: usize) {
        self.heads.clear();
        self.has_begun = false;
        self.bytes_left = bytes_max;
    }

    /// Whether a byte of the request may have left.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Takes note of bytes that have come.
    fn note_read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        if !self.has_begun {
            // The library finds them on an idle connection, and gives the connection up.
            return Ok(());
        }
        self.bytes_left = self.bytes_left.checked_sub(bytes.len()).ok_or_else(too_long)?;
        self.heads.pass(bytes).map_err(io::Error::other)
    }

    /// What the end of the stream means once nothing could be written any more.
    fn at_end(&mut self) -> io::Result<()> {
        // After a reset it is no end: the rest was thrown away.
        let is_reset = |error: &mut io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        self.write_error.take_if(is_reset).map_or(Ok(()), Err)
    }

    /// What comes of a failed write: the other side is gone, but may have answered before. The library must
    /// go on reading, so it is told that all is well; reading brings the answer, or the end.
    fn after_write(&mut self, error: io::Error) -> io::Result<()> {
        if !is_gone(&error) {
            return Err(error);
        }
        self.write_error = Some(error);
        Ok(())
    }
}

fn too_long() -> io::Error {
    io::Error::other(WireError::TooLong)
}

/// A connection's bytes, watched.
pub(super) struct Watched {
    stream: Paced<TokioIo<Stream>>,
    watching: Watching,
    /// Whether it has carried a request.
    is_used: bool,
}

impl Watched {
    pub(super) fn new(stream: Stream, watching: Watching) -> Self {
        Self { stream: Paced::new(TokioIo::new(stream)), watching, is_used: false }
    }

    /// Whether nothing has come yet. The system is asked itself: what the runtime knows of a socket is as old
    /// as its last look at all of them.
    fn is_quiet(&self) -> bool {
        let stream = self.stream.inner().inner();
        if matches!(stream, MaybeHttpsStream::Https(_)) && !self.is_used {
            // After agreeing on keys, servers send tickets for later connections; they are no answer.
            return true;
        }
        let mut byte = [0; 1];
        let peeked =
            rustix::net::recv(socket(stream), &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }

    /// Writes, if the connection is fit for the request that begins and the other side still there.
    fn write(
        &mut self,
        len: usize,
        write: impl FnOnce(Pin<&mut Paced<TokioIo<Stream>>>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if !self.watching.lock().has_begun {
            if !self.is_quiet() {
                return Poll::Ready(Err(io::Error::other(WireError::NotFit)));
            }
            self.is_used = true;
        }
        let mut watch = self.watching.lock();
        watch.has_begun = true;
        if watch.write_error.is_some() {
            return Poll::Ready(Ok(len));
        }
        match ready!(write(Pin::new(&mut self.stream))) {
            Ok(written) => Poll::Ready(Ok(written)),
            Err(error) => Poll::Ready(watch.after_write(error).map(|()| len)),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let mut watch = this.watching.lock();
        match &mut buf.filled_mut()[before..] {
            [] => Poll::Ready(watch.at_end()),
            bytes => Poll::Ready(watch.note_read(bytes)),
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(buf.len(), |stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.get_mut().write(len, |stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut watch = this.watching.lock();
        if watch.write_error.is_some() {
            return Poll::Ready(Ok(()));
        }
        match ready!(Pin::new(&mut this.stream).poll_flush(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(watch.after_write(error)),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
