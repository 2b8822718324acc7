//! Several limits at once: all must let a call pass, and then all take its units together.
//!
//! Owns the arithmetic over the list of a queue: the slot of a call, what it takes, and what goes back. The state lives in
//! Redis and is advanced there by the same arithmetic: `store/lua/include/limits.lua` is its twin, and a property test
//! holds the two together. Pure: moments come in.

use super::gcra::{LEAD_US_FURTHEST, Limit};
use super::name::LimitName;
use super::rule::{LimitKind, LimitRule, LimitUnit};
use super::units::Units;

/// The limits of a queue as they stand at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct StackedLimits {
    limits: Vec<StackedLimit>,
}

/// What Redis keeps of one limit; empty: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptLimit {
    /// How it stands.
    pub standing: String,
    /// Of a rate: its debt.
    pub debt: String,
}

impl KeptLimit {
    /// A quota of which so many units are used in the period that ends then.
    #[must_use]
    pub fn used_until(units: u64, end_ms: u64) -> Self {
        Self { standing: format!("0 {end_ms} {units}"), debt: String::new() }
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct StackedLimit {
    /// Its name.
    pub name: LimitName,
    /// What it counts.
    pub unit: LimitUnit,
    /// How it stands.
    pub standing: LimitStanding,
}

/// How a limit stands.
#[derive(Debug, Clone, PartialEq)]
pub enum LimitStanding {
    /// A rate.
    Rate {
        /// Its pace.
        pace: Limit,
        /// When the next unit arrives, microseconds by Redis.
        arrival_us: f64,
        /// Units of this minute and of the one before, and which minute since the Unix epoch it is.
        minutes: [u64; 3],
        /// What the last call left behind that took more than one unit.
        debt: Option<Debt>,
    },
    /// A quota.
    Quota {
        /// Most units in a period.
        units: u64,
        /// The start of the present period, of the next one, and the end of that, ms.
        from_ms: [u64; 3],
        /// What was taken in both.
        used: [u64; 2],
    },
}

/// A rate in debt: more units were taken than had arrived. As many units stay to be waited for when the rate changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Debt {
    arrival_us: f64,
    slot_us: f64,
    period_us: f64,
}

/// When a call may start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FirstSlot {
    /// At this moment, microseconds by Redis.
    At(f64),
    /// Not before this moment; whether then, nobody knows yet.
    NotBefore(f64),
}

impl StackedLimits {
    /// The limits as Redis keeps them: of each what stands under its name, and its debt. `horizon_us`: how far ahead the
    /// caller looks for slots. Only limits that count all messages together stand in the list of a queue: rates and quotas.
    pub fn read<'a>(
        rules: impl IntoIterator<Item = (&'a LimitRule, &'a str, &'a str)>,
        (now_us, horizon_us): (f64, f64),
        now_ms: u64,
    ) -> Self {
        let limits = rules.into_iter().filter_map(|(rule, kept, debt)| {
            let standing = match &rule.kind {
                LimitKind::Rate { rate, burst } => {
                    let pace = Limit::new(*rate, *burst);
                    let reach_us = now_us + f64::from(LEAD_US_FURTHEST) + horizon_us;
                    read_rate(pace, (kept, debt), reach_us)
                }
                LimitKind::Quota(quota) => {
                    read_quota(quota.units(), quota.boundaries_ms(now_ms), kept)
                }
                LimitKind::Concurrency(_) => return None,
            };
            Some(StackedLimit { name: rule.name.clone(), unit: rule.unit, standing })
        });
        Self { limits: limits.collect() }
    }

    /// Each of them, in the order of the configuration.
    #[must_use]
    pub fn limits(&self) -> &[StackedLimit] {
        &self.limits
    }

    /// The slot of a call that takes these units (`slot_us` of them is ignored): the first moment from `from_us` on at
    /// which every limit lets it pass.
    #[must_use]
    pub fn slot(&self, from_us: f64, units: Units) -> FirstSlot {
        let rates = self.limits.iter().map(|limit| limit.standing.paced_us(from_us));
        let mut slot_us = rates.fold(from_us, f64::max);
        loop {
            let before_us = slot_us;
            for limit in &self.limits {
                match limit.standing.slot(slot_us, units.of(limit.unit)) {
                    FirstSlot::At(at_us) => slot_us = at_us,
                    FirstSlot::NotBefore(at_us) => return FirstSlot::NotBefore(slot_us.max(at_us)),
                }
            }
            if slot_us <= before_us {
                return FirstSlot::At(slot_us);
            }
        }
    }

    /// Whether a call with this slot may carry one more message of this cost: rates have let it pass, quotas count.
    #[must_use]
    pub fn fit(&self, slot_us: f64, cost: u64) -> bool {
        self.limits.iter().filter(|limit| limit.unit == LimitUnit::Messages).all(|limit| {
            let LimitStanding::Quota { units, used, .. } = &limit.standing else { return true };
            let period = limit.standing.period_of(slot_us);
            used.get(period).is_some_and(|used| used + cost <= *units)
        })
    }

    /// Takes the units of a call that starts in this slot.
    pub fn take(&mut self, slot_us: f64, units: Units) {
        for limit in &mut self.limits {
            limit.standing.take(slot_us, units.of(limit.unit));
        }
    }

    /// Gives units back to the quotas, of a call that surely did not start.
    pub fn give_back(&mut self, slot_us: f64, units: Units) {
        for limit in &mut self.limits {
            let (period, units) = (limit.standing.period_of(slot_us), units.of(limit.unit));
            let LimitStanding::Quota { used, from_ms, .. } = &mut limit.standing else { continue };
            if let Some(used) = used.get_mut(period).filter(|_| slot_us >= micros(from_ms[0])) {
                *used = used.saturating_sub(units);
            }
        }
    }
}

impl LimitStanding {
    /// When a rate lets one unit pass, from this moment on.
    fn paced_us(&self, from_us: f64) -> f64 {
        match self {
            Self::Rate { pace, arrival_us, .. } => pace.slot_us(*arrival_us, from_us),
            Self::Quota { .. } => from_us,
        }
    }

    /// When a rate lets the next unit pass, in milliseconds; now, where one does.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a slot is never before now"
    )]
    pub fn next_ms(&self, now_ms: u64) -> u64 {
        (self.paced_us(micros(now_ms)) / 1000.0).ceil() as u64
    }

    /// The share that is used, 0 to 1: of a quota in this period, of a rate in the last minute. Of the queue's own rate
    /// `own_units` were used in that minute; it keeps no count of its own.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    pub fn used_share(&self, now_ms: u64, own_units: u64) -> f64 {
        match self {
            Self::Quota { units, used, .. } => used[0] as f64 / *units as f64,
            Self::Rate { pace, minutes: [minute, this, before], .. } => {
                let rest = 1.0 - (now_ms % 60_000) as f64 / 60_000.0;
                let used = match (now_ms / 60_000).checked_sub(*minute) {
                    _ if *minute == 0 => own_units as f64,
                    Some(0) => *this as f64 + *before as f64 * rest,
                    Some(1) => *this as f64 * rest,
                    _ => 0.0,
                };
                (used * pace.period_us() / 60e6).min(1.0)
            }
        }
    }

    /// The units that were used: of a quota in this period, of a rate in the last minute, as far as it counts them.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a count of a minute, rounded"
    )]
    pub fn used_units(&self, now_ms: u64) -> u64 {
        match self {
            Self::Quota { used, .. } => used[0],
            Self::Rate { minutes: [minute, this, before], .. } => {
                let rest = 1.0 - (now_ms % 60_000) as f64 / 60_000.0;
                match (now_ms / 60_000).checked_sub(*minute) {
                    Some(0) => this + (*before as f64 * rest) as u64,
                    Some(1) => (*this as f64 * rest) as u64,
                    _ => 0,
                }
            }
        }
    }

    /// In which of its two periods a quota counts a slot; 2: in a later one.
    fn period_of(&self, slot_us: f64) -> usize {
        match self {
            Self::Quota { from_ms, .. } if slot_us < micros(from_ms[1]) => 0,
            Self::Quota { from_ms, .. } if slot_us < micros(from_ms[2]) => 1,
            _ => 2,
        }
    }

    /// The first moment from `from_us` on at which this limit lets so many units pass.
    #[must_use]
    pub fn slot(&self, from_us: f64, wanted: u64) -> FirstSlot {
        let Self::Quota { units, from_ms, used } = self else {
            return FirstSlot::At(self.paced_us(from_us));
        };
        let first = self.period_of(from_us);
        let Some(free) = (first..2).find(|period| used[*period] + wanted <= *units) else {
            return FirstSlot::NotBefore(if first == 2 { from_us } else { micros(from_ms[2]) });
        };
        FirstSlot::At(if free == first { from_us } else { micros(from_ms[free]) })
    }

    fn take(&mut self, slot_us: f64, wanted: u64) {
        let period = self.period_of(slot_us);
        match self {
            Self::Quota { used, .. } => used[period] += wanted,
            Self::Rate { .. } if wanted == 0 => {}
            Self::Rate { pace, arrival_us, debt, .. } => {
                *arrival_us = arrival_us.max(slot_us) + units_us(wanted, pace.period_us());
                if wanted > 1 {
                    let period_us = pace.period_us();
                    *debt = Some(Debt { arrival_us: *arrival_us, slot_us, period_us });
                }
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds since 1970 stay below 2^53 until 2255"
)]
const fn micros(ms: u64) -> f64 {
    (ms * 1000) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a call takes less than 2^53 units")]
fn units_us(units: u64, period_us: f64) -> f64 {
    units as f64 * period_us
}

/// A rate as Redis keeps it: its arrival time, and behind it what was counted by the minute. An arrival time further ahead
/// than any node reaches is a debt, or a leftover of a clock that stepped back or of a slower rate. A debt stays as many
/// units as it was; of a leftover a whole burst stays.
fn read_rate(pace: Limit, (kept, debt): (&str, &str), reach_us: f64) -> LimitStanding {
    let mut words = kept.split(' ');
    // A number without a point was kept by a quota of this name.
    let arrival = words.next().filter(|word| word.contains('.'));
    let kept_us: f64 = arrival.and_then(|word| word.parse().ok()).unwrap_or(0.0);
    let mut minute = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let minutes = [minute(), minute(), minute()];
    let debt = read_debt(debt).filter(|debt| debt.arrival_us == kept_us);
    let furthest_us = reach_us + pace.tolerance_us() + pace.period_us();
    let (arrival_us, debt) = match debt {
        _ if kept_us <= furthest_us => (kept_us, debt),
        None => (furthest_us, None),
        Some(debt) if debt.slot_us <= reach_us && debt.period_us == pace.period_us() => {
            (kept_us, Some(debt))
        }
        Some(debt) => {
            let slot_us = debt.slot_us.min(reach_us);
            let units = (kept_us - debt.slot_us) / debt.period_us;
            let owed_us = ((slot_us + units * pace.period_us()) * 4.0).ceil() / 4.0;
            let arrival_us = furthest_us.max(owed_us);
            (arrival_us, Some(Debt { arrival_us, slot_us, period_us: pace.period_us() }))
        }
    };
    LimitStanding::Rate { pace, arrival_us, minutes, debt }
}

fn read_debt(text: &str) -> Option<Debt> {
    let mut numbers = text.split(' ').map_while(|word| word.parse().ok());
    let (arrival_us, slot_us, period_us) = (numbers.next()?, numbers.next()?, numbers.next()?);
    Some(Debt { arrival_us, slot_us, period_us })
}

/// A quota as Redis keeps it. What was counted in periods with other boundaries (of another zone, or of another version of
/// the zone's rules) is counted once: in the period in which its own began, or in the first if that has not ended.
fn read_quota(units: u64, from_ms: [u64; 3], kept: &str) -> LimitStanding {
    let mut used = [0, 0];
    // A number with a point was kept by a rate of this name.
    let numbers: Vec<u64> = kept.split(' ').map_while(|word| word.parse().ok()).collect();
    for period in numbers.chunks_exact(3).filter(|period| period[1] > from_ms[0]) {
        used[usize::from(period[0] >= from_ms[1])] += period[2];
    }
    LimitStanding::Quota { units, from_ms, used }
}
