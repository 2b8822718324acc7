//! The gate `limit`: each limit of the queue by itself, and under its name.

use std::fmt;

use super::{Gate, GateState, Gates, QueueLoad, Why};
use crate::domain::limit::{
    Cost, FirstSlot, LimitName, LimitRule, LimitStanding, Quota, StackedLimit, StackedLimits,
};
use crate::domain::overrides::{Override, OverrideChange};
use crate::domain::policy::QueuePolicy;

/// A gate that holds: a word of [`Gate`], or `limit:<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldGate {
    /// Which gate.
    pub gate: Gate,
    /// Of the gate `limit`: which limit.
    pub limit: Option<LimitName>,
}

impl fmt::Display for HeldGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.limit {
            None => f.write_str(self.gate.as_str()),
            Some(name) => write!(f, "{}:{name}", self.gate.as_str()),
        }
    }
}

impl Gates {
    /// The gates that hold, as `held_by` shows them: each limit under its name.
    #[must_use]
    pub fn held(&self) -> Vec<HeldGate> {
        let mut held = Vec::new();
        for (gate, _) in self.iter().filter(|(_, state)| state.is_held()) {
            if gate == Gate::Limit {
                let limits = self.limits.iter().filter(|(_, state)| state.is_held());
                held.extend(limits.map(|(name, _)| HeldGate { gate, limit: Some(name.clone()) }));
            } else {
                held.push(HeldGate { gate, limit: None });
            }
        }
        held
    }

    /// The quotas that are used, each with the moment at which it begins again, ms; `None`: nobody can know.
    pub fn used_quotas(&self) -> impl Iterator<Item = (&LimitName, Option<u64>)> {
        self.limits.iter().filter_map(|(name, state)| match state {
            GateState::Held { until_ms, why: Why::QuotaUsed } => Some((name, *until_ms)),
            _ => None,
        })
    }

    /// The rates that hold now, as their next slot lies ahead.
    pub fn held_rates(&self) -> impl Iterator<Item = &LimitName> {
        let is_rate =
            |state: &GateState| matches!(state, GateState::Held { why: Why::NextSlot, .. });
        self.limits.iter().filter(move |(_, state)| is_rate(state)).map(|(name, _)| name)
    }

    /// What one limit says; `None`: it was not asked.
    #[must_use]
    pub fn limit(&self, name: &LimitName) -> Option<GateState> {
        self.limits.iter().find(|(found, _)| found == name).map(|(_, state)| *state)
    }

    /// What each limit without a key says to a message of this cost, in whatever state it is.
    #[must_use]
    pub fn limits_at(&self, cost: Cost) -> Vec<(LimitName, GateState)> {
        match &self.stacked {
            Some((stacked, now_us)) => {
                limits(stacked, *now_us, u64::from(cost.units()), &self.override_ends)
            }
            None => self.limits.clone(),
        }
    }

    /// How each limit stands, in the order of the policy, where that was read.
    #[must_use]
    pub fn stacked(&self) -> Option<&StackedLimits> {
        self.stacked.as_ref().map(|(stacked, _)| stacked)
    }
}

/// The limits as they stand. Of what is not kept nothing was used.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds since 1970 stay below 2^53 until 2255"
)]
pub(super) fn stacked(policy: &QueuePolicy, load: &QueueLoad, now_ms: u64) -> (StackedLimits, f64) {
    let now_us = (now_ms * 1000) as f64;
    let kept = load.limits.iter().map(|kept| (kept.standing.as_str(), kept.debt.as_str()));
    let each = policy.wide_limits().zip(kept.chain(std::iter::repeat(("", ""))));
    let each = each.map(|(rule, (standing, debt))| (rule, standing, debt));
    (StackedLimits::read(each, (now_us, 0.0), now_ms), now_us)
}

/// When an override of a limit ends, and what the limit allows then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OverrideEnd {
    name: LimitName,
    at_ms: u64,
    /// Of a quota: the units of the configuration.
    units: Option<u64>,
}

/// The ends of the overrides that are in force for limits.
pub(super) fn override_ends(policy: &QueuePolicy) -> Vec<OverrideEnd> {
    let of_limit = |it: &Override| {
        let OverrideChange::Limit { name, .. } = &it.change else { return None };
        let configured = policy.as_configured().limits.iter().find(|rule| rule.name == *name);
        let units = configured.and_then(LimitRule::quota).map(Quota::units);
        Some(OverrideEnd { name: name.clone(), at_ms: it.end_ms(), units })
    };
    policy.overrides.iter().filter_map(of_limit).collect()
}

impl OverrideEnd {
    /// Whether the limit lets a message of this cost pass once the override is over: what was used of a quota stays used, and a rate
    /// holds nothing for longer than its own burst explains.
    fn frees(&self, limit: &StackedLimit, cost: u64) -> bool {
        self.name == limit.name
            && match &limit.standing {
                LimitStanding::Rate { .. } => true,
                LimitStanding::Quota { used, .. } => {
                    self.units.is_some_and(|units| used[0].saturating_add(cost) <= units)
                }
            }
    }
}

/// What each limit says to a message of this cost. None holds beyond the end of its override.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a slot is never before now"
)]
pub(super) fn limits(
    stacked: &StackedLimits,
    now_us: f64,
    cost: u64,
    ends: &[OverrideEnd],
) -> Vec<(LimitName, GateState)> {
    let state = |limit: &StackedLimit| {
        let why = match limit.standing {
            LimitStanding::Rate { .. } => Why::NextSlot,
            LimitStanding::Quota { .. } => Why::QuotaUsed,
        };
        let until_ms = match limit.standing.slot(now_us, cost) {
            FirstSlot::At(slot_us) if slot_us <= now_us => return GateState::OPEN,
            FirstSlot::At(slot_us) => Some((slot_us / 1000.0).ceil() as u64),
            // It costs more than a whole period has.
            FirstSlot::NotBefore(_) => None,
        };
        let freed = ends.iter().find(|end| end.frees(limit, cost)).map(|end| end.at_ms);
        let until_ms = freed
            .map_or(until_ms, |at_ms| Some(until_ms.map_or(at_ms, |until_ms| until_ms.min(at_ms))));
        GateState::Held { until_ms, why }
    };
    stacked.limits().iter().map(|limit| (limit.name.clone(), state(limit))).collect()
}

/// What all of them say together.
pub(super) fn all(limits: &[(LimitName, GateState)]) -> GateState {
    limits.iter().fold(GateState::OPEN, |latest, (_, state)| latest.and(*state))
}
