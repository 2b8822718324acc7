//! What is found in a queue, and what is not.

use super::*;
use crate::domain::gates::{PauseEnd, QueueLoad, Snapshot, gates};
use crate::domain::keys::KeyPart;
use crate::domain::limit::{KeptLimit, LimitKindName, LimitRule};
use crate::domain::policy::QueuePolicy;

/// 2026-11-21T09:00:00Z.
const NOW_MS: u64 = 1_795_251_600_000;

fn facts(snapshot: &Snapshot) -> QueueFacts {
    let name: QueueName = "sms".parse().unwrap();
    let policy = QueuePolicy::retired(name.clone(), 1);
    QueueFacts {
        name,
        is_pulled: false,
        is_retired: false,
        gates: gates(&policy, snapshot, Some(NOW_MS)),
        quotas: Vec::new(),
        waiting: 0,
        leased: 0,
        dead: 0,
        dead_example: None,
        uncertain: 0,
        oldest_free_age_ms: None,
        oldest_free_age_ms_before: None,
        pause: None,
        shut: None,
        failing: None,
        lost: 0,
        hosts_left_alone: 0,
        follows: false,
        refused: None,
        too_costly: Vec::new(),
        keys_without_effect: Vec::new(),
    }
}

fn words(facts: &QueueFacts) -> Vec<String> {
    let findings = of_queue(facts, NOW_MS);
    findings.iter().map(|f| format!("{}: {}", f.code.as_str(), f.detail)).collect()
}

#[test]
fn a_queue_that_is_well_has_no_findings() {
    assert!(words(&facts(&Snapshot::default())).is_empty());
}

#[test]
fn refused_messages_are_a_problem() {
    let what = "the backlog of the queue \"sms\" is full (max_messages = 9)".to_owned();
    let refused = Some(RefusedFacts { count: 3, what });
    let queue = QueueFacts { refused, ..facts(&Snapshot::default()) };
    let said = "backlog-full: the backlog of the queue \"sms\" is full (max_messages = 9): this node has refused 3 messages";
    assert_eq!(words(&queue), [said]);
}

#[test]
fn a_pause_is_a_problem_where_something_waits() {
    let paused = Snapshot { pause: Some(PauseEnd::Resume), ..Snapshot::default() };
    let mut queue = facts(&paused);
    queue.pause = Some(PauseFacts { by: "ann".to_owned(), reason: "deploy".to_owned() });
    let idle = of_queue(&queue, NOW_MS);
    assert_eq!((idle[0].weight.as_str(), idle[0].runbook()), ("note", None));
    queue.waiting = 2;
    assert_eq!(words(&queue), ["paused: it is paused by ann (deploy), and 2 messages wait"]);
    let problem = of_queue(&queue, NOW_MS);
    assert_eq!(problem[0].runbook().unwrap(), "docs/runbook.md#tidegatepausedlong");
    assert_eq!(problem[0].about.queue().unwrap().as_str(), "sms");
}

#[test]
fn a_closed_window_is_as_planned_unless_it_never_opens() {
    let name: QueueName = "sms".parse().unwrap();
    let planned = closed(&name, Some(NOW_MS + 60_000), NOW_MS);
    assert_eq!(
        (planned.weight.as_str(), planned.detail.as_str(), planned.at_ms),
        ("note", "its window is closed and opens in 1m", Some(NOW_MS + 60_000))
    );
    assert_eq!(closed(&name, None, NOW_MS).weight.as_str(), "problem");
}

#[test]
fn what_the_downstream_says_is_found_with_its_moments() {
    let shut = Snapshot { throttled_until_ms: Some(NOW_MS + 300_000), ..Snapshot::default() };
    let mut queue = facts(&shut);
    queue.shut = Some(ShutFacts { is_throttle: false, reason: "status 401: bad token".to_owned() });
    queue.failing =
        Some(Failing { since_ms: NOW_MS - 120_000, attempts: 4, last_error: "timeout".to_owned() });
    queue.hosts_left_alone = 2;
    queue.lost = 3;
    assert_eq!(
        words(&queue),
        [
            "rollback: messages that were accepted are lost: Redis does not have them any more (3)",
            "gate-shut: its gate is shut until 2026-11-21T09:05:00.000Z: the downstream, or the proxy before it, refuses our credentials or our address (status 401: bad token)",
            "downstream-failing: its downstream is failing since 2026-11-21T08:58:00.000Z: 4 attempts in a row got no answer, 408 or 5xx; the last error: timeout",
            "hosts-fail: messages fail: 2 of their hosts get no calls, or one at a time",
        ]
    );
    let findings = of_queue(&queue, NOW_MS);
    assert!(findings[1].remedy.contains("`tidegate resume sms` opens the gate"));
    assert!(findings[2].remedy.contains("`tidegate retry sms`"));
    queue.shut = Some(ShutFacts { is_throttle: true, reason: "status 429".to_owned() });
    assert!(words(&queue)[1].contains("or no token for it can be got (status 429)"));
}

#[test]
fn dead_messages_are_counted_and_one_is_named() {
    let mut queue = facts(&Snapshot::default());
    (queue.dead, queue.uncertain) = (1, 2);
    queue.dead_example = Some(("sms_1".to_owned(), "refused (status 422)".to_owned()));
    assert_eq!(
        words(&queue),
        [
            "dead-messages: 1 dead message: sms_1 (refused (status 422))",
            "uncertain-messages: 2 messages may or may not have arrived",
        ]
    );
    queue.dead = 3;
    assert!(words(&queue)[0].contains("3 dead messages, for example sms_1"));
    queue.dead_example = None;
    assert_eq!(words(&queue)[0], "dead-messages: 3 dead messages");
}

#[test]
fn only_an_age_that_grows_behind_open_gates_is_a_problem() {
    let aged = |snapshot: &Snapshot, before_ms: Option<u64>, now_ms: u64| QueueFacts {
        oldest_free_age_ms: Some(now_ms),
        oldest_free_age_ms_before: before_ms,
        ..facts(snapshot)
    };
    let open = Snapshot::default();
    let stuck = aged(&open, Some(90_000), 91_000);
    assert_eq!(
        words(&stuck),
        ["queue-stuck: the oldest ready message waits for 1m 31s, and its age grows"]
    );
    for well in [
        aged(&open, Some(90_000), 61_000),
        aged(&open, Some(1000), 2000),
        aged(&open, None, 91_000),
        QueueFacts { is_retired: true, ..stuck.clone() },
        QueueFacts { failing: Some(Failing::default()), ..aged(&open, None, 91_000) },
    ] {
        assert!(!words(&well).iter().any(|words| words.contains("grows")), "{well:?}");
    }
    let throttled = Snapshot { throttled_until_ms: Some(NOW_MS + 1), ..open.clone() };
    assert!(!aged(&throttled, Some(90_000), 91_000).needs_second_look());
    let mut pulled = QueueFacts { is_pulled: true, ..stuck };
    assert_eq!(
        words(&pulled),
        ["no-worker: no worker has claimed since its oldest ready message came, 1m 31s ago"]
    );
    pulled.leased = 1;
    assert!(words(&pulled)[0].starts_with("queue-stuck"));
}

#[test]
fn what_keys_need_somebody_for_is_found() {
    let mut queue = facts(&Snapshot::default());
    queue.follows = true;
    queue.too_costly = vec![("per_to_day".parse().unwrap(), "sms_1".to_owned())];
    let why = "the queue has no limit \"per_to\"".to_owned();
    let part =
        KeyPart::Limit { name: "per_to".parse().unwrap(), kind: LimitKindName::Rate, period: None };
    queue.keys_without_effect = vec![(2, WithoutEffect { part, why })];
    let found = words(&queue);
    assert_eq!(
        found[2],
        "keys-without-effect: 2 keys were given limits.per_to at run time, without effect: the queue has no limit \"per_to\""
    );
    assert!(found[0].starts_with("structure-followed: this node follows another one in ordering"));
    assert!(found[1].starts_with(
        "quota-too-small: the message sms_1 costs more than its limit \"per_to_day\""
    ));
}

#[test]
fn a_used_quota_is_a_note_and_its_queue_is_not_stuck() {
    let mut queue = facts(&Snapshot::default());
    queue.oldest_free_age_ms = Some(120_000);
    queue.oldest_free_age_ms_before = Some(119_000);
    assert!(words(&queue)[0].starts_with("queue-stuck: "), "{:?}", words(&queue));
    let contract = || "contract".parse().unwrap();
    queue.quotas = vec![(contract(), Some(NOW_MS + 15 * 3_600_000))];
    let said = ["quota-used: its limit \"contract\" is used and begins again in 15h"];
    assert_eq!(words(&queue), said);
    assert!(!queue.needs_second_look());
    queue.quotas = vec![(contract(), None)];
    let found = of_queue(&queue, NOW_MS);
    assert_eq!((found.len(), found[0].weight.as_str()), (1, "problem"));
    assert!(found[0].detail.contains("costs more than the limit \"contract\""), "{found:?}");
}

#[test]
fn what_a_rate_holds_is_a_note_as_what_a_quota_holds() {
    let limits = vec![LimitRule::own_rate("1/min".parse().unwrap(), 1)];
    let policy = QueuePolicy { limits, ..QueuePolicy::retired("sms".parse().unwrap(), 1) };
    let seen = |next_us: u64| {
        let kept = KeptLimit { standing: format!("{next_us}.00"), debt: String::new() };
        let load = Some(QueueLoad { limits: vec![kept], shards: Vec::new() });
        let snapshot = Snapshot { load, ..Snapshot::default() };
        QueueFacts {
            gates: gates(&policy, &snapshot, Some(NOW_MS)),
            oldest_free_age_ms: Some(120_000),
            oldest_free_age_ms_before: Some(119_000),
            ..facts(&Snapshot::default())
        }
    };
    let found = of_queue(&seen((NOW_MS + 30_000) * 1000), NOW_MS);
    assert_eq!((found.len(), found[0].weight.as_str()), (1, "note"));
    assert_eq!(
        found[0].detail,
        "the oldest ready message waits for 2m, as its limit \"rate\" lets no more pass"
    );
    let found = of_queue(&seen((NOW_MS - 1) * 1000), NOW_MS);
    assert_eq!(found[0].weight.as_str(), "problem", "nothing holds it");
}
