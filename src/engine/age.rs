//! How old a message is, as far as it counts against `retry.max_age`.

use crate::domain::policy::QueuePolicy;
use crate::store::Store;

/// Milliseconds since its first attempt, without closed hours and pauses. By a clock in doubt nothing is too
/// old.
pub(super) fn age_ms(
    store: &Store,
    policy: &QueuePolicy,
    first_attempt_ms: u64,
    now_ms: u64,
    paused_since_first_ms: u64,
) -> u64 {
    match store.clock_alarms.standing() {
        Some(_) => 0,
        None => policy.age_ms(first_attempt_ms, now_ms, paused_since_first_ms),
    }
}
