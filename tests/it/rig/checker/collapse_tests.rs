//! Collapse keys, each rule against a history that breaks it, and what a fault excuses.

use super::super::history::{Answer, Arrival, FaultKind, Final, History, Verdict};
use super::tests::{BEGAN_US, SECOND, SECOND_US, again, arrival, breaks, fault, good, id};
use super::{Rule, check};

/// The good run with one collapse key: each message was sent and accepted 10 ms after the one before, and they came in this
/// order.
fn levels() -> History {
    let mut history = good();
    for (sent, key) in history.sent.iter_mut().zip(0_u64..) {
        sent.collapse_key = Some(7);
        sent.due_ms = 0;
        sent.first_try_us = BEGAN_US - 200_000 + key * 10_000;
        let at_us = sent.first_try_us + 5000;
        sent.verdict = Verdict::Accepted { id: id(key), at_us };
        sent.request = Some(key);
    }
    history
}

/// The message took the place of the one before it, whose payload never came.
fn collapse(history: &mut History, key: usize) {
    let at_us = history.sent[key].first_try_us + 5000;
    let before = key as u64 - 1;
    history.sent[key].verdict = Verdict::Accepted { id: id(before), at_us };
    history.sent[key].is_collapsed = true;
    history.finals.retain(|record| record.id != id(key as u64));
    history.arrivals.retain(|arrival| arrival.key != Some(before));
    for arrival in history.arrivals.iter_mut().filter(|arrival| arrival.key == Some(key as u64)) {
        arrival.id = id(before);
    }
}

fn superseded(key: u64) -> Final {
    Final { id: id(key), state: "cancelled".into(), attempts: 1, reason: "superseded".into() }
}

#[test]
fn a_payload_whose_place_another_one_took_is_not_lost() {
    let mut history = levels();
    collapse(&mut history, 3);
    breaks(&history, &[]);
    // The older payload came, and the newer one never.
    history.arrivals[2] = Arrival { id: id(2), ..arrival(2) };
    breaks(&history, &[Rule::NotLost]);
    assert_eq!(check(&history).lost, [id(2)]);
    // Nor is it lost if the older one waited for another attempt.
    let mut history = levels();
    history.finals[2] = superseded(2);
    breaks(&history, &[]);
}

#[test]
fn what_nothing_newer_stands_for_is_lost() {
    let mut history = levels();
    history.finals[4] = superseded(4);
    breaks(&history, &[Rule::NotLost]);
    // The producer never got to know of the newer one.
    let mut unknown = history.sent[4].clone();
    unknown.key = 5;
    unknown.first_try_us += 10_000;
    unknown.verdict = Verdict::Unknown;
    history.sent.push(unknown);
    breaks(&history, &[]);
    // Another key is none of its business.
    history.sent[5].collapse_key = Some(8);
    breaks(&history, &[Rule::NotLost]);
}

#[test]
fn nothing_comes_after_what_is_newer() {
    let mut history = levels();
    breaks(&history, &[]);
    history.arrivals[2].at_us = arrival(4).at_us + 1;
    history.arrivals[2].answer_at_us = history.arrivals[2].at_us + 1000;
    breaks(&history, &[Rule::NewestLast]);
    // Which one is newer, nobody can know: they were sent at once.
    let sent_us = history.sent[2].first_try_us;
    for sent in &mut history.sent[3..] {
        sent.first_try_us = sent_us;
    }
    breaks(&history, &[]);
    // Unless they are rows of one request.
    for sent in &mut history.sent[2..] {
        sent.request = Some(2);
    }
    breaks(&history, &[Rule::NewestLast]);
    history.sent[2].collapse_key = Some(8);
    breaks(&history, &[]);
}

#[test]
fn a_further_attempt_comes_after_nothing_newer_unless_a_fault_excuses_it() {
    let mut history = levels();
    // The node died while it sent, and so the message comes again; but a newer one had come by then.
    history.arrivals.push(again(8));
    let sent_us = arrival(2).at_us + 500;
    history.faults = vec![fault(FaultKind::DaemonKill, sent_us, 0)];
    breaks(&history, &[Rule::NewestLast]);
    // A replica took over which did not know that it was sent.
    history.faults = vec![fault(FaultKind::FailoverKill, arrival(2).at_us + 6 * SECOND_US, 1)];
    let late = history.arrivals.last_mut().expect("the second one");
    late.at_us = arrival(2).at_us + 7 * SECOND_US;
    late.answer_at_us = late.at_us + 1000;
    breaks(&history, &[Rule::NotRepeated]);
}

#[test]
fn a_node_that_stood_still_may_send_an_old_payload_late() {
    let mut history = levels();
    let late_us = arrival(2).at_us + 9 * SECOND_US;
    history.arrivals[2] =
        Arrival { at_us: late_us, answer_at_us: late_us + 1000, by: SECOND, ..arrival(2) };
    breaks(&history, &[Rule::NewestLast]);
    let mut pause = fault(FaultKind::DaemonPause, arrival(2).at_us, 9);
    history.faults = vec![pause.clone()];
    breaks(&history, &[Rule::NewestLast]);
    pause.life = Some(SECOND);
    history.faults = vec![pause];
    breaks(&history, &[]);
}

#[test]
fn an_id_comes_with_one_payload() {
    let mut history = levels();
    collapse(&mut history, 3);
    let old = Arrival { attempt: 1, answer: Answer::Failed, ..arrival(2) };
    history.arrivals.push(old);
    for arrival in history.arrivals.iter_mut().filter(|arrival| arrival.key == Some(3)) {
        arrival.attempt = 2;
    }
    breaks(&history, &[Rule::OnePayload]);
    history.faults = vec![fault(FaultKind::FailoverKill, arrival(2).at_us, 1)];
    breaks(&history, &[]);
}

#[test]
fn an_id_is_given_to_others_only_if_they_took_its_place() {
    let mut history = levels();
    collapse(&mut history, 3);
    history.sent[3].is_collapsed = false;
    breaks(&history, &[Rule::OneResult]);
    // What was sent twice is answered with the id, and nobody knows whether it took a place.
    history.sent[3].request = None;
    breaks(&history, &[]);

    let mut history = levels();
    collapse(&mut history, 3);
    history.sent[2].verdict = Verdict::Unknown;
    breaks(&history, &[]);
    drop(history.sent.remove(2));
    breaks(&history, &[Rule::NotUnexpected]);
}
