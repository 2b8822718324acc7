//! What follows an attempt: each settle verb, and who may still settle.

use tidegate::domain::gates::Gate;
use tidegate::domain::message::When;
use tidegate::domain::settlement::Settlement;
use tidegate::domain::state::State;
use tidegate::store::{ClaimStatus, Lease, Verb, Verdict};

use super::ground::{Ground, on_each};
use super::node::{HOUR_MS, Node, WISH, With, bodies, ended, message};

on_each!(
    a_right_token_settles_once,
    a_stale_token_changes_nothing,
    what_is_gone_is_told_so,
    a_late_success_delivers_what_is_not_final,
    named_twice_a_message_is_settled_once,
    release_puts_back_at_the_head_in_order,
    defer_counts_and_gives_the_attempt_back,
    retry_waits_and_remembers_its_attempts,
    the_history_is_bounded,
    five_suspects_in_a_row_shut_the_gate,
    credentials_refused_shut_the_gate_at_once,
    renew_moves_a_deadline_only_later,
    the_body_goes_when_it_is_delivered,
    nothing_is_kept_without_retention,
);

const VERBS: [Verb; 6] =
    [Verb::Ack, Verb::Retry, Verb::Release, Verb::Defer, Verb::Bury, Verb::Park];

async fn a_right_token_settles_once(ground: Ground) {
    let node = ground.node("").await;
    for (verb, state) in VERBS.into_iter().zip([
        State::Delivered,
        State::Scheduled,
        State::Ready,
        State::Ready,
        State::Dead,
        State::Uncertain,
    ]) {
        let id = node.send(message("m")).await;
        let lease = node.take_one().await;
        assert_eq!(node.state(&id).await, State::Leased);

        assert_eq!(node.settle_one(verb, &lease).await, Verdict::Ok);

        assert_eq!(node.state(&id).await, state, "{verb:?}");
        for again in VERBS.into_iter().chain([Verb::Renew]) {
            let verdict = node.settle_one(again, &lease).await;
            assert_eq!(verdict, Verdict::Already, "{again:?} after {verb:?}");
        }
        assert_eq!(node.state(&id).await, state, "{verb:?}");
        ground.assert_sound(&node).await;
        node.store.messages.cancel(&id).await.unwrap();
        assert!(node.take(1).await.is_empty());
    }
}

async fn a_stale_token_changes_nothing(ground: Ground) {
    let node = ground.node("").await;
    let id = node.send(message("m")).await;
    let old = node.take_one().await;
    node.end(Verb::Release, &old).await;
    let middle = node.take_one().await;
    node.end(Verb::Release, &middle).await;
    let present = node.take_one().await;
    let forged = Lease { token: "0".repeat(20), ..present.clone() };

    // The one before may still bring a success; the others may bring nothing.
    for verb in VERBS.into_iter().chain([Verb::Renew]) {
        for stale in [&old, &forged] {
            assert_eq!(node.settle_one(verb, stale).await, Verdict::Stale, "{verb:?}");
        }
        if verb != Verb::Ack {
            assert_eq!(node.settle_one(verb, &middle).await, Verdict::Stale, "{verb:?}");
        }
        assert_eq!(node.state(&id).await, State::Leased);
    }
    node.end(Verb::Renew, &present).await;
    node.end(Verb::Ack, &present).await;
    assert_eq!(node.settle_one(Verb::Ack, &middle).await, Verdict::Stale, "a final is final");
    ground.assert_sound(&node).await;
}

async fn what_is_gone_is_told_so(ground: Ground) {
    let node = ground.node("").await;
    let lease = Lease { ulid: ulid::Ulid::from_parts(1, 1), shard: 0, token: "0".repeat(20) };
    for verb in VERBS.into_iter().chain([Verb::Renew]) {
        assert_eq!(node.settle_one(verb, &lease).await, Verdict::Gone, "{verb:?}");
    }
    ground.assert_sound(&node).await;
}

/// A message whose lease ran out, and the lease that its node still believes in.
async fn reaped(ground: &Ground, node: &Node) -> Lease {
    let hasty = ground.node_shaped("", |policy| policy.lease_ms = 1).await;
    node.send(message("late")).await;
    let lease = hasty.take_one().await;
    ground.passes(ground.now_ms().await + 1).await;
    let reaped = node.store.messages.reap(&node.queue, node.shard()).await.unwrap();
    assert_eq!((reaped.reaped, reaped.parked, reaped.poisoned), (1, 0, 0));
    lease
}

async fn a_late_success_delivers_what_is_not_final(ground: Ground) {
    let node = ground.node("").await;
    // Ready again.
    let lease = reaped(&ground, &node).await;
    assert_eq!(node.settle_one(Verb::Bury, &lease).await, Verdict::Stale);
    assert_eq!(node.settle_one(Verb::Ack, &lease).await, Verdict::Late);
    assert_eq!(node.settle_one(Verb::Ack, &lease).await, Verdict::Already);
    assert_eq!(node.state(&node.id(&lease)).await, State::Delivered);
    assert_eq!(ground.assert_sound(&node).await.stale, 1);
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Stale);

    // With another node: the second copy is stale then.
    let lease = reaped(&ground, &node).await;
    let second = node.take_one().await;
    assert_eq!(node.settle_one(Verb::Ack, &lease).await, Verdict::Late);
    assert_eq!(node.settle_one(Verb::Retry, &second).await, Verdict::Stale);
    ground.assert_sound(&node).await;

    // Waiting for its next attempt, parked; but not cancelled.
    for (verb, verdict) in
        [(Verb::Retry, Verdict::Late), (Verb::Park, Verdict::Late), (Verb::Bury, Verdict::Stale)]
    {
        let lease = reaped(&ground, &node).await;
        let second = node.take_one().await;
        node.end(verb, &second).await;
        assert_eq!(node.settle_one(Verb::Ack, &lease).await, verdict, "{verb:?}");
        ground.assert_sound(&node).await;
    }
    let lease = reaped(&ground, &node).await;
    node.store.messages.cancel(&node.id(&lease)).await.unwrap();
    assert_eq!(node.settle_one(Verb::Ack, &lease).await, Verdict::Stale);
    ground.assert_sound(&node).await;
}

async fn named_twice_a_message_is_settled_once(ground: Ground) {
    let node = ground.node("").await;
    for verb in VERBS {
        let id = node.send(message("m")).await;
        let lease = node.take_one().await;
        let twice = [lease.clone(), lease];
        let mut verdicts = node.settle(verb, &twice).await;
        // Which of the two came first is the verb's business.
        verdicts.sort_by_key(|verdict| *verdict != Verdict::Ok);
        assert_eq!(verdicts, [Verdict::Ok, Verdict::Already], "{verb:?}");
        ground.assert_sound(&node).await;
        node.store.messages.cancel(&id).await.unwrap();
        assert!(node.take(1).await.is_empty());
    }
}

async fn release_puts_back_at_the_head_in_order(ground: Ground) {
    let node = ground.node("priority_levels = 10").await;
    node.send_all(&["a", "b", "c", "d"]).await;
    node.send(message("first").priority(9)).await;
    let taken = node.take(4).await;
    assert_eq!(bodies(&taken), ["first", "a", "b", "c"]);
    let leases: Vec<_> = taken.iter().map(|claimed| claimed.lease.clone()).collect();

    assert_eq!(node.settle(Verb::Release, &leases).await, [Verdict::Ok; 4]);

    let again = node.take(9).await;
    assert_eq!(bodies(&again), ["first", "a", "b", "c", "d"]);
    assert!(again.iter().all(|claimed| claimed.attempt == 1), "no byte left, no attempt");
    assert!(again.iter().all(|claimed| claimed.lease.token != leases[0].token));
    ground.assert_sound(&node).await;
}

async fn defer_counts_and_gives_the_attempt_back(ground: Ground) {
    let node = ground.node("").await;
    node.send_all(&["a", "b"]).await;
    for round in 1..=3 {
        let taken = node.take(2).await;
        assert_eq!((taken[0].attempt, bodies(&taken)), (1, vec!["a".into(), "b".into()]));
        let leases: Vec<_> = taken.iter().map(|claimed| claimed.lease.clone()).collect();
        node.settle(Verb::Defer, &leases).await;
        let held = node.get(&node.id(&leases[0])).await;
        assert_eq!((held.state, held.attempts, held.window_holds), (State::Ready, 0, round));
        assert_eq!(held.throttles, 0);
        ground.assert_sound(&node).await;
    }
    // A hold is no first attempt: max_age has not begun.
    let taken = node.take(1).await;
    assert!(taken[0].first_attempt_ms + 1000 > ground.now_ms().await);
}

async fn retry_waits_and_remembers_its_attempts(ground: Ground) {
    let node = ground.node("").await;
    let id = node.send(message("m").expires(When::After(2 * HOUR_MS))).await;
    let first = node.take(1).await;
    let again = Settlement::Retry { delay_ms: 20 };
    let before_ms = ground.now_ms().await;
    node.settle_as(&[ended(&first[0].lease, "refused", again)]).await;

    let waits = node.get(&id).await;
    assert_eq!((waits.state, waits.attempts), (State::Scheduled, 1));
    assert!(waits.due_at_ms >= before_ms + 20);
    assert_eq!(waits.last_attempt.unwrap().outcome, "refused");
    assert!(node.take(1).await.is_empty());
    ground.assert_sound(&node).await;

    ground.passes(waits.due_at_ms).await;
    assert_eq!(node.promote().await, 1);
    let second = node.take(1).await;
    assert_eq!(second[0].attempt, 2);
    assert_eq!(second[0].first_attempt_ms, first[0].first_attempt_ms);
    // Without a delay it is ready at once.
    let again = Settlement::Retry { delay_ms: 0 };
    node.settle_as(&[ended(&second[0].lease, "again", again)]).await;
    let third = node.take_one().await;
    node.end(Verb::Bury, &third).await;

    let attempts = node.store.messages.attempts(&id).await.unwrap().unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|a| a.outcome.as_str()).collect();
    assert_eq!(outcomes, ["refused", "again", "bury"]);
    assert_eq!(node.get(&id).await.reason.as_deref(), Some("bury"));
    ground.assert_sound(&node).await;
}

async fn the_history_is_bounded(ground: Ground) {
    let node = ground.node("").await;
    let id = node.send(message("m")).await;
    for round in 1..=30 {
        let lease = node.take_one().await;
        let again = Settlement::Retry { delay_ms: 0 };
        node.settle_as(&[ended(&lease, &format!("round {round}"), again)]).await;
    }
    let attempts = node.store.messages.attempts(&id).await.unwrap().unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|a| a.outcome.clone()).collect();
    let expected: Vec<_> = (11..=30).map(|round| format!("round {round}")).collect();
    assert_eq!(outcomes, expected);
}

async fn five_suspects_in_a_row_shut_the_gate(ground: Ground) {
    let node = ground.node("").await;
    let bury = async |suspect| {
        node.send(message("m")).await;
        let bury = Settlement::Bury { word: "refused", reason: "403".to_owned(), suspect };
        node.settle_as(&[ended(&node.take_one().await, "403", bury)]).await;
    };
    for _ in 0..4 {
        bury(true).await;
    }
    bury(false).await;
    node.send(message("good")).await;
    let good = node.take_one().await;
    node.end(Verb::Ack, &good).await;
    for _ in 0..4 {
        bury(true).await;
        assert_eq!(node.counts().await.gate, None, "a success came in between");
    }
    bury(true).await;
    node.send(message("m")).await;

    let shut = node.claim(WISH).await;
    assert_eq!(shut.status, ClaimStatus::Held(Gate::Throttled));
    let (_, kind, why) = node.counts().await.gate.unwrap();
    assert_eq!((kind.as_str(), why.as_str()), ("alarm", "403"));
    assert!(node.store.queues.resume(&node.name).await.unwrap());
    assert_eq!(node.take(1).await.len(), 1);
    ground.assert_sound(&node).await;
}

async fn credentials_refused_shut_the_gate_at_once(ground: Ground) {
    let node = ground.node("").await;
    let id = node.send(message("m")).await;
    node.settle_as(&[ended(&node.take_one().await, "401", Settlement::Alarm)]).await;

    let shut = node.claim(WISH).await;
    assert_eq!(shut.status, ClaimStatus::Held(Gate::Throttled));
    assert!(shut.wait.unwrap() > std::time::Duration::from_millis(4000));
    let held = node.get(&id).await;
    assert_eq!((held.state, held.attempts, held.throttles), (State::Ready, 0, 0));
    ground.assert_sound(&node).await;
}

async fn renew_moves_a_deadline_only_later(ground: Ground) {
    let node = ground.node("").await;
    let hasty = ground.node_shaped("", |policy| policy.lease_ms = 1).await;
    let deadline = async |lease: &Lease| -> u64 {
        let mut score = redis::cmd("ZSCORE");
        ground.raw(score.arg(ground.key("leased")).arg(lease.ulid.to_string())).await
    };
    node.send(message("m")).await;
    let lease = hasty.take_one().await;
    let short_ms = deadline(&lease).await;
    node.end(Verb::Renew, &lease).await;
    let long_ms = deadline(&lease).await;
    assert!(long_ms > short_ms + 20_000);
    hasty.end(Verb::Renew, &lease).await;
    assert_eq!(deadline(&lease).await, long_ms);
    ground.passes(short_ms + 1).await;
    assert_eq!(node.store.messages.reap(&node.queue, node.shard()).await.unwrap().reaped, 0);
    ground.assert_sound(&node).await;
}

async fn the_body_goes_when_it_is_delivered(ground: Ground) {
    let node = ground.node("").await;
    let sent = message("secret").key("k");
    let (delivered, dead) = (node.send(sent.clone()).await, node.send(message("kept")).await);
    let (one, two) = (node.take_one().await, node.take_one().await);
    node.end(Verb::Ack, &one).await;
    node.end(Verb::Bury, &two).await;

    let found = node.get(&delivered).await;
    assert_eq!((found.payload, found.details), (None, sent.details));
    assert!(found.final_at_ms.is_some());
    assert_eq!(node.get(&dead).await.payload.as_deref(), Some("kept".as_bytes()));
}

async fn nothing_is_kept_without_retention(ground: Ground) {
    let node = ground
        .node_shaped("", |policy| {
            policy.retention.delivered_ms = 0;
            policy.retention.dead_ms = 0;
        })
        .await;
    node.send_all(&["a", "b", "c"]).await;
    let retried = node.take_one().await;
    let again = Settlement::Retry { delay_ms: 0 };
    node.settle_as(&[ended(&retried, "again", again)]).await;
    for verb in [Verb::Ack, Verb::Bury, Verb::Ack] {
        let lease = node.take_one().await;
        node.end(verb, &lease).await;
    }
    let cancelled = node.send(message("d")).await;
    node.store.messages.cancel(&cancelled).await.unwrap();
    assert_eq!(node.store.messages.get(&cancelled).await.unwrap(), None);
    let scan = ground.assert_sound(&node).await;
    assert_eq!((scan.by_state, scan.stale), ([0; 9], 1), "a stale entry of nothing");
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Stale);
    assert_eq!(ground.assert_sound(&node).await.stale, 0);
}
