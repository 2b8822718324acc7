//! Messages of one collapse key: a newer one takes the place of an older one, and nothing comes after what is newer.
//!
//! Owns what is known of their age: only what the producer's answers prove. Refuses to judge when they come.

use std::collections::BTreeMap;

use super::super::history::{Arrival, Final, Queue, Sent, Verdict};
use super::{Known, Report, Rule, accepted_before, accepted_id};

pub(super) fn check(known: &Known<'_>, report: &mut Report) {
    for (at, queue) in known.history.queues.iter().enumerate() {
        for arrivals in by_key(known, at).values() {
            newest_last(known, queue, arrivals, report);
        }
    }
    for arrivals in known.by_id.values() {
        one_payload(known, arrivals, report);
    }
    for (id, accepted) in &known.accepted_as {
        places(known, id, accepted, report);
    }
}

/// What arrived, by collapse key and in its order; what has none is never replaced.
fn by_key<'a>(known: &Known<'a>, queue: usize) -> BTreeMap<u32, Vec<(&'a Arrival, &'a Sent)>> {
    let mut keys: BTreeMap<u32, Vec<(&Arrival, &Sent)>> = BTreeMap::new();
    for arrival in known.history.arrivals.iter().filter(|arrival| arrival.queue == queue) {
        if let Some(sent) = known.sent_of(arrival)
            && let Some(key) = sent.collapse_key
        {
            keys.entry(key).or_default().push((arrival, sent));
        }
    }
    for arrivals in keys.values_mut() {
        arrivals.sort_by_key(|(arrival, _)| (arrival.at_us, arrival.call));
    }
    keys
}

/// No payload comes after one that was accepted later, in its first attempt or a further one: what would be sent again is
/// cancelled where a newer one waits for it.
fn newest_last(
    known: &Known<'_>,
    queue: &Queue,
    arrivals: &[(&Arrival, &Sent)],
    report: &mut Report,
) {
    let excuses = &known.excuses;
    for (at, (late, old)) in arrivals.iter().enumerate() {
        // A node that stood still or was cut off may send what others have taken over from it since.
        let is_late_by_right = excuses.woken(late) || excuses.lost_its_lease(queue, late);
        if is_late_by_right || excuses.rolled_back(late) {
            continue;
        }
        let is_overtaken = |(begun, newer): &&(&Arrival, &Sent)| {
            accepted_before(old, newer) && !excuses.rolled_back(begun)
        };
        if let Some((begun, _)) = arrivals[..at].iter().find(is_overtaken) {
            let what = format!(
                "{}: {} (key {:?}, attempt {}) came at {} µs, after {} (key {:?}), which is newer, at {} µs",
                queue.name,
                late.id,
                late.key,
                late.attempt,
                late.at_us,
                begun.id,
                begun.key,
                begun.at_us
            );
            report.breach(Rule::NewestLast, what);
        }
    }
}

/// A downstream that remembers an id would drop another payload under it.
fn one_payload(known: &Known<'_>, arrivals: &[&Arrival], report: &mut Report) {
    for pair in arrivals.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let both = before.key.zip(after.key);
        if both.is_some_and(|(one, other)| one != other) && !known.excuses.rolled_back(before) {
            let what = format!(
                "{} came with the payload of key {:?} and then of {:?}",
                after.id, before.key, after.key
            );
            report.breach(Rule::OnePayload, what);
        }
    }
}

/// Of the messages that were accepted under one id, each but the first took the place of another one, and was said to.
fn places(known: &Known<'_>, id: &str, accepted: &[&Sent], report: &mut Report) {
    let own = accepted.iter().filter(|sent| sent.request.is_some() && !sent.is_collapsed);
    if own.clone().count() > 1 {
        let keys: Vec<_> = own.map(|sent| sent.key).collect();
        report.breach(Rule::OneResult, format!("{id} is the id of each of the keys {keys:?}"));
    }
    let Some(first) = accepted.first().filter(|_| accepted.iter().all(|sent| sent.is_collapsed))
    else {
        return;
    };
    // The first one may be one of which the producer never got to know.
    let may_be_first = |sent: &Sent| {
        let is_of_key = (sent.queue, sent.collapse_key) == (first.queue, first.collapse_key);
        is_of_key && sent.verdict == Verdict::Unknown
    };
    if !known.history.sent.iter().any(may_be_first) {
        let what = format!("key {} took the place of {id}, which nobody sent", first.key);
        report.breach(Rule::NotUnexpected, what);
    }
}

/// What became of a payload that is not there any more, where nothing newer stands for it: how it was lost.
pub(super) fn dropped(known: &Known<'_>, sent: &Sent, record: &Final) -> Option<String> {
    let Final { id, state, reason, .. } = record;
    let collapse_key = sent.collapse_key?;
    if state == "cancelled" && reason == "superseded" {
        let is_newer = |other: &&Sent| {
            (other.queue, other.collapse_key) == (sent.queue, Some(collapse_key))
                && other.key != sent.key
                && accepted_id(other) != Some(id)
                && !accepted_before(other, sent)
        };
        let has_newer = known.history.sent.iter().any(|other| is_newer(&other));
        return (!has_newer).then(|| format!("{id} was superseded, and nothing newer was sent"));
    }
    let mut came =
        known.arrivals(id).iter().filter_map(|arrival| known.sent_of(arrival)).peekable();
    let is_older = |other: &Sent| accepted_before(other, sent);
    let is_final_by_calls = state == "delivered" || state == "dead";
    (is_final_by_calls && came.peek().is_some() && came.all(is_older)).then(|| {
        format!("key {} was accepted as {id}, which came with older payloads only", sent.key)
    })
}
