//! A stream that lets others have their turn.
//!
//! Owns one rule: whoever reads from a stream that always has more to read gives its thread back after
//! every so many bytes. What is built on it may then read in a loop (the HTTP library does: a chunk's
//! length may have zeros without end) and still holds nobody up. Refuses to know what the bytes mean, and
//! how many may come.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is read in one turn.
const TURN_BYTES: usize = 16 * 1024;

/// Reads in turns; writes as the stream does.
#[derive(Debug)]
pub struct Paced<S> {
    stream: S,
    /// How much was read in this turn.
    turn_bytes: usize,
}

impl<S> Paced<S> {
    /// The same stream, in turns.
    pub const fn new(stream: S) -> Self {
        Self { stream, turn_bytes: 0 }
    }

    /// The stream itself.
    pub const fn inner(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.turn_bytes >= TURN_BYTES {
            this.turn_bytes = 0;
            // As everybody yields who has more to do: the task comes to its turn again after the runtime
            // has looked at all sockets, which it would else do after some dozens of turns.
            return std::pin::pin!(tokio::task::yield_now()).poll(cx).map(|()| Ok(()));
        }
        let before = buf.filled().len();
        let room = TURN_BYTES - this.turn_bytes;
        let read = if buf.remaining() <= room {
            Pin::new(&mut this.stream).poll_read(cx, buf)
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
            let read = Pin::new(&mut this.stream).poll_read(cx, &mut part);
            let read_bytes = part.filled().len();
            buf.advance(read_bytes);
            read
        };
        if read.is_pending() {
            // Whoever waits gives the thread back.
            this.turn_bytes = 0;
        }
        ready!(read)?;
        this.turn_bytes += buf.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_reader_gives_its_thread_back_between_turns_and_loses_nothing() {
        let mut paced = Paced::new(tokio::io::repeat(b'x').take(5 * TURN_BYTES as u64));
        let mut whole = Vec::new();
        let mut turns = 1;
        {
            let mut reading = std::pin::pin!(paced.read_to_end(&mut whole));
            while poll!(&mut reading).is_pending() {
                turns += 1;
            }
        }
        assert_eq!(whole.len(), 5 * TURN_BYTES);
        assert_eq!(turns, 6, "the last one finds the end");
    }
}
