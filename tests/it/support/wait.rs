//! Waiting with an end: a deadline on everything, and a message that says what did not come.
//!
//! Owns the deadline of the tests. Refuses to know what is waited for.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// Far longer than anything here takes on a loaded machine; only a broken test ever sees it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(10);

/// Awaits something that signals its end.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("waited {DEADLINE:?} in vain for: {what}"))
}

/// Looks again and again until there is something.
///
/// For conditions that have no signal a test could wait on: a process that opens its socket, a
/// count that another process shows only when asked. Whatever can signal is awaited instead.
pub(crate) async fn poll_until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    poll_until_within(DEADLINE, what, look).await
}

/// [`poll_until`] for what takes longer than most: thousands of messages, a lease that runs out.
pub(crate) async fn poll_until_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain until: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// Looks again and again until it is so; see [`poll_until`].
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    poll_until(what, async || is_so().await.then_some(())).await;
}
