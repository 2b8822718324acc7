//! Places for connections: how many there are, and who makes way when all are taken.
//!
//! A connection on which nothing happens costs a descriptor and keeps others out. So when somebody waits
//! for a place and there is none, the connections that have been idle for longest are closed. Owns which
//! these are. Refuses to know what is asked on a connection.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// A connection is idle when nothing has happened on it for so long.
const IDLE_MS_MIN: u64 = 1000;
/// When to look again for idle ones, while all places are taken.
const LOOK: Duration = Duration::from_millis(100);
/// The share of all connections that makes way at a time, so that a look at all of them is rare.
const LOT: usize = 32;

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    count: u32,
    // A plain mutex: held to add, remove and look, never across an await.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Arc<Seat>>,
}

/// A place that is taken; it comes free when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) seat: Arc<Seat>,
    number: u64,
    places: Arc<Places>,
    _permit: OwnedSemaphorePermit,
}

/// What is known of the connection on a place.
#[derive(Debug)]
pub(super) struct Seat {
    began: Instant,
    /// A request is being read or answered.
    is_busy: AtomicBool,
    /// Bytes wait to be written.
    is_writing: AtomicBool,
    /// When the last request ended, in milliseconds since it began.
    idle_since_ms: AtomicU64,
    leave: Notify,
}

impl Places {
    pub(super) fn new(count: u32) -> Arc<Self> {
        let free = Semaphore::new(count.try_into().unwrap_or(Semaphore::MAX_PERMITS));
        Arc::new(Self { free: Arc::new(free), count, taken: Mutex::default() })
    }

    /// A place; where all are taken, idle connections make way, or it is waited for.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        loop {
            let permit = match Arc::clone(&self.free).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => {
                    self.make_way();
                    let free = Arc::clone(&self.free).acquire_owned();
                    // The semaphore is never closed.
                    timeout(LOOK, free).await.ok().and_then(Result::ok)
                }
            };
            let Some(permit) = permit else { continue };
            let seat = Arc::new(Seat::new());
            let number = {
                let mut taken = self.lock();
                taken.next += 1;
                let number = taken.next;
                taken.seats.insert(number, Arc::clone(&seat));
                number
            };
            return Place { seat, number, places: Arc::clone(self), _permit: permit };
        }
    }

    /// Asks the connections that have been idle for longest to leave.
    pub(super) fn make_way(&self) {
        let taken = self.lock();
        let idle = taken.seats.values().filter_map(|seat| Some((seat.idle_ms()?, seat)));
        let mut idle: Vec<_> = idle.filter(|(idle_ms, _)| *idle_ms >= IDLE_MS_MIN).collect();
        let lot = (taken.seats.len() / LOT).max(1);
        if idle.len() > lot {
            idle.select_nth_unstable_by_key(lot, |(idle_ms, _)| u64::MAX - idle_ms);
        }
        for (_, seat) in idle.iter().take(lot) {
            seat.leave.notify_one();
        }
    }

    /// Waits until every connection has ended.
    pub(super) async fn all_free(&self) {
        drop(self.free.acquire_many(self.count).await);
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().seats.remove(&self.number);
    }
}

impl Seat {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            is_busy: AtomicBool::new(false),
            is_writing: AtomicBool::new(false),
            idle_since_ms: AtomicU64::new(0),
            leave: Notify::new(),
        }
    }

    /// A request has come; it is over when this is dropped.
    pub(super) fn request(self: &Arc<Self>) -> Busy {
        self.is_busy.store(true, Ordering::Release);
        Busy(Arc::clone(self))
    }

    pub(super) fn set_writing(&self, is_writing: bool) {
        self.is_writing.store(is_writing, Ordering::Release);
    }

    /// Returns when others need the place more.
    pub(super) async fn asked_to_leave(&self) {
        loop {
            self.leave.notified().await;
            // A request may have come since.
            if self.idle_ms().is_some() {
                return;
            }
        }
    }

    /// For how long nothing has happened; `None`: something does.
    fn idle_ms(&self) -> Option<u64> {
        let is_idle =
            !self.is_busy.load(Ordering::Acquire) && !self.is_writing.load(Ordering::Acquire);
        let since_ms = self.idle_since_ms.load(Ordering::Acquire);
        is_idle.then(|| self.age_ms().saturating_sub(since_ms))
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Seat>);

impl Busy {
    /// The body of its answer: the request lasts until that has been taken.
    pub(super) fn until_taken(self, body: Body) -> Answering {
        Answering { body, _busy: self }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since_ms.store(self.0.age_ms(), Ordering::Release);
        self.0.is_busy.store(false, Ordering::Release);
    }
}

/// The body of an answer on its way out.
#[derive(Debug)]
pub(super) struct Answering {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_been_idle_for_longest_makes_way() {
        let places = Places::new(3);
        let (busy, old, young) = (places.take().await, places.take().await, places.take().await);
        let request = busy.seat.request();
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(young.seat.request());
        tokio::time::sleep(Duration::from_secs(2)).await;

        let seat = Arc::clone(&old.seat);
        let leaving = async {
            seat.asked_to_leave().await;
            drop(old);
        };
        let (fourth, ()) = tokio::join!(places.take(), leaving);

        for seat in [&busy.seat, &young.seat] {
            assert!(futures_util::poll!(Box::pin(seat.asked_to_leave())).is_pending());
        }
        drop((request, fourth, busy, young));
        timeout(LOOK, places.all_free()).await.unwrap();
        assert!(places.lock().seats.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_busy_stays_and_others_wait() {
        let places = Places::new(1);
        let only = places.take().await;
        let request = only.seat.request();
        let mut waiting = Box::pin(places.take());
        assert!(timeout(Duration::from_secs(60), &mut waiting).await.is_err());
        drop(request);
        // Asked again once it has been idle for long enough.
        let (began, seat) = (Instant::now(), Arc::clone(&only.seat));
        let leaving = async {
            seat.asked_to_leave().await;
            drop(only);
        };
        drop(tokio::join!(waiting, leaving));
        assert!(began.elapsed() >= Duration::from_millis(IDLE_MS_MIN));
    }
}
