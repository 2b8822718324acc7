//! Reading a whole body, bounded in size, in time and in what all of them hold together.

use std::time::Duration;

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::budget::{Budget, Share};
use super::problem::{Code, Problem};
use crate::domain::units::format_size;

/// How long the body of a single request may take to arrive.
pub(super) const BODY_PATIENCE: Duration = Duration::from_secs(30);
/// How long a stream may stand still.
pub(super) const PAUSE_PATIENCE: Duration = Duration::from_secs(30);
/// Beyond its first [`BODY_PATIENCE`], a large body has a second for so many bytes of it that have arrived.
const LARGE_BYTES_PER_S_MIN: u32 = 64 * 1024;
/// Bytes of all bodies that have arrived in part; of larger limits, two of the largest bodies.
const HELD_BYTES_MIN: usize = 128 * 1024 * 1024;
/// How long a body waits until others have left room for it.
const ROOM_PATIENCE: Duration = Duration::from_secs(10);
/// When to send again what found no room.
const RETRY_S: u32 = 2;

/// The bodies that are on their way to this node.
///
/// One that arrives in one piece is held by nobody and costs nothing here. Any other counts with the memory
/// that it takes, until the last of it is let go: callers that send slowly, or not to the end, keep others
/// from nothing but what they hold.
#[derive(Debug)]
pub(super) struct Bodies {
    held: Budget,
}

/// When a body must be there.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// By this moment.
    Until(Instant),
    /// As long as something keeps coming, and fast enough since this moment.
    Since(Instant),
}

impl Bodies {
    /// Room for bodies of so many bytes each.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { held: Budget::new(HELD_BYTES_MIN.max(bytes_max.saturating_mul(2))) }
    }

    /// The body, at most `bytes_max` of it.
    ///
    /// # Errors
    /// 413 when it is larger, 408 when it takes too long, 400 when it breaks off, 503 when there is no
    /// room for it.
    pub(super) async fn read(&self, body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
        self.read_at(Pace::Until(Instant::now() + BODY_PATIENCE), body, bytes_max).await
    }

    /// The same for large bodies: they may take their time, as long as enough keeps coming.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) async fn read_large(&self, body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
        self.read_at(Pace::Since(Instant::now()), body, bytes_max).await
    }

    async fn read_at(
        &self,
        pace: Pace,
        mut body: Body,
        bytes_max: usize,
    ) -> Result<Bytes, Problem> {
        let declared = body.size_hint().lower();
        if declared > bytes_max as u64 {
            return Err(too_large("the body", bytes_max));
        }
        let Some(first) = next(&mut body, pace.deadline(0)).await? else {
            return Ok(Bytes::new());
        };
        if first.len() > bytes_max {
            return Err(too_large("the body", bytes_max));
        }
        // Most bodies come in one piece, which is then not copied.
        if body.is_end_stream() {
            return Ok(first);
        }
        let largest = usize::try_from(declared).ok().filter(|bytes| *bytes > 0);
        let mut parts = Parts::new(self.share(), largest.unwrap_or(bytes_max));
        parts.add(&first).await?;
        drop(first);
        while !body.is_end_stream() {
            let deadline = pace.deadline(parts.bytes.len());
            let Some(data) = next(&mut body, deadline).await? else { break };
            if parts.bytes.len() + data.len() > bytes_max {
                return Err(too_large("the body", bytes_max));
            }
            parts.add(&data).await?;
        }
        Ok(parts.share.over(parts.bytes))
    }

    /// A share of the room, for a stream that holds a part of its body now and then.
    pub(super) fn share(&self) -> Share {
        self.held.share()
    }
}

/// What has arrived of a body. Its memory grows with it, not ahead of it: a body that is announced and does
/// not come takes none.
struct Parts {
    bytes: BytesMut,
    share: Share,
    largest: usize,
}

impl Parts {
    fn new(share: Share, largest: usize) -> Self {
        Self { bytes: BytesMut::new(), share, largest }
    }

    async fn add(&mut self, part: &[u8]) -> Result<(), Problem> {
        let bytes = self.bytes.len() + part.len();
        if bytes > self.bytes.capacity() {
            let capacity = (2 * self.bytes.capacity()).min(self.largest).max(bytes);
            hold(&mut self.share, capacity).await?;
            self.bytes.reserve(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }
}

/// Makes room for so many bytes of a body.
///
/// # Errors
/// 503 when others hold it for too long.
pub(super) async fn hold(share: &mut Share, bytes: usize) -> Result<(), Problem> {
    if share.hold(bytes, ROOM_PATIENCE).await {
        return Ok(());
    }
    let detail = "this node holds as many unfinished requests as it can; send it again, in one go";
    Err(Problem::store_unavailable(detail).retry_after(RETRY_S))
}

impl Pace {
    /// The latest moment for the next piece, after so many bytes.
    fn deadline(self, bytes: usize) -> Instant {
        match self {
            Self::Until(until) => until,
            Self::Since(since) => {
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                let earned = Duration::from_secs(1) * (bytes / LARGE_BYTES_PER_S_MIN);
                (since + BODY_PATIENCE + earned).min(Instant::now() + PAUSE_PATIENCE)
            }
        }
    }
}

/// The next piece of a body; `None` at its end.
///
/// # Errors
/// 408 when it does not come in time, 400 when the body breaks off.
pub(super) async fn next(body: &mut Body, until: Instant) -> Result<Option<Bytes>, Problem> {
    loop {
        match timeout_at(until, body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                // Trailers and empty pieces say nothing.
                Ok(_) | Err(_) => {}
            },
            Ok(Some(Err(error))) => {
                return Err(Problem::fault("", format!("the body broke off: {error}")));
            }
            Err(_) => {
                return Err(Problem::new(
                    Code::RequestTimeout,
                    "the body did not arrive in time; send it faster, or less of it",
                ));
            }
        }
    }
}

/// 413 for `what`, with the limit.
pub(super) fn too_large(what: &str, bytes_max: usize) -> Problem {
    let limit = format_size(bytes_max as u64);
    Problem::too_large(format!("{what} is larger than {limit}"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};

    use super::*;

    /// A byte every so often, `count` of them, and then silence if it never ends.
    fn dripping(every: Duration, count: u32, ends: bool) -> Body {
        let drops = stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, Infallible>(Bytes::from_static(b"x"))
        });
        let silence = stream::pending().take(usize::from(!ends));
        Body::from_stream(drops.chain(silence))
    }

    fn bodies() -> Bodies {
        Bodies::new(0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_time() {
        let (second, bodies) = (Duration::from_secs(1), bodies());
        let read = bodies.read(dripping(second, 20, true), 100).await.unwrap();
        assert_eq!(read, "x".repeat(20));
        for body in [dripping(second, 40, true), dripping(second, 1, false)] {
            let started = Instant::now();
            let problem = bodies.read(body, 100).await.unwrap_err();
            assert_eq!(problem.code(), Code::RequestTimeout);
            assert_eq!(started.elapsed(), BODY_PATIENCE);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_may_take_long_but_neither_drip_nor_stand_still() {
        let (second, bodies) = (Duration::from_secs(1), bodies());
        // 100 KiB every second, for a minute and a half.
        let steady = |count| {
            let pieces = stream::iter(0..count).then(move |_| async move {
                tokio::time::sleep(second).await;
                Ok::<_, Infallible>(Bytes::from(vec![b'x'; 100 << 10]))
            });
            Body::from_stream(pieces)
        };
        let read = bodies.read_large(steady(90), 64 << 20).await.unwrap();
        assert_eq!(read.len(), 90 * (100 << 10));
        for body in [dripping(second, 100, true), dripping(second, 5, false)] {
            let started = Instant::now();
            let problem = bodies.read_large(body, 100).await.unwrap_err();
            assert_eq!(problem.code(), Code::RequestTimeout);
            assert!(started.elapsed() <= BODY_PATIENCE + 5 * second, "{:?}", started.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_all_bodies_hold_together_is_bounded() {
        let bodies = Bodies::new(0);
        let piece = || Bytes::from(vec![b'x'; 1 << 20]);
        // One that is never finished holds all of the room but a little.
        let withheld = stream::iter((0..65).map(move |_| Ok::<_, Infallible>(piece())))
            .chain(stream::pending());
        let mut withheld = Box::pin(bodies.read_large(Body::from_stream(withheld), 127 << 20));
        assert!(futures_util::poll!(&mut withheld).is_pending());
        assert_eq!(bodies.held.bytes_free(), 1 << 20);

        // What comes in one piece needs none of it.
        assert_eq!(bodies.read(Body::from(piece()), 2 << 20).await.unwrap().len(), 1 << 20);
        let two = || {
            let pieces = [piece(), piece()].map(Ok::<_, Infallible>);
            Body::from_stream(stream::iter(pieces))
        };
        let started = Instant::now();
        let problem = bodies.read(two(), 4 << 20).await.unwrap_err();
        assert_eq!(problem.code(), Code::StoreUnavailable);
        assert_eq!(started.elapsed(), ROOM_PATIENCE);

        drop(withheld);
        let whole = bodies.read(two(), 4 << 20).await.unwrap();
        assert_eq!(bodies.held.bytes_free(), 126 << 20);
        drop(whole);
        assert_eq!(bodies.held.bytes_free(), 128 << 20);
    }

    #[tokio::test]
    async fn a_body_has_its_size() {
        let (bodies, drops) = (bodies(), |count| dripping(Duration::ZERO, count, true));
        assert_eq!(bodies.read(drops(10), 10).await.unwrap().len(), 10);
        let code = async |body, bytes_max| bodies.read(body, bytes_max).await.unwrap_err().code();
        assert_eq!(code(drops(11), 10).await, Code::TooLarge);
        assert_eq!(code(Body::from("12345"), 4).await, Code::TooLarge);
        assert_eq!(bodies.read(Body::from("12345"), 5).await.unwrap(), "12345");
    }
}
