//! The other end of a connection, for those who wait for something on its behalf.
//!
//! A client may close its sending side once its request is out and still read the answer; one that is gone
//! looks just the same. So every request is answered, and only waiting ends when the other end closes.
//! Owns telling that; refuses to know what is waited for.

use std::convert::Infallible;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Who asks. Without a connection (in tests) it never closes.
#[derive(Debug, Clone, Default)]
pub(super) struct Peer(Option<Arc<TcpStream>>);

impl Peer {
    /// Whether it has closed its sending side by now.
    pub(super) fn has_closed(&self) -> bool {
        self.closed().now_or_never().is_some()
    }

    /// Ends when it closes its sending side, or the connection breaks off.
    pub(super) async fn closed(&self) {
        let Some(stream) = &self.0 else { return std::future::pending().await };
        match stream.peek(&mut [0]).await {
            Ok(0) | Err(_) => {}
            // It has sent its next request already: whether it closes after that is not seen.
            Ok(_) => std::future::pending().await,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(head.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// A connection whose other end is watched while requests are served on it.
#[derive(Debug)]
pub(super) struct Watched(Arc<TcpStream>);

impl Watched {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }

    pub(super) fn peer(&self) -> Peer {
        Peer(Some(Arc::clone(&self.0)))
    }

    /// What the kernel still holds for the other end goes when the connection is closed.
    pub(super) fn drop_unsent(&self) -> io::Result<()> {
        self.0.set_zero_linger()
    }
}

/// What an attempt came to; `None`: the socket was not ready after all.
fn tried<T>(result: io::Result<T>) -> Option<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        result => Some(result),
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            let space = buffer.remaining();
            let mut read = None;
            // A read that leaves space has taken all that there was. To say so to the runtime saves the
            // system call that would only find that out; what arrives meanwhile counts as new.
            let result = self.0.try_io(Interest::READABLE, || {
                let read_bytes = self.0.try_read_buf(buffer)?;
                read = Some(());
                let is_all = (1..space).contains(&read_bytes);
                if is_all { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            if read.is_some() {
                return Poll::Ready(Ok(()));
            }
            if let Some(read) = tried(result) {
                return Poll::Ready(read);
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            if let Some(written) = tried(self.0.try_write(bytes)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            if let Some(written) = tried(self.0.try_write_vectored(pieces)) {
                return Poll::Ready(written);
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The socket is closed when it is dropped, which follows at once.
    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
