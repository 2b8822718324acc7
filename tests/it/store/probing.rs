//! Uncertain messages that are asked about: one prober at a time, and late ones harmless.

use tidegate::domain::id::MessageId;
use tidegate::domain::message::Probes;
use tidegate::domain::settlement::Settlement;
use tidegate::domain::state::State;
use tidegate::store::{Changed, Decision, Doubtful, ProbeTimes, Verb};

use super::ground::{Ground, on_each};
use super::node::{HOUR_MS, Node, ended, message};

on_each!(
    one_prober_has_a_message_until_its_lease_is_over,
    a_prober_whose_word_was_overtaken_changes_nothing,
    what_could_not_be_told_is_asked_later_or_never,
    nothing_is_asked_while_the_queue_is_paused_or_its_gate_shut,
    what_leaves_uncertain_is_not_asked_about_any_more,
    what_was_parked_without_a_plan_is_planned,
    a_late_success_ends_the_asking,
);

const PROBES: &str =
    "on_uncertain = \"probe\"\nprobe = { url = \"http://h/{id}\", after = \"1ms\" }";
// A lease unlike every delay, so that no two moments fall together.
const TIMES: ProbeTimes = ProbeTimes { lease_ms: HOUR_MS / 2, after_ms: 1, furthest_ms: HOUR_MS };
const HASTY: ProbeTimes = ProbeTimes { lease_ms: 1, ..TIMES };

fn words(count: u32) -> Probes {
    Probes {
        count,
        last_at_ms: 7,
        status_code: Some(500),
        error: Some("status 500".to_owned()),
        next_at_ms: None,
    }
}

/// A message that has become uncertain, and is due to be asked about.
async fn uncertain(ground: &Ground, node: &Node) -> MessageId {
    let id = node.send(message("m")).await;
    let lease = node.take_one().await;
    node.end(Verb::Park, &lease).await;
    ground.passes(ground.now_ms().await + 1).await;
    id
}

async fn ask(node: &Node, times: ProbeTimes) -> Vec<Doubtful> {
    let due = node.store.messages.probe(&node.queue, node.shard(), 10, times, 0).await;
    due.expect("Redis is there").messages
}

async fn postpone(node: &Node, message: &Doubtful, delay_ms: Option<u64>) -> Changed {
    let words = words(message.probes + 1);
    let told = node.store.messages.postpone(&node.queue, message, Some(&words), delay_ms).await;
    told.expect("Redis is there")
}

async fn decide(node: &Node, message: &Doubtful, decision: Decision) -> Changed {
    let told =
        node.store.messages.resolve_probed(&node.queue, message, decision, &words(1), None).await;
    told.expect("Redis is there")
}

async fn one_prober_has_a_message_until_its_lease_is_over(ground: Ground) {
    let (node, other) = (ground.node(PROBES).await, ground.node(PROBES).await);
    let id = uncertain(&ground, &node).await;

    let mine = ask(&node, HASTY).await.pop().expect("it is due");
    assert_eq!((&mine.id, mine.attempt, mine.probes), (&id, 1, 0));
    assert_eq!(mine.reason.as_deref(), Some("park"));
    ground.passes(ground.now_ms().await + 1).await;
    let theirs = ask(&other, TIMES).await.pop().expect("the lease is over");
    assert!(ask(&node, TIMES).await.is_empty(), "one at a time");

    assert_eq!(decide(&node, &mine, Decision::Resend).await, Changed::Late);
    assert_eq!(postpone(&node, &mine, Some(0)).await, Changed::Late);
    assert_eq!(node.state(&id).await, State::Uncertain);
    assert_eq!(decide(&other, &theirs, Decision::Resend).await, Changed::Done);
    // A lost reply, repeated.
    let again = decide(&other, &theirs, Decision::Resend).await;
    assert_eq!(again, Changed::WrongState(State::Ready));
    assert_eq!(node.take_one().await.ulid, id.ulid);
    ground.assert_sound(&node).await;
}

async fn a_prober_whose_word_was_overtaken_changes_nothing(ground: Ground) {
    let node = ground.node(PROBES).await;
    let id = uncertain(&ground, &node).await;
    let late = ask(&node, HASTY).await.pop().expect("it is due");

    // An operator has it sent again, and that attempt is uncertain too.
    node.store.messages.resolve(&id, Decision::Resend, None).await.unwrap();
    assert_eq!(decide(&node, &late, Decision::Delivered).await, Changed::WrongState(State::Ready));
    let lease = node.take_one().await;
    assert_eq!(decide(&node, &late, Decision::Dead).await, Changed::WrongState(State::Leased));
    node.end(Verb::Park, &lease).await;

    for decision in [Decision::Delivered, Decision::Resend, Decision::Dead] {
        assert_eq!(decide(&node, &late, decision).await, Changed::Late);
    }
    assert_eq!(postpone(&node, &late, None).await, Changed::Late);
    assert_eq!(node.state(&id).await, State::Uncertain);
    ground.assert_sound(&node).await;
}

async fn what_could_not_be_told_is_asked_later_or_never(ground: Ground) {
    let node = ground.node(PROBES).await;
    let id = uncertain(&ground, &node).await;
    let first = ask(&node, TIMES).await.pop().expect("it is due");
    assert_eq!(postpone(&node, &first, Some(HOUR_MS)).await, Changed::Done);
    assert_eq!(postpone(&node, &first, Some(0)).await, Changed::Late, "a lost reply, repeated");

    let probes = node.get(&id).await.probes.expect("it was asked about");
    assert_eq!((probes.count, probes.status_code), (1, Some(500)));
    assert!(probes.next_at_ms.is_some_and(|ms| ms > HOUR_MS));
    assert!(ask(&node, TIMES).await.is_empty(), "not before its time");
    assert_eq!(node.get(&id).await.last_attempt.expect("kept").outcome, "park");

    let id = uncertain(&ground, &node).await;
    let last = ask(&node, TIMES).await.pop().expect("it is due");
    assert_eq!(postpone(&node, &last, None).await, Changed::Done);
    assert_eq!(node.get(&id).await.probes.expect("it was").next_at_ms, None);
    let due = node.store.messages.probe(&node.queue, node.shard(), 10, TIMES, 0).await.unwrap();
    assert!(due.messages.is_empty() && due.rank == 0, "{due:?}");
    let next_in = due.next_in.expect("the first one's next probe");
    assert!(next_in.as_millis() <= u128::from(HOUR_MS), "{next_in:?}");
    ground.assert_sound(&node).await;
}

async fn nothing_is_asked_while_the_queue_is_paused_or_its_gate_shut(ground: Ground) {
    let node = ground.node(PROBES).await;
    uncertain(&ground, &node).await;
    node.store.queues.pause(&node.name, None, "stop", "me").await.unwrap();
    let due = node.store.messages.probe(&node.queue, node.shard(), 10, TIMES, 0).await.unwrap();
    assert!(due.messages.is_empty() && due.next_in.is_none(), "until somebody resumes it");
    node.store.queues.resume(&node.name).await.unwrap();

    node.send(message("refused")).await;
    let lease = node.take_one().await;
    let throttle = Settlement::Throttle { gate_ms: Some(HOUR_MS) };
    node.settle_as(&[ended(&lease, "throttled", throttle)]).await;
    let due = node.store.messages.probe(&node.queue, node.shard(), 10, TIMES, 0).await.unwrap();
    assert!(due.messages.is_empty() && due.next_in.is_some(), "until the gate opens");

    node.store.queues.resume(&node.name).await.unwrap();
    assert_eq!(ask(&node, TIMES).await.len(), 1);
}

async fn what_leaves_uncertain_is_not_asked_about_any_more(ground: Ground) {
    let node = ground.node(PROBES).await;
    for step in ["cancel", "requeue", "delivered", "resend", "dead"] {
        let id = uncertain(&ground, &node).await;
        let changed = match step {
            "cancel" => node.store.messages.cancel(&id).await,
            "requeue" => node.store.messages.requeue(&id).await,
            "delivered" => node.store.messages.resolve(&id, Decision::Delivered, None).await,
            "resend" => node.store.messages.resolve(&id, Decision::Resend, None).await,
            _ => node.store.messages.resolve(&id, Decision::Dead, None).await,
        };
        assert_eq!(changed.unwrap(), Changed::Done, "{step}");

        ground.assert_sound(&node).await;
        assert!(ask(&node, TIMES).await.is_empty(), "{step}");
        if node.state(&id).await == State::Ready {
            let lease = node.take_one().await;
            node.end(Verb::Ack, &lease).await;
        }
    }
}

async fn what_was_parked_without_a_plan_is_planned(ground: Ground) {
    let (parks, node) = (ground.node("on_uncertain = \"park\"").await, ground.node(PROBES).await);
    for _ in 0..3 {
        uncertain(&ground, &parks).await;
    }
    let asked = node.store.messages.probe(&node.queue, node.shard(), 10, TIMES, 0).await.unwrap();
    assert_eq!((asked.messages.len(), asked.rank), (0, 3), "planned, and not due yet");

    ground.passes(ground.now_ms().await + 1).await;

    assert_eq!(ask(&node, TIMES).await.len(), 3);
    ground.assert_sound(&node).await;
}

async fn a_late_success_ends_the_asking(ground: Ground) {
    let hasty = ground.node_shaped(PROBES, |policy| policy.lease_ms = 1).await;
    let id = hasty.send(message("late")).await;
    let lease = hasty.take_one().await;
    ground.passes(ground.now_ms().await + 1).await;
    let reaped = hasty.store.messages.reap(&hasty.queue, hasty.shard()).await.unwrap();
    assert_eq!(reaped.parked, 1);
    ground.passes(ground.now_ms().await + 1).await;
    let asks = ask(&hasty, TIMES).await.pop().expect("a lost node's message is asked about");

    let verdict = hasty.settle_one(Verb::Ack, &lease).await;

    assert_eq!(verdict, tidegate::store::Verdict::Late);
    assert_eq!(
        decide(&hasty, &asks, Decision::Resend).await,
        Changed::WrongState(State::Delivered)
    );
    assert_eq!(hasty.state(&id).await, State::Delivered);
    ground.assert_sound(&hasty).await;
}
