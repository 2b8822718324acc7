//! What a run must have met: a checker is content with a history in which nothing happened.
//!
//! Owns the list. Refuses to judge what came of it.

use super::history::{Answer, Arrival, FaultKind, History, Moved};

/// Fails where a run with limits has met nothing of a kind.
pub(super) fn assert_met_limits(history: &History) {
    let mut all_held = 0;
    for queue in history.queues.iter().filter(|queue| queue.has_quota()) {
        let prefix = format!("{}_", queue.name);
        let held = history.moves.iter().filter(|moved| moved.how == Moved::Cancelled);
        all_held += held.filter(|moved| moved.id.starts_with(&prefix)).count();
        let arrived = history.arrivals.iter().filter(|a| a.id.starts_with(&prefix)).count();
        assert!(arrived > 0, "{}: {arrived} arrived", queue.name);
    }
    // Of queues that share a quota, all the messages of one may have come before it was used.
    assert!(all_held > 0, "no quota held a message");
}

/// Fails where a run with order has met nothing of a kind, in any of its queues with an order.
pub(super) fn assert_met_order(history: &History) {
    let ordered: Vec<_> = history.queues.iter().filter(|queue| queue.order.is_some()).collect();
    let again =
        |arrival: &&Arrival| arrival.attempt > 1 && history.queues[arrival.queue].order.is_some();
    let moved = |how| {
        let moves = history.moves.iter().filter(move |moved| moved.how == how);
        let is_of =
            |id: &str| ordered.iter().any(|queue| id.starts_with(&format!("{}_", queue.name)));
        moves.filter(|moved| is_of(&moved.id)).count()
    };
    let met = [
        ("further attempts", history.arrivals.iter().filter(again).count()),
        ("run", moved(Moved::Run)),
        ("rescheduled", moved(Moved::Rescheduled)),
        ("requeued", moved(Moved::Requeued)),
    ];
    let missing: Vec<_> = met.iter().filter(|(_, count)| *count == 0).collect();
    assert!(missing.is_empty(), "the run met none of these: {missing:?}");
}

/// Fails where a run with outcomes has met nothing of a kind.
pub(super) fn assert_met(history: &History) {
    let of_queue = |name: &str| {
        let queue = history.queues.iter().position(|queue| queue.name == name);
        history.arrivals.iter().filter(move |arrival| Some(arrival.queue) == queue)
    };
    let ends = |queue: &str, state: &str| {
        let told = history.told.iter().filter(|told| told.subject.starts_with(queue));
        told.filter(|told| told.state == state).count()
    };
    let silent = of_queue("asked").filter(|arrival| arrival.answer == Answer::TakenSilence).count();
    let said =
        |verdict: &str| history.receipts.iter().filter(|said| said.verdict == verdict).count();
    let met = [
        ("delivered, told", ends("told_", "delivered")),
        ("delivered by a receipt, told", ends("later_", "delivered")),
        ("dead by a receipt, told", ends("later_", "dead")),
        ("receipts", said("ok")),
        ("booked in silence", silent),
        ("found by a probe", history.probes.iter().filter(|probe| probe.found).count()),
        ("events", of_queue("sms").count()),
        ("ticks", of_queue("ticks").count()),
        (
            "daemons killed",
            history.faults.iter().filter(|f| f.kind == FaultKind::DaemonKill).count(),
        ),
    ];
    let missing: Vec<_> = met.iter().filter(|(_, count)| *count == 0).collect();
    assert!(missing.is_empty(), "the run met none of these: {missing:?}");
}
