//! The part of `doctor` that looks into the store: records against indexes, queue by queue.
//!
//! Owns the progress and the words for each kind of fault. Pure but for the asking.

use http::Method;
use serde_json::Value;

use super::Session;
use super::client::Target;
use super::describe::count;
use super::exit::Failure;
use super::finding::{Finding, Weight};
use super::plain::plain;
use super::progress::Progress;

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
    let mut examples: Vec<Value> = Vec::new();
    let mut last = Value::Null;
    while let Some(line) = lines.next().await? {
        if line["fault"].is_string() {
            examples.push(line);
        } else {
            let (looked, of) =
                (line["looked"].as_u64().unwrap_or(0), line["of"].as_u64().unwrap_or(0));
            progress.grow(of);
            let text = format!("{queue}: {looked} of {of} checked");
            progress.show(looked, &text, &mut session.screen)?;
            last = line;
        }
    }
    progress.clear();
    Ok(findings(queue, &examples, &last))
}

fn findings(queue: &str, examples: &[Value], last: &Value) -> Vec<Finding> {
    let faults = last["faults"].as_object();
    let mut findings: Vec<Finding> = faults
        .into_iter()
        .flatten()
        .map(|(word, counts)| {
            let number = |key: &str| counts[key].as_u64().unwrap_or(0);
            let named = examples.iter().filter(|line| line["fault"] == word.as_str());
            let named: Vec<String> = named
                .filter_map(|line| line["id"].as_str().or(line["member"].as_str()))
                .take(EXAMPLES_MAX)
                .map(plain)
                .collect();
            finding(queue, word, number("found"), number("repaired"), &named)
        })
        .collect();
    if last["complete"] != true {
        let why =
            last["problem"]["detail"].as_str().map_or("the answer broke off".to_owned(), plain);
        let what = format!("it could not be checked completely: {why}");
        findings.push(Finding::problem(queue, what, "run `tidegate doctor` again"));
    }
    findings
}

fn finding(queue: &str, word: &str, found: u64, repaired: u64, named: &[String]) -> Finding {
    let what = match word {
        "unplaced" => {
            format!("{} that are in no index and would never be sent", count(found, "message"))
        }
        "misplaced" => {
            format!(
                "{} of messages that do not exist or belong elsewhere",
                count(found, "index member")
            )
        }
        "leftover" => format!("{} of messages that do not exist", count(found, "leftover")),
        "expiry" => format!("{} whose expiry is missing or wrong", count(found, "message")),
        "largest" => "claims would read more bytes at once than they should".to_owned(),
        "unreadable" => format!(
            "{} that cannot be read: incomplete, or written by a newer version; kept, not sent",
            count(found, "message")
        ),
        "duplicate" => format!("{} twice in the ready list", count(found, "message")),
        "count" => "its counts differ from its messages".to_owned(),
        other => format!("{found} of {other}"),
    };
    let example = match named {
        [] => String::new(),
        named => format!(" ({})", named.join(", ")),
    };
    let what = format!("{word}: {what}{example}");
    if word == "unreadable" {
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
    use serde_json::json;

    fn words(last: &Value, examples: &[Value]) -> Vec<String> {
        let shown = |f: &Finding| format!("{} {}: {}", f.weight.as_str(), f.about, f.what);
        findings("sms", examples, last).iter().map(shown).collect()
    }

    #[test]
    fn faults_are_problems_until_they_are_mended() {
        let faults = json!({"complete": true, "faults": {
            "leftover": {"found": 1, "repaired": 1}, "unplaced": {"found": 3, "repaired": 1},
            "unreadable": {"found": 2, "repaired": 0},
        }});
        let examples = ["A", "B", "C", "D"].map(|m| json!({"fault": "unplaced", "member": m}));
        assert_eq!(
            words(&faults, &examples),
            [
                "note sms: leftover: 1 leftover of messages that do not exist; repaired",
                "problem sms: unplaced: 3 messages that are in no index and would never be sent (A, B, C); 1 repaired",
                "problem sms: unreadable: 2 messages that cannot be read: incomplete, or written by a newer version; kept, not sent",
            ]
        );
        assert!(words(&json!({"complete": true, "faults": {}}), &[]).is_empty());
    }

    #[test]
    fn an_audit_that_did_not_end_is_a_problem() {
        let cut = json!({"complete": false, "problem": {"detail": "it stops"}});
        assert_eq!(words(&cut, &[]), ["problem sms: it could not be checked completely: it stops"]);
        assert_eq!(words(&Value::Null, &[]).len(), 1);
    }
}
