//! The limits of a queue as scripts take them, and what this node has started of its quotas.
//!
//! Owns the text of an argument that scripts read (see `lua/include/limits.lua`) and the node's memory of what it
//! started: after a rollback of Redis that memory makes up for what Redis has forgotten. Refuses to know how units are
//! counted; the scripts do.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::limit::{LimitName, LimitRule, LimitUnit, Units};

/// Limits with a memory. There is one in each shard; only the home shard's is used, and that of the account of a shared limit.
#[derive(Debug, Default)]
pub(in crate::store) struct ShardLimits {
    // A plain mutex: held to compute, never across an await.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rules: Arc<[LimitRule]>,
    /// The accounts that the queue shares with others.
    shared: Arc<[LimitRule]>,
    /// The text of all limits, of quotas alone, and until when both hold.
    lines: Option<Lines>,
    started: Vec<Started>,
}

#[derive(Debug)]
struct Lines {
    from_ms: u64,
    until_ms: u64,
    all: Arc<str>,
    quotas: Arc<str>,
}

/// What this node has started of a quota in one period.
#[derive(Debug, PartialEq, Eq)]
struct Started {
    limit: LimitName,
    from_ms: u64,
    until_ms: u64,
    units: u64,
}

impl ShardLimits {
    /// From now on these hold. What was started under a name that stays is remembered.
    pub(in crate::store) fn set(&self, rules: &[LimitRule]) {
        let (shared, own): (Vec<_>, Vec<_>) = rules.iter().cloned().partition(|rule| rule.shared);
        let mut inner = self.inner.lock();
        inner.shared = shared.into();
        if *inner.rules != *own {
            inner.rules = own.into();
            inner.lines = None;
        }
    }

    /// The accounts that the queue shares with others, in their order: they stand in slots of their own.
    pub(in crate::store) fn shared(&self) -> Arc<[LimitRule]> {
        Arc::clone(&self.inner.lock().shared)
    }

    /// Whether the queue shares any with others.
    pub(in crate::store) fn are_shared(&self) -> bool {
        !self.inner.lock().shared.is_empty()
    }

    /// Whether there are any but shared ones.
    pub(in crate::store) fn are_set(&self) -> bool {
        !self.inner.lock().rules.is_empty()
    }

    /// Of the account of a shared limit: what it counts of a batch.
    pub(in crate::store) fn unit(&self) -> LimitUnit {
        self.inner.lock().rules.first().map_or(LimitUnit::Calls, |rule| rule.unit)
    }

    /// All limits as scripts take them; empty: none.
    pub(in crate::store) fn lines(&self, now_ms: u64) -> Arc<str> {
        let mut inner = self.inner.lock();
        Arc::clone(&inner.lines(now_ms).all)
    }

    /// The rates alone, which need no time.
    pub(in crate::store) fn rate_lines(&self) -> String {
        self.inner.lock().rules.iter().filter_map(rate_line).collect()
    }

    /// The quotas alone; empty: none.
    pub(in crate::store) fn quota_lines(&self, now_ms: u64) -> Arc<str> {
        let mut inner = self.inner.lock();
        Arc::clone(&inner.lines(now_ms).quotas)
    }

    /// A call starts in its slot and takes these units.
    pub(in crate::store) fn started(&self, taken: Units) {
        self.inner.lock().note(taken, u64::saturating_add);
    }

    /// A call did not start after all, and its units have gone back.
    pub(in crate::store) fn gave_back(&self, taken: Units) {
        self.inner.lock().note(taken, u64::saturating_sub);
    }

    /// What this node has started of quotas in periods that have not ended, as `recover` takes it.
    pub(in crate::store) fn shares(&self, now_ms: u64) -> String {
        let inner = self.inner.lock();
        let running = inner.started.iter().filter(|it| it.until_ms > now_ms);
        let line =
            |it: &Started| format!("{} {} {} {}\n", it.limit, it.from_ms, it.until_ms, it.units);
        running.map(line).collect()
    }
}

impl Inner {
    fn lines(&mut self, now_ms: u64) -> &Lines {
        let rules = &self.rules;
        let stale = |lines: &mut Lines| now_ms < lines.from_ms || now_ms >= lines.until_ms;
        if self.lines.as_mut().is_some_and(stale) {
            self.lines = None;
        }
        self.lines.get_or_insert_with(|| Lines::of(rules, now_ms))
    }

    /// Counts units where they belong: in the period of each quota in which the slot lies.
    fn note(&mut self, taken: Units, count: fn(u64, u64) -> u64) {
        let slot_ms = taken.slot_us / 1000;
        let Self { rules, started, .. } = self;
        for rule in rules.iter() {
            let Some(quota) = rule.quota() else { continue };
            let units = taken.of(rule.unit);
            let known = |it: &&mut Started| {
                it.limit == rule.name && (it.from_ms..it.until_ms).contains(&slot_ms)
            };
            if let Some(it) = started.iter_mut().find(known) {
                it.units = count(it.units, units);
                continue;
            }
            let [from_ms, until_ms, _] = quota.boundaries_ms(slot_ms);
            // What has ended is of no use any more: a period lasts an hour at least, and slots lie close together.
            started.retain(|it| it.limit != rule.name || it.until_ms + 3_600_000 > slot_ms);
            let units = count(0, units);
            started.push(Started { limit: rule.name.clone(), from_ms, until_ms, units });
        }
    }
}

impl Lines {
    fn of(rules: &[LimitRule], now_ms: u64) -> Self {
        let (mut all, mut quotas) = (String::new(), String::new());
        let (mut from_ms, mut until_ms) = (0, u64::MAX);
        for rule in rules {
            let (name, unit) = (&rule.name, rule.unit.as_str());
            all.extend(rate_line(rule));
            let Some(quota) = rule.quota() else { continue };
            let [start_ms, next_ms, end_ms] = quota.boundaries_ms(now_ms);
            let units = quota.units();
            let line = format!("quota {name} {unit} {units} {start_ms} {next_ms} {end_ms}\n");
            all.push_str(&line);
            quotas.push_str(&line);
            from_ms = from_ms.max(start_ms);
            until_ms = until_ms.min(next_ms);
        }
        Self { from_ms, until_ms, all: all.into(), quotas: quotas.into() }
    }
}

fn rate_line(rule: &LimitRule) -> Option<String> {
    let (rate, burst) = rule.rate_and_burst()?;
    let (name, unit, period_us) = (&rule.name, rule.unit.as_str(), rate.period_us());
    Some(format!("rate {name} {unit} {period_us} {burst}\n"))
}
