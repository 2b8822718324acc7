//! The queue in virtual time: from one moment at which something changes to the next.

use super::lines::{self, WaitingLine};
use super::now::Now;
use super::pace::{NOTHING, QuotaRoom, RatePace, of_queue};
use super::{DueMessages, ForecastFacts, rounded, whole};
use crate::domain::gates::{HeldGate, standing};
use crate::domain::window::WindowState;

/// So many changes are followed at most: it bounds the work whatever the policy.
const STEPS_MAX: usize = 1_000_000;
/// No step is shorter, in milliseconds.
const GRAIN_MS: f64 = 0.01;

/// A message whose leaving is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    pub(super) line: usize,
    pub(super) ahead: f64,
    pub(super) from_ms: u64,
}

/// A queue that goes through virtual time.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) facts: &'a ForecastFacts<'a>,
    pub(super) now_ms: f64,
    /// How many of the stages of the policy have begun.
    pub(super) stage: usize,
    pub(super) lines: Vec<WaitingLine>,
    pub(super) rates: Vec<RatePace>,
    pub(super) quotas: Vec<(HeldGate, QuotaRoom)>,
    /// What is to become due, the latest first.
    due: Vec<DueMessages>,
    /// When parts of the lines expire, the latest first.
    deadlines: Vec<u64>,
    /// What was to become due within the time.
    pub(super) backlog: f64,
    pub(super) first: Option<(Option<f64>, Option<HeldGate>)>,
    pub(super) empty_ms: Option<f64>,
    pub(super) next_close_ms: Option<u64>,
    pub(super) left_at_close: Option<f64>,
    pub(super) expired: f64,
    pub(super) hours: Vec<Hour>,
}

/// An hour of the clock, as far as time has passed in it.
#[derive(Debug)]
pub(super) struct Hour {
    pub(super) at_ms: f64,
    pub(super) due: f64,
    pub(super) sent: f64,
    pub(super) left: f64,
    pub(super) gates: Vec<(HeldGate, f64)>,
}

impl<'a> Model<'a> {
    pub(super) fn new(facts: &'a ForecastFacts<'a>) -> Self {
        let standing = standing(facts.policy, facts.snapshot, facts.now_ms);
        let (rates, quotas) = of_queue(facts.policy, &standing, facts.mean_cost, facts.now_ms);
        let mut due = facts.due.clone();
        due.sort_by_key(|it| it.at_ms);
        due.reverse();
        let mut deadlines: Vec<u64> = due.iter().filter_map(|it| it.expires_ms).collect();
        deadlines.sort_unstable_by_key(|at_ms| std::cmp::Reverse(*at_ms));
        deadlines.dedup();
        let lines = lines::of(facts);
        let backlog = lines.iter().map(|line| line.waiting).sum();
        let mut model = Self {
            facts,
            now_ms: whole(facts.now_ms),
            stage: 0,
            lines,
            rates,
            quotas,
            due,
            deadlines,
            backlog,
            first: None,
            empty_ms: None,
            next_close_ms: None,
            left_at_close: None,
            expired: 0.0,
            hours: Vec::new(),
        };
        model.next_close_ms = model.closes_next();
        model
    }

    /// Goes on until this moment, or until the watched message has left: when that is.
    pub(super) fn run(&mut self, until_ms: u64, watched: Option<Watched>) -> Option<u64> {
        let end_ms = whole(until_ms);
        self.due.retain(|it| it.at_ms < until_ms);
        self.begin_hour();
        for _ in 0..STEPS_MAX {
            self.turn();
            self.arrive();
            let now = self.look();
            if self.first.is_none() {
                self.first = Some((self.pace(&now), now.gate.clone()));
            }
            let next_ms = self.next_ms(&now, end_ms);
            if let Some(left_ms) = watched.and_then(|it| self.leaves(&it, &now, next_ms)) {
                return Some(ceil_ms(left_ms));
            }
            if self.now_ms >= end_ms || (watched.is_some() && self.is_stuck(&now)) {
                break;
            }
            self.pass(&now, next_ms);
        }
        self.end_hour();
        None
    }

    /// What becomes due, and what expires, by now.
    fn arrive(&mut self) {
        while let Some(next) = self.due.last().copied().filter(|it| whole(it.at_ms) <= self.now_ms)
        {
            self.due.pop();
            let last = self.lines.len() - 1;
            self.lines[next.line.min(last)].arrive(next.messages, next.expires_ms);
            self.backlog += next.messages;
            if let Some(hour) = self.hours.last_mut() {
                hour.due += next.messages;
            }
        }
        while let Some(at_ms) =
            self.deadlines.last().copied().filter(|at| whole(*at) <= self.now_ms)
        {
            self.deadlines.pop();
            self.expired += self.lines.iter_mut().map(|line| line.expire(at_ms)).sum::<f64>();
        }
        let now_ms = rounded(self.now_ms);
        self.quotas.iter_mut().for_each(|(_, quota)| quota.renew(now_ms));
        self.lines.iter_mut().for_each(|line| line.renew(now_ms));
        if self.waiting() <= 0.0 && self.due.is_empty() {
            self.empty_ms.get_or_insert(self.now_ms);
        } else {
            self.empty_ms = None;
        }
    }

    pub(super) fn waiting(&self) -> f64 {
        self.lines.iter().map(|line| line.waiting).sum()
    }

    /// The moment after so long, which is later than now: a moment of today has a grain of a quarter of a microsecond.
    pub(super) fn after(&self, ms: f64) -> f64 {
        self.now_ms + ms.max(GRAIN_MS)
    }

    /// The next moment at which something changes.
    fn next_ms(&self, now: &Now, end_ms: f64) -> f64 {
        let mut next_ms = end_ms.min(self.hour_ends_ms());
        let mut sooner = |at_ms: Option<f64>| {
            if let Some(at_ms) = at_ms.filter(|at_ms| *at_ms > self.now_ms) {
                next_ms = next_ms.min(at_ms);
            }
        };
        sooner(now.until_ms);
        sooner(self.facts.later.get(self.stage).map(|stage| whole(stage.from_ms)));
        sooner(self.due.last().map(|it| whole(it.at_ms)));
        sooner(self.deadlines.last().copied().map(whole));
        sooner(self.next_close_ms.filter(|_| self.left_at_close.is_none()).map(whole));
        self.quotas.iter().for_each(|(_, quota)| sooner(Some(whole(quota.ends_ms))));
        self.lines.iter().for_each(|line| sooner(line.opens_ms().map(whole)));
        let sum: f64 = now.drains.iter().flatten().sum();
        if sum > 0.0 {
            for (line, drain) in self.lines.iter().zip(&now.drains) {
                let Some(drain) = drain.filter(|drain| *drain > 0.0) else { continue };
                sooner(Some(self.after(line.waiting / drain)));
                sooner(line.quota_left().map(|left| self.after(left / drain)));
            }
            for (_, quota) in &self.quotas {
                sooner(Some(self.after(quota.left / sum)));
            }
            for rate in self.rates.iter().filter(|rate| rate.level > 0.0 && sum > rate.per_ms) {
                sooner(Some(self.after(rate.level / (sum - rate.per_ms))));
            }
        }
        next_ms
    }

    /// When the watched message leaves, if that is before the next change.
    fn leaves(&self, watched: &Watched, now: &Now, next_ms: f64) -> Option<f64> {
        let line = &self.lines[watched.line.min(self.lines.len() - 1)];
        let drain = now.drains[watched.line.min(self.lines.len() - 1)];
        let from_ms = self.now_ms.max(whole(watched.from_ms));
        let is_open = drain.is_none_or(|drain| drain > 0.0) || self.is_open(now);
        let left = watched.ahead - line.sent;
        if left <= NOTHING {
            return (is_open && (from_ms < next_ms || from_ms <= self.now_ms)).then_some(from_ms);
        }
        match drain {
            None => (self.at_once(now) > left + NOTHING).then_some(from_ms),
            Some(drain) if drain > 0.0 => {
                let at_ms = self.now_ms + left / drain;
                (at_ms < next_ms && at_ms >= whole(watched.from_ms)).then_some(at_ms)
            }
            Some(_) => None,
        }
    }

    /// Whether somebody who comes now would leave at once, although nobody else is there.
    fn is_open(&self, now: &Now) -> bool {
        self.waiting() <= 0.0 && now.gate.is_none()
    }

    /// Nothing will ever change.
    fn is_stuck(&self, now: &Now) -> bool {
        let is_still = now.drains.iter().all(|drain| *drain == Some(0.0));
        is_still
            && now.gate.is_some()
            && now.until_ms.is_none()
            && self.stage == self.facts.later.len()
            && self.waiting() > 0.0
            && self.lines.iter().all(|line| line.opens_ms().is_none())
    }

    /// How many leave at once, where nothing sets a pace.
    fn at_once(&self, now: &Now) -> f64 {
        let bursts = self.rates.iter().map(|rate| rate.level);
        let quotas = self.quotas.iter().map(|(_, quota)| quota.left);
        let waiting = self.lines.iter().zip(&now.drains).filter(|(_, drain)| drain.is_none());
        let waiting: f64 = waiting
            .map(|(line, _)| line.quota_left().map_or(line.waiting, |left| left.min(line.waiting)))
            .sum();
        bursts.chain(quotas).fold(waiting, f64::min)
    }

    /// Time passes, or a burst leaves at once.
    fn pass(&mut self, now: &Now, next_ms: f64) {
        if now.drains.iter().any(Option::is_none) {
            return self.burst(now);
        }
        let ms = (next_ms - self.now_ms).max(0.0);
        let mut sent = 0.0;
        for (line, drain) in self.lines.iter_mut().zip(&now.drains) {
            let leaving = (drain.unwrap_or(0.0) * ms).min(line.waiting);
            line.leave(leaving);
            sent += leaving;
        }
        let per_ms = if ms > 0.0 { sent / ms } else { 0.0 };
        self.rates.iter_mut().for_each(|rate| rate.pass(ms, per_ms));
        self.started(sent);
        if let (Some(hour), Some(gate)) = (self.hours.last_mut(), &now.gate)
            && self.lines.iter().any(|line| line.waiting > 0.0 || sent > 0.0)
        {
            match hour.gates.iter_mut().find(|(found, _)| found == gate) {
                Some((_, held_ms)) => *held_ms += ms,
                None => hour.gates.push((gate.clone(), ms)),
            }
        }
        self.now_ms = next_ms;
        if self.next_close_ms.is_some_and(|at_ms| self.now_ms >= whole(at_ms))
            && self.left_at_close.is_none()
        {
            self.left_at_close = Some(self.waiting());
        }
        if self.now_ms >= self.hour_ends_ms() {
            self.end_hour();
            self.begin_hour();
        }
    }

    fn burst(&mut self, now: &Now) {
        let most = self.at_once(now);
        let waiting = self.lines.iter().zip(&now.drains).filter(|(_, drain)| drain.is_none());
        let waiting: f64 = waiting.map(|(line, _)| line.waiting).sum();
        let part = if waiting > 0.0 { (most / waiting).min(1.0) } else { 0.0 };
        for (line, drain) in self.lines.iter_mut().zip(&now.drains) {
            if drain.is_none() {
                line.leave(line.waiting * part);
            }
        }
        self.rates.iter_mut().for_each(|rate| {
            rate.level -= most;
            if rate.level < NOTHING {
                rate.level = rate.level.min(0.0);
            }
        });
        self.started(most);
    }

    fn started(&mut self, messages: f64) {
        self.quotas.iter_mut().for_each(|(_, quota)| quota.take(messages));
        if let Some(hour) = self.hours.last_mut() {
            hour.sent += messages;
        }
    }

    fn closes_next(&self) -> Option<u64> {
        let window = self.facts.policy.window.as_ref()?;
        let closes = |at_ms| match window.state(at_ms) {
            WindowState::Open { closes_at_ms } => closes_at_ms,
            WindowState::Closed { .. } => None,
        };
        match window.state(self.facts.now_ms) {
            WindowState::Open { closes_at_ms } => closes_at_ms,
            WindowState::Closed { opens_at_ms } => closes(opens_at_ms?),
        }
    }
}

pub(super) fn ceil_ms(at_ms: f64) -> u64 {
    rounded((at_ms - NOTHING).ceil())
}
