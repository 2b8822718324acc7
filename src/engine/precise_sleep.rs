//! A sleep that ends when it should, to a tenth of a millisecond.
//!
//! The runtime's timers count whole milliseconds and are rounded up twice, by the wheel and by the wait for
//! the system: they end one millisecond late on average, and two at worst. A message that is due waits for
//! nothing else, so the last two milliseconds are the system's own timer's. Where there is none, the
//! runtime's end is taken.

use std::time::Duration;

use tokio::time::Instant;

/// The runtime's timers are no later than this.
const COARSE: Duration = Duration::from_millis(2);

/// Sleeps so long.
pub(super) async fn precise_sleep(length: Duration) {
    let end = Instant::now() + length;
    if let Some(coarse) = length.checked_sub(COARSE) {
        tokio::time::sleep(coarse).await;
    }
    if fine(end.saturating_duration_since(Instant::now())).await.is_err() {
        tokio::time::sleep_until(end).await;
    }
}

/// `timerfd_create(2)`. Made anew for each: about 5 us, and nothing is kept for those who rarely sleep.
#[cfg(target_os = "linux")]
#[expect(deprecated, reason = "an OwnedFd upholds what the unsafe successor asks for")]
async fn fine(length: Duration) -> std::io::Result<()> {
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    if length.is_zero() {
        // To the system that would mean "never".
        return Ok(());
    }
    let once = Timespec::default();
    let length = Timespec::try_from(length).map_err(std::io::Error::other)?;
    let timer =
        timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let spec = Itimerspec { it_interval: once, it_value: length };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
    AsyncFd::with_interest(timer, Interest::READABLE)?.readable().await?.retain_ready();
    Ok(())
}

#[cfg(not(target_os = "linux"))]
async fn fine(_length: Duration) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_nap_is_never_too_short() {
        for length_us in [0, 1, 300, 1_999, 2_000, 2_001, 3_500, 12_345] {
            let (length, began) = (Duration::from_micros(length_us), Instant::now());
            precise_sleep(length).await;
            assert!(began.elapsed() >= length, "{length_us} us");
        }
    }

    /// Beside the runtime's own, in turns, so that a machine that is busy meanwhile does not matter.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_nap_ends_sooner_than_a_sleep() {
        let (mut naps, mut sleeps) = (Vec::new(), Vec::new());
        for length_us in 1_000..1_100 {
            let (length, began) = (Duration::from_micros(length_us), Instant::now());
            precise_sleep(length).await;
            naps.push(began.elapsed());
            let began = Instant::now();
            tokio::time::sleep(length).await;
            sleeps.push(began.elapsed());
        }
        naps.sort_unstable();
        sleeps.sort_unstable();
        assert!(naps[50] < sleeps[50], "{:?} and {:?}", naps[50], sleeps[50]);
    }
}
