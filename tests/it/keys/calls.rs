//! What the receiver saw of messages with keys, and what must hold of it.
//!
//! Owns the body that says the keys, the number and the cost of a message, and the judges that read it. Refuses to
//! know how the calls came about.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::Stalls;
use crate::support::downstream::Request;

/// What the contract lets a call be late against its slot.
const SLACK: Duration = Duration::from_millis(20);
/// How late the recorder itself may see a call; on a loaded machine what it measures comes on top.
const RECORDER: Duration = Duration::from_millis(5);
/// A machine whose threads are never kept waiting for so long can use a limit wholly.
pub(super) const CALM: Duration = Duration::from_millis(10);

/// A message with this number and these labels. Its body says them, so that the receiver knows them.
pub(super) fn message(number: usize, labels: &[(&str, &str)]) -> Value {
    let labels: serde_json::Map<_, _> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let payload = json!({ "n": number, "cost": 1, "labels": labels });
    json!({ "payload": payload, "labels": labels })
}

/// The same with one more field.
pub(super) fn with(mut message: Value, field: &str, value: impl Into<Value>) -> Value {
    message[field] = value.into();
    if field == "cost" {
        message["payload"]["cost"] = message["cost"].clone();
    }
    message
}

/// One call for one message; an item of a batch is a call as well.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) at: Instant,
    /// When its answer left, or the connection was given up.
    pub(super) answered: Option<Instant>,
    pub(super) number: u64,
    pub(super) cost: u64,
    pub(super) attempt: u64,
    pub(super) path: String,
    labels: Value,
}

impl Call {
    /// The value of a label, or "".
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }

    fn of(request: &Request, payload: &Value, attempt: u64) -> Self {
        Self {
            at: request.arrived,
            answered: request.answered,
            number: payload["n"].as_u64().expect("the body says the number"),
            cost: payload["cost"].as_u64().expect("the body says the cost"),
            attempt,
            path: request.path.clone(),
            labels: payload["labels"].clone(),
        }
    }
}

/// The calls in the order of their arrival.
pub(super) fn calls(requests: &[Request]) -> Vec<Call> {
    let mut calls = Vec::new();
    for request in requests {
        let body = request.json();
        match body.as_array() {
            None => calls.push(Call::of(request, &body, request.attempt().into())),
            Some(items) => calls.extend(items.iter().map(|item| {
                let attempt = item["attempt"].as_u64().expect("an item says its attempt");
                Call::of(request, &item["payload"], attempt)
            })),
        }
    }
    calls.sort_by_key(|call| call.at);
    calls
}

/// Those with this value of a label.
pub(super) fn of(calls: &[Call], label: &str, value: &str) -> Vec<Call> {
    calls.iter().filter(|call| call.label(label) == value).cloned().collect()
}

/// The numbers in the order of their arrival.
pub(super) fn numbers(calls: &[Call]) -> Vec<u64> {
    calls.iter().map(|call| call.number).collect()
}

/// The units of some calls.
pub(super) fn units(calls: &[Call]) -> u64 {
    calls.iter().map(|call| call.cost).sum()
}

/// In every window that begins and ends with a call: units ≤ rate × (window + 20 ms) + burst + largest cost − 1. A window is too short by
/// what the machine kept its first call waiting.
#[track_caller]
pub(super) fn assert_paced(stalls: &Stalls, calls: &[Call], per_second: f64, burst: u64) {
    let largest = calls.iter().map(|call| call.cost).max().unwrap_or(1);
    for (from, first) in calls.iter().enumerate() {
        let (mut units, late) = (0, SLACK + RECORDER + stalls.made_late(first.at));
        for (to, last) in calls.iter().enumerate().skip(from) {
            units += last.cost;
            let window = last.at - first.at;
            let allowed = per_second * (window + late).as_secs_f64() + (burst + largest - 1) as f64;
            assert!(
                units as f64 <= allowed,
                "{units} units within {window:?} (calls {from} to {to}); {allowed:.2} are allowed"
            );
        }
    }
}

/// At least 99 % of the rate was used from the first to the last of these calls, before all of which units stood that
/// no other limit held; but for what stalls of this machine may have cost.
#[track_caller]
pub(super) fn assert_used(stalls: &Stalls, calls: &[Call], per_second: f64, burst: u64) {
    let (first, last) = (calls.first().expect("a call"), calls.last().expect("a call"));
    let paced = units(calls) - last.cost - (burst - 1);
    let ideal = paced as f64 / per_second;
    let largest = calls.iter().map(|call| call.cost).max().unwrap_or(1);
    let permit = Duration::from_secs_f64(largest as f64 / per_second);
    let lost = stalls.may_cost(first.at, last.at, permit);
    let allowed = ideal / 0.99 + (RECORDER + lost).as_secs_f64();
    let took = (last.at - first.at).as_secs_f64();
    println!(
        "{paced} units of {per_second}/s took {took:.3} s, ideal {ideal:.3} s; stalls may cost {lost:?}"
    );
    assert!(
        took <= allowed,
        "{paced} units took {took:.3} s; at {per_second}/s {ideal:.3} s, and stalls may cost {lost:?}{}",
        gaps(calls, per_second)
    );
}

/// After which calls the next one came later than the rate of itself demands.
fn gaps(calls: &[Call], per_second: f64) -> String {
    let began = calls.first().map(|first| first.at);
    let of_pair = |pair: &[Call]| {
        let late = (pair[1].at - pair[0].at).as_secs_f64() - pair[0].cost as f64 / per_second;
        let at = (pair[0].at - began?).as_secs_f64();
        let numbers = (pair[0].number, pair[1].number);
        (late > 0.005).then(|| format!("\n{late:.3} s too long at {at:.3} s, between {numbers:?}"))
    };
    calls.windows(2).filter_map(of_pair).collect()
}

/// Of these calls there were never more in flight than so many.
#[track_caller]
pub(super) fn assert_at_once(calls: &[Call], most: usize) {
    for (at, call) in calls.iter().enumerate() {
        let earlier = &calls[..at];
        let in_flight =
            earlier.iter().filter(|it| it.answered.is_none_or(|end| end > call.at)).count();
        assert!(in_flight < most, "{} is on its way beside {in_flight} others", call.number);
    }
}

/// The calls of one key: one at a time, and no message before an earlier one is done with.
#[track_caller]
pub(super) fn assert_in_order(calls: &[Call]) {
    assert_at_once(calls, 1);
    let numbers = numbers(calls);
    assert!(numbers.is_sorted(), "not in order: {numbers:?}");
    assert_first_attempts_in_order(calls);
}

/// The calls of one key: first attempts come in the order of the numbers.
#[track_caller]
pub(super) fn assert_first_attempts_in_order(calls: &[Call]) {
    let first: Vec<_> =
        calls.iter().filter(|call| call.attempt == 1).map(|call| call.number).collect();
    let is_ascending = first.is_sorted_by(|one, next| one < next);
    assert!(is_ascending, "first attempts out of order: {first:?}");
}

/// Among these calls each of the keys has its share of the units, within two percent of the whole.
#[track_caller]
pub(super) fn assert_shares(calls: &[Call], label: &str, shares: &[(&str, f64)]) {
    let all = units(calls) as f64;
    for (key, share) in shares {
        let got = units(&of(calls, label, key)) as f64 / all;
        assert!((got - share).abs() <= 0.02, "{key:?} got {got:.3} of the units, not {share}");
    }
}

/// A judge that sees nothing judges nothing.
mod tests {
    use super::*;

    fn call(number: u64, at_ms: u64, took_ms: u64, cost: u64) -> Call {
        static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let at = *BEGAN.get_or_init(Instant::now) + Duration::from_millis(at_ms);
        let answered = Some(at + Duration::from_millis(took_ms));
        let labels = json!({ "to": if number < 100 { "a" } else { "b" } });
        Call { at, answered, number, cost, attempt: 1, path: String::new(), labels }
    }

    fn sees(judge: impl FnOnce() + std::panic::UnwindSafe) -> bool {
        std::panic::catch_unwind(judge).is_err()
    }

    #[tokio::test]
    async fn units_beyond_a_rate_are_seen() {
        let stalls = Stalls::watch();
        // Ten a second in costs of two: every 200 ms.
        let steady: Vec<_> = (0..20).map(|number| call(number, number * 200, 1, 2)).collect();
        assert_paced(&stalls, &steady, 10.0, 1);
        assert_used(&stalls, &steady, 10.0, 1);
        let faster: Vec<_> = (0..20).map(|number| call(number, number * 160, 1, 2)).collect();
        assert!(sees(std::panic::AssertUnwindSafe(|| assert_paced(&stalls, &faster, 10.0, 1))));
        // Nothing has stalled in the time in which these calls are said to come.
        let in_time = |number: u64| call(number, 3_600_000 + number * 240, 1, 2);
        let slower: Vec<_> = (0..20).map(in_time).collect();
        assert!(sees(std::panic::AssertUnwindSafe(|| assert_used(&stalls, &slower, 10.0, 1))));
    }

    #[test]
    fn two_at_once_and_two_out_of_order_are_seen() {
        let good = [call(1, 0, 10, 1), call(1, 20, 10, 1), call(2, 30, 10, 1)];
        assert_in_order(&[good[0].clone(), good[2].clone()]);
        assert!(sees(|| assert_in_order(&[call(1, 0, 10, 1), call(2, 9, 10, 1)])));
        assert!(sees(|| assert_in_order(&[call(2, 0, 10, 1), call(1, 20, 10, 1)])));
        assert!(sees(|| assert_first_attempts_in_order(&good)), "a second first attempt");
    }

    #[test]
    fn a_share_that_is_off_is_seen() {
        let of = |b: u64| -> Vec<_> {
            (0..100)
                .map(|number| call(number + if number < b { 100 } else { 0 }, number, 1, 1))
                .collect()
        };
        let shares = [("a", 0.5), ("b", 0.5)];
        assert_shares(&of(51), "to", &shares);
        assert!(sees(move || assert_shares(&of(53), "to", &shares)));
    }
}
