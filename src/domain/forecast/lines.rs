//! What waits, in lines: each is first in, first out, and drains at its own pace.

use std::collections::VecDeque;

use super::pace::{NOTHING, QuotaRoom};
use super::{ForecastFacts, ReadyLine};
use crate::domain::limit::LimitKind;
use crate::domain::policy::QueuePolicy;

/// Messages that wait in one line.
#[derive(Debug, Clone)]
pub(super) struct WaitingLine {
    pub(super) waiting: f64,
    /// All that have left it.
    pub(super) sent: f64,
    share: f64,
    /// Messages a millisecond that the rates of its key let pass; `None`: as many as there are.
    cap_per_ms: Option<f64>,
    /// The quotas of its key.
    quotas: Vec<QuotaRoom>,
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
            cap_per_ms: caps.per_ms.filter(|_| ready.is_of_key),
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

    /// So many leave.
    pub(super) fn leave(&mut self, messages: f64) {
        let messages = messages.min(self.waiting);
        self.sent += messages;
        self.waiting -= messages;
        self.quotas.iter_mut().for_each(|quota| quota.take(messages));
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
        if self.quotas.iter().any(QuotaRoom::is_used) { Some(0.0) } else { self.cap_per_ms }
    }

    /// When a quota of its key begins again that is used.
    pub(super) fn opens_ms(&self) -> Option<u64> {
        let used = self.quotas.iter().filter(|quota| quota.is_used());
        used.map(|quota| quota.ends_ms).min().filter(|_| self.waiting > 0.0)
    }

    pub(super) fn renew(&mut self, now_ms: u64) {
        self.quotas.iter_mut().for_each(|quota| quota.renew(now_ms));
    }

    /// What is left of the quota of its key that has the least.
    pub(super) fn quota_left(&self) -> Option<f64> {
        self.quotas.iter().map(|quota| quota.left).min_by(f64::total_cmp)
    }
}

/// What limits by key let one value of their key have.
#[derive(Debug, Clone)]
struct KeyCaps {
    per_ms: Option<f64>,
    quotas: Vec<QuotaRoom>,
}

impl KeyCaps {
    fn of(facts: &ForecastFacts<'_>) -> Self {
        let policy = facts.policy;
        let mut caps: Vec<f64> = Vec::new();
        let mut quotas = Vec::new();
        for rule in policy.keyed_limits() {
            match &rule.kind {
                LimitKind::Rate { rate, .. } => {
                    caps.push(rate.per_second() / 1000.0 / facts.mean_cost.max(NOTHING));
                }
                LimitKind::Quota(quota) => {
                    quotas.push(QuotaRoom::whole_of(quota, facts.mean_cost, facts.now_ms));
                }
                LimitKind::Concurrency(calls) => {
                    caps.extend(facts.mean_call_ms.map(|ms| f64::from(*calls) / ms.max(NOTHING)));
                }
            }
        }
        // Of an order key one message is on its way at a time.
        if policy.ordering.is_some() {
            caps.extend(facts.mean_call_ms.map(|ms| 1.0 / ms.max(NOTHING)));
        }
        Self { per_ms: caps.into_iter().min_by(f64::total_cmp), quotas }
    }
}

/// The lines as they stand; at least one.
pub(super) fn of(facts: &ForecastFacts<'_>) -> Vec<WaitingLine> {
    let alone = [ReadyLine { messages: 0.0, share: 1.0, is_of_key: false }];
    let ready = if facts.ready.is_empty() { &alone } else { facts.ready.as_slice() };
    let caps = KeyCaps::of(facts);
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
