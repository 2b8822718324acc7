//! A connection that speaks HTTP/2, over which many calls go at a time.
//!
//! Owns the question "may a byte have left?" where requests share a connection. A request is handed over only
//! when the other side has said what it goes by (so that TLS has accepted us, and the number of streams that it takes is
//! known) and a stream is free. From then on,
//!
//! - the other side names the last stream that it has taken (GOAWAY), and ours is above it: surely not begun (RFC 9113, 6.8);
//! - it refuses our stream (`REFUSED_STREAM`): surely not begun (RFC 9113, 8.7);
//! - the connection ends, and no byte of ours was written to it: surely not begun;
//! - anything else without an answer: unknown.
//!
//! Refuses to know when connections are made and kept (see `pool`).

mod body;
mod driver;
mod frames;
mod place;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

pub(super) use self::body::StreamBody;
use self::driver::{Driven, drive};
pub(super) use self::place::StreamPlace;
use self::wire::{FrameWatching, FramedStream};
use super::failure;
use super::handover::{HEAD_BYTES_MAX, IDLE, Stream};

/// Most calls that go over one connection at a time, whatever the other side takes.
const STREAMS_MAX: usize = 1000;
/// Calls that were withdrawn are remembered for so long, and so many of them: an answer that was on its way all the
/// same is passed over. The library gives a connection up after a thousand answers that it knows nothing of.
const WITHDRAWN: Duration = Duration::from_secs(30);
const WITHDRAWN_MAX: usize = 1000;
/// Unread bytes of one answer at most: the other side sends no more until we have read.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// The same of all answers of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

const HTTP_1_ALONE: &str = "the other side speaks HTTP/1.1 alone; set downstream.http = \"auto\"";

/// An open connection. It is closed when nobody has it any more.
pub(super) struct SharedLine {
    sender: SendRequest<Bytes>,
    watching: FrameWatching,
    driven: Arc<Driven>,
    /// Told when a stream comes free.
    freed: Arc<Notify>,
    /// Whether new calls are to take another connection.
    is_retired: AtomicBool,
    streams: Mutex<StreamsInUse>,
    /// Dropped with this: nobody has the connection any more.
    _held: oneshot::Sender<()>,
}

#[derive(Debug)]
struct StreamsInUse {
    count: usize,
    /// When the last one came free.
    unused_since: Instant,
}

/// Why a connection could not be used for HTTP/2, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotShared(String);

impl SharedLine {
    /// Speaks HTTP/2 over a stream, and waits until the other side has said what it goes by. `freed` is told when another call may go
    /// over it.
    ///
    /// # Errors
    /// The other side does not speak HTTP/2, or does not accept us: nothing of a request was sent.
    pub(super) async fn over(stream: Stream, freed: Arc<Notify>) -> Result<Arc<Self>, NotShared> {
        let watching = FrameWatching::default();
        let framed = FramedStream::new(stream, watching.clone());
        let handshake = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(1)
            .reset_stream_duration(WITHDRAWN)
            .max_concurrent_reset_streams(WITHDRAWN_MAX)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(framed)
            .await;
        let (sender, work) = handshake.map_err(|error| NotShared(failure::sentence(&error)))?;
        let (held, let_go) = oneshot::channel();
        let driven = drive(work, watching.clone(), Arc::clone(&freed), let_go);
        let is_open = driven.opened().await;
        let line = Self {
            sender,
            watching,
            driven,
            freed,
            is_retired: AtomicBool::new(false),
            streams: Mutex::new(StreamsInUse { count: 0, unused_since: Instant::now() }),
            _held: held,
        };
        if is_open { Ok(Arc::new(line)) } else { Err(line.not_opened()) }
    }

    fn not_opened(&self) -> NotShared {
        let mut watch = self.watching.lock();
        NotShared(if watch.is_other_version {
            HTTP_1_ALONE.to_owned()
        } else {
            watch.ended.take().unwrap_or_else(|| {
                "the connection was closed before HTTP/2 was agreed; set downstream.http = \"1.1\" if the other side does not speak it".to_owned()
            })
        })
    }

    /// Whether new calls may go over it.
    pub(super) fn is_fit(&self) -> bool {
        !self.is_retired.load(Ordering::Acquire)
            && !self.driven.has_ended()
            && !self.watching.lock().is_going_away()
            && self.unused_until().is_none_or(|until| Instant::now() < until)
    }

    /// Until when it is kept if nobody uses it; `None`: it is in use.
    pub(super) fn unused_until(&self) -> Option<Instant> {
        let streams = self.streams.lock();
        (streams.count == 0).then(|| streams.unused_since + IDLE)
    }

    /// A place for a call, if there is one.
    pub(super) fn place(self: &Arc<Self>) -> Option<StreamPlace> {
        let mut streams = self.streams.lock();
        if streams.count >= self.driven.streams_max().min(STREAMS_MAX) {
            return None;
        }
        streams.count += 1;
        let reads_before = self.watching.lock().reads;
        Some(StreamPlace::on(Arc::clone(self), reads_before))
    }

    fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }
}

impl fmt::Debug for SharedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLine").field("streams", &self.streams).finish_non_exhaustive()
    }
}
