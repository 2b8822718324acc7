//! Limits without a key, as a fluid meets them.

use crate::domain::gates::{Gate, HeldGate};
use crate::domain::limit::{Limit, LimitKind, LimitStanding, LimitUnit, Quota, StackedLimits};
use crate::domain::policy::QueuePolicy;

/// Less than this is nothing: what is left of sums of many small parts.
pub(super) const NOTHING: f64 = 1e-6;

/// A rate: units flow in at an even pace, and at most a burst of them waits.
#[derive(Debug, Clone)]
pub(super) struct RatePace {
    pub(super) gate: HeldGate,
    /// Messages a millisecond.
    pub(super) per_ms: f64,
    /// Messages that may start at once beside the pace; below zero: so many are waited for.
    pub(super) level: f64,
    /// The most that gather.
    level_max: f64,
}

/// A quota: units that are there until its period ends.
#[derive(Debug, Clone)]
pub(super) struct QuotaRoom {
    quota: Quota,
    /// Units that a message takes.
    cost: f64,
    /// Messages that fit into the rest of the period.
    pub(super) left: f64,
    pub(super) ends_ms: u64,
}

/// Units that a message takes of a limit; with batches that count as one, a part of one.
fn cost(policy: &QueuePolicy, unit: LimitUnit, mean_cost: f64) -> f64 {
    let items = policy.batch.map_or(1.0, |batch| f64::from(batch.max_items));
    match unit {
        LimitUnit::Calls if policy.batch.is_some() => 1.0 / items,
        _ => mean_cost.max(NOTHING),
    }
}

/// The limits of a queue at a moment, as they stand.
pub(super) fn of_queue(
    policy: &QueuePolicy,
    standing: &StackedLimits,
    mean_cost: f64,
    now_ms: u64,
) -> (Vec<RatePace>, Vec<(HeldGate, QuotaRoom)>) {
    let (mut rates, mut quotas) = (Vec::new(), Vec::new());
    for (rule, limit) in policy.wide_limits().zip(standing.limits()) {
        let gate = HeldGate { gate: Gate::Limit, limit: Some(limit.name.clone()) };
        let cost = cost(policy, limit.unit, mean_cost);
        match (&limit.standing, rule.quota()) {
            (LimitStanding::Rate { pace, arrival_us, .. }, _) => {
                let now_us = super::whole(now_ms) * 1000.0;
                let level = (now_us + pace.tolerance_us() - arrival_us) / pace.period_us();
                let full = RatePace::full(gate, *pace, cost);
                rates.push(RatePace { level: (level / cost).min(full.level_max), ..full });
            }
            (LimitStanding::Quota { units, from_ms, used }, Some(quota)) => {
                let left = super::whole(units.saturating_sub(used[0])) / cost;
                let quota = quota.clone();
                quotas.push((gate, QuotaRoom { quota, cost, left, ends_ms: from_ms[1] }));
            }
            (LimitStanding::Quota { .. }, None) => {}
        }
    }
    (rates, quotas)
}

/// The same limits from the moment on at which `policy` comes into force: what was used of them stays used. The pace of an account
/// that several queues share is another one for nobody.
pub(super) fn turned(
    policy: &QueuePolicy,
    (rates, quotas): (&[RatePace], &[(HeldGate, QuotaRoom)]),
    mean_cost: f64,
    now_ms: u64,
) -> (Vec<RatePace>, Vec<(HeldGate, QuotaRoom)>) {
    let (mut rates_then, mut quotas_then) = (Vec::new(), Vec::new());
    for rule in policy.wide_limits() {
        let gate = HeldGate { gate: Gate::Limit, limit: Some(rule.name.clone()) };
        let cost = cost(policy, rule.unit, mean_cost);
        match &rule.kind {
            LimitKind::Rate { rate, burst } => {
                let known = rates.iter().find(|it| it.gate == gate);
                rates_then.push(match known {
                    Some(known) if rule.shared => known.clone(),
                    known => RatePace::full(gate, Limit::new(*rate, *burst), cost).used_as(known),
                });
            }
            LimitKind::Quota(quota) => {
                let whole = QuotaRoom::whole_of(quota, cost, now_ms);
                let known = quotas.iter().find(|(known, _)| *known == gate);
                let room = known.map_or_else(|| whole.clone(), |(_, known)| whole.used_as(known));
                quotas_then.push((gate, room));
            }
            LimitKind::Concurrency(_) => {}
        }
    }
    (rates_then, quotas_then)
}

impl RatePace {
    /// One of which nothing was used lately.
    fn full(gate: HeldGate, pace: Limit, cost: f64) -> Self {
        let level_max = pace.tolerance_us() / pace.period_us() / cost;
        let per_ms = 1000.0 / pace.period_us() / cost;
        Self { gate, per_ms, level: level_max, level_max }
    }

    /// It after another pace was in force: what was gathered is kept as far as it fits, and of what was taken ahead at most one unit
    /// is waited for.
    fn used_as(mut self, known: Option<&Self>) -> Self {
        let Some(known) = known else { return self };
        let debt = known.debt_ms().map_or(0.0, |ms| (ms * self.per_ms).min(1.0));
        self.level = if debt > 0.0 { -debt } else { known.level.min(self.level_max) };
        self
    }

    /// The level after so long, in which so many messages a millisecond started.
    pub(super) fn pass(&mut self, ms: f64, started_per_ms: f64) {
        self.level = (self.level + (self.per_ms - started_per_ms) * ms).min(self.level_max);
        if self.level.abs() < NOTHING {
            self.level = 0.0;
        }
    }

    /// How long until a unit is there, where more were taken than had arrived.
    pub(super) fn debt_ms(&self) -> Option<f64> {
        (self.level < 0.0).then(|| -self.level / self.per_ms)
    }
}

impl QuotaRoom {
    /// A whole period of a quota.
    pub(super) fn whole_of(quota: &Quota, cost: f64, now_ms: u64) -> Self {
        let cost = cost.max(NOTHING);
        let left = super::whole(quota.units()) / cost;
        Self { quota: quota.clone(), cost, left, ends_ms: quota.boundaries_ms(now_ms)[1] }
    }

    /// It with as much taken of it as of another one, of the same period.
    pub(super) fn used_as(&self, known: &Self) -> Self {
        let more = super::whole(self.quota.units()) - super::whole(known.quota.units());
        let left = (known.left + more / self.cost).max(0.0);
        Self { left, ends_ms: known.ends_ms, ..self.clone() }
    }

    /// So many messages start.
    pub(super) fn take(&mut self, messages: f64) {
        self.left = (self.left - messages).max(0.0);
    }

    /// The next period begins, if it is time.
    pub(super) fn renew(&mut self, now_ms: u64) {
        if now_ms >= self.ends_ms {
            self.ends_ms = self.quota.boundaries_ms(now_ms)[1].max(now_ms + 1);
            self.left = super::whole(self.quota.units()) / self.cost;
        }
    }

    /// Whether nothing is left of it.
    pub(super) fn is_used(&self) -> bool {
        self.left < NOTHING
    }
}
