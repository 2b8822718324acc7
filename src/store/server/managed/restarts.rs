//! How long to wait before a managed Redis that ended is started again.
//!
//! At once if it had lived for a while; a Redis that ends over and over (its disk is full, its data
//! cannot be read) is waited for longer each time, up to a bound that keeps recovery quick. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A Redis that lived so long had started well.
const WELL: Duration = Duration::from_secs(10);
const WAIT_MIN: Duration = Duration::from_millis(100);
/// Less than the five seconds within which everything goes on once Redis can write again.
const WAIT_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(in crate::store) struct Restarts {
    last: Option<Instant>,
    /// How many ended soon, in a row.
    soon: u32,
}

impl Restarts {
    /// The wait before the start that follows an end now.
    pub(in crate::store) fn next(&mut self, now: Instant) -> Duration {
        let is_soon =
            self.last.is_some_and(|last| now.saturating_duration_since(last) < WELL + WAIT_MAX);
        self.soon = if is_soon { self.soon.saturating_add(1) } else { 0 };
        self.last = Some(now);
        match self.soon {
            0 => Duration::ZERO,
            soon => (WAIT_MIN * (1 << (soon - 1).min(10))).min(WAIT_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_end_is_mended_at_once_and_many_in_a_row_are_waited_for() {
        let (mut restarts, mut now) = (Restarts::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = restarts.next(now);
            waits.push(wait.as_millis());
            now += wait + Duration::from_millis(50);
        }
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(restarts.next(now + WELL * 2), Duration::ZERO);
    }
}
