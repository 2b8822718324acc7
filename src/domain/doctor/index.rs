//! What an audit found in a queue, in words.

use super::finding::{Finding, FindingCode};
use crate::domain::human::count;
use crate::domain::id::QueueName;
use crate::domain::index_fault::Fault;

/// Members that a finding names as examples.
pub const EXAMPLES_MAX: usize = 3;

/// Faults of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultFacts {
    /// How many were found.
    pub found: u64,
    /// How many of these were repaired.
    pub repaired: u64,
    /// Some of them: ids of messages, or members of an index.
    pub examples: Vec<String>,
}

/// What faults of one kind mean.
#[must_use]
pub fn of_faults(queue: &QueueName, fault: Fault, facts: &FaultFacts) -> Finding {
    let FaultFacts { found, repaired, examples } = facts;
    let example = match examples.as_slice() {
        [] => String::new(),
        named => format!(" ({})", named.join(", ")),
    };
    let detail = format!("{}: {}{example}", fault.as_str(), meaning(fault, *found));
    let problem = |detail: String, remedy: &str| {
        Finding::problem(FindingCode::IndexFault, queue, detail, remedy)
    };
    if fault == Fault::Unreadable {
        return problem(
            detail,
            "run the newest version that wrote here, then `tidegate doctor --repair`; if they are incomplete, `tidegate get ID` shows what is left",
        );
    }
    if repaired < found {
        let detail = if *repaired > 0 { format!("{detail}; {repaired} repaired") } else { detail };
        return problem(detail, "`tidegate doctor --repair` repairs it");
    }
    Finding::note(
        FindingCode::IndexFault,
        queue,
        format!("{detail}; repaired"),
        "nothing to do; please report it with the log of that time, it should not happen",
    )
}

/// An audit that ended before everything was looked at.
#[must_use]
pub fn not_complete(queue: &QueueName, why: &str) -> Finding {
    Finding::problem(
        FindingCode::NotChecked,
        queue,
        format!("it could not be checked completely: {why}"),
        "run `tidegate doctor` again",
    )
}

fn meaning(fault: Fault, found: u64) -> String {
    match fault {
        Fault::Unplaced => {
            format!("{} that are in no index and would never be sent", count(found, "message"))
        }
        Fault::Misplaced => format!(
            "{} of messages that do not exist or belong elsewhere",
            count(found, "index member")
        ),
        Fault::Leftover => format!("{} of messages that do not exist", count(found, "leftover")),
        Fault::Expiry => format!("{} whose expiry is missing or wrong", count(found, "message")),
        Fault::Largest => "claims would read more bytes at once than they should".to_owned(),
        Fault::Unreadable => format!(
            "{} that cannot be read: incomplete, or written by a newer version; kept, not sent",
            count(found, "message")
        ),
        Fault::Duplicate => format!("{} twice in the ready list", count(found, "message")),
        Fault::Count => "its counts differ from its messages".to_owned(),
        Fault::Weight => "the bytes that it counts as kept differ from its messages".to_owned(),
        Fault::Stray
        | Fault::Lane
        | Fault::Busy
        | Fault::Blocker
        | Fault::Lent
        | Fault::Turn
        | Fault::Held
        | Fault::Flight
        | Fault::HeldKeys
        | Fault::Backlog => meaning_of_keys(fault, found),
    }
}

/// The same of what stands in the index of a queue with keys.
fn meaning_of_keys(fault: Fault, found: u64) -> String {
    let many = |one: &str| count(found, one);
    match fault {
        Fault::Lane => format!("{} of messages with one key in the wrong place", many("line")),
        Fault::Busy => {
            format!("{} whose messages wait for one that is not on its way", many("key"))
        }
        Fault::Blocker => {
            format!(
                "{} of limits that would never let their messages go, or hold none",
                many("key")
            )
        }
        Fault::Lent => format!("{} of limits that wait for a line that does not go", many("key")),
        Fault::Turn => format!("{} of shares with a wrong turn", many("key")),
        Fault::Held => {
            format!("{} whose calls in flight and order are noted wrongly", many("message"))
        }
        Fault::Flight => format!("{} of limits with wrong counts of calls in flight", many("key")),
        Fault::Backlog => format!("{} that the backlog counts wrongly", many("message")),
        Fault::HeldKeys => format!("{} with a wrong number of keys that they hold", many("limit")),
        _ => {
            format!("{} of messages that stand nowhere in the index of keys", many("index member"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_problems_until_they_are_mended() {
        let queue: QueueName = "sms".parse().unwrap();
        let words = |fault: Fault, found: u64, repaired: u64, examples: &[&str]| {
            let examples = examples.iter().map(ToString::to_string).collect();
            let finding = of_faults(&queue, fault, &FaultFacts { found, repaired, examples });
            format!("{} {}", finding.weight.as_str(), finding.detail)
        };
        for (told, expected) in [
            (
                words(Fault::Leftover, 1, 1, &[]),
                "note leftover: 1 leftover of messages that do not exist; repaired",
            ),
            (
                words(Fault::Unplaced, 3, 1, &["A", "B"]),
                "problem unplaced: 3 messages that are in no index and would never be sent (A, B); 1 repaired",
            ),
            (
                words(Fault::Unreadable, 2, 0, &[]),
                "problem unreadable: 2 messages that cannot be read: incomplete, or written by a newer version; kept, not sent",
            ),
        ] {
            assert_eq!(told, expected);
        }
    }
}
