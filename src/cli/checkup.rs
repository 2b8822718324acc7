//! The part of `doctor` that looks into the store: records against indexes, queue by queue.
//!
//! Owns the progress and the words for each kind of fault. Pure but for the asking.

use super::Session;
use super::client::Target;
use super::describe::count;
use super::exit::Failure;
use super::finding::{Finding, Weight};
use super::plain::plain;
use super::progress::Progress;
use crate::domain::index_fault::Fault;
use crate::wire::Word;
use crate::wire::audit::{
    AuditEndView, AuditLine, FaultCountsView, IndexFaultView, IndexFaultWord,
};
use http::Method;

/// Members named as examples.
const EXAMPLES_MAX: usize = 3;

/// Has the daemon look through a queue, and mend what it finds if `repair`.
pub(crate) async fn of_queue(
    queue: &str,
    repair: bool,
    session: &mut Session,
) -> Result<Vec<Finding>, Failure> {
    let method = if repair { Method::POST } else { Method::GET };
    let target = Target::new(&["v1", "queues", queue, "audit"]);
    let mut lines = session.client.lines(method, &target).await?;
    let mut progress = Progress::new(&session.screen, 0);
    let mut examples: Vec<IndexFaultView> = Vec::new();
    let mut end = None;
    while let Some(line) = lines.next().await? {
        let (looked, of) = match line {
            AuditLine::Fault(fault) => {
                examples.push(fault);
                continue;
            }
            AuditLine::Progress(progress) => (progress.looked, progress.of),
            AuditLine::End(line) => {
                let looked = (line.looked.unwrap_or(0), line.of.unwrap_or(0));
                end = Some(line);
                looked
            }
        };
        progress.grow(of);
        let text = format!("{queue}: {looked} of {of} checked");
        progress.show(looked, &text, &mut session.screen)?;
    }
    progress.clear();
    Ok(findings(queue, &examples, end.as_deref()))
}

fn findings(queue: &str, examples: &[IndexFaultView], end: Option<&AuditEndView>) -> Vec<Finding> {
    let faults = end.map(|end| &end.faults);
    let mut findings: Vec<Finding> = faults
        .into_iter()
        .flatten()
        .map(|(word, counts)| {
            let named = examples.iter().filter(|example| example.fault.as_str() == word);
            let named: Vec<String> = named
                .map(|example| plain(example.id.as_ref().unwrap_or(&example.member)))
                .take(EXAMPLES_MAX)
                .collect();
            finding(queue, &Word::of(word), *counts, &named)
        })
        .collect();
    if !end.is_some_and(|end| end.complete) {
        let problem = end.and_then(|end| end.problem.as_ref());
        let why = problem.map_or_else(|| "the answer broke off".to_owned(), |it| plain(&it.detail));
        let what = format!("it could not be checked completely: {why}");
        findings.push(Finding::problem(queue, what, "run `tidegate doctor` again"));
    }
    findings
}

fn finding(
    queue: &str,
    fault: &IndexFaultWord,
    FaultCountsView { found, repaired }: FaultCountsView,
    named: &[String],
) -> Finding {
    let what = match fault.known() {
        Some(Fault::Unplaced) => {
            format!("{} that are in no index and would never be sent", count(found, "message"))
        }
        Some(Fault::Misplaced) => {
            format!(
                "{} of messages that do not exist or belong elsewhere",
                count(found, "index member")
            )
        }
        Some(Fault::Leftover) => {
            format!("{} of messages that do not exist", count(found, "leftover"))
        }
        Some(Fault::Expiry) => {
            format!("{} whose expiry is missing or wrong", count(found, "message"))
        }
        Some(Fault::Largest) => "claims would read more bytes at once than they should".to_owned(),
        Some(Fault::Unreadable) => format!(
            "{} that cannot be read: incomplete, or written by a newer version; kept, not sent",
            count(found, "message")
        ),
        Some(Fault::Duplicate) => format!("{} twice in the ready list", count(found, "message")),
        Some(Fault::Count) => "its counts differ from its messages".to_owned(),
        Some(Fault::Weight) => {
            "the bytes that it counts as kept differ from its messages".to_owned()
        }
        None => format!("{found} of {fault}"),
    };
    let example = match named {
        [] => String::new(),
        named => format!(" ({})", named.join(", ")),
    };
    let what = format!("{fault}: {what}{example}");
    if fault.is(Fault::Unreadable) {
        let remedy = "run the newest version that wrote here, then `tidegate doctor --repair`; if \
                      they are incomplete, `tidegate get ID` shows what is left";
        return Finding::problem(queue, what, remedy).section("TidegateIndexFaults");
    }
    if repaired < found {
        let what = if repaired > 0 { format!("{what}; {repaired} repaired") } else { what };
        return Finding::problem(queue, what, "`tidegate doctor --repair` repairs it")
            .section("TidegateIndexFaults");
    }
    let remedy = "nothing to do; please report it with the log of that time, it should not happen";
    let mended = Finding::problem(queue, format!("{what}; repaired"), remedy);
    Finding { weight: Weight::Note, ..mended }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn words(end: Option<&AuditEndView>, examples: &[IndexFaultView]) -> Vec<String> {
        let shown = |f: &Finding| format!("{} {}: {}", f.weight.as_str(), f.about, f.what);
        findings("sms", examples, end).iter().map(shown).collect()
    }

    fn end(line: &Value) -> AuditEndView {
        serde_json::from_value(line.clone()).unwrap()
    }

    #[test]
    fn faults_are_problems_until_they_are_mended() {
        let faults = end(&json!({"complete": true, "faults": {
            "leftover": {"found": 1, "repaired": 1}, "unplaced": {"found": 3, "repaired": 1},
            "unreadable": {"found": 2, "repaired": 0},
        }}));
        let examples = ["A", "B", "C", "D"].map(|member| IndexFaultView {
            fault: Fault::Unplaced.into(),
            shard: 0,
            id: None,
            member: member.to_owned(),
            repaired: false,
        });
        assert_eq!(
            words(Some(&faults), &examples),
            [
                "note sms: leftover: 1 leftover of messages that do not exist; repaired",
                "problem sms: unplaced: 3 messages that are in no index and would never be sent (A, B, C); 1 repaired",
                "problem sms: unreadable: 2 messages that cannot be read: incomplete, or written by a newer version; kept, not sent",
            ]
        );
        assert!(words(Some(&end(&json!({"complete": true, "faults": {}}))), &[]).is_empty());
    }

    #[test]
    fn an_audit_that_did_not_end_is_a_problem() {
        let problem = json!({"type": "urn:tidegate:problem:draining", "title": "Draining",
            "status": 503, "detail": "it stops", "code": "draining"});
        let cut = end(&json!({"complete": false, "faults": {}, "problem": problem}));
        let what = ["problem sms: it could not be checked completely: it stops"];
        assert_eq!(words(Some(&cut), &[]), what);
        assert_eq!(words(None, &[]).len(), 1);
    }
}
