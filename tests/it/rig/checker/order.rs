//! Messages of one key in a queue that orders by it: one at a time, and first attempts in their order.
//!
//! Owns what is known of the order: only what the producer's answers prove. Refuses to compare what an operator took
//! out of its place, and what never arrived.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::flow::Key;
use super::super::history::{Answer, Arrival, Queue, Sent, Verdict};
use super::{Known, Report, Rule};

pub(super) fn check(known: &Known<'_>, report: &mut Report) {
    for (at, queue) in known.history.queues.iter().enumerate() {
        let Some(key) = queue.order else { continue };
        for (value, mut arrivals) in by_value(known, at, key) {
            arrivals.sort_by_key(|arrival| (arrival.at_us, arrival.call));
            let of = format!("{}, {} {value}", queue.name, key.word());
            let ways = ways(known, queue, &arrivals);
            if queue.settles_at_replicas {
                not_after_successor(known, &ways, &of, report);
            }
            one_at_a_time(known, ways, &of, report);
            in_order(known, &arrivals, &of, report);
        }
    }
}

/// What arrived, by the value of the key; what has none is not ordered.
fn by_value<'a>(known: &Known<'a>, queue: usize, key: Key) -> BTreeMap<u32, Vec<&'a Arrival>> {
    let mut values: BTreeMap<u32, Vec<&Arrival>> = BTreeMap::new();
    for arrival in known.history.arrivals.iter().filter(|arrival| arrival.queue == queue) {
        if let Some(value) = known.sent_of(arrival).and_then(|sent| key.of(sent)) {
            values.entry(value).or_default().push(arrival);
        }
    }
    values
}

/// A message on its way: from its first call to the end of its last one.
struct Way<'a> {
    from: &'a Arrival,
    last: &'a Arrival,
    until_us: u64,
    /// Its message had been on its way before.
    is_repeat: bool,
}

/// The ways of all messages of a key, by their beginning. What waits for another attempt is on its way. A way ends
/// where an operator took the message out of its place, and where a replica that took over forgot its end.
fn ways<'a>(known: &Known<'_>, queue: &Queue, arrivals: &[&'a Arrival]) -> Vec<Way<'a>> {
    let mut ways: Vec<Way<'a>> = Vec::new();
    let mut current: HashMap<&str, usize> = HashMap::new();
    for arrival in arrivals {
        let until_us = known.excuses.in_flight_until_us(queue, arrival);
        let way = current.get(arrival.id.as_str()).map(|at| &mut ways[*at]);
        let goes_on = |way: &Way<'_>| {
            let times_us = way.last.at_us..=arrival.at_us;
            let was_moved = known.moves(&arrival.id).iter().any(|m| times_us.contains(&m.at_us));
            let was_final =
                matches!(way.last.answer, Answer::Taken | Answer::Garbage | Answer::Refused);
            let is_forgotten = was_final && known.excuses.rolled_back(way.last);
            !was_moved && !is_forgotten
        };
        match way {
            Some(way) if goes_on(way) => {
                way.last = arrival;
                way.until_us = way.until_us.max(until_us);
            }
            _ => {
                let is_repeat = current.insert(&arrival.id, ways.len()).is_some();
                ways.push(Way { from: arrival, last: arrival, until_us, is_repeat });
            }
        }
    }
    ways
}

/// The call of a successor begins when the replicas know of its claim, and so of the outcome before it: no failover sends
/// that one again.
fn not_after_successor(known: &Known<'_>, ways: &[Way<'_>], of: &str, report: &mut Report) {
    for (at, way) in ways.iter().enumerate().filter(|(_, way)| way.is_repeat) {
        let id = &way.from.id;
        if !known.moves(id).is_empty() || known.excuses.woken(way.from) {
            continue;
        }
        let before = ways[..at].iter().rposition(|earlier| earlier.from.id == *id);
        let between = &ways[before.map_or(at, |before| before + 1)..at];
        if let Some(successor) = between.iter().find(|other| !other.is_repeat) {
            let what = format!(
                "{of}: {id} came again at {} µs, after {}, its successor, had begun at {} µs",
                way.from.at_us, successor.from.id, successor.from.at_us
            );
            report.breach(Rule::NotAfterSuccessor, what);
        }
    }
}

fn one_at_a_time(known: &Known<'_>, ways: Vec<Way<'_>>, of: &str, report: &mut Report) {
    let mut ahead: Option<Way<'_>> = None;
    for way in ways {
        if let Some(ahead) = &ahead {
            let is_at_once = way.from.at_us < ahead.until_us || way.from.call == ahead.last.call;
            // A failover may take back that one of them had ended, so that it comes once more.
            let is_rolled_back = (way.is_repeat || ahead.is_repeat)
                && (known.excuses.rolled_back(way.from) || known.excuses.rolled_back(ahead.last));
            let is_excused =
                known.excuses.woken(way.from) || known.excuses.woken(ahead.last) || is_rolled_back;
            if is_at_once && way.from.id != ahead.from.id && !is_excused {
                let what = format!(
                    "{of}: {} began at {} µs, while {} was on its way until {}",
                    way.from.id, way.from.at_us, ahead.from.id, ahead.until_us
                );
                report.breach(Rule::OneOfAKey, what);
            }
        }
        if ahead.as_ref().is_none_or(|ahead| ahead.until_us <= way.until_us) {
            ahead = Some(way);
        }
    }
}

/// A message whose place is known, with its first arrival.
struct Placed<'a> {
    id: &'a str,
    sent: &'a Sent,
    arrived_us: u64,
    /// Its due time by Redis' clock lies between them, in microseconds.
    due_us: (u64, u64),
    /// It was there from then on; `u64::MAX`: nobody knows.
    in_by_us: u64,
    /// It was not there before.
    not_in_before_us: u64,
}

impl<'a> Placed<'a> {
    fn new(known: &Known<'a>, arrival: &'a Arrival, sent: &'a Sent) -> Option<Self> {
        let in_by_us = match &sent.verdict {
            // Another one of this message was taken back by a failover.
            Verdict::Accepted { id, .. } if *id != arrival.id => return None,
            Verdict::Accepted { at_us, .. } => *at_us,
            Verdict::Refused | Verdict::Unknown => u64::MAX,
        };
        let error_us = |at_us| known.excuses.clock_error_us(at_us);
        let from_us = sent.first_try_us - error_us(sent.first_try_us);
        let to_us = if in_by_us == u64::MAX { u64::MAX } else { in_by_us + error_us(in_by_us) };
        let said_us = sent.due_ms * 1000;
        // What was due when it came in may be due from then on.
        let due_us = match said_us {
            0 => (from_us, to_us),
            _ if said_us > to_us => (said_us, said_us),
            _ => (said_us, to_us),
        };
        let (id, arrived_us) = (arrival.id.as_str(), arrival.at_us);
        Some(Self { id, sent, arrived_us, due_us, in_by_us, not_in_before_us: from_us })
    }

    /// Whether it surely stood before another one: by its due time, or by the accept order where both are due at once;
    /// and was there before that one could leave.
    fn is_before(&self, known: &Known<'_>, other: &Self) -> bool {
        if self.in_by_us == u64::MAX {
            return false;
        }
        let of_one_request = self.sent.request.is_some() && self.sent.request == other.sent.request;
        if of_one_request && self.sent.due_ms == other.sent.due_ms {
            return self.sent.key < other.sent.key;
        }
        let could_leave_us = other.not_in_before_us.max(other.due_us.0);
        let in_by_us = self.in_by_us + known.excuses.clock_error_us(self.in_by_us);
        let accepted_first = in_by_us < other.not_in_before_us;
        let is_due_first =
            self.due_us.1 < other.due_us.0 || accepted_first && self.due_us.1 == other.due_us.0;
        in_by_us < could_leave_us && is_due_first
    }
}

/// First attempts begin in the order of due time and acceptance, as far as it is known.
fn in_order(known: &Known<'_>, arrivals: &[&Arrival], of: &str, report: &mut Report) {
    let mut seen: HashSet<&str> = HashSet::new();
    let mut firsts: Vec<Placed<'_>> = Vec::new();
    for arrival in arrivals {
        let is_first = seen.insert(&arrival.id);
        // Requeue, run and another due time give another place; what was cancelled has none.
        if !is_first || !known.moves(&arrival.id).is_empty() {
            continue;
        }
        let Some(sent) = known.sent_of(arrival) else { continue };
        let Some(placed) = Placed::new(known, arrival, sent) else { continue };
        if let Some(overtaken) = firsts.iter().find(|earlier| placed.is_before(known, earlier)) {
            let what = format!(
                "{of}: {} began at {} µs, after {} at {} µs, which stood behind it",
                placed.id, placed.arrived_us, overtaken.id, overtaken.arrived_us
            );
            report.breach(Rule::FirstInOrder, what);
        }
        firsts.push(placed);
    }
}
