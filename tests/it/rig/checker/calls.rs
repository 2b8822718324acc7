//! The calls of a queue at its downstream: window, rate, concurrency.

use super::super::history::{Arrival, History, Limit, Queue};
use super::excuses::Excuses;
use super::{Known, Report, Rule};

/// A call: the items of a batch share one.
#[derive(Debug, Clone, Copy)]
struct Call {
    at_us: u64,
    until_us: u64,
}

pub(super) fn check(known: &Known<'_>, report: &mut Report) {
    let (history, excuses) = (known.history, &known.excuses);
    for (at, queue) in history.queues.iter().enumerate() {
        let calls = calls_of(history, at);
        if let Some(open_ms) = &queue.open_ms {
            in_window(excuses, queue, open_ms, &calls, report);
        }
        if let Some(limit) = queue.limit {
            within_rate(excuses, queue, limit, &calls, report);
        }
        within_concurrency(excuses, queue, &calls, report);
    }
}

/// In the order of their moments.
fn calls_of(history: &History, queue: usize) -> Vec<Call> {
    let timeout_us = history.queues[queue].timeout_ms * 1000;
    let mut arrivals: Vec<&Arrival> =
        history.arrivals.iter().filter(|arrival| arrival.queue == queue).collect();
    arrivals.sort_by_key(|arrival| (arrival.at_us, arrival.call));
    arrivals.dedup_by_key(|arrival| arrival.call);
    let call = |arrival: &&Arrival| Call {
        at_us: arrival.at_us,
        // Nobody waits longer than that for an answer.
        until_us: arrival.answer_at_us.min(arrival.at_us + timeout_us),
    };
    arrivals.iter().map(call).collect()
}

fn in_window(
    excuses: &Excuses<'_>,
    queue: &Queue,
    open_ms: &[(u64, u64)],
    calls: &[Call],
    report: &mut Report,
) {
    for call in calls {
        let error_us = excuses.clock_error_us(call.at_us);
        // It began before it had been read here.
        let late_us = excuses.late_us(call.at_us);
        let is_inside = open_ms.iter().any(|(from_ms, to_ms)| {
            call.at_us + error_us >= from_ms * 1000 && call.at_us < to_ms * 1000 + late_us
        });
        if !is_inside {
            let what = format!("{}: a call at {} µs, while shut", queue.name, call.at_us);
            report.breach(Rule::InWindow, what);
        }
    }
}

/// Every window that begins and ends with a call, in one pass: calls i to j are too many where
/// `j + 1 - i > rate × (t[j] - t[i] + late[i]) + burst`, that is where what is left of j after its time
/// exceeds the least that was left of any i before it. Only a late beginning makes a window look
/// shorter than it was: a late end makes it longer.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and microseconds of a run are far below 2^52"
)]
fn within_rate(
    excuses: &Excuses<'_>,
    queue: &Queue,
    limit: Limit,
    calls: &[Call],
    report: &mut Report,
) {
    let per_us = limit.calls_per_s / 1e6;
    let start_us = calls.first().map_or(0, |call| call.at_us);
    let mut least = (f64::INFINITY, 0);
    for (at, call) in calls.iter().enumerate() {
        let left = at as f64 - per_us * (call.at_us - start_us) as f64;
        let with_lateness = left + per_us * excuses.late_us(call.at_us) as f64;
        if with_lateness < least.0 {
            least = (with_lateness, at);
        }
        // A step of Redis' clock within the window is time to Redis.
        let stepped = per_us * excuses.stepped_us(call.at_us) as f64;
        // A hair for sums of fractions.
        if left + 1.0 - least.0 > f64::from(limit.burst) + stepped + 1e-6 {
            let (from, window_us) = (least.1, call.at_us - calls[least.1].at_us);
            let what = format!(
                "{}: {} calls within {window_us} µs, to {}",
                queue.name,
                at + 1 - from,
                call.at_us
            );
            report.breach(Rule::WithinRate, what);
        }
    }
}

/// A sweep over begins and ends.
fn within_concurrency(excuses: &Excuses<'_>, queue: &Queue, calls: &[Call], report: &mut Report) {
    let mut ends: Vec<u64> = calls.iter().map(|call| call.until_us).collect();
    ends.sort_unstable();
    let mut ended = 0;
    for (begun, call) in calls.iter().enumerate() {
        while ends[ended] <= call.at_us && ended < begun {
            ended += 1;
        }
        let under_way = begun + 1 - ended;
        if under_way > queue.concurrency as usize && !excuses.calls_forgotten(queue, call.at_us) {
            let what = format!("{}: {under_way} calls under way at {} µs", queue.name, call.at_us);
            report.breach(Rule::WithinConcurrency, what);
        }
    }
}
