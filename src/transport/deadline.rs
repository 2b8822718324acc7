//! The end of the wait for a downstream.
//!
//! Owns what makes a deadline fair: whoever was asleep when it passed looks once more. A process that
//! stood still (a paused machine, a debugger, a stalled disk under swap) wakes to find its timers run out
//! and, in its sockets, answers that came in time; to call those "no answer" would send again what was
//! delivered. Refuses to know what is waited for.

use std::pin::pin;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

/// Timers are this exact as long as the process runs.
const PUNCTUAL: Duration = Duration::from_millis(5);
/// What reading everything that lies in the sockets may take after waking.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// As [`timeout_at`]; if the deadline was noticed late, what is there by then is still taken.
///
/// # Errors
/// [`Elapsed`] if nothing came in time.
pub(super) async fn by<F: Future>(deadline: Instant, wait: F) -> Result<F::Output, Elapsed> {
    let mut wait = pin!(wait);
    match timeout_at(deadline, wait.as_mut()).await {
        Err(_) if Instant::now() > deadline + PUNCTUAL => {
            timeout_at(Instant::now() + SECOND_LOOK, wait).await
        }
        result => result,
    }
}
