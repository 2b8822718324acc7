//! What the daemon's answers say about its health. Pure: answers in, findings out.
//!
//! Owns what counts as a problem (somebody must act) and what as a note (worth knowing, such as a
//! window that is closed as planned). Refuses to ask anybody.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::describe::{count, reason, word};
use super::finding::Finding;
use super::plain::plain;
use super::queues::{age, name_of};
use super::sending;
use super::times::{Times, of_answer, span};
use crate::wire::message::MessageView;

/// A ready message that has waited so long is worth a second look.
pub(crate) const AGE_MS_WORTH_A_LOOK: u64 = 60_000;

/// Nodes that run different configurations, or that cannot read what the others write.
pub(crate) fn of_nodes(nodes: &[Value]) -> Vec<Finding> {
    [of_configs(nodes), of_formats(nodes)].into_iter().flatten().collect()
}

/// Nodes that read older versions of stored messages only.
fn of_formats(nodes: &[Value]) -> Option<Finding> {
    let reads = |node: &Value| node["record_version"].as_u64();
    let newest = nodes.iter().filter_map(reads).max()?;
    let behind: Vec<_> = nodes
        .iter()
        .filter(|node| reads(node).is_some_and(|version| version < newest))
        .map(|node| format!("{} on {}", word(&node["id"]), word(&node["host"])))
        .collect();
    if behind.is_empty() {
        return None;
    }
    let what = format!(
        "{} cannot read messages of version {newest}, which the other nodes read: {}",
        count(behind.len() as u64, "node"),
        behind.join(", ")
    );
    let remedy = "upgrade or stop it; until then it may hold up messages, and new ones are written in the older version";
    Some(Finding::problem("nodes", what, remedy))
}

fn of_configs(nodes: &[Value]) -> Option<Finding> {
    let hashes: BTreeSet<String> = nodes
        .iter()
        .map(|node| word(&node["config_hash"]))
        .filter(|hash| !hash.is_empty())
        .collect();
    if hashes.len() < 2 {
        return None;
    }
    let what =
        format!("the {} run {} different configs", count(nodes.len() as u64, "node"), hashes.len());
    let remedy =
        "give all nodes the same config and reload them (SIGHUP); `tidegate nodes` shows them";
    Some(Finding::problem("nodes", what, remedy))
}

/// Every queue, as it was a moment ago and as it is.
///
/// `dead`: of queues with dead messages, one of these.
pub(crate) fn of_queues(
    before: &[Value],
    after: &[Value],
    dead: &BTreeMap<String, MessageView<'static>>,
    times: &Times,
) -> Vec<Finding> {
    let ages: BTreeMap<String, u64> =
        before.iter().filter_map(|queue| Some((name_of(queue), age(queue)?))).collect();
    after
        .iter()
        .flat_map(|queue| of_queue(queue, &ages, dead.get(&name_of(queue)), times))
        .collect()
}

/// How many messages of a queue are in a state.
pub(crate) fn counted(queue: &Value, state: &str) -> u64 {
    queue["counts"][state].as_u64().unwrap_or(0)
}

fn of_queue(
    queue: &Value,
    ages_before: &BTreeMap<String, u64>,
    dead: Option<&MessageView<'_>>,
    times: &Times,
) -> Vec<Finding> {
    let name = name_of(queue);
    let counted = |state: &str| counted(queue, state);
    let waiting = counted("ready") + counted("scheduled");
    let mut findings = Vec::new();
    let paused = queue["paused"].is_object();
    if paused {
        findings.push(pause(&name, queue, waiting));
    }
    let closed = queue["window"]["open"] == false;
    if closed {
        findings.push(window(&name, queue, times));
    }
    findings.extend(sending::findings(&name, queue, times));
    if counted("dead") > 0 {
        findings.push(dead_messages(&name, counted("dead"), dead));
    }
    if counted("uncertain") > 0 {
        findings.push(Finding::problem(
            &name,
            format!("{} may or may not have arrived", count(counted("uncertain"), "message")),
            format!("`tidegate list {name} --state uncertain`; ask the downstream, then `tidegate resolve` each"),
        ).section("TidegateUncertain"));
    }
    let grown = age(queue).filter(|now| {
        *now >= AGE_MS_WORTH_A_LOOK && ages_before.get(&name).is_some_and(|before| before < now)
    });
    let may_send = sending::is_open(queue) && !paused && !closed;
    let is_pulled = queue["policy"]["downstream"]["type"] == "pull";
    if let Some(age_ms) = grown.filter(|_| may_send && is_pulled && counted("leased") == 0) {
        findings.push(
            Finding::problem(
                &name,
                format!(
                    "no worker has claimed since its oldest ready message came, {} ago",
                    span(age_ms)
                ),
                format!(
                    "start its workers, or look why they do not call POST /v1/queues/{name}/claim"
                ),
            )
            .section("TidegateQueueStuck"),
        );
    } else if let Some(age_ms) = grown.filter(|_| may_send) {
        findings.push(Finding::problem(
            &name,
            format!("the oldest ready message waits for {}, and its age grows", span(age_ms)),
            format!("`tidegate queue {name}` shows rate and concurrency; raise them if the downstream can take more"),
        ).section("TidegateQueueStuck"));
    }
    findings
}

/// How many are dead, and why one of them is: of a single one, that is the whole reason.
fn dead_messages(name: &str, number: u64, one: Option<&MessageView<'_>>) -> Finding {
    let one = one.and_then(|message| Some((plain(&message.id), reason(message)?)));
    let why = match one {
        None => String::new(),
        Some((id, why)) if number == 1 => format!(": {id} ({why})"),
        Some((id, why)) => format!(", for example {id} ({why})"),
    };
    Finding::problem(
        name,
        format!("{}{why}", count(number, "dead message")),
        format!(
            "`tidegate list {name} --state dead` says why; where the message is wrong, `tidegate edit ID -d BODY` and `tidegate requeue ID`; where the downstream was, `tidegate requeue-all {name} --state dead`; what nobody needs, `tidegate purge {name} --state dead`"
        ),
    )
    .section("TidegateMessagesDie")
}

/// A pause matters as soon as something waits behind it.
fn pause(name: &str, queue: &Value, waiting: u64) -> Finding {
    let paused = &queue["paused"];
    let by = match word(&paused["by"]) {
        by if by.is_empty() => String::new(),
        by => format!(" by {by}"),
    };
    let reason = match word(&paused["reason"]) {
        reason if reason.is_empty() => String::new(),
        reason => format!(" ({reason})"),
    };
    let remedy = format!("`tidegate resume {name}` when the reason is gone");
    if waiting == 0 {
        return Finding::note(name, format!("it is paused{by}{reason}"), remedy);
    }
    let what = format!("it is paused{by}{reason}, and {} wait", count(waiting, "message"));
    Finding::problem(name, what, remedy).section("TidegatePausedLong")
}

/// A closed window is as planned, unless it never opens.
fn window(name: &str, queue: &Value, times: &Times) -> Finding {
    match of_answer(&queue["window"]["opens_at"]) {
        Some(at) => Finding::note(
            name,
            format!("its window is closed and opens {}", times.distance(at)),
            format!("nothing to do; `tidegate windows {name}` shows the next ones"),
        ),
        None => Finding::problem(
            name,
            "its window is closed and never opens",
            "correct open and closed_dates in its configuration, and reload (SIGHUP)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::answers::message_view;
    use serde_json::json;

    fn at(now_ms: u64) -> Times {
        Times { now_ms, zone: None }
    }

    fn words(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|f| format!("{} {}: {}", f.weight.as_str(), f.about, f.what)).collect()
    }

    #[test]
    fn queues_tell_of_pauses_windows_and_the_dead() {
        let queues = [
            json!({"queue": "a", "counts": {"ready": 2, "dead": 1}, "paused": {"by": "ann", "reason": "deploy"}}),
            json!({"queue": "b", "counts": {"uncertain": 2}, "window": {"open": false, "opens_at": "2026-11-21T09:00:00Z"}}),
            json!({"queue": "c", "counts": {}, "paused": {}, "window": {"open": false, "opens_at": null}}),
        ];
        let one = message_view(
            &json!({"id": "a_1", "reason": "refused", "last_attempt": {"status_code": 422, "error": "no such number"}}),
        );
        let dead = BTreeMap::from([("a".to_owned(), one)]);
        assert_eq!(
            words(&of_queues(&queues, &queues, &dead, &at(1_795_251_600_000 - 60_000))),
            [
                "problem a: it is paused by ann (deploy), and 2 messages wait",
                "problem a: 1 dead message: a_1 (refused (status 422, no such number))",
                "note b: its window is closed and opens in 1m",
                "problem b: 2 messages may or may not have arrived",
                "note c: it is paused",
                "problem c: its window is closed and never opens",
            ]
        );
    }

    #[test]
    fn only_an_age_that_grows_behind_an_open_door_is_a_problem() {
        let queue = |age_ms: u64| json!({"queue": "a", "counts": {"ready": 9}, "oldest_ready_age_ms": age_ms});
        assert_eq!(
            of_queues(&[queue(90_000)], &[queue(91_000)], &BTreeMap::new(), &at(0)).len(),
            1
        );
        assert!(of_queues(&[queue(90_000)], &[queue(61_000)], &BTreeMap::new(), &at(0)).is_empty());
        assert!(of_queues(&[queue(1000)], &[queue(2000)], &BTreeMap::new(), &at(0)).is_empty());
        let mut pulled = queue(91_000);
        pulled["policy"] = json!({"downstream": {"type": "pull"}});
        assert_eq!(
            words(&of_queues(&[queue(90_000)], &[pulled.clone()], &BTreeMap::new(), &at(0))),
            ["problem a: no worker has claimed since its oldest ready message came, 1m 31s ago"]
        );
        pulled["counts"]["leased"] = json!(1);
        assert!(
            words(&of_queues(&[queue(90_000)], &[pulled], &BTreeMap::new(), &at(0)))[0]
                .contains("its age grows")
        );
        let mut paused = queue(91_000);
        paused["window"] = json!({"open": false, "opens_at": "2026-11-21T09:00:00Z"});
        assert_eq!(
            words(&of_queues(&[queue(90_000)], &[paused], &BTreeMap::new(), &at(0))).len(),
            1
        );
    }

    #[test]
    fn nodes_must_run_the_same_config() {
        let nodes = [json!({"config_hash": "a"}), json!({"config_hash": "b"})];
        assert_eq!(of_nodes(&nodes).len(), 1);
        assert!(of_nodes(&nodes[..1]).is_empty());
        let old = json!({"id": "N1", "host": "h", "config_hash": "a", "record_version": 2});
        let new = json!({"id": "N2", "host": "h", "config_hash": "a", "record_version": 3});
        let found = of_nodes(&[old, new.clone()]);
        assert!(found[0].what.contains("version 3, which the other nodes read: N1 on h"));
        assert!(of_nodes(&[new.clone(), new]).is_empty());
    }
}
