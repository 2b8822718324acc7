//! Waits that are spread at random, so that nodes, queues and retries do not come in step.
//!
//! `share` is from 0 to 1, and `random` from 0 up to 1, without 1.

use std::time::Duration;

/// What a wait is multiplied by to change it by at most `share` of itself, in either direction.
#[must_use]
pub fn factor(share: f64, random: f64) -> f64 {
    1.0 + (random * 2.0 - 1.0) * share
}

/// `wait`, changed by at most `share` of itself, in either direction.
#[must_use]
pub fn spread(wait: Duration, share: f64, random: f64) -> Duration {
    wait.mul_f64(factor(share, random))
}

/// `wait`, or up to `share` of itself less.
#[must_use]
pub fn shortened(wait: Duration, share: f64, random: f64) -> Duration {
    wait.mul_f64(1.0 - share * random)
}

/// `wait`, or up to `share` of itself more.
#[must_use]
pub fn lengthened(wait: Duration, share: f64, random: f64) -> Duration {
    wait.mul_f64(1.0 + share * random)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WAIT: Duration = Duration::from_secs(8);

    #[test]
    fn the_ends_are_reached() {
        assert_eq!(spread(WAIT, 0.25, 0.0), Duration::from_secs(6));
        assert_eq!(spread(WAIT, 0.25, 0.5), WAIT);
        assert_eq!(shortened(WAIT, 0.25, 0.0), WAIT);
        assert_eq!(shortened(WAIT, 1.0, 0.5), WAIT / 2);
        assert_eq!(lengthened(WAIT, 0.5, 0.5), Duration::from_secs(10));
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_its_share(share in 0.0f64..=1.0, random in 0.0f64..1.0) {
            let part = WAIT.mul_f64(share) + Duration::from_nanos(1);
            prop_assert!(spread(WAIT, share, random).abs_diff(WAIT) <= part);
            prop_assert!(shortened(WAIT, share, random) <= WAIT);
            prop_assert!(WAIT - shortened(WAIT, share, random) <= part);
            prop_assert!(lengthened(WAIT, share, random) >= WAIT);
            prop_assert!(lengthened(WAIT, share, random) - WAIT <= part);
        }
    }
}
