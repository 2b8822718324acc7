//! What follows a delivery, or comes before it: callbacks, receipts, events of topics, ticks of schedules.

use std::collections::{HashMap, HashSet};

use super::super::history::{Answer, Final, Told};
use super::{Known, Report, Rule};

pub(super) fn check(known: &Known<'_>, report: &mut Report) {
    callbacks(known, report);
    receipts(known, report);
    events(known, report);
    ticks(known, report);
}

/// The place of the queue that an id belongs to.
fn queue_of(known: &Known<'_>, id: &str) -> Option<usize> {
    let (name, _) = id.rsplit_once('_')?;
    known.history.queues.iter().position(|queue| queue.name == name)
}

fn callbacks(known: &Known<'_>, report: &mut Report) {
    let history = known.history;
    if !history.queues.iter().any(|queue| queue.tells) && history.told.is_empty() {
        return;
    }
    let mut told_of: HashMap<&str, Vec<&Told>> = HashMap::new();
    for told in &history.told {
        told_of.entry(&told.subject).or_default().push(told);
    }
    for record in &history.finals {
        if !queue_of(known, &record.id).is_some_and(|queue| history.queues[queue].tells) {
            continue;
        }
        let told = told_of.remove(record.id.as_str()).unwrap_or_default();
        let ids: HashSet<_> = told.iter().map(|told| told.id.as_str()).collect();
        if ids.len() != 1 {
            let what = format!("{} is {} and was told as {ids:?}", record.id, record.state);
            report.breach(Rule::OneCallback, what);
        }
        for told in told.iter().filter(|told| told.state != record.state) {
            let what = format!("{} is {} and was told as {}", record.id, record.state, told.state);
            report.breach(Rule::OneCallback, what);
        }
    }
    for (id, told) in told_of {
        let what = format!("{id} was told as {} and is not final", told[0].state);
        report.breach(Rule::OneCallback, what);
    }
}

fn receipts(known: &Known<'_>, report: &mut Report) {
    let history = known.history;
    let expired = history.finals.iter().filter(|record| record.state == "expired");
    let expired: HashSet<_> = expired.map(|record| record.id.as_str()).collect();
    let mut said_of: HashMap<&str, HashSet<&str>> = HashMap::new();
    for receipt in &history.receipts {
        said_of.entry(&receipt.id).or_default().insert(&receipt.status);
        // A late refusal of what is to be sent again is none.
        let is_late = receipt.verdict == "waits" && receipt.status == "dead";
        let is_good = is_late || ["ok", "kept", "already"].contains(&receipt.verdict.as_str());
        // What expired before it was sent again waits for none.
        if !is_good && !expired.contains(receipt.id.as_str()) {
            let what = format!("the receipt of {} was answered {}", receipt.id, receipt.verdict);
            report.breach(Rule::AsReceipted, what);
        }
    }
    for record in &history.finals {
        let accepts = |queue: usize| history.queues[queue].accepts;
        if !queue_of(known, &record.id).is_some_and(accepts)
            || is_refused(known, record)
            || is_unheard(known, record)
        {
            continue;
        }
        let is_said = said_of
            .get(record.id.as_str())
            .is_some_and(|said| said.len() == 1 && said.contains(record.state.as_str()));
        if matches!(record.state.as_str(), "delivered" | "dead") && !is_said {
            let said = said_of.get(record.id.as_str());
            let what = format!("{} is {}; its receipts said {said:?}", record.id, record.state);
            report.breach(Rule::AsReceipted, what);
        }
    }
}

/// The downstream did not accept it in the first place.
fn is_refused(known: &Known<'_>, record: &Final) -> bool {
    let refused =
        known.arrivals(&record.id).iter().any(|arrival| arrival.answer == Answer::Refused);
    refused && record.state == "dead"
}

/// Its nodes were lost with every answer that told its references, and nothing was said by its id.
fn is_unheard(known: &Known<'_>, record: &Final) -> bool {
    let mut receipts = known.history.receipts.iter().filter(|receipt| receipt.id == record.id);
    record.reason.starts_with("poison") && receipts.all(|receipt| receipt.is_by_reference)
}

/// What was promised to the producer is in each queue, or lost; here is what it never got to know.
fn events(known: &Known<'_>, report: &mut Report) {
    let mut queues_of: HashMap<u64, Vec<usize>> = HashMap::new();
    for sent in &known.history.sent {
        queues_of.entry(sent.key).or_default().push(sent.queue);
    }
    queues_of.retain(|_, queues| queues.len() > 1);
    let arrived: HashSet<(usize, u64)> = known
        .history
        .arrivals
        .iter()
        .filter_map(|arrival| Some((arrival.queue, arrival.key?)))
        .collect();
    for (key, queues) in queues_of {
        let count = queues.iter().filter(|queue| arrived.contains(&(**queue, key))).count();
        if count != 0 && count != queues.len() {
            let what = format!("event {key} came to {count} of {} queues", queues.len());
            report.breach(Rule::WholeEvent, what);
        }
    }
}

/// Two messages of one tick are two ids of one key, which `buckets` tells.
fn ticks(known: &Known<'_>, report: &mut Report) {
    let history = known.history;
    let recurs = |queue: usize| history.queues[queue].every_ms > 0;
    let arrivals = history.arrivals.iter().filter(|arrival| recurs(arrival.queue));
    let came: HashSet<_> = arrivals.map(|arrival| (arrival.queue, arrival.key)).collect();
    for sent in history.sent.iter().filter(|sent| recurs(sent.queue)) {
        if !came.contains(&(sent.queue, Some(sent.key))) {
            let what = format!("{}: {} never came", history.queues[sent.queue].name, sent.key);
            report.breach(Rule::EveryTick, what);
        }
    }
}
