//! One call at a time agrees with a server about a shard, before any other call goes there.
//!
//! Owns that a server which hangs is waited for once: what fails for one call fails for all that waited behind it, or each of
//! them would wait for its own answer, one after the other. Refuses to know what is agreed on.

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// The right to agree, which one call has at a time.
#[derive(Debug, Default)]
pub(in crate::store) struct Meeting {
    failed_at: Mutex<Option<Instant>>,
}

/// The call that agrees now.
#[derive(Debug)]
pub(in crate::store) struct MeetingTurn<'m> {
    failed_at: MutexGuard<'m, Option<Instant>>,
}

impl Meeting {
    /// Waits for the turn; `None`: the call before it failed meanwhile, and this one would.
    pub(in crate::store) async fn turn(&self) -> Option<MeetingTurn<'_>> {
        let came = Instant::now();
        let failed_at = self.failed_at.lock().await;
        let has_failed = failed_at.is_some_and(|failed_at| failed_at >= came);
        (!has_failed).then_some(MeetingTurn { failed_at })
    }
}

impl MeetingTurn<'_> {
    /// Ends the turn with this result.
    pub(in crate::store) fn end<T, E>(mut self, result: Result<T, E>) -> Result<T, E> {
        *self.failed_at = result.is_err().then(Instant::now);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waited_behind_a_failure_fails_and_who_comes_later_tries() {
        let meeting = Meeting::default();
        let first = meeting.turn().await.unwrap();
        let waiting = async { meeting.turn().await.is_some() };
        let failing = async {
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            first.end(Err::<(), _>("it hangs"))
        };
        let (was_let_in, failed) = tokio::join!(waiting, failing);
        assert!(!was_let_in && failed.is_err());
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        let second = meeting.turn().await.expect("it came after the failure");
        let waiting = async { meeting.turn().await.is_some() };
        let (was_let_in, done) = tokio::join!(waiting, async { second.end(Ok::<_, ()>(1)) });
        assert!(was_let_in && done == Ok(1));
    }
}
