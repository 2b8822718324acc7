//! The order within a key, each rule against a history that breaks it, and what is left out.

use super::super::flow::Key;
use super::super::history::{Answer, Arrival, FaultKind, History, Move, Moved, Verdict};
use super::Rule;
use super::tests::{BEGAN_US, FIRST, SECOND, SECOND_US, again, arrival, breaks, fault, good, id};

/// The good run as one conversation: each message was sent and accepted 10 ms after the one before, without a due
/// time.
fn conversation() -> History {
    let mut history = good();
    history.queues[0].order = Some(Key::Group);
    for (sent, key) in history.sent.iter_mut().zip(0_u64..) {
        sent.group = Some(7);
        sent.due_ms = 0;
        sent.first_try_us = BEGAN_US - 200_000 + key * 10_000;
        sent.verdict = Verdict::Accepted { id: id(key), at_us: sent.first_try_us + 5000 };
    }
    history
}

/// The calls of two messages in each other's place.
fn swap(history: &mut History, one: usize, other: usize) {
    let (first, second) = (history.arrivals[one].clone(), history.arrivals[other].clone());
    let (at_us, answer_at_us, call) = (first.at_us, first.answer_at_us, first.call);
    history.arrivals[one] = Arrival {
        at_us: second.at_us,
        answer_at_us: second.answer_at_us,
        call: second.call,
        ..first
    };
    history.arrivals[other] = Arrival { at_us, answer_at_us, call, ..second };
}

fn moved(key: u64, at_us: u64, how: Moved) -> Move {
    Move { at_us, id: id(key), how }
}

#[test]
fn of_one_key_one_message_is_on_its_way() {
    let mut history = conversation();
    breaks(&history, &[]);
    history.arrivals[1].answer_at_us = arrival(2).at_us + 1;
    breaks(&history, &[Rule::OneOfAKey]);

    // Other groups, no group, no order: nothing to keep.
    for sent in &mut history.sent[2..] {
        sent.group = Some(8);
    }
    breaks(&history, &[]);
    for sent in &mut history.sent {
        sent.group = None;
    }
    breaks(&history, &[]);
    history = conversation();
    history.arrivals[1].answer_at_us = arrival(2).at_us + 1;
    history.queues[0].order = None;
    breaks(&history, &[]);
}

#[test]
fn a_batch_holds_at_most_one_message_of_a_key() {
    let mut history = conversation();
    history.queues[0].batch_max = 10;
    (history.arrivals[2].at_us, history.arrivals[2].answer_at_us) =
        (arrival(1).at_us, arrival(1).at_us);
    history.arrivals[1].answer_at_us = arrival(1).at_us;
    history.arrivals[2].call = 1;
    breaks(&history, &[Rule::OneOfAKey]);
    history.sent[2].group = Some(8);
    breaks(&history, &[]);
}

#[test]
fn what_waits_for_another_attempt_is_on_its_way() {
    let mut history = conversation();
    history.arrivals[2].answer = Answer::Failed;
    history.arrivals.push(Arrival { by: FIRST, ..again(3) });
    breaks(&history, &[Rule::OneOfAKey]);
    // The others of its key waited for it.
    for arrival in &mut history.arrivals[3..5] {
        arrival.at_us += 4 * SECOND_US;
        arrival.answer_at_us += 4 * SECOND_US;
    }
    breaks(&history, &[]);
}

#[test]
fn what_came_again_after_a_kill_was_on_its_way_all_the_time() {
    let mut history = conversation();
    history.arrivals.push(again(8));
    history.faults = vec![fault(FaultKind::DaemonKill, arrival(2).at_us + 500, 0)];
    breaks(&history, &[Rule::OneOfAKey]);
    for arrival in &mut history.arrivals[3..5] {
        arrival.at_us += 9 * SECOND_US;
        arrival.answer_at_us += 9 * SECOND_US;
    }
    breaks(&history, &[]);
}

#[test]
fn a_failover_may_forget_that_it_ended() {
    let mut history = conversation();
    history.arrivals.push(again(3));
    history.faults = vec![fault(FaultKind::FailoverKill, arrival(2).at_us + SECOND_US, 1)];
    breaks(&history, &[]);
    // What is on its way then may be beside it: the store that took over does not know of it.
    history.arrivals[4].at_us = again(3).at_us - 500;
    history.arrivals[4].answer_at_us = history.arrivals[4].at_us + 1000;
    breaks(&history, &[]);
    // Of two that come for the first time neither has ended.
    let mut history = conversation();
    history.faults = vec![fault(FaultKind::FailoverKill, arrival(2).at_us + SECOND_US, 1)];
    history.arrivals[1].answer_at_us = arrival(2).at_us + 1;
    breaks(&history, &[Rule::OneOfAKey]);
}

#[test]
fn what_an_operator_took_out_of_its_place_lets_others_pass() {
    for how in [Moved::Run, Moved::Rescheduled, Moved::Requeued] {
        let mut history = conversation();
        history.arrivals[2].answer = Answer::Failed;
        history.arrivals.push(Arrival { by: FIRST, ..again(3) });
        history.moves = vec![moved(2, arrival(2).at_us + 1, how)];
        breaks(&history, &[]);
        history.moves = vec![moved(2, BEGAN_US - 1, how)];
        breaks(&history, &[Rule::OneOfAKey]);
        history.moves = vec![moved(3, arrival(2).at_us + 1, how)];
        breaks(&history, &[Rule::OneOfAKey]);
    }
}

#[test]
fn a_node_that_woke_may_send_what_it_was_about_to() {
    let mut history = conversation();
    history.arrivals[2].by = SECOND;
    history.arrivals[1].answer_at_us = arrival(2).at_us + 1;
    breaks(&history, &[Rule::OneOfAKey]);
    history.faults = vec![fault(FaultKind::DaemonPause, arrival(2).at_us - SECOND_US / 2, 0)];
    history.faults[0].until_us = arrival(2).at_us - 1000;
    history.faults[0].life = Some(SECOND);
    breaks(&history, &[]);
    // Long after it was woken it has looked.
    history.faults[0].at_us -= 2 * SECOND_US;
    history.faults[0].until_us -= 2 * SECOND_US;
    breaks(&history, &[Rule::OneOfAKey]);
}

#[test]
fn first_attempts_begin_in_the_order_of_acceptance() {
    let mut history = conversation();
    swap(&mut history, 2, 3);
    breaks(&history, &[Rule::FirstInOrder]);

    // Asked for at the same time by two producers: nobody knows which was first.
    history.sent[3].first_try_us = history.sent[2].first_try_us;
    breaks(&history, &[]);
    // Or the clock of Redis may have gone back between them.
    history = conversation();
    swap(&mut history, 2, 3);
    let mut step = fault(FaultKind::ClockStep, BEGAN_US - SECOND_US, 0);
    step.detail = "300 ms".into();
    history.faults.push(step);
    breaks(&history, &[]);
    // What its producer never got to know may have come in last, but not first.
    history = conversation();
    history.sent[2].verdict = Verdict::Unknown;
    swap(&mut history, 2, 3);
    breaks(&history, &[]);
    swap(&mut history, 2, 3);
    swap(&mut history, 1, 2);
    breaks(&history, &[Rule::FirstInOrder]);
}

#[test]
fn rows_of_one_request_begin_in_their_order() {
    let mut history = conversation();
    for sent in &mut history.sent {
        sent.first_try_us = BEGAN_US - 200_000;
        sent.request = Some(0);
    }
    breaks(&history, &[]);
    swap(&mut history, 2, 3);
    breaks(&history, &[Rule::FirstInOrder]);
    // One of them was sent twice, and nobody knows which request brought it in.
    history.sent[3].request = None;
    breaks(&history, &[]);
}

#[test]
fn first_attempts_begin_in_the_order_of_due_times() {
    let due_ms = |history: &mut History, key: usize, due_us: u64| {
        history.sent[key].due_ms = due_us / 1000;
    };
    // The later one is due sooner.
    let mut history = conversation();
    due_ms(&mut history, 3, BEGAN_US + 9000);
    due_ms(&mut history, 4, BEGAN_US + 8000);
    breaks(&history, &[Rule::FirstInOrder]);
    swap(&mut history, 3, 4);
    breaks(&history, &[]);
    // Due at the same time they go by acceptance.
    due_ms(&mut history, 4, BEGAN_US + 9000);
    breaks(&history, &[Rule::FirstInOrder]);
    swap(&mut history, 3, 4);
    breaks(&history, &[]);

    // It came in when the other one could have left already.
    let mut history = conversation();
    due_ms(&mut history, 3, BEGAN_US + 9000);
    due_ms(&mut history, 4, BEGAN_US + 8000);
    history.sent[4].first_try_us = BEGAN_US + 8500;
    history.sent[4].verdict = Verdict::Accepted { id: id(4), at_us: BEGAN_US + 9500 };
    breaks(&history, &[]);

    // One that is due later than those that were accepted after it goes after them.
    let mut history = conversation();
    due_ms(&mut history, 1, BEGAN_US + 50_000);
    breaks(&history, &[Rule::FirstInOrder]);
    for other in 2..5 {
        swap(&mut history, 1, other);
    }
    breaks(&history, &[]);
}

#[test]
fn only_first_attempts_are_compared() {
    let mut history = conversation();
    // A first attempt that nobody saw was one all the same.
    history.arrivals[0].attempt = 2;
    breaks(&history, &[]);
    // A message that expired before it left is not missed.
    drop(history.arrivals.remove(2));
    history.finals[2].state = "expired".into();
    breaks(&history, &[]);
}

#[test]
fn what_an_operator_moved_is_not_compared() {
    for how in [Moved::Run, Moved::Rescheduled, Moved::Cancelled, Moved::Requeued] {
        let mut history = conversation();
        swap(&mut history, 2, 3);
        history.moves = vec![moved(3, BEGAN_US - 1, how)];
        breaks(&history, &[]);
        // The others of the key are.
        swap(&mut history, 0, 1);
        breaks(&history, &[Rule::FirstInOrder]);
    }
}

#[test]
fn where_slots_wait_for_the_replicas_nothing_comes_again_after_its_successor() {
    let mut history = conversation();
    history.faults = vec![fault(FaultKind::FailoverKill, arrival(2).at_us + SECOND_US, 1)];
    // It comes once more, long after the one behind it.
    history.arrivals.push(Arrival { by: FIRST, attempt: 1, ..again(3) });
    breaks(&history, &[]);
    history.queues[0].settles_at_replicas = true;
    breaks(&history, &[Rule::NotAfterSuccessor]);
    // An operator ran it.
    history.moves = vec![moved(2, arrival(2).at_us + SECOND_US, Moved::Requeued)];
    breaks(&history, &[]);
    // Without a successor it may have been in flight.
    history.moves.clear();
    for sent in &mut history.sent[3..] {
        sent.group = Some(8);
    }
    breaks(&history, &[]);
}
