//! What a message takes of the limits of its queue.

/// The most that a message may cost.
pub const COST_MAX: u16 = 10_000;

/// Units that a message takes of the limits of its queue, from 1 to [`COST_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(u16);

impl Cost {
    /// So many units; `None`: out of bounds.
    #[must_use]
    pub fn new(units: u32) -> Option<Self> {
        let units = u16::try_from(units).ok()?;
        (1..=COST_MAX).contains(&units).then_some(Self(units))
    }

    /// How many units it is.
    #[must_use]
    pub const fn units(self) -> u16 {
        self.0
    }
}

/// That of a message that names none.
impl Default for Cost {
    fn default() -> Self {
        Self(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_at_least_one_and_has_a_bound() {
        assert_eq!(Cost::default().units(), 1);
        for (units, expected) in [(0, None), (1, Some(1)), (10_000, Some(10_000)), (10_001, None)] {
            assert_eq!(Cost::new(units).map(Cost::units), expected);
        }
        assert_eq!(Cost::new(65_537), None, "nothing is cut off");
    }
}
