//! What the bytes of a shared connection are watched for on their way to and from the client library.
//!
//! Owns what the library cannot tell: how far requests have left, which of them the other side says that it has not taken,
//! whether anything comes at all, and why the connection ended. Owns also two things that the library does not do: before a
//! request leaves, it is looked whether the other side has closed; and answers are read although nothing can be written any
//! more. Refuses to know what an answer says.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, MutexGuard};
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{FrameReader, FrameSeen};
use crate::transport::Paced;
use crate::transport::http::failure;
use crate::transport::http::handover::{Stream, WireError, is_gone, socket};

/// What a client says first, before its first frame.
const PREFACE_BYTES: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// What is known of a shared connection from its bytes.
#[derive(Debug, Default)]
pub(super) struct FrameWatch {
    /// Whether the other side has said what it goes by: it speaks HTTP/2, and has accepted us.
    pub(super) has_settings: bool,
    /// Whether the other side answers in HTTP/1.
    pub(super) is_other_version: bool,
    /// How often something has come.
    pub(super) reads: u64,
    /// Why the connection has ended, for people, if the system or TLS says so.
    pub(super) ended: Option<String>,
    /// Of the streams above this one the other side has taken none: its last word on that.
    last_taken: Option<u32>,
    /// The last stream of which a byte may have left.
    last_written: u32,
    /// Whether no further request may leave.
    is_sealed: bool,
    /// Whether nothing can be written any more: the other side is gone.
    is_write_over: bool,
}

impl FrameWatch {
    /// Whether the other side takes no further requests on this connection.
    pub(super) const fn is_going_away(&self) -> bool {
        self.last_taken.is_some() || self.is_write_over
    }

    /// Whether the other side says that it has not taken this stream, and never will (RFC 9113, section 6.8).
    pub(super) fn is_left_out(&self, stream: u32) -> bool {
        self.last_taken.is_some_and(|last| stream > last)
    }

    /// Whether no byte of this stream has left. If so, none ever will: no request leaves this connection any more.
    pub(super) const fn seal_before(&mut self, stream: u32) -> bool {
        let is_unwritten = self.last_written < stream;
        self.is_sealed |= is_unwritten;
        is_unwritten
    }

    fn see(&mut self, seen: FrameSeen) {
        match seen {
            FrameSeen::Settings => self.has_settings = true,
            FrameSeen::OtherVersion => self.is_other_version = true,
            // Who shuts down gracefully first names the highest number there is, and later the right one.
            FrameSeen::GoAway { last_stream } => {
                let last = self.last_taken.map_or(last_stream, |before| before.min(last_stream));
                self.last_taken = Some(last);
            }
            FrameSeen::Head { .. } => {}
        }
    }

    fn end(&mut self, error: &io::Error) {
        self.ended.get_or_insert_with(|| failure::sentence(error));
    }
}

/// The two ends of it: one is with the calls, one with the connection.
#[derive(Debug, Clone, Default)]
pub(super) struct FrameWatching(Arc<Mutex<FrameWatch>>);

impl FrameWatching {
    // A plain mutex: it is never held across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, FrameWatch> {
        self.0.lock()
    }
}

/// The bytes of a shared connection, watched.
pub(super) struct FramedStream {
    stream: Paced<TokioIo<Stream>>,
    watching: FrameWatching,
    incoming: FrameReader,
    outgoing: FrameReader,
    /// Whether what had come was read before the request that is to leave.
    has_read: bool,
}

impl FramedStream {
    pub(super) fn new(stream: Stream, watching: FrameWatching) -> Self {
        let stream = Paced::new(TokioIo::new(stream));
        let (incoming, outgoing) = (FrameReader::after(0), FrameReader::after(PREFACE_BYTES));
        Self { stream, watching, incoming, outgoing, has_read: false }
    }

    /// Whether requests may leave. The system is asked itself: what the runtime knows of a socket is as old as its last
    /// look at all of them. What has come is read first: it may say that no further requests are taken.
    fn poll_fit(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0; 1];
        let tcp = socket(self.stream.inner().inner());
        match rustix::net::recv(tcp, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Err(rustix::io::Errno::AGAIN) => Poll::Ready(Ok(())),
            Ok((1.., _)) if self.has_read => Poll::Ready(Ok(())),
            Ok((1.., _)) => {
                self.has_read = true;
                // We are called again after the runtime has looked at all sockets.
                pin!(tokio::task::yield_now()).poll(cx).map(Ok)
            }
            Ok(_) | Err(_) => Poll::Ready(Err(io::Error::other(WireError::NotFit))),
        }
    }

    /// Takes note of the requests that are about to leave.
    fn poll_note(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<()>> {
        let mut ahead = self.outgoing;
        let mut last = 0;
        for buf in bufs {
            ahead.pass(buf, |seen| {
                if let FrameSeen::Head { stream } = seen {
                    last = last.max(stream);
                }
            });
        }
        if ahead.is_within_head() {
            // It may be the head of whatever stream.
            last = u32::MAX;
        }
        if last <= self.watching.lock().last_written {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_fit(cx))?;
        self.has_read = false;
        let mut watch = self.watching.lock();
        if watch.is_sealed {
            return Poll::Ready(Err(io::Error::other(WireError::NotFit)));
        }
        watch.last_written = last;
        Poll::Ready(Ok(()))
    }

    fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.watching.lock().is_write_over {
            ready!(self.poll_note(cx, bufs))?;
            match ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)) {
                Ok(written) => {
                    self.pass_written(bufs, written);
                    return Poll::Ready(Ok(written));
                }
                Err(error) => self.after_write(error)?,
            }
        }
        // The library must go on reading, so it is told that all is well; reading brings answers, or the end.
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn pass_written(&mut self, bufs: &[IoSlice<'_>], mut written: usize) {
        for buf in bufs {
            let piece = written.min(buf.len());
            self.outgoing.pass(&buf[..piece], |_| {});
            written -= piece;
        }
    }

    /// What comes of a failed write.
    fn after_write(&self, error: io::Error) -> io::Result<()> {
        let mut watch = self.watching.lock();
        watch.end(&error);
        if !is_gone(&error) {
            return Err(error);
        }
        watch.is_write_over = true;
        Ok(())
    }
}

impl AsyncRead for FramedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buf));
        let mut watch = this.watching.lock();
        if let Err(error) = &read {
            watch.end(error);
        }
        let bytes = &buf.filled()[before..];
        watch.reads += u64::from(!bytes.is_empty());
        this.incoming.pass(bytes, |seen| watch.see(seen));
        Poll::Ready(read)
    }
}

impl AsyncWrite for FramedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_all(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_all(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.watching.lock().is_write_over {
            return Poll::Ready(Ok(()));
        }
        match ready!(Pin::new(&mut this.stream).poll_flush(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(this.after_write(error)),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
