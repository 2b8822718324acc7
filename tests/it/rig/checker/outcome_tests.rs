//! The rules of `outcomes`, and of a queue that probes, each against a history that breaks it.

use super::super::history::{
    Answer, Arrival, FaultKind, Final, History, Probe, Receipt, Sent, Told, Verdict,
};
use super::tests::{
    BEGAN_US, SECOND_US, again, arrival, breaks, delivered, fault, good, id, queue, sent,
};
use super::{Rule, check};

fn told(key: u64) -> Told {
    let at_us = arrival(key).at_us + 5000;
    Told { at_us, id: format!("jobs~callbacks_{key}"), subject: id(key), state: "delivered".into() }
}

/// Everything was told, as it was.
fn telling() -> History {
    let mut history = good();
    history.queues[0].tells = true;
    history.told = (0..5).map(told).collect();
    history
}

#[test]
fn every_end_is_told_under_one_id() {
    breaks(&telling(), &[]);

    let mut history = telling();
    drop(history.told.remove(2));
    breaks(&history, &[Rule::OneCallback]);

    // Once more under its id is right, under another one is not.
    let mut history = telling();
    history.told.push(told(2));
    breaks(&history, &[]);
    history.told.push(Told { id: "jobs~callbacks_x".into(), ..told(2) });
    breaks(&history, &[Rule::OneCallback]);
}

#[test]
fn nothing_is_told_that_never_was() {
    let mut history = telling();
    history.told[2].state = "dead".into();
    breaks(&history, &[Rule::OneCallback]);

    let mut history = telling();
    history.told.push(Told { subject: id(77), ..told(2) });
    breaks(&history, &[Rule::OneCallback]);

    // Nor by a queue that tells nothing.
    let mut history = good();
    history.told.push(told(2));
    breaks(&history, &[Rule::OneCallback]);
}

fn receipt(key: u64) -> Receipt {
    let (at_us, status) = (arrival(key).at_us + 5000, "delivered".to_owned());
    Receipt { at_us, id: id(key), is_by_reference: false, status, verdict: "ok".into() }
}

#[test]
fn what_was_accepted_ends_as_its_receipt_says() {
    let mut history = good();
    history.queues[0].accepts = true;
    history.receipts = (0..5).map(receipt).collect();
    history.receipts.push(Receipt { verdict: "already".into(), ..receipt(1) });
    breaks(&history, &[]);

    let mut unsaid = history.clone();
    drop(unsaid.receipts.remove(2));
    breaks(&unsaid, &[Rule::AsReceipted]);
    // Its downstream did not accept it.
    unsaid.arrivals[2].answer = Answer::Refused;
    unsaid.finals[2].state = "dead".into();
    breaks(&unsaid, &[]);

    let mut other = history.clone();
    other.finals[2].state = "dead".into();
    breaks(&other, &[Rule::AsReceipted]);
    // The answer that would have told us the reference went down with its node, three times.
    other.finals[2].reason = "poison: its node was lost three times while sending it alone".into();
    breaks(&other, &[Rule::AsReceipted]);
    other.receipts[2].is_by_reference = true;
    breaks(&other, &[]);
    let mut contradicted = history.clone();
    contradicted.receipts[2].verdict = "409: it is dead".into();
    breaks(&contradicted, &[Rule::AsReceipted]);
    // It was to be sent again, and a refusal is no result then; a success is.
    let mut late = history.clone();
    late.receipts.push(Receipt { verdict: "waits".into(), ..receipt(2) });
    breaks(&late, &[Rule::AsReceipted]);
    late.finals[2].state = "dead".into();
    late.receipts.retain(|receipt| receipt.id != id(2));
    for verdict in ["waits", "ok"] {
        let receipt = Receipt { verdict: verdict.into(), status: "dead".into(), ..receipt(2) };
        late.receipts.push(receipt);
    }
    breaks(&late, &[]);
    // Nobody waits for the receipt of what was never accepted.
    let mut expired = history;
    drop(expired.receipts.remove(2));
    drop(expired.arrivals.remove(2));
    expired.finals[2].state = "expired".into();
    breaks(&expired, &[]);
}

#[test]
fn what_was_booked_is_never_booked_again_whatever_died() {
    for answer in [Answer::Taken, Answer::Garbage, Answer::TakenUnsaid, Answer::TakenSilence] {
        let mut history = good();
        history.queues[0].probes = true;
        history.arrivals[2].answer = answer;
        breaks(&history, &[]);
        history.arrivals.push(again(8));
        history.faults = vec![fault(FaultKind::DaemonKill, arrival(2).at_us + 500, 0)];
        breaks(&history, &[Rule::NotBookedTwice]);
        assert_eq!(check(&history).duplicated, [id(2)]);
    }
}

#[test]
fn where_the_queue_probes_only_what_is_absent_leaves_again() {
    let mut history = good();
    history.queues[0].probes = true;
    history.arrivals[2].answer = Answer::Silence;
    history.arrivals.push(again(8));
    breaks(&history, &[Rule::NotResentUndecided]);

    let probe = Probe { at_us: arrival(2).at_us + SECOND_US, id: id(2), found: false };
    history.probes = vec![probe.clone()];
    breaks(&history, &[]);
    for other in [
        Probe { found: true, ..probe.clone() },
        Probe { at_us: BEGAN_US, ..probe.clone() },
        Probe { id: id(3), ..probe },
    ] {
        history.probes = vec![other];
        breaks(&history, &[Rule::NotResentUndecided]);
    }
    // "Too fast" was no attempt, and nothing to ask about.
    history.arrivals[2].answer = Answer::Throttled;
    breaks(&history, &[]);
}

/// An event of two queues beside everything else.
fn event() -> History {
    let mut history = good();
    history.queues.push(queue());
    history.queues[1].name = "sms".into();
    history.sent.push(sent(7));
    history.arrivals.push(arrival(7));
    history.finals.push(delivered(7));
    let verdict = Verdict::Accepted { id: "sms_7".into(), at_us: BEGAN_US };
    history.sent.push(Sent { queue: 1, verdict, ..sent(7) });
    history.arrivals.push(Arrival { queue: 1, id: "sms_7".into(), call: 70, ..arrival(7) });
    history.finals.push(Final { id: "sms_7".into(), ..delivered(7) });
    history
}

#[test]
fn an_event_is_in_each_of_its_queues_once() {
    breaks(&event(), &[]);

    // Another message of the same event.
    let mut history = event();
    history.arrivals.push(Arrival { queue: 1, id: "sms_8".into(), call: 71, ..arrival(7) });
    history.finals.push(Final { id: "sms_8".into(), ..delivered(7) });
    breaks(&history, &[Rule::OneResult]);

    // It went to a queue that nobody told it to.
    let mut history = event();
    history.queues.push(queue());
    history.arrivals[6].queue = 2;
    breaks(&history, &[Rule::NotUnexpected, Rule::WholeEvent]);
}

#[test]
fn an_event_is_in_all_of_its_queues_or_in_none() {
    let mut history = event();
    drop(history.arrivals.pop());
    drop(history.finals.pop());
    breaks(&history, &[Rule::NotLost, Rule::WholeEvent]);
    // Even where its producer never got to know.
    history.sent[5].verdict = Verdict::Unknown;
    history.sent[6].verdict = Verdict::Unknown;
    breaks(&history, &[Rule::WholeEvent]);
    drop(history.arrivals.pop());
    drop(history.finals.pop());
    breaks(&history, &[]);
}

/// A schedule that ticks every tenth of a second.
fn ticking() -> History {
    let mut history = good();
    history.queues[0].every_ms = 100;
    for (sent, arrival) in history.sent.iter_mut().zip(&mut history.arrivals) {
        sent.key = arrival.at_us / 1000;
        sent.due_ms = sent.key;
        sent.verdict = Verdict::Unknown;
        arrival.key = Some(sent.key);
    }
    history
}

#[test]
fn each_tick_comes_as_one_message_and_none_is_left_out() {
    breaks(&ticking(), &[]);

    let mut history = ticking();
    drop(history.arrivals.remove(2));
    drop(history.finals.remove(2));
    breaks(&history, &[Rule::EveryTick]);

    let mut history = ticking();
    history.arrivals.push(Arrival { id: id(9), call: 9, ..history.arrivals[2].clone() });
    history.finals.push(delivered(9));
    breaks(&history, &[Rule::OneResult]);

    // Before its nominal time.
    let mut history = ticking();
    history.arrivals[2].at_us -= 2000;
    breaks(&history, &[Rule::NotEarly]);
}
