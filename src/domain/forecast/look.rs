//! What holds everything at a moment of virtual time, or at which pace everything leaves.

use super::lines::{by_calls, drains};
use super::model::Model;
use super::now::Now;
use super::pace::NOTHING;
use super::{rounded, whole};
use crate::domain::gates::{Gate, GateState, HeldGate, PauseEnd, window};

impl Model<'_> {
    /// Messages a millisecond that leave now; `None`: all at once. Until its next slot a rate holds everything, and its pace is what
    /// people mean.
    pub(super) fn pace(&self, now: &Now) -> Option<f64> {
        if now.drains.iter().any(Option::is_none) {
            return None;
        }
        let of_rate = self
            .rates
            .iter()
            .find(|rate| rate.level < 0.0 && Some(&rate.gate) == now.gate.as_ref());
        let sum = now.drains.iter().flatten().sum();
        Some(of_rate.filter(|_| self.waiting() > 0.0).map_or(sum, |rate| rate.per_ms))
    }

    /// What holds everything now, or at which pace everything leaves.
    pub(super) fn look(&self) -> Now {
        let held = |gate, until_ms: Option<u64>| Now {
            gate: Some(HeldGate { gate, limit: None }),
            drains: vec![Some(0.0); self.lines.len()],
            until_ms: until_ms.map(whole),
        };
        let now_ms = rounded(self.now_ms);
        match self.facts.snapshot.pause {
            Some(PauseEnd::Resume) => return held(Gate::Pause, None),
            Some(PauseEnd::At(at_ms)) if at_ms > now_ms => return held(Gate::Pause, Some(at_ms)),
            _ => {}
        }
        let closes_ms = match window(self.policy(), 0, Some(now_ms)) {
            GateState::Open { before_ms } => before_ms,
            GateState::Held { until_ms, .. } => return held(Gate::Window, until_ms),
        };
        if let Some(at_ms) = self.facts.snapshot.throttled_until_ms.filter(|at| *at > now_ms) {
            return held(Gate::Throttled, Some(at_ms));
        }
        let used = self.quotas.iter().filter(|(_, quota)| quota.is_used());
        if let Some((gate, quota)) = used.max_by_key(|(_, quota)| quota.ends_ms) {
            let now = held(Gate::Limit, Some(quota.ends_ms));
            return Now { gate: Some(gate.clone()), ..now };
        }
        let debts = self.rates.iter().filter_map(|rate| Some((rate, rate.debt_ms()?)));
        if let Some((rate, debt_ms)) = debts.max_by(|one, other| one.1.total_cmp(&other.1)) {
            let drains = vec![Some(0.0); self.lines.len()];
            let until_ms = Some(self.after(debt_ms));
            return Now { gate: Some(rate.gate.clone()), drains, until_ms };
        }
        self.flowing(closes_ms.map(whole))
    }

    /// Nothing holds everything: what sets the pace, and how it is shared.
    fn flowing(&self, until_ms: Option<f64>) -> Now {
        let rates = self.rates.iter().filter(|rate| rate.level <= 0.0);
        let rates = rates.map(|rate| (rate.per_ms, rate.gate.clone()));
        let calls = by_calls(self.policy(), self.facts.mean_call_ms);
        let calls = calls.map(|per_ms| (per_ms, HeldGate { gate: Gate::Concurrency, limit: None }));
        let slowest = rates.chain(calls).min_by(|one, other| one.0.total_cmp(&other.0));
        let most = slowest.as_ref().map(|(per_ms, _)| *per_ms);
        let drains = drains(&self.lines, most);
        let sum: f64 = drains.iter().flatten().sum();
        let is_bound_by_keys = drains.iter().all(Option::is_some)
            && most.is_none_or(|most| sum < most - NOTHING)
            && self.waiting() > 0.0;
        let gate = if self.waiting() <= 0.0 {
            None
        } else if is_bound_by_keys {
            self.of_keys()
        } else {
            slowest.map(|(_, gate)| gate)
        };
        Now { gate, drains, until_ms }
    }

    /// The gate that holds the key of which most waits.
    fn of_keys(&self) -> Option<HeldGate> {
        let held = self.lines.iter().filter(|line| line.waiting > 0.0 && line.gate().is_some());
        let fullest = held.max_by(|one, other| one.waiting.total_cmp(&other.waiting));
        fullest.and_then(|line| line.gate().cloned())
    }
}
