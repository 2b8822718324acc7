//! The calls of a queue at its downstream: window and limits.
//!
//! Owns what a call takes of a limit, and the bounds. A limit with a key counts each message of a call for itself, and
//! all messages without the key share one value.

use std::collections::BTreeMap;

use super::super::flow::{Limit, LimitKind};
use super::super::history::{Arrival, Queue};
use super::{Known, Report, Rule};

const HOUR_US: u64 = 3_600_000_000;

/// A call, or a message in it.
#[derive(Debug, Clone, Copy)]
struct Start {
    at_us: u64,
    until_us: u64,
    units: u64,
}

/// What has one account at a limit: a queue, or a value of a key in it.
struct Account<'a> {
    of: String,
    /// In the order of their moments.
    starts: &'a [Start],
    /// Several queues share it.
    is_shared: bool,
}

impl Account<'_> {
    /// The rule that is broken where it has too much.
    fn rule(&self, own: Rule) -> Rule {
        if self.is_shared { Rule::WithinShared } else { own }
    }
}

pub(super) fn check(known: &Known<'_>, report: &mut Report) {
    check_shared(known, report);
    for (at, queue) in known.history.queues.iter().enumerate() {
        let arrivals = arrivals_of(known, at);
        let calls = calls(known, queue, &arrivals, None);
        if let Some(open_ms) = &queue.open_ms {
            in_window(known, queue, open_ms, &calls, report);
        }
        let account = Account { of: queue.name.clone(), starts: &calls, is_shared: false };
        within_concurrency(known, queue, queue.concurrency, &account, report);
        for limit in queue.limits.iter().filter(|limit| !limit.shared) {
            for (value, starts) in accounts(known, queue, &arrivals, limit) {
                let whose = value.map_or(String::new(), |value| format!(", {value}"));
                let of = format!("{}, {}{whose}", queue.name, limit.name);
                let account = Account { of, starts: &starts, is_shared: false };
                match limit.kind {
                    LimitKind::Rate { units_per_s, burst } => {
                        within_rate(known, units_per_s, burst, &account, report);
                    }
                    LimitKind::Quota { units } => within_quota(known, units, &account, report),
                    LimitKind::Concurrency { calls } => {
                        within_concurrency(known, queue, calls, &account, report);
                    }
                }
            }
        }
    }
}

/// What all queues together took of each account that they share.
fn check_shared(known: &Known<'_>, report: &mut Report) {
    let mut shared: BTreeMap<&str, (LimitKind, Vec<Start>)> = BTreeMap::new();
    for (at, queue) in known.history.queues.iter().enumerate() {
        let arrivals = arrivals_of(known, at);
        for limit in queue.limits.iter().filter(|limit| limit.shared) {
            let taken = accounts(known, queue, &arrivals, limit).into_values().flatten();
            let (_, starts) = shared.entry(&limit.name).or_insert((limit.kind, Vec::new()));
            starts.extend(taken);
        }
    }
    for (name, (kind, mut starts)) in shared {
        starts.sort_by_key(|start| start.at_us);
        let account = Account { of: name.to_owned(), starts: &starts, is_shared: true };
        match kind {
            LimitKind::Rate { units_per_s, burst } => {
                within_rate(known, units_per_s, burst, &account, report);
            }
            LimitKind::Quota { units } => within_quota(known, units, &account, report),
            LimitKind::Concurrency { .. } => {}
        }
    }
}

/// By call, in the order of their moments.
fn arrivals_of<'a>(known: &Known<'a>, queue: usize) -> Vec<&'a Arrival> {
    let mut arrivals: Vec<_> =
        known.history.arrivals.iter().filter(|arrival| arrival.queue == queue).collect();
    arrivals.sort_by_key(|arrival| (arrival.at_us, arrival.call));
    arrivals
}

/// What takes units of a limit, by the value of its key.
fn accounts(
    known: &Known<'_>,
    queue: &Queue,
    arrivals: &[&Arrival],
    limit: &Limit,
) -> BTreeMap<Option<String>, Vec<Start>> {
    let Some(key) = limit.per else {
        return BTreeMap::from([(None, calls(known, queue, arrivals, Some(limit)))]);
    };
    let mut accounts: BTreeMap<_, Vec<Start>> = BTreeMap::new();
    // A store that was rolled back has forgotten what keys had taken of their quotas right before.
    let is_quota = matches!(limit.kind, LimitKind::Quota { .. });
    let is_known = |arrival: &&&Arrival| !is_quota || !known.excuses.units_forgotten(arrival.at_us);
    for arrival in arrivals.iter().filter(is_known) {
        let value = known.sent_of(arrival).and_then(|sent| key.of(sent));
        let value = value.map_or("without the key".to_owned(), |value| value.to_string());
        let start = start(known, queue, arrival, cost(known, arrival));
        accounts.entry(Some(value)).or_default().push(start);
    }
    accounts
}

/// A start for each call, with what it takes of a limit without a key.
fn calls(
    known: &Known<'_>,
    queue: &Queue,
    arrivals: &[&Arrival],
    limit: Option<&Limit>,
) -> Vec<Start> {
    let counts_messages = queue.batch_max == 1 || limit.is_some_and(|limit| limit.counts_messages);
    let by_call = arrivals.chunk_by(|a, b| a.call == b.call);
    let units = |call: &[&Arrival]| match counts_messages {
        true => call.iter().map(|arrival| cost(known, arrival)).sum(),
        false => 1,
    };
    by_call.map(|call| start(known, queue, call[0], units(call))).collect()
}

fn start(known: &Known<'_>, queue: &Queue, arrival: &Arrival, units: u64) -> Start {
    let until_us = known.excuses.in_flight_until_us(queue, arrival);
    Start { at_us: arrival.at_us, until_us, units }
}

fn cost(known: &Known<'_>, arrival: &Arrival) -> u64 {
    known.sent_of(arrival).map_or(1, |sent| sent.cost.into())
}

fn in_window(
    known: &Known<'_>,
    queue: &Queue,
    open_ms: &[(u64, u64)],
    calls: &[Start],
    report: &mut Report,
) {
    for call in calls {
        let error_us = known.excuses.clock_error_us(call.at_us);
        // It began before it had been read here.
        let late_us = known.excuses.late_us(call.at_us);
        let is_inside = open_ms.iter().any(|(from_ms, to_ms)| {
            call.at_us + error_us >= from_ms * 1000 && call.at_us < to_ms * 1000 + late_us
        });
        if !is_inside {
            let what = format!("{}: a call at {} µs, while shut", queue.name, call.at_us);
            report.breach(Rule::InWindow, what);
        }
    }
}

/// Every window that begins and ends with a start, in one pass: the units of i to j are too many where they exceed
/// `rate × (t[j] - t[i] + late[i]) + burst + largest cost - 1`, that is where what is left of j after its time
/// exceeds the least that was left of any i before it. Only a late beginning makes a window look
/// shorter than it was: a late end makes it longer. How late a call may be seen is the contract's 20 ms, which are
/// between its slot and its first byte, and what this machine needed at that time to bring a few bytes from one
/// process to another (see `canary`): so long a call may have been under way before the recorder read it.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and microseconds of a run are far below 2^52"
)]
fn within_rate(
    known: &Known<'_>,
    units_per_s: f64,
    burst: u32,
    account: &Account<'_>,
    report: &mut Report,
) {
    let per_us = units_per_s / 1e6;
    let starts = account.starts;
    let paced_us = |start: &Start| known.excuses.paced_us(start.at_us);
    let start_us = starts.first().map_or(0, paced_us);
    let largest = starts.iter().map(|start| start.units).max().unwrap_or(1);
    let most = f64::from(burst) + (largest - 1) as f64;
    let (mut least, mut before) = ((f64::INFINITY, 0, 0), 0);
    for start in starts {
        let left = before as f64 - per_us * (paced_us(start) - start_us) as f64;
        let with_lateness = left + per_us * known.excuses.late_us(start.at_us) as f64;
        if with_lateness < least.0 {
            least = (with_lateness, before, start.at_us);
        }
        // A step of Redis' clock within the window is time to Redis.
        let stepped = per_us * known.excuses.stepped_us(start.at_us) as f64;
        // Each of two masters may have let a call start that was paid for afterwards.
        let has_two_debts = known.excuses.had_two_masters(least.2, start.at_us);
        let second_debt = if has_two_debts { (largest - 1) as f64 } else { 0.0 };
        // A hair for sums of fractions.
        if left + start.units as f64 - least.0 > most + second_debt + stepped + 1e-6 {
            let (units, window_us) = (before + start.units - least.1, start.at_us - least.2);
            let what =
                format!("{}: {units} units within {window_us} µs, to {}", account.of, start.at_us);
            report.breach(account.rule(Rule::WithinRate), what);
        }
        before += start.units;
    }
}

/// Units in each hour. A unit counts in the hour of its slot, and right after its end nobody knows whether a call that
/// is seen belongs to the one that is over: then it is not counted.
fn within_quota(known: &Known<'_>, most: u64, account: &Account<'_>, report: &mut Report) {
    let mut used: BTreeMap<u64, u64> = BTreeMap::new();
    for start in account.starts {
        let late_us = known.excuses.late_us(start.at_us);
        let earliest = start.at_us.saturating_sub(late_us) / HOUR_US;
        let latest = (start.at_us + known.excuses.clock_error_us(start.at_us)) / HOUR_US;
        if earliest == latest {
            *used.entry(earliest).or_default() += start.units;
        }
    }
    for (hour, units) in used.into_iter().filter(|(_, units)| *units > most) {
        let what = format!("{}: {units} units of {most} in hour {hour}", account.of);
        report.breach(account.rule(Rule::WithinQuota), what);
    }
}

/// A sweep over begins and ends.
fn within_concurrency(
    known: &Known<'_>,
    queue: &Queue,
    most: u32,
    account: &Account<'_>,
    report: &mut Report,
) {
    let starts = account.starts;
    let mut ends: Vec<u64> = starts.iter().map(|start| start.until_us).collect();
    ends.sort_unstable();
    let mut ended = 0;
    for (begun, start) in starts.iter().enumerate() {
        while ends[ended] <= start.at_us && ended < begun {
            ended += 1;
        }
        let in_flight = begun + 1 - ended;
        if in_flight > most as usize && !known.excuses.calls_forgotten(queue, start.at_us) {
            let what = format!("{}: {in_flight} calls in flight at {} µs", account.of, start.at_us);
            report.breach(Rule::WithinConcurrency, what);
        }
    }
}
