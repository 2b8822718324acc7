//! Lost, unexpected, recovered; and what each message says of itself.

use std::collections::{HashMap, HashSet};

use super::super::history::{Arrival, Decision, Final, Move, Moved, Resolved, Sent, Verdict};
use super::{Known, Report, Rule, accepted_id, collapse};

pub(super) fn check(known: &Known<'_>, report: &mut Report) {
    let finals = finals(known, report);
    let mut ids_of_key: HashMap<(usize, u64), HashSet<&str>> = HashMap::new();
    for arrival in &known.history.arrivals {
        arrived(known, arrival, report);
        if let Some(key) = arrival.key {
            ids_of_key.entry((arrival.queue, key)).or_default().insert(&arrival.id);
        }
    }
    let mut unknown_and_unseen = 0;
    let mut explained: HashSet<&str> = known.by_id.keys().copied().collect();
    for sent in &known.history.sent {
        let mut ids = ids_of_key.remove(&(sent.queue, sent.key)).unwrap_or_default();
        ids.extend(accepted_id(sent));
        // What a failover took back before anybody was promised it may be taken in anew.
        let took_back = |id: &&str| {
            let has_record = finals.contains_key(id) && !known.is_of_another(id, sent);
            accepted_id(sent) != Some(id) && !has_record && rolled_back(known, id)
        };
        ids.retain(|id| !took_back(id));
        if ids.len() > 1 {
            report.breach(Rule::OneResult, format!("key {} became {ids:?}", sent.key));
        }
        match &sent.verdict {
            Verdict::Accepted { id, .. } => {
                explained.insert(id);
                kept(known, sent, id, finals.get(id.as_str()).copied(), report);
            }
            Verdict::Unknown => match ids.iter().next() {
                Some(id) => {
                    report.recovered.push((*id).to_owned());
                    kept(known, sent, id, finals.get(id).copied(), report);
                }
                None => unknown_and_unseen += 1,
            },
            Verdict::Refused => {}
        }
    }
    let nobodys: Vec<_> = finals.keys().filter(|id| !explained.contains(*id)).collect();
    // What a producer never got to know may have expired unsent; nobody can tell which it was.
    if nobodys.len() > unknown_and_unseen {
        for id in &nobodys[unknown_and_unseen..] {
            unexpected(report, id, format!("{id} is final and was never sent"));
        }
    }
    report.recovered.extend(nobodys.iter().take(unknown_and_unseen).map(|id| (**id).to_owned()));
}

fn rolled_back(known: &Known<'_>, id: &str) -> bool {
    known.arrivals(id).iter().any(|arrival| known.excuses.rolled_back(arrival))
}

/// The final record of each id.
fn finals<'a>(known: &Known<'a>, report: &mut Report) -> HashMap<&'a str, &'a Final> {
    let mut finals: HashMap<&str, &Final> = HashMap::new();
    for record in &known.history.finals {
        if finals.insert(&record.id, record).is_some() {
            report.breach(Rule::OneResult, format!("{} has two final records", record.id));
        }
    }
    finals
}

/// An accepted message has its one final record, which is true.
fn kept(known: &Known<'_>, sent: &Sent, id: &str, record: Option<&Final>, report: &mut Report) {
    if known.left.contains(id) {
        return;
    }
    let Some(record) = record else {
        return lost(report, id, format!("{id} was accepted and is nowhere"));
    };
    if let Some(what) = collapse::dropped(known, sent, record) {
        return lost(report, id, what);
    }
    if record.state != "delivered" {
        return;
    }
    let arrived = known.arrivals(id).iter().any(|arrival| arrival.answer.is_booking());
    let said = |decision: &Decision| decision.id == id && decision.resolved == Resolved::Delivered;
    if !arrived && !known.history.decisions.iter().any(said) {
        lost(report, id, format!("{id} is delivered and never arrived"));
    }
}

fn arrived(known: &Known<'_>, arrival: &Arrival, report: &mut Report) {
    let id = &arrival.id;
    let Some(sent) = known.sent_of(arrival) else {
        let what = format!("{id} arrived with a body that nobody sent (key {:?})", arrival.key);
        return unexpected(report, id, what);
    };
    if arrival.body_hash != sent.body_hash {
        report.breach(Rule::SameBytes, format!("{id} arrived with other bytes than were sent"));
    }
    if sent.verdict == Verdict::Refused {
        unexpected(report, id, format!("{id} arrived and had been refused"));
    }
    if arrival.queue != sent.queue {
        unexpected(report, id, format!("{id} arrived from another queue"));
    }
    early(known, arrival, sent, report);
}

fn early(known: &Known<'_>, arrival: &Arrival, sent: &Sent, report: &mut Report) {
    // In another one's place, or after it, its own due time does not hold.
    if sent.collapse_key.is_some() {
        return;
    }
    let is_hurried = |moved: &&Move| matches!(moved.how, Moved::Run | Moved::Requeued);
    if known.moves(&arrival.id).iter().any(is_hurried) {
        return;
    }
    let due_us = sent.due_ms * 1000;
    let error_us = known.excuses.clock_error_us(arrival.at_us);
    if arrival.at_us + error_us < due_us {
        let by_us = due_us - arrival.at_us;
        report.breach(Rule::NotEarly, format!("{} arrived {by_us} µs early", arrival.id));
    }
}

fn lost(report: &mut Report, id: &str, what: String) {
    report.lost.push(id.to_owned());
    report.breach(Rule::NotLost, what);
}

fn unexpected(report: &mut Report, id: &str, what: String) {
    report.unexpected.push(id.to_owned());
    report.breach(Rule::NotUnexpected, what);
}
