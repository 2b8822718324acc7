//! Judges a run: four buckets, and every promise that its history can show broken.
//!
//! Owns the rules. A pure function of a [`History`]; refuses to know who made it and how. Each rule
//! has a test in which a history that is good but for one thing breaks it.

mod buckets;
#[cfg(test)]
mod call_tests;
mod calls;
mod collapse;
#[cfg(test)]
mod collapse_tests;
mod excuses;
mod order;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod outcome_tests;
mod outcomes;
#[cfg(test)]
mod repeat_tests;
mod repeats;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::history::{Arrival, History, Move, Probe, Sent, Verdict};
use excuses::Excuses;

/// Breaches shown of each rule; there may be thousands of one kind.
const SHOWN_MAX: usize = 5;

/// What a run must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Rule {
    /// A run counts only after a full drain.
    Drained,
    /// What was accepted is final, and what is delivered has arrived.
    NotLost,
    /// What arrives or is kept was sent, once, by this key, to this queue.
    NotUnexpected,
    /// What the downstream took comes again only where a fault excuses it.
    NotRepeated,
    /// Where outcomes are settled at the replicas: what a failover repeats was in flight, and so no more than the slots.
    RepeatsInFlight,
    /// There, too: nothing of an order comes again after its successor.
    NotAfterSuccessor,
    /// Where the queue parks: never again without a decision.
    NotResentUndecided,
    /// Each attempt of a message is newer than the one before.
    Newer,
    /// One final record a message, and one result.
    OneResult,
    /// Bytes out equal bytes in.
    SameBytes,
    /// No call before its message is due.
    NotEarly,
    /// No call outside the window.
    InWindow,
    /// Units in any window W ≤ rate × (W + 20 ms) + burst + (largest cost − 1), of the queue or of each key.
    WithinRate,
    /// Units in each period ≤ quota, of the queue or of each key.
    WithinQuota,
    /// The same of an account that several queues share, over all of them.
    WithinShared,
    /// Calls in flight ≤ concurrency, of the queue or of each key.
    WithinConcurrency,
    /// Of one key of the order, one message is on its way.
    OneOfAKey,
    /// First attempts of one key begin in the order of due time and acceptance.
    FirstInOrder,
    /// Of one collapse key, nothing comes after what was accepted later.
    NewestLast,
    /// An id that came with a payload comes with no other.
    OnePayload,
    /// Where the queue probes: what was booked is never booked again.
    NotBookedTwice,
    /// Every final state is told, under one id, and nothing else is told.
    OneCallback,
    /// What was accepted ends as its receipt says.
    AsReceipted,
    /// An event is in all of its queues or in none.
    WholeEvent,
    /// No tick of a schedule is left out.
    EveryTick,
}

/// One thing that should not have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

/// The judgement of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// Accepted, and nowhere.
    pub(crate) lost: Vec<String>,
    /// There, and never sent.
    pub(crate) unexpected: Vec<String>,
    /// Ids, once for each time that a downstream that had taken them got them again.
    pub(crate) duplicated: Vec<String>,
    /// The producer never got to know, and there they are.
    pub(crate) recovered: Vec<String>,
    /// Items that were being sent when their node was killed: what may be duplicated at most.
    pub(crate) sending_at_kills: usize,
    pub(crate) breaches: Vec<Breach>,
}

impl Report {
    fn breach(&mut self, rule: Rule, what: impl Into<String>) {
        self.breaches.push(Breach { rule, what: what.into() });
    }

    /// The rules that were broken, each once.
    pub(crate) fn broken(&self) -> Vec<Rule> {
        let mut rules: Vec<_> = self.breaches.iter().map(|breach| breach.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// Fails the test with everything that is wrong.
    #[track_caller]
    pub(crate) fn expect_good(&self) {
        assert!(self.breaches.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "lost {}, unexpected {}, duplicated {} (of {} being sent at kills), recovered {}",
            self.lost.len(),
            self.unexpected.len(),
            self.duplicated.len(),
            self.sending_at_kills,
            self.recovered.len()
        )?;
        for rule in self.broken() {
            let of_rule: Vec<_> = self.breaches.iter().filter(|b| b.rule == rule).collect();
            writeln!(f, "{rule:?} was broken {} times:", of_rule.len())?;
            for breach in of_rule.iter().take(SHOWN_MAX) {
                writeln!(f, "  {}", breach.what)?;
            }
        }
        Ok(())
    }
}

/// Judges a run.
pub(crate) fn check(history: &History) -> Report {
    let mut report = Report::default();
    let known = Known::new(history);
    for id in &history.left {
        report.breach(Rule::Drained, format!("{id} is not final"));
    }
    buckets::check(&known, &mut report);
    repeats::check(&known, &mut report);
    calls::check(&known, &mut report);
    order::check(&known, &mut report);
    collapse::check(&known, &mut report);
    outcomes::check(&known, &mut report);
    report
}

/// A history with its indexes.
struct Known<'a> {
    history: &'a History,
    by_key: HashMap<(usize, u64), &'a Sent>,
    /// Whatever queue it was sent to.
    of_any_queue: HashMap<u64, &'a Sent>,
    /// Arrivals of each id, in the order of their moments.
    by_id: HashMap<&'a str, Vec<&'a Arrival>>,
    /// What was accepted under each id: several of one collapse key, else one.
    accepted_as: HashMap<&'a str, Vec<&'a Sent>>,
    probes_of: HashMap<&'a str, Vec<&'a Probe>>,
    moves_of: HashMap<&'a str, Vec<&'a Move>>,
    left: HashSet<&'a str>,
    excuses: Excuses<'a>,
}

impl<'a> Known<'a> {
    fn new(history: &'a History) -> Self {
        let mut by_id: HashMap<&str, Vec<&Arrival>> = HashMap::new();
        for arrival in &history.arrivals {
            by_id.entry(&arrival.id).or_default().push(arrival);
        }
        for arrivals in by_id.values_mut() {
            arrivals.sort_by_key(|arrival| arrival.at_us);
        }
        let by_key = history.sent.iter().map(|sent| ((sent.queue, sent.key), sent)).collect();
        let of_any_queue = history.sent.iter().map(|sent| (sent.key, sent)).collect();
        let mut accepted_as: HashMap<&str, Vec<&Sent>> = HashMap::new();
        for sent in &history.sent {
            if let Some(id) = accepted_id(sent) {
                accepted_as.entry(id).or_default().push(sent);
            }
        }
        let mut probes_of: HashMap<&str, Vec<&Probe>> = HashMap::new();
        for probe in &history.probes {
            probes_of.entry(&probe.id).or_default().push(probe);
        }
        let mut moves_of: HashMap<&str, Vec<&Move>> = HashMap::new();
        for moved in &history.moves {
            moves_of.entry(&moved.id).or_default().push(moved);
        }
        let left = history.left.iter().map(String::as_str).collect();
        Self {
            history,
            by_key,
            of_any_queue,
            by_id,
            accepted_as,
            probes_of,
            moves_of,
            left,
            excuses: Excuses::new(history),
        }
    }

    fn arrivals(&self, id: &str) -> &[&'a Arrival] {
        self.by_id.get(id).map_or(&[], Vec::as_slice)
    }

    fn probes(&self, id: &str) -> &[&'a Probe] {
        self.probes_of.get(id).map_or(&[], Vec::as_slice)
    }

    /// What an operator did to a message.
    fn moves(&self, id: &str) -> &[&'a Move] {
        self.moves_of.get(id).map_or(&[], Vec::as_slice)
    }

    /// Whether another message was accepted under this id.
    fn is_of_another(&self, id: &str, sent: &Sent) -> bool {
        let accepted = self.accepted_as.get(id).into_iter().flatten();
        accepted.into_iter().any(|other| other.key != sent.key)
    }

    fn sent_of(&self, arrival: &Arrival) -> Option<&'a Sent> {
        let key = arrival.key?;
        self.by_key.get(&(arrival.queue, key)).or_else(|| self.of_any_queue.get(&key)).copied()
    }
}

/// Whether one message surely was accepted before another one.
fn accepted_before(one: &Sent, other: &Sent) -> bool {
    if one.request.is_some() && one.request == other.request {
        return one.key < other.key;
    }
    matches!(one.verdict, Verdict::Accepted { at_us, .. } if at_us < other.first_try_us)
}

fn accepted_id(sent: &Sent) -> Option<&str> {
    match &sent.verdict {
        Verdict::Accepted { id, .. } => Some(id),
        Verdict::Refused | Verdict::Unknown => None,
    }
}
