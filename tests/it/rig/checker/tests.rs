//! Each rule against a history that breaks just that rule, and each excuse with its limits.

use super::super::flow::Limit;
use super::super::history::{
    Answer, Arrival, Decision, Fault, FaultKind, Final, History, Lag, Life, Move, Moved, Queue,
    Resolved, Sent, Verdict, body_hash,
};
use super::{Rule, check};

pub(super) const BEGAN_US: u64 = 1_000_000_000;
pub(super) const SECOND_US: u64 = 1_000_000;
pub(super) const FIRST: Life = Life { node: 0, boot: 0 };
pub(super) const SECOND: Life = Life { node: 1, boot: 0 };

pub(super) fn id(key: u64) -> String {
    format!("jobs_{key:026}")
}

pub(super) fn sent(key: u64) -> Sent {
    Sent {
        key,
        queue: 0,
        body_hash: body_hash(&key.to_be_bytes()),
        due_ms: BEGAN_US / 1000,
        expires_ms: 0,
        group: None,
        customer: None,
        collapse_key: None,
        is_collapsed: false,
        cost: 1,
        first_try_us: BEGAN_US,
        request: None,
        verdict: Verdict::Accepted { id: id(key), at_us: BEGAN_US + 10 },
    }
}

/// The `key`th message a tenth of a second after the one before, from `FIRST`, answered in 1 ms.
pub(super) fn arrival(key: u64) -> Arrival {
    let at_us = BEGAN_US + key * 100_000;
    Arrival {
        at_us,
        call: key,
        queue: 0,
        id: id(key),
        key: Some(key),
        attempt: 1,
        body_hash: body_hash(&key.to_be_bytes()),
        by: FIRST,
        answer: Answer::Taken,
        answer_at_us: at_us + 1000,
    }
}

pub(super) fn delivered(key: u64) -> Final {
    Final { id: id(key), state: "delivered".into(), attempts: 1, reason: String::new() }
}

pub(super) fn queue() -> Queue {
    Queue {
        name: "jobs".into(),
        concurrency: 4,
        batch_max: 1,
        open_ms: None,
        parks: false,
        timeout_ms: 1000,
        lease_ms: 7000,
        ..Queue::default()
    }
}

/// Five messages, sent, arrived and delivered.
pub(super) fn good() -> History {
    History {
        queues: vec![queue()],
        sent: (0..5).map(sent).collect(),
        arrivals: (0..5).map(arrival).collect(),
        finals: (0..5).map(delivered).collect(),
        lags: vec![Lag { at_us: BEGAN_US + 300_000, took_us: 500 }],
        ..History::default()
    }
}

/// The second arrival of message 2: by `SECOND`, so many seconds after the first.
pub(super) fn again(after_s: u64) -> Arrival {
    let at_us = arrival(2).at_us + after_s * SECOND_US;
    Arrival { at_us, answer_at_us: at_us + 1000, call: 99, attempt: 2, by: SECOND, ..arrival(2) }
}

pub(super) fn fault(kind: FaultKind, at_us: u64, lasted_s: u64) -> Fault {
    let until_us = at_us + lasted_s * SECOND_US;
    Fault { at_us, until_us, kind, life: Some(FIRST), detail: String::new() }
}

#[track_caller]
pub(super) fn breaks(history: &History, rules: &[Rule]) {
    let report = check(history);
    assert_eq!(report.broken(), rules, "{report}");
}

#[test]
fn a_good_run_breaks_nothing() {
    let mut history = good();
    history.queues[0].limits = vec![Limit::rate(10.0, 1)];
    history.queues[0].open_ms = Some(vec![(BEGAN_US / 1000, BEGAN_US / 1000 + 1000)]);
    let report = check(&history);
    report.expect_good();
    assert!(report.lost.is_empty() && report.duplicated.is_empty() && report.recovered.is_empty());
}

#[test]
fn what_is_not_final_means_that_the_run_has_not_drained() {
    let mut history = good();
    drop(history.finals.pop());
    history.left.push(id(4));
    breaks(&history, &[Rule::Drained]);
}

#[test]
fn what_was_accepted_and_is_nowhere_is_lost() {
    let mut history = good();
    drop(history.finals.remove(3));
    breaks(&history, &[Rule::NotLost]);
    assert_eq!(check(&history).lost, [id(3)]);
}

#[test]
fn what_is_called_delivered_and_never_arrived_is_lost() {
    let mut history = good();
    drop(history.arrivals.remove(3));
    breaks(&history, &[Rule::NotLost]);
    history.arrivals.push(Arrival { answer: Answer::Unsaid, ..arrival(3) });
    breaks(&history, &[Rule::NotLost]);

    let resolved = Resolved::Delivered;
    history.decisions.push(Decision { at_us: BEGAN_US + SECOND_US, id: id(3), resolved });
    breaks(&history, &[]);
}

#[test]
fn what_nobody_sent_is_unexpected() {
    let mut history = good();
    history.arrivals.push(Arrival { key: Some(77), id: id(77), ..arrival(7) });
    breaks(&history, &[Rule::NotUnexpected]);
    assert_eq!(check(&history).unexpected, [id(77)]);

    let mut history = good();
    history.finals.push(delivered(78));
    breaks(&history, &[Rule::NotUnexpected]);

    let mut history = good();
    history.sent[1].verdict = Verdict::Refused;
    drop(history.finals.remove(1));
    breaks(&history, &[Rule::NotUnexpected]);

    let mut history = good();
    history.queues.push(queue());
    history.arrivals[1].queue = 1;
    breaks(&history, &[Rule::NotUnexpected]);
}

#[test]
fn what_the_producer_never_got_to_know_is_recovered() {
    let mut history = good();
    history.sent[1].verdict = Verdict::Unknown;
    history.sent.push(Sent { verdict: Verdict::Unknown, ..sent(5) });
    let report = check(&history);
    report.expect_good();
    assert_eq!(report.recovered, [id(1)]);

    drop(history.finals.remove(1));
    breaks(&history, &[Rule::NotLost]);
}

#[test]
fn a_repeat_without_a_fault_is_nobodys_right() {
    let mut history = good();
    history.arrivals.push(again(8));
    breaks(&history, &[Rule::NotRepeated]);
    assert_eq!(check(&history).duplicated, [id(2)]);
}

#[test]
fn a_kill_excuses_what_was_being_sent_and_no_more() {
    let mut history = good();
    history.arrivals.push(again(8));
    let first_us = arrival(2).at_us;

    history.faults = vec![fault(FaultKind::DaemonKill, first_us + 500, 0)];
    let report = check(&history);
    report.expect_good();
    assert!(report.sending_at_kills >= report.duplicated.len(), "{report}");

    history.faults = vec![fault(FaultKind::DaemonKill, first_us + 3 * SECOND_US, 0)];
    breaks(&history, &[Rule::NotRepeated]);
    // Unless Redis was away, and the outcome waited for it.
    history.faults.insert(0, fault(FaultKind::RedisKill, first_us, 2));
    breaks(&history, &[]);
    // Another node's death is no excuse, and neither is a graceful stop.
    history.faults[1].life = Some(SECOND);
    breaks(&history, &[Rule::NotRepeated]);
    history.faults[1] = fault(FaultKind::DaemonStop, first_us, 0);
    breaks(&history, &[Rule::NotRepeated]);
}

#[test]
fn a_pause_excuses_a_repeat_if_it_outlasts_the_lease() {
    let mut history = good();
    history.arrivals.push(again(8));
    let first_us = arrival(2).at_us;
    history.faults = vec![fault(FaultKind::DaemonPause, first_us, 8)];
    breaks(&history, &[]);
    history.faults = vec![fault(FaultKind::DaemonPause, first_us, 2)];
    breaks(&history, &[Rule::NotRepeated]);
    // Redis was away for everybody: leases get their grace.
    history.faults = vec![fault(FaultKind::RedisKill, first_us, 8)];
    breaks(&history, &[Rule::NotRepeated]);
}

#[test]
fn a_failover_excuses_what_ended_right_before_it() {
    let mut history = good();
    history.arrivals.push(Arrival { attempt: 1, ..again(8) });
    let first_us = arrival(2).at_us;
    history.faults = vec![fault(FaultKind::FailoverKill, first_us + SECOND_US, 1)];
    breaks(&history, &[]);
    history.faults = vec![fault(FaultKind::FailoverKill, first_us + 6 * SECOND_US, 1)];
    breaks(&history, &[Rule::NotRepeated, Rule::Newer]);
}

#[test]
fn a_downstream_that_does_not_say_gets_it_again() {
    for answer in [Answer::Unsaid, Answer::TakenUnsaid, Answer::Failed] {
        let mut history = good();
        history.arrivals[2].answer = answer;
        history.arrivals.push(again(1));
        let report = check(&history);
        report.expect_good();
        assert_eq!(report.duplicated.len(), usize::from(answer == Answer::TakenUnsaid));
    }
    // An answer that came too late was none.
    let mut history = good();
    history.arrivals[2].answer_at_us = history.arrivals[2].at_us + SECOND_US;
    history.arrivals.push(again(2));
    breaks(&history, &[]);
}

#[test]
fn where_the_queue_parks_only_a_decision_sends_it_again() {
    let mut history = good();
    history.queues[0].parks = true;
    history.arrivals[2].answer = Answer::Unsaid;
    history.arrivals.push(again(3));
    breaks(&history, &[Rule::NotResentUndecided]);

    let at_us = arrival(2).at_us + SECOND_US;
    history.decisions.push(Decision { at_us, id: id(2), resolved: Resolved::Resend });
    breaks(&history, &[]);
    history.decisions[0].at_us = BEGAN_US;
    breaks(&history, &[Rule::NotResentUndecided]);
}

#[test]
fn an_attempt_is_newer_than_the_one_before() {
    let mut history = good();
    history.arrivals[2].answer = Answer::Failed;
    history.arrivals.push(Arrival { attempt: 1, ..again(1) });
    breaks(&history, &[Rule::Newer]);
    // Its attempts were counted anew.
    let (at_us, how) = (arrival(2).at_us + 1, Moved::Requeued);
    history.moves = vec![Move { at_us, id: id(2), how }];
    breaks(&history, &[]);
    history.moves[0].how = Moved::Cancelled;
    breaks(&history, &[Rule::Newer]);
    // "Too fast" was no attempt.
    history.arrivals[2].answer = Answer::Throttled;
    breaks(&history, &[]);
}

#[test]
fn a_message_has_one_final_record_and_one_id() {
    let mut history = good();
    history.finals.push(delivered(2));
    breaks(&history, &[Rule::OneResult]);

    let mut history = good();
    history.sent.push(Sent { verdict: Verdict::Unknown, ..sent(5) });
    for other in ["jobs_one", "jobs_two"] {
        history.arrivals.push(Arrival { id: other.into(), call: 50, ..arrival(5) });
        history.finals.push(Final { id: other.into(), ..delivered(5) });
    }
    breaks(&history, &[Rule::OneResult]);
}

#[test]
fn a_failover_may_take_back_what_nobody_was_promised() {
    let mut history = good();
    let taken_back = Arrival { id: "jobs_one".into(), call: 50, ..arrival(2) };
    history.arrivals.push(taken_back);
    breaks(&history, &[Rule::OneResult]);
    history.faults = vec![fault(FaultKind::FailoverKill, arrival(2).at_us + SECOND_US, 1)];
    breaks(&history, &[]);
    // It has a record, so it was not taken back.
    history.finals.push(Final { id: "jobs_one".into(), ..delivered(2) });
    breaks(&history, &[Rule::OneResult]);
}

#[test]
fn bytes_out_equal_bytes_in() {
    let mut history = good();
    history.arrivals[4].body_hash ^= 1;
    breaks(&history, &[Rule::SameBytes]);
}

#[test]
fn nothing_leaves_before_it_is_due() {
    let mut history = good();
    history.sent[3].due_ms = arrival(3).at_us / 1000 + 1;
    breaks(&history, &[Rule::NotEarly]);
    // Somebody ran it, and did not just put it off.
    for (how, rules) in [(Moved::Run, &[][..]), (Moved::Rescheduled, &[Rule::NotEarly])] {
        history.moves = vec![Move { at_us: BEGAN_US, id: id(3), how }];
        breaks(&history, rules);
    }
    // Redis' clock decides, and somebody had set it forward by then.
    let mut step = fault(FaultKind::ClockStep, BEGAN_US, 0);
    step.detail = "+300 ms".into();
    history.faults.push(step);
    breaks(&history, &[]);
    history.faults[0].detail = "0 ms".into();
    breaks(&history, &[Rule::NotEarly]);
}

#[test]
fn a_clock_set_forth_and_back_is_off_no_longer() {
    let step = |detail: &str, at_us| Fault {
        detail: detail.into(),
        ..fault(FaultKind::ClockStep, at_us, 0)
    };
    let mut history = good();
    history.sent[3].due_ms = arrival(3).at_us / 1000 + 200;
    history.faults = ["+300 ms", "-300 ms", "by 5 ms"]
        .into_iter()
        .enumerate()
        .map(|(n, detail)| step(detail, BEGAN_US + n as u64))
        .collect();
    breaks(&history, &[Rule::NotEarly]);
    drop(history.faults.pop());
    breaks(&history, &[]);
    // The same, told as one fault that was over.
    drop(history.faults.pop());
    history.faults[0].until_us = arrival(3).at_us + 1;
    breaks(&history, &[]);
    history.faults[0].until_us = BEGAN_US + 1;
    history.faults.push(step("0 ms", BEGAN_US + 2));
    breaks(&history, &[Rule::NotEarly]);
}

#[test]
fn no_call_begins_while_the_window_is_shut() {
    let from_ms = BEGAN_US / 1000;
    let mut history = good();
    // The call at 400 ms began before the window shut, and had to travel.
    history.queues[0].open_ms = Some(vec![(from_ms, from_ms + 390)]);
    breaks(&history, &[]);
    history.queues[0].open_ms = Some(vec![(from_ms, from_ms + 370)]);
    breaks(&history, &[Rule::InWindow]);
    history.queues[0].open_ms = Some(vec![(from_ms + 1, from_ms + 1000)]);
    breaks(&history, &[Rule::InWindow]);
}

#[test]
fn twenty_thousand_messages_and_a_thousand_kills_are_judged_at_once() {
    let mut history = good();
    let count = 20_000;
    history.sent = (0..count).map(sent).collect();
    history.finals = (0..count).map(delivered).collect();
    history.arrivals = (0..count).map(arrival).collect();
    for (n, arrival) in history.arrivals.iter_mut().enumerate() {
        arrival.by.boot = u32::try_from(n / 20).expect("a thousand");
    }
    history.faults = (0..1000)
        .map(|n| {
            let at_us = BEGAN_US + n * 2 * SECOND_US;
            let mut kill = fault(FaultKind::DaemonKill, at_us, 1);
            kill.life = Some(Life { node: 0, boot: u32::try_from(n).expect("a thousand") });
            kill
        })
        .collect();
    let kills = history.faults.clone();
    history
        .faults
        .extend(kills.into_iter().map(|kill| Fault { kind: FaultKind::RedisKill, ..kill }));
    let began = tokio::time::Instant::now();
    check(&history).expect_good();
    assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
}
