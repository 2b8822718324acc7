//! What came more than once: by right, by a fault, or by nobody's leave.

use std::collections::{BTreeMap, HashSet};

use super::super::history::{Answer, Arrival, Fault, Move, Moved, Queue, Resolved};
use super::{Known, Report, Rule};

pub(super) fn check(known: &Known<'_>, report: &mut Report) {
    let history = known.history;
    let excuses = &known.excuses;
    report.sending_at_kills =
        history.arrivals.iter().filter(|arrival| excuses.killed_while_sending(arrival)).count();
    let mut repeats = Repeats::new();
    for arrivals in known.by_id.values() {
        for pair in arrivals.windows(2) {
            let (before, after) = (pair[0], pair[1]);
            let queue = &history.queues[before.queue];
            newer(known, before, after, report);
            if queue.probes {
                unasked(known, before, after, report);
            } else if queue.parks {
                undecided(known, before, after, report);
            } else {
                repeated(known, queue, before, after, report);
            }
            if queue.settles_at_replicas
                && let Some(failover) = repeated_by(known, queue, before, after)
            {
                let at = (before.queue, failover.at_us);
                repeats.entry(at).or_default().insert(&after.id);
            }
        }
        let taken = arrivals.iter().filter(|arrival| arrival.answer.is_booking()).skip(1);
        report.duplicated.extend(taken.map(|arrival| arrival.id.clone()));
    }
    in_flight(known, &repeats, report);
}

/// What was repeated, by queue and failover.
type Repeats<'a> = BTreeMap<(usize, u64), HashSet<&'a str>>;

/// The failover that alone excuses a repeat.
fn repeated_by<'a>(
    known: &Known<'a>,
    queue: &Queue,
    before: &Arrival,
    after: &Arrival,
) -> Option<&'a Fault> {
    let excuses = &known.excuses;
    let is_its_own = !is_known(before)
        || excuses.lost_its_lease(queue, before)
        || excuses.answered_too_late(queue, before)
        || !excuses.rolled_back(before);
    let failover = excuses.last_failover(before.at_us, after.at_us).filter(|_| !is_its_own)?;
    // Of a node that died long before it, others had taken over by then.
    (!excuses.killed_by(queue, before, failover.at_us)).then_some(failover)
}

/// Where a slot is taken until the replicas have the outcome, a failover forgets no more outcomes than there are slots.
fn in_flight(known: &Known<'_>, repeats: &Repeats<'_>, report: &mut Report) {
    for ((queue, at_us), ids) in repeats {
        let Queue { name, concurrency, batch_max, .. } = &known.history.queues[*queue];
        let slots = usize::try_from(concurrency * batch_max).expect("few");
        if ids.len() > slots {
            let what = format!(
                "{name}: the failover at {at_us} µs repeated {} messages, and {slots} may be in flight",
                ids.len()
            );
            report.breach(Rule::RepeatsInFlight, what);
        }
    }
}

/// Its downstream said what became of it.
fn is_known(arrival: &Arrival) -> bool {
    matches!(arrival.answer, Answer::Taken | Answer::Garbage | Answer::Refused)
}

/// Two arrivals one after the other, the second with a newer attempt (or the same, where the first
/// was no attempt).
fn newer(known: &Known<'_>, before: &Arrival, after: &Arrival, report: &mut Report) {
    let is_same_try = before.answer == Answer::Throttled && after.attempt == before.attempt;
    // Its attempts are counted anew.
    let is_requeued = |moved: &&Move| {
        moved.how == Moved::Requeued && (before.at_us..=after.at_us).contains(&moved.at_us)
    };
    if after.attempt > before.attempt
        || is_same_try
        || known.moves(&after.id).iter().any(is_requeued)
    {
        return;
    }
    if known.excuses.overtaken(after) || known.excuses.rolled_back(before) {
        return;
    }
    report.breach(
        Rule::Newer,
        format!("{} came as attempt {} and then {}", after.id, before.attempt, after.attempt),
    );
}

fn repeated(
    known: &Known<'_>,
    queue: &Queue,
    before: &Arrival,
    after: &Arrival,
    report: &mut Report,
) {
    let excuses = &known.excuses;
    if !is_known(before)
        || excuses.killed_while_sending(before)
        || excuses.lost_its_lease(queue, before)
        || excuses.rolled_back(before)
        || excuses.answered_too_late(queue, before)
    {
        return;
    }
    let gap_us = after.at_us.saturating_sub(before.answer_at_us);
    report.breach(
        Rule::NotRepeated,
        format!(
            "{} was taken as attempt {} from {:?} and came again {gap_us} µs later as attempt {} from {:?}; \
             its node lived",
            after.id, before.attempt, before.by, after.attempt, after.by
        ),
    );
}

/// No fault excuses a second booking: what nobody knows is asked for, and only what is not there leaves again.
fn unasked(known: &Known<'_>, before: &Arrival, after: &Arrival, report: &mut Report) {
    if before.answer.is_booking() {
        let what = format!("{} was booked ({:?}) and came again", after.id, before.answer);
        return report.breach(Rule::NotBookedTwice, what);
    }
    let is_absent = known
        .probes(&after.id)
        .iter()
        .any(|probe| !probe.found && (before.at_us..=after.at_us).contains(&probe.at_us));
    if before.answer != Answer::Throttled && !is_absent {
        let what = format!("{} came again after {:?}, unasked", after.id, before.answer);
        report.breach(Rule::NotResentUndecided, what);
    }
}

fn undecided(known: &Known<'_>, before: &Arrival, after: &Arrival, report: &mut Report) {
    let decided = known.history.decisions.iter().any(|decision| {
        decision.id == after.id
            && decision.resolved == Resolved::Resend
            && (before.at_us..=after.at_us).contains(&decision.at_us)
    });
    if before.answer != Answer::Throttled && !decided {
        let what = format!("{} came again after {:?}, undecided", after.id, before.answer);
        report.breach(Rule::NotResentUndecided, what);
    }
}
