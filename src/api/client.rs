//! The connection of a client: bytes in and out, and an end to writing to somebody who does not read.
//!
//! Owns the write time-out. Whoever stops reading would keep the whole of an answer in memory for ever.
//! Refuses to know HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::time::{Sleep, sleep};

use super::peer::Watched;
use super::places::Seat;
use crate::transport::Paced;

/// How long a client may read nothing of what is written to it. The kernel takes a few MiB before that
/// begins, and says that there is space again when a third of them has been read.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// A client's connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: TokioIo<Paced<Watched>>,
    seat: Arc<Seat>,
    /// Runs while something waits to be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Client {
    pub(super) fn new(stream: Watched, seat: Arc<Seat>) -> Self {
        Self { stream: TokioIo::new(Paced::new(stream)), seat, stalled: None }
    }

    /// What came of a write, with its time-out.
    fn timed<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.stalled.take().is_some() {
                self.seat.set_writing(false);
            }
            return written;
        }
        let seat = &self.seat;
        let stalled = self.stalled.get_or_insert_with(|| {
            seat.set_writing(true);
            Box::pin(sleep(WRITE_PATIENCE))
        });
        ready!(stalled.as_mut().poll(cx));
        // What the kernel still holds for this client goes at once.
        let _kept = self.stream.inner().inner().drop_unsent();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl Read for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Client {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.timed(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.timed(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
