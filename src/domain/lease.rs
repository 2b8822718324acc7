//! How long a claim must hold: the one place of lease arithmetic.
//!
//! ```text
//! claim ──wait for slot, window, room──▶ first byte ──whole exchange──▶ answer ──settle──▶ written
//! │◀──────────── wait ────────────────▶│◀────────── timeout ─────────▶│◀──── settle ─────▶│
//! │◀──────────────────────────────────────── lease ─────────────────────────────────────▶│
//! ```
//!
//! An attempt that starts within its wait has been written before its lease runs out, so nobody
//! else has taken the message meanwhile. Checked when the configuration is loaded.

/// What a claimed message may always wait before its first byte, in milliseconds.
pub const WAIT_MS: u64 = 3000;

/// What is kept for writing the outcome, in milliseconds.
pub const SETTLE_MS: u64 = 2000;

/// The default, unless the downstream's timeout asks for more, in milliseconds.
const DEFAULT_MS: u64 = 30_000;

/// The shortest lease that an exchange of `timeout_ms` fits into, in milliseconds.
#[must_use]
pub const fn shortest_ms(timeout_ms: u64) -> u64 {
    WAIT_MS + timeout_ms + SETTLE_MS
}

/// The lease when none is configured, in milliseconds.
#[must_use]
pub fn default_ms(timeout_ms: u64) -> u64 {
    DEFAULT_MS.max(timeout_ms + 10_000)
}

/// How long after the claim the first byte may still leave, in milliseconds; later, the message is
/// to be given back instead.
#[must_use]
pub const fn latest_start_ms(lease_ms: u64, timeout_ms: u64) -> u64 {
    lease_ms.saturating_sub(timeout_ms + SETTLE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_defaults_of_the_contract() {
        assert_eq!(default_ms(15_000), 30_000);
        assert_eq!(default_ms(60_000), 70_000);
        assert_eq!(shortest_ms(15_000), 20_000);
    }

    proptest! {
        #[test]
        fn an_accepted_lease_holds_wait_exchange_and_settling(timeout_ms in 0u64..3_600_000, more_ms in 0u64..1_000_000) {
            let lease_ms = shortest_ms(timeout_ms) + more_ms;
            let start_ms = latest_start_ms(lease_ms, timeout_ms);
            prop_assert!(start_ms >= WAIT_MS);
            prop_assert_eq!(start_ms + timeout_ms + SETTLE_MS, lease_ms);
            prop_assert!(default_ms(timeout_ms) >= shortest_ms(timeout_ms));
        }
    }
}
