//! What waits, in lines: each is first in, first out, and drains at its own pace.

use std::collections::VecDeque;

use super::pace::{NOTHING, QuotaRoom};
use super::{ForecastFacts, ReadyLine};
use crate::domain::gates::{Gate, HeldGate};
use crate::domain::limit::LimitKind;
use crate::domain::policy::QueuePolicy;

/// Messages that wait in one line.
#[derive(Debug, Clone)]
pub(super) struct WaitingLine {
    pub(super) waiting: f64,
    /// All that have left it.
    pub(super) sent: f64,
    share: f64,
    is_of_key: bool,
    /// Messages a millisecond that the rates of its key let pass, and which of them; `None`: as many as there are.
    pace: Option<(f64, HeldGate)>,
    /// The quotas of its key.
    quotas: Vec<(HeldGate, QuotaRoom)>,
    /// What arrived together, the oldest first; the sum is `waiting`.
    parts: VecDeque<Cohort>,
}

#[derive(Debug, Clone, Copy)]
struct Cohort {
    messages: f64,
    expires_ms: Option<u64>,
}

impl WaitingLine {
    fn new(ready: &ReadyLine, caps: &KeyCaps) -> Self {
        let parts = VecDeque::from([Cohort { messages: ready.messages, expires_ms: None }]);
        Self {
            waiting: ready.messages,
            sent: 0.0,
            share: ready.share.max(NOTHING),
            is_of_key: ready.is_of_key,
            pace: caps.pace.clone().filter(|_| ready.is_of_key),
            quotas: if ready.is_of_key { caps.quotas.clone() } else { Vec::new() },
            parts,
        }
    }

    /// Some more arrive.
    pub(super) fn arrive(&mut self, messages: f64, expires_ms: Option<u64>) {
        self.waiting += messages;
        match self.parts.back_mut() {
            Some(last) if last.expires_ms == expires_ms => last.messages += messages,
            _ => self.parts.push_back(Cohort { messages, expires_ms }),
        }
    }

    /// Limits by key let its key have something else from now on; what was used of a quota stays used.
    pub(super) fn turn(&mut self, caps: &KeyCaps) {
        if !self.is_of_key {
            return;
        }
        self.pace.clone_from(&caps.pace);
        let known = std::mem::take(&mut self.quotas);
        self.quotas = caps
            .quotas
            .iter()
            .map(|(gate, whole)| {
                let used = known.iter().find(|(known, _)| known == gate);
                let room = used.map_or_else(|| whole.clone(), |(_, used)| whole.used_as(used));
                (gate.clone(), room)
            })
            .collect();
    }

    /// So many leave.
    pub(super) fn leave(&mut self, messages: f64) {
        let messages = messages.min(self.waiting);
        self.sent += messages;
        self.waiting -= messages;
        self.quotas.iter_mut().for_each(|(_, quota)| quota.take(messages));
        self.take_parts(messages);
        if self.waiting < NOTHING {
            self.waiting = 0.0;
            self.parts.clear();
        }
    }

    fn take_parts(&mut self, mut messages: f64) {
        while let Some(first) = self.parts.front_mut() {
            if first.messages > messages {
                first.messages -= messages;
                return;
            }
            messages -= first.messages;
            self.parts.pop_front();
        }
    }

    /// What expires by this moment goes; how many those are.
    pub(super) fn expire(&mut self, now_ms: u64) -> f64 {
        let is_over = |part: &Cohort| part.expires_ms.is_some_and(|at_ms| at_ms <= now_ms);
        let gone: f64 = self.parts.iter().filter(|part| is_over(part)).map(|it| it.messages).sum();
        if gone > 0.0 {
            self.parts.retain(|part| !is_over(part));
            self.waiting = (self.waiting - gone).max(0.0);
        }
        gone
    }

    /// Messages a millisecond that its key lets pass now; `None`: as many as there are.
    fn cap(&self) -> Option<f64> {
        if self.quotas.iter().any(|(_, quota)| quota.is_used()) {
            return Some(0.0);
        }
        self.pace.as_ref().map(|(per_ms, _)| *per_ms)
    }

    /// What its key is held by.
    pub(super) fn gate(&self) -> Option<&HeldGate> {
        let used = self.quotas.iter().filter(|(_, quota)| quota.is_used());
        let last = used.max_by_key(|(_, quota)| quota.ends_ms).map(|(gate, _)| gate);
        last.or(self.pace.as_ref().map(|(_, gate)| gate))
    }

    /// When a quota of its key begins again that is used.
    pub(super) fn opens_ms(&self) -> Option<u64> {
        let used = self.quotas.iter().filter(|(_, quota)| quota.is_used());
        used.map(|(_, quota)| quota.ends_ms).min().filter(|_| self.waiting > 0.0)
    }

    pub(super) fn renew(&mut self, now_ms: u64) {
        self.quotas.iter_mut().for_each(|(_, quota)| quota.renew(now_ms));
    }

    /// What is left of the quota of its key that has the least.
    pub(super) fn quota_left(&self) -> Option<f64> {
        self.quotas.iter().map(|(_, quota)| quota.left).min_by(f64::total_cmp)
    }
}

/// What limits by key let one value of their key have.
#[derive(Debug, Clone)]
pub(super) struct KeyCaps {
    pace: Option<(f64, HeldGate)>,
    quotas: Vec<(HeldGate, QuotaRoom)>,
}

impl KeyCaps {
    pub(super) fn of(facts: &ForecastFacts<'_>, policy: &QueuePolicy, now_ms: u64) -> Self {
        let mut paces: Vec<(f64, HeldGate)> = Vec::new();
        let mut quotas = Vec::new();
        let by_call = |calls: f64| Some(calls / facts.mean_call_ms?.max(NOTHING));
        for rule in policy.keyed_limits() {
            let gate = HeldGate { gate: Gate::Limit, limit: Some(rule.name.clone()) };
            let per_ms = match &rule.kind {
                LimitKind::Rate { rate, .. } => {
                    Some(rate.per_second() / 1000.0 / facts.mean_cost.max(NOTHING))
                }
                LimitKind::Quota(quota) => {
                    let room = QuotaRoom::whole_of(quota, facts.mean_cost, now_ms);
                    quotas.push((gate.clone(), room));
                    None
                }
                LimitKind::Concurrency(calls) => by_call(f64::from(*calls)),
            };
            paces.extend(per_ms.map(|per_ms| (per_ms, gate)));
        }
        // Of an order key one message is on its way at a time.
        if policy.ordering.is_some() {
            let gate = HeldGate { gate: Gate::Order, limit: None };
            paces.extend(by_call(1.0).map(|per_ms| (per_ms, gate)));
        }
        let pace = paces.into_iter().min_by(|one, other| one.0.total_cmp(&other.0));
        Self { pace, quotas }
    }
}

/// The lines as they stand; at least one.
pub(super) fn of(facts: &ForecastFacts<'_>) -> Vec<WaitingLine> {
    let alone = [ReadyLine { messages: 0.0, share: 1.0, is_of_key: false }];
    let ready = if facts.ready.is_empty() { &alone } else { facts.ready.as_slice() };
    let caps = KeyCaps::of(facts, facts.policy, facts.now_ms);
    ready.iter().map(|line| WaitingLine::new(line, &caps)).collect()
}

/// Messages a millisecond that leave each line, where at most `most` leave all of them together: what nobody else uses is shared by
/// those that can. `None` for a line: all of it at once.
pub(super) fn drains(lines: &[WaitingLine], most: Option<f64>) -> Vec<Option<f64>> {
    let busy: Vec<usize> = (0..lines.len()).filter(|n| lines[*n].waiting > 0.0).collect();
    let mut drains = vec![Some(0.0); lines.len()];
    let Some(mut left) = most else {
        for n in busy {
            drains[n] = lines[n].cap();
        }
        return drains;
    };
    let mut open = busy;
    loop {
        let shares: f64 = open.iter().map(|n| lines[*n].share).sum();
        if open.is_empty() || left <= 0.0 {
            return drains;
        }
        let each = left / shares;
        let (bound, free): (Vec<usize>, Vec<usize>) = open
            .iter()
            .partition(|n| lines[**n].cap().is_some_and(|cap| cap <= each * lines[**n].share));
        if bound.is_empty() {
            for n in free {
                drains[n] = Some(each * lines[n].share);
            }
            return drains;
        }
        for n in bound {
            let cap = lines[n].cap().unwrap_or(0.0);
            drains[n] = Some(cap);
            left -= cap;
        }
        open = free;
    }
}

/// Messages a millisecond that the calls in flight let pass; `None`: as many as there are.
pub(super) fn by_calls(policy: &QueuePolicy, mean_call_ms: Option<f64>) -> Option<f64> {
    let items = policy.batch.map_or(1.0, |batch| f64::from(batch.max_items));
    mean_call_ms.map(|ms| f64::from(policy.concurrency) * items / ms.max(NOTHING))
}
