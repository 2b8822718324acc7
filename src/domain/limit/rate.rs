//! A rate: so many units per time, as people write it (`20/s`, `600/min`, `50000/day`).
//!
//! Refuses to know how it is kept (see `gcra`).

use std::fmt;
use std::str::FromStr;

/// Microseconds of each unit of time a rate may name.
const PER: [(&str, u64); 9] = [
    ("s", 1_000_000),
    ("sec", 1_000_000),
    ("second", 1_000_000),
    ("min", 60_000_000),
    ("minute", 60_000_000),
    ("h", 3_600_000_000),
    ("hour", 3_600_000_000),
    ("d", 86_400_000_000),
    ("day", 86_400_000_000),
];

/// The fastest rate accepted, in calls per second.
pub const RATE_PER_SECOND_MAX: u64 = 1_000_000;

/// Calls per time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    calls: u64,
    per_us: u64,
}

impl Rate {
    /// The time between two calls at this rate, in microseconds; not rounded.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "calls and microseconds stay far below 2^52")]
    pub fn period_us(self) -> f64 {
        self.per_us as f64 / self.calls as f64
    }

    /// Calls per second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        1_000_000.0 / self.period_us()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per_us {
            1_000_000 => "s",
            60_000_000 => "min",
            3_600_000_000 => "h",
            _ => "day",
        };
        write!(f, "{}/{unit}", self.calls)
    }
}

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid rate; expected for example 20/s, 600/min, 1000/h or 50000/day, up to 1000000/s"
)]
pub struct BadRate(pub String);

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadRate(text.to_owned());
        let (calls, unit) = text.split_once('/').ok_or_else(bad)?;
        let calls: u64 = calls.trim().replace('_', "").parse().map_err(|_| bad())?;
        let unit = unit.trim();
        let per_us = PER.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?.1;
        let too_fast =
            u128::from(calls) * 1_000_000 > u128::from(RATE_PER_SECOND_MAX) * u128::from(per_us);
        if calls == 0 || too_fast {
            return Err(bad());
        }
        Ok(Self { calls, per_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_as_people_write_them() {
        for (text, period_us) in [
            ("20/s", 50_000.0),
            ("600/min", 100_000.0),
            ("50000/day", 1_728_000.0),
            ("3/s", 1_000_000.0 / 3.0),
            ("1_000/h", 3_600_000.0),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert!((rate.period_us() - period_us).abs() < 1e-6, "{text}");
        }
        for bad in ["", "20", "0/s", "-1/s", "20/fortnight", "1.5/s", "1000001/s", "/s", "20/"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn rates_read_back(calls in 1u64..=1_000_000, unit in prop::sample::select(vec!["s", "min", "h", "day"])) {
            let rate: Rate = format!("{calls}/{unit}").parse().unwrap();
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }
}
