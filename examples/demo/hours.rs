//! When the ERP link is open: 4 seconds in every 10, for the next minutes.
//!
//! Owns the demo's clock and the rule, as config and as a question. Both come from one place, so
//! that the link and the daemon's window speak of the same hours.

use jiff::Timestamp;

/// The rhythm.
const EVERY_S: i64 = 10;
/// How long the link is open each time.
const OPEN_S: i64 = 4;
/// The first opening is so long after the start, so that the door is seen shut first.
const FIRST_S: i64 = 5;
/// Openings written into the config: three minutes' worth.
const OPENINGS: i64 = 18;

/// The hours of the link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hours {
    first_s: i64,
}

/// The clock by which the downstreams note arrivals, in microseconds since the Unix epoch.
pub(crate) fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}

impl Hours {
    /// Hours that begin shortly after `now_us`.
    pub(crate) fn starting_at(now_us: i64) -> Self {
        Self { first_s: now_us / 1_000_000 + FIRST_S }
    }

    /// Whether the link is open.
    pub(crate) fn are_open(self, at_us: i64) -> bool {
        let since_us = at_us - self.first_s * 1_000_000;
        since_us >= 0 && since_us % (EVERY_S * 1_000_000) < OPEN_S * 1_000_000
    }

    /// The lines of `open = [...]`.
    pub(crate) fn rules(self) -> String {
        let time = |at_s: i64| {
            Timestamp::from_second(at_s).unwrap_or(Timestamp::MAX).strftime("%H:%M:%S").to_string()
        };
        (0..OPENINGS)
            .map(|n| self.first_s + n * EVERY_S)
            .map(|from_s| {
                let (from, to) = (time(from_s), time(from_s + OPEN_S));
                format!("  {{ days = \"mon-sun\", from = \"{from}\", to = \"{to}\" }},\n")
            })
            .collect()
    }
}
