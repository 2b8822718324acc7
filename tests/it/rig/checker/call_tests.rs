//! The limits, each against a history that breaks just this one.

use super::super::flow::{Key, Limit, LimitKind};
use super::super::history::{FaultKind, History, Queue};
use super::tests::{BEGAN_US, SECOND, SECOND_US, arrival, breaks, fault, good};
use super::{Rule, check};

#[test]
fn no_window_holds_more_calls_than_the_rate_allows() {
    let mut history = good();
    history.queues[0].limits = vec![Limit::rate(10.0, 1)];
    breaks(&history, &[]);
    // 20 ms and what the machine was slow by are within the bound, more is not.
    history.arrivals[3].at_us -= 20_400;
    breaks(&history, &[]);
    history.arrivals[3].at_us -= 300;
    breaks(&history, &[Rule::WithinRate]);
    history.queues[0].limits = vec![Limit::rate(10.0, 2)];
    breaks(&history, &[]);
    // The items of a batch are one call.
    history.queues[0].batch_max = 10;
    for arrival in &mut history.arrivals {
        (arrival.call, arrival.at_us) = (7, BEGAN_US + SECOND_US);
    }
    breaks(&history, &[]);
    // Unless it counts messages: then the largest call is one of five units.
    history.queues[0].limits = vec![Limit::rate(10.0, 1).by_messages()];
    breaks(&history, &[]);
    history.arrivals[4].call = 8;
    breaks(&history, &[Rule::WithinRate]);
}

#[test]
fn two_masters_let_as_much_start_as_each_of_them_may() {
    let mut history = good();
    // A call every 100 ms, at a rate of one every 200 ms: as if there were two masters all the time.
    history.queues[0].limits = vec![Limit::rate(5.0, 1)];
    breaks(&history, &[Rule::WithinRate]);
    history.faults = vec![fault(FaultKind::FailoverKill, BEGAN_US, 1)];
    breaks(&history, &[]);
    history.queues[0].limits = vec![Limit::rate(4.0, 1)];
    breaks(&history, &[Rule::WithinRate]);
    // Each of them lets a call of three units start, and is paid afterwards.
    let mut costly = history.clone();
    costly.queues[0].limits = vec![Limit::rate(5.0, 1)];
    costly.sent[1].cost = 3;
    costly.sent[2].cost = 3;
    breaks(&costly, &[]);
    costly.sent[3].cost = 3;
    breaks(&costly, &[Rule::WithinRate]);
    // What was before is not forgotten: the next one has no burst.
    history.queues[0].limits = vec![Limit::rate(5.0, 1)];
    history.faults = vec![fault(FaultKind::FailoverKill, BEGAN_US + 2 * SECOND_US, 1)];
    breaks(&history, &[Rule::WithinRate]);
}

/// The one pass finds what the definition finds.
#[test]
fn the_rate_is_judged_as_by_every_window() {
    let mut seed = 7_u64;
    for _ in 0..200 {
        let mut history = good();
        history.queues[0].limits = vec![Limit::rate(10.0, 2)];
        history.lags.clear();
        for arrival in &mut history.arrivals {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            arrival.at_us = BEGAN_US + (seed >> 33) % 500_000;
        }
        for sent in &mut history.sent {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            sent.cost = 1 + u32::try_from((seed >> 33) % 3).expect("small");
        }
        let costs = history.sent.iter().map(|sent| u64::from(sent.cost));
        let arrivals = history.arrivals.iter().map(|arrival| arrival.at_us);
        let mut starts: Vec<_> = arrivals.zip(costs).collect();
        starts.sort_unstable();
        let largest = starts.iter().map(|(_, cost)| *cost).max().expect("five");
        let is_exceeded = (0..5).any(|from| {
            (from..5).any(|to| {
                // The clocks' reading error is in the bound too.
                let window_s = (starts[to].0 - starts[from].0 + 20_100) as f64 / 1e6;
                let units: u64 = starts[from..=to].iter().map(|(_, cost)| *cost).sum();
                units as f64 > 10.0 * window_s + (2 + largest - 1) as f64
            })
        });
        let report = check(&history);
        assert_eq!(report.broken().contains(&Rule::WithinRate), is_exceeded, "{starts:?}");
    }
}

#[test]
fn no_more_calls_are_under_way_than_allowed() {
    let mut history = good();
    for arrival in &mut history.arrivals {
        arrival.answer_at_us = BEGAN_US + 400_000;
    }
    history.arrivals[0].answer_at_us = BEGAN_US + 200_000;
    breaks(&history, &[]);
    history.queues[0].concurrency = 3;
    breaks(&history, &[]);
    history.queues[0].concurrency = 2;
    breaks(&history, &[Rule::WithinConcurrency]);
    // Whoever made a call and was killed waits for no answer.
    history.faults = vec![fault(FaultKind::DaemonKill, BEGAN_US + 250_000, 0)];
    breaks(&history, &[]);
    history.faults[0].life = Some(SECOND);
    breaks(&history, &[Rule::WithinConcurrency]);
    // A replica that took over does not know them.
    history.faults = vec![fault(FaultKind::FailoverKill, BEGAN_US + 250_000, 1)];
    breaks(&history, &[]);
}

#[test]
fn a_call_that_nobody_answers_is_in_flight_until_its_caller_gives_up() {
    let mut history = good();
    history.queues[0].concurrency = 1;
    history.arrivals[0].answer_at_us = u64::MAX / 2;
    breaks(&history, &[Rule::WithinConcurrency]);
    history.queues[0].timeout_ms = 200;
    breaks(&history, &[]);
    history.queues[0].timeout_ms = 202;
    breaks(&history, &[Rule::WithinConcurrency]);
}

/// The good run with a customer for each message, and a limit for each of them.
fn of_customers(customers: [Option<u32>; 5], kind: LimitKind) -> History {
    let mut history = good();
    for (sent, customer) in history.sent.iter_mut().zip(customers) {
        sent.customer = customer;
    }
    history.queues[0].limits = vec![Limit::of("own", kind).per(Key::Customer)];
    history
}

#[test]
fn each_key_has_its_own_rate() {
    // A message every 100 ms; of each customer one every 200 ms.
    let customers = [Some(1), Some(2), Some(1), Some(2), Some(1)];
    let rate = |units_per_s| LimitKind::Rate { units_per_s, burst: 1 };
    breaks(&of_customers(customers, rate(5.0)), &[]);
    breaks(&of_customers(customers, rate(4.0)), &[Rule::WithinRate]);
    // What has no customer shares one.
    breaks(&of_customers([None, Some(1), None, Some(2), None], rate(4.0)), &[Rule::WithinRate]);
    breaks(&of_customers([Some(1), None, None, Some(2), Some(3)], rate(5.0)), &[Rule::WithinRate]);
    // Each message takes its own cost, also in a batch: the debt of the first one makes the second one wait.
    let mut history = of_customers(customers, rate(5.0));
    history.queues[0].batch_max = 10;
    history.sent[0].cost = 3;
    breaks(&history, &[]);
    history.sent[2].cost = 2;
    breaks(&history, &[Rule::WithinRate]);
}

#[test]
fn no_hour_holds_more_units_than_the_quota() {
    let quota = |units| vec![Limit::of("contract", LimitKind::Quota { units })];
    let mut history = good();
    history.queues[0].limits = quota(5);
    breaks(&history, &[]);
    history.queues[0].limits = quota(4);
    breaks(&history, &[Rule::WithinQuota]);
    // Costs are units.
    history.queues[0].limits = quota(6);
    history.sent[4].cost = 3;
    breaks(&history, &[Rule::WithinQuota]);
    // A batch is one, unless its messages count.
    history.queues[0].batch_max = 10;
    breaks(&history, &[]);
    history.queues[0].limits[0].counts_messages = true;
    breaks(&history, &[Rule::WithinQuota]);
}

#[test]
fn what_queues_share_is_counted_over_all_of_them() {
    let shared = |kind| vec![Limit::of("account", kind).shared()];
    let mut history = good();
    // Two of the five calls are those of another queue.
    let other = Queue { name: "other".to_owned(), ..history.queues[0].clone() };
    history.queues.push(other);
    for arrival in &mut history.arrivals[3..] {
        arrival.queue = 1;
    }
    for sent in &mut history.sent[3..] {
        sent.queue = 1;
    }
    let over = |history: &mut History, kind| {
        for queue in &mut history.queues {
            queue.limits = shared(kind);
        }
        check(history).broken().contains(&Rule::WithinShared)
    };
    assert!(!over(&mut history, LimitKind::Quota { units: 5 }));
    assert!(over(&mut history, LimitKind::Quota { units: 4 }));
    assert!(!over(&mut history, LimitKind::Rate { units_per_s: 10.0, burst: 5 }));
    assert!(over(&mut history, LimitKind::Rate { units_per_s: 0.1, burst: 4 }));
}

#[test]
fn each_hour_has_its_own_quota() {
    let mut history = good();
    history.queues[0].limits = vec![Limit::of("contract", LimitKind::Quota { units: 3 })];
    let hour_us = 3600 * SECOND_US;
    let shift = |history: &mut History, ends_us: u64| {
        for (arrival, key) in history.arrivals.iter_mut().zip(0..) {
            arrival.at_us = hour_us - ends_us + key * 100_000;
            arrival.answer_at_us = arrival.at_us + 1000;
        }
    };
    // Two in the one hour, three in the next.
    shift(&mut history, 150_000);
    breaks(&history, &[]);
    // All in one.
    shift(&mut history, 600_000);
    breaks(&history, &[Rule::WithinQuota]);
    // The last one 1 ms after the end may have had its slot before it, and nobody knows.
    shift(&mut history, 399_000);
    breaks(&history, &[Rule::WithinQuota]);
    history.queues[0].limits[0].kind = LimitKind::Quota { units: 4 };
    breaks(&history, &[]);
    history.sent[3].cost = 2;
    breaks(&history, &[Rule::WithinQuota]);
}

#[test]
fn each_key_has_its_own_quota() {
    let customers = [Some(1), Some(2), Some(1), Some(2), Some(1)];
    breaks(&of_customers(customers, LimitKind::Quota { units: 3 }), &[]);
    breaks(&of_customers(customers, LimitKind::Quota { units: 2 }), &[Rule::WithinQuota]);
}

#[test]
fn each_key_has_its_own_concurrency() {
    let customers = [Some(1), Some(2), Some(1), Some(2), Some(1)];
    let mut history = of_customers(customers, LimitKind::Concurrency { calls: 1 });
    breaks(&history, &[]);
    // Overlaps with the next call, which is another customer's, and then with its own.
    history.arrivals[0].answer_at_us = arrival(2).at_us;
    breaks(&history, &[]);
    history.arrivals[0].answer_at_us += 1;
    breaks(&history, &[Rule::WithinConcurrency]);
    history.queues[0].limits[0].kind = LimitKind::Concurrency { calls: 2 };
    breaks(&history, &[]);
}
