//! Whether this machine can make calls at all: open files, local ports, memory.
//!
//! While it cannot, a queue claims nothing on this node, and other nodes go on. Owns when to try again,
//! and that the beginning and the end are each noticed once. Pure but for the lock: `now` comes in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// How long nothing is claimed after a call that this machine could not make.
const PAUSE: Duration = Duration::from_secs(1);

/// The shortage that one queue meets on this node, if there is one.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    /// Read for each call; the rest only during a shortage.
    is_on: AtomicBool,
    // A plain mutex: held to read and to write two moments, never across an await.
    times: Mutex<Option<ShortageTimes>>,
}

#[derive(Debug, Clone, Copy)]
struct ShortageTimes {
    since: Instant,
    until: Instant,
}

impl Shortage {
    /// A call could not be made. Returns whether that is news.
    pub(super) fn met(&self, now: Instant) -> bool {
        let mut times = self.lock();
        let since = times.map_or(now, |times| times.since);
        let is_news = times.replace(ShortageTimes { since, until: now + PAUSE }).is_none();
        self.is_on.store(true, Ordering::Release);
        is_news
    }

    /// A call could be made. Returns how long the shortage had lasted, if that is news.
    pub(super) fn passed(&self, now: Instant) -> Option<Duration> {
        if !self.is_on.load(Ordering::Acquire) {
            return None;
        }
        let mut times = self.lock();
        self.is_on.store(false, Ordering::Release);
        Some(now - times.take()?.since)
    }

    /// How long to claim nothing.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        if !self.is_on.load(Ordering::Acquire) {
            return None;
        }
        let until = (*self.lock())?.until;
        (until > now).then(|| until - now)
    }

    fn lock(&self) -> MutexGuard<'_, Option<ShortageTimes>> {
        self.times.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_once_and_ends_once() {
        let (shortage, now) = (Shortage::default(), Instant::now());
        assert_eq!((shortage.passed(now), shortage.wait(now)), (None, None));

        assert!(shortage.met(now));
        assert!(!shortage.met(now + PAUSE / 2));
        assert_eq!(shortage.wait(now + PAUSE), Some(PAUSE / 2));
        assert_eq!(shortage.wait(now + PAUSE * 2), None);

        assert_eq!(shortage.passed(now + PAUSE * 3), Some(PAUSE * 3));
        assert_eq!((shortage.passed(now), shortage.wait(now)), (None, None));
        assert!(shortage.met(now));
    }
}
