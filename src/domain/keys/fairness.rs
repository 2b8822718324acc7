//! Shares by a key, and the weights of its values.

use std::collections::BTreeMap;

use super::key::MessageKey;

/// The least weight, in thousandths.
pub const WEIGHT_MIN: u32 = 10;
/// The largest weight, in thousandths.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// Values of a key that have messages waiting share what may start, by their weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fairness {
    /// The key. All messages without it share one value, the empty one.
    pub by: MessageKey,
    /// The weights of single values; `""` is that of messages without the key.
    pub weights: BTreeMap<String, Weight>,
    /// The weight of all others.
    pub weight: Weight,
}

/// The weight of a value among the others: 0.01 to 1000, in whole thousandths, which scripts calculate with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

/// Why a number is not a weight.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "found {0}, expected a number from 0.01 to 1000 with at most three digits behind the point"
)]
pub struct BadWeight(pub f64);

impl Fairness {
    /// What a key alone stands for: all its values have the same weight.
    #[must_use]
    pub const fn by(key: MessageKey) -> Self {
        Self { by: key, weights: BTreeMap::new(), weight: Weight::DEFAULT }
    }

    /// The weight of this value; that of messages without the key is asked for by the empty one.
    #[must_use]
    pub fn weight_of(&self, value: &str) -> Weight {
        self.weights.get(value).copied().unwrap_or(self.weight)
    }
}

impl Weight {
    /// That of a value which nothing is said of.
    pub const DEFAULT: Self = Self(1000);

    /// In thousandths, [`WEIGHT_MIN`] to [`WEIGHT_MAX`].
    #[must_use]
    pub const fn thousandths(self) -> u32 {
        self.0
    }

    /// As it is written.
    #[must_use]
    pub fn number(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// A weight as it is written.
    ///
    /// # Errors
    /// [`BadWeight`]: out of bounds, or finer than a thousandth.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is within the bounds"
    )]
    pub fn of_number(number: f64) -> Result<Self, BadWeight> {
        let thousandths = (number * 1000.0).round();
        let bounds = f64::from(WEIGHT_MIN)..=f64::from(WEIGHT_MAX);
        // As many digits as a number of this size has leave less of a difference than this.
        let is_whole = (number * 1000.0 - thousandths).abs() < 1e-6;
        if bounds.contains(&thousandths) && is_whole {
            Ok(Self(thousandths as u32))
        } else {
            Err(BadWeight(number))
        }
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weights_as_people_write_them() {
        for (number, thousandths) in [
            (1.0, 1000),
            (5.0, 5000),
            (0.01, 10),
            (1000.0, 1_000_000),
            (0.3, 300),
            (999.999, 999_999),
        ] {
            assert_eq!(Weight::of_number(number).map(Weight::thousandths), Ok(thousandths));
        }
        for bad in [0.0, 0.009, -1.0, 1000.001, 1.0005, 1e300, f64::NAN, f64::INFINITY] {
            let error = Weight::of_number(bad).unwrap_err().to_string();
            assert!(error.contains("expected a number from 0.01 to 1000"), "{error}");
        }
        assert_eq!(Weight::default().number(), 1.0);
    }

    #[test]
    fn a_value_without_a_weight_of_its_own_has_that_of_all_others() {
        let weight = |number: f64| Weight::of_number(number).unwrap();
        let fairness = Fairness {
            weights: [("acme".to_owned(), weight(5.0)), (String::new(), weight(0.5))].into(),
            weight: weight(2.0),
            ..Fairness::by(MessageKey::Group)
        };
        for (value, number) in [("acme", 5.0), ("", 0.5), ("other", 2.0)] {
            assert_eq!(fairness.weight_of(value), weight(number));
        }
    }

    proptest! {
        #[test]
        fn weights_read_back(thousandths in WEIGHT_MIN..=WEIGHT_MAX) {
            let weight = Weight::of_number(f64::from(thousandths) / 1000.0).unwrap();
            prop_assert_eq!(weight.thousandths(), thousandths);
            prop_assert_eq!(Weight::of_number(weight.number()), Ok(weight));
        }
    }
}
