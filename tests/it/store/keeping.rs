//! What time brings (reap, expire, prune) and what operators do (cancel, reschedule, requeue,
//! resolve, purge).

use std::time::Duration;

use bytes::Bytes;
use tidegate::domain::gates::Gate;
use tidegate::domain::message::When;
use tidegate::domain::outcome::OnUncertain;
use tidegate::domain::state::State;
use tidegate::store::{Changed, ClaimStatus, Decision, Edit, Part, Reaped, Verb, Verdict};

use super::ground::{Ground, on_each};
use super::node::{HOUR_MS, Node, WISH, With, bodies, message};

on_each!(
    a_lost_lease_comes_back_at_the_head,
    a_queue_that_parks_never_sends_again_by_itself,
    the_third_loss_alone_is_poison,
    what_is_past_its_time_expires_wherever_it_waits,
    finals_are_pruned_when_their_retention_is_over,
    nothing_is_kept_but_for_whom_waits,
    cancel_takes_what_waits_and_counts_stale_entries,
    reschedule_moves_a_scheduled_message,
    reschedule_keeps_the_place_of_a_ready_message,
    reschedule_refuses_what_cannot_be,
    a_payload_is_edited_where_nobody_sends_it,
    requeue_starts_over,
    requeue_all_takes_what_stood_there,
    an_uncertain_message_is_decided_once,
    purge_empties_a_state_up_to_its_own_time,
);

/// A node whose leases last a millisecond: its claims are lost at once.
async fn hasty(ground: &Ground) -> Node {
    ground.node_shaped("", |policy| policy.lease_ms = 1).await
}

async fn reap(ground: &Ground, node: &Node) -> Reaped {
    ground.passes(ground.now_ms().await + 1).await;
    node.store.messages.reap(&node.queue, node.shard()).await.unwrap()
}

async fn a_lost_lease_comes_back_at_the_head(ground: Ground) {
    let (node, hasty) = (ground.node("").await, hasty(&ground).await);
    node.send_all(&["a", "b", "c"]).await;
    let held = node.take_one().await;
    let lost = hasty.take(1).await;

    let found = reap(&ground, &node).await;

    assert_eq!((found.reaped, found.parked, found.poisoned), (1, 0, 0));
    assert!(found.next_in.unwrap() > Duration::from_secs(20), "the other lease");
    assert_eq!(node.settle_one(Verb::Retry, &lost[0].lease).await, Verdict::Stale);
    let again = node.take(5).await;
    assert_eq!(bodies(&again), ["b", "c"]);
    assert_eq!((again[0].attempt, again[0].rescues), (2, 1));
    assert_eq!((again[1].attempt, again[1].rescues), (1, 0));
    node.end(Verb::Ack, &held).await;
    ground.assert_sound(&node).await;
}

async fn a_queue_that_parks_never_sends_again_by_itself(ground: Ground) {
    let node = ground.node("on_uncertain = \"park\"").await;
    let hasty = ground
        .node_shaped("on_uncertain = \"park\"", |policy| {
            assert_eq!(policy.on_uncertain, OnUncertain::Park);
            policy.lease_ms = 1;
        })
        .await;
    let id = node.send(message("m").expires(When::After(HOUR_MS))).await;
    hasty.take_one().await;

    assert_eq!(reap(&ground, &node).await.parked, 1);

    let parked = node.get(&id).await;
    assert_eq!((parked.state, parked.attempts, parked.rescues), (State::Uncertain, 1, 1));
    assert!(parked.reason.unwrap().contains("lost"));
    assert!(node.take(1).await.is_empty());
    ground.assert_sound(&node).await;
}

async fn the_third_loss_alone_is_poison(ground: Ground) {
    let (node, hasty) = (ground.node("").await, hasty(&ground).await);
    let suspect = node.send(message("suspect")).await;
    node.send_all(&["b", "c"]).await;
    for _ in 0..2 {
        assert_eq!(bodies(&hasty.take(1).await), ["suspect"]);
        assert_eq!(reap(&ground, &node).await.reaped, 1);
    }
    // While anything is in flight it waits, and what stands behind it too.
    let other = {
        node.store.messages.reschedule(&suspect, &due_in(HOUR_MS)).await.unwrap();
        let lease = node.take_one().await;
        node.store.messages.reschedule(&suspect, &due_in(0)).await.unwrap();
        lease
    };
    assert_eq!(bodies(&node.take(1).await), ["c"]);
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Held(Gate::Concurrency));
    node.end(Verb::Ack, &other).await;
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Held(Gate::Concurrency));
    let leased: Vec<String> =
        ground.raw(redis::cmd("ZRANGE").arg(ground.key("leased")).arg(0).arg(-1)).await;
    assert_eq!(leased.len(), 1);
    node.send(message("d")).await;
    ground.raw::<()>(redis::cmd("ZADD").arg(ground.key("leased")).arg(1).arg(&leased[0])).await;
    assert_eq!(reap(&ground, &node).await.reaped, 1);
    // "c" is at the head again, and goes; then the suspect, alone.
    let c = node.take(1).await;
    assert_eq!(bodies(&c), ["c"]);
    node.end(Verb::Ack, &c[0].lease).await;
    assert_eq!(bodies(&hasty.take(9).await), ["suspect"]);
    assert_eq!(
        node.claim(WISH).await.status,
        ClaimStatus::Held(Gate::Concurrency),
        "nothing starts beside it"
    );

    let found = reap(&ground, &node).await;

    assert_eq!((found.reaped, found.poisoned), (0, 1));
    let dead = node.get(&suspect).await;
    assert_eq!((dead.state, dead.rescues), (State::Dead, 3));
    assert!(dead.reason.unwrap().contains("poison"));
    assert_eq!(bodies(&node.take(9).await), ["d"]);
    ground.assert_sound(&node).await;
}

fn due_in(ms: u64) -> Edit {
    Edit { due: Some(When::After(ms)), ..Edit::default() }
}

async fn what_is_past_its_time_expires_wherever_it_waits(ground: Ground) {
    let node = ground.node("concurrency = 9").await;
    let brief = || message("m").expires(When::After(100));
    let leased = node.send(brief()).await;
    let lease = node.take_one().await;
    let ready = node.send(brief()).await;
    let scheduled = node.send(brief().due(When::After(HOUR_MS))).await;
    let later = node.send(message("m").expires(When::After(HOUR_MS))).await;
    ground.passes(node.get(&scheduled).await.expires_at_ms.unwrap()).await;

    let swept = node.store.messages.expire(&node.queue, node.shard()).await.unwrap();

    assert_eq!(swept.moved, 2);
    assert!(swept.next_in.unwrap() > Duration::from_secs(3000));
    for (id, state) in [
        (&leased, State::Leased),
        (&ready, State::Expired),
        (&scheduled, State::Expired),
        (&later, State::Ready),
    ] {
        assert_eq!(node.state(id).await, state);
    }
    assert_eq!(ground.assert_sound(&node).await.stale, 1);
    // Back from its attempt, its time is over too.
    node.end(Verb::Retry, &lease).await;
    ground.assert_sound(&node).await;
    assert_eq!(node.store.messages.expire(&node.queue, node.shard()).await.unwrap().moved, 1);
    assert_eq!(node.state(&leased).await, State::Expired);
    ground.assert_sound(&node).await;
}

async fn finals_are_pruned_when_their_retention_is_over(ground: Ground) {
    let node = ground.node_shaped("", |policy| policy.retention.delivered_ms = 1).await;
    let living = [node.store.nodes.own_id().as_str().to_owned()];
    let ids = node.send_all(&["delivered", "dead", "cancelled"]).await;
    let (one, two) = (node.take_one().await, node.take_one().await);
    node.end(Verb::Ack, &one).await;
    node.end(Verb::Bury, &two).await;
    node.store.messages.cancel(&ids[2]).await.unwrap();
    ground.passes(ground.now_ms().await + 2).await;

    assert_eq!(
        node.store.messages.prune(&node.queue, node.shard(), &living).await.unwrap().messages,
        2
    );

    assert_eq!(node.store.messages.get(&ids[0]).await.unwrap(), None);
    assert_eq!(node.state(&ids[1]).await, State::Dead);
    assert_eq!(node.store.messages.get(&ids[2]).await.unwrap(), None);
    ground.assert_sound(&node).await;
    let claims = async || -> u64 { ground.raw(redis::cmd("HLEN").arg(ground.key("claims"))).await };
    assert_eq!(claims().await, 2, "its last claim and its last intake");
    node.store.messages.prune(&node.queue, node.shard(), &[]).await.unwrap();
    assert_eq!(claims().await, 0, "the last claim of a node that is gone");
}

async fn nothing_is_kept_but_for_whom_waits(ground: Ground) {
    let node = ground.node_shaped("", |policy| policy.retention.delivered_ms = 0).await;
    let ids = node.send_all(&["a", "b", "waited for", "cancelled"]).await;
    let taken = node.take(3).await;
    node.store.messages.cancel(&ids[3]).await.unwrap();
    node.end(Verb::Ack, &taken[0].lease).await;
    let waited = node
        .store
        .messages
        .get_final(&ids[2], Duration::from_millis(1), Part::Whole)
        .await
        .unwrap();
    assert_eq!(waited.unwrap().state, State::Leased);

    node.end(Verb::Ack, &taken[1].lease).await;
    node.end(Verb::Ack, &taken[2].lease).await;

    for gone in [&ids[0], &ids[1], &ids[3]] {
        assert_eq!(node.store.messages.get(gone).await.unwrap(), None);
    }
    let kept = node.get(&ids[2]).await;
    assert_eq!(
        (kept.state, kept.last_attempt.unwrap().outcome.as_str()),
        (State::Delivered, "ack")
    );
    assert_eq!(node.settle_one(Verb::Ack, &taken[0].lease).await, Verdict::Gone);
    ground.assert_sound(&node).await;
}

async fn cancel_takes_what_waits_and_counts_stale_entries(ground: Ground) {
    let node = ground.node("concurrency = 9").await;
    let leased = node.send(message("leased")).await;
    let lease = node.take_one().await;
    let ready = node.send(message("ready").expires(When::After(HOUR_MS))).await;
    let scheduled = node.send(message("scheduled").due(When::After(HOUR_MS))).await;
    let uncertain = node.send(message("uncertain").due(When::At(0))).await;
    node.store.messages.reschedule(&ready, &due_in(HOUR_MS)).await.unwrap();
    let parked = node.take_one().await;
    node.end(Verb::Park, &parked).await;
    node.store.messages.reschedule(&ready, &due_in(0)).await.unwrap();

    for id in [&ready, &scheduled, &uncertain] {
        assert_eq!(node.store.messages.cancel(id).await.unwrap(), Changed::Done);
        assert_eq!(node.store.messages.cancel(id).await.unwrap(), Changed::Already);
        assert_eq!(node.state(id).await, State::Cancelled);
        ground.assert_sound(&node).await;
    }
    let refused = Changed::WrongState(State::Leased);
    assert_eq!(node.store.messages.cancel(&leased).await.unwrap(), refused);
    node.end(Verb::Ack, &lease).await;
    let refused = Changed::WrongState(State::Delivered);
    assert_eq!(node.store.messages.cancel(&leased).await.unwrap(), refused);
    let nobody = node.id(&tidegate::store::Lease { ulid: ulid::Ulid::from_parts(1, 1), ..lease });
    assert_eq!(node.store.messages.cancel(&nobody).await.unwrap(), Changed::NotFound);
    // The claim above has skipped the first entry of "ready"; the one of its return is left.
    assert_eq!(ground.assert_sound(&node).await.stale, 1);
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Stale);
    assert_eq!(ground.assert_sound(&node).await.stale, 0);
}

async fn reschedule_moves_a_scheduled_message(ground: Ground) {
    let node = ground.node("priority_levels = 10").await;
    let id = node.send(message("m").due(When::After(HOUR_MS))).await;
    let edit = Edit {
        due: Some(When::After(2 * HOUR_MS)),
        priority: Some(7),
        expires: Some(Some(When::After(3 * HOUR_MS))),
        payload: Some(Bytes::from_static(b"changed")),
    };

    assert_eq!(node.store.messages.reschedule(&id, &edit).await.unwrap(), Changed::Done);

    let found = node.get(&id).await;
    assert_eq!((found.state, found.priority), (State::Scheduled, 7));
    assert_eq!(found.expires_at_ms, Some(found.due_at_ms + HOUR_MS));
    assert_eq!(found.payload.as_deref(), Some("changed".as_bytes()));
    ground.assert_sound(&node).await;

    let never = Edit { expires: Some(None), ..due_in(0) };
    assert_eq!(node.store.messages.reschedule(&id, &never).await.unwrap(), Changed::Done);
    node.send(message("lower").priority(6)).await;
    node.send(message("higher").priority(8)).await;
    let taken = node.take(9).await;
    assert_eq!(bodies(&taken), ["higher", "changed", "lower"]);
    assert_eq!(taken[1].expires_ms, None);
    ground.assert_sound(&node).await;
}

async fn reschedule_keeps_the_place_of_a_ready_message(ground: Ground) {
    let node = ground.node("priority_levels = 2").await;
    let ids = node.send_all(&["a", "b", "c", "d"]).await;
    let edit = |priority, expires| Edit { priority, expires: Some(expires), ..due_in(0) };
    // Due now, another expiry, another priority of the same band: its place is as good as before.
    let expires = When::After(HOUR_MS);
    assert_eq!(
        node.store.messages.reschedule(&ids[1], &edit(Some(4), Some(expires))).await.unwrap(),
        Changed::Done
    );
    assert_eq!(ground.assert_sound(&node).await.stale, 0);
    assert_eq!(node.get(&ids[1]).await.priority, 4);
    assert!(node.get(&ids[1]).await.expires_at_ms.is_some());
    // Another band: it goes there, and leaves a stale entry.
    node.store.messages.reschedule(&ids[2], &edit(Some(5), None)).await.unwrap();
    assert_eq!(ground.assert_sound(&node).await.stale, 1);
    // Later: it waits.
    node.store.messages.reschedule(&ids[3], &due_in(HOUR_MS)).await.unwrap();
    assert_eq!(node.state(&ids[3]).await, State::Scheduled);
    assert_eq!(ground.assert_sound(&node).await.stale, 2);

    assert_eq!(bodies(&node.take(9).await), ["c", "a", "b"]);
    ground.assert_sound(&node).await;
}

async fn reschedule_refuses_what_cannot_be(ground: Ground) {
    let node = ground.node("").await;
    let id =
        node.send(message("m").due(When::After(HOUR_MS)).expires(When::After(2 * HOUR_MS))).await;
    let before = node.get(&id).await;
    for edit in [
        due_in(2 * HOUR_MS + 1000),
        Edit { expires: Some(Some(When::After(1))), ..Edit::default() },
        Edit { expires: Some(Some(When::After(5))), ..due_in(5) },
    ] {
        let changed = node.store.messages.reschedule(&id, &edit).await.unwrap();
        assert_eq!(changed, Changed::ExpiresBeforeDue, "{edit:?}");
    }
    assert_eq!(node.get(&id).await, before);

    // A retry may be due after the message expires; its payload may be changed all the same.
    node.store
        .messages
        .reschedule(&id, &Edit { expires: Some(Some(When::After(HOUR_MS / 2))), ..due_in(0) })
        .await
        .unwrap();
    let lease = node.take_one().await;
    let refused = Changed::WrongState(State::Leased);
    assert_eq!(node.store.messages.reschedule(&id, &due_in(0)).await.unwrap(), refused);
    node.end(Verb::Retry, &lease).await;
    let edit =
        Edit { payload: Some(Bytes::from_static(b"p")), priority: Some(3), ..Edit::default() };
    assert_eq!(node.store.messages.reschedule(&id, &edit).await.unwrap(), Changed::Done);
    ground.assert_sound(&node).await;
}

async fn a_payload_is_edited_where_nobody_sends_it(ground: Ground) {
    let node = ground.node("concurrency = 9").await;
    let edit = Edit { payload: Some(Bytes::from_static(b"better")), ..Edit::default() };
    let id = node.send(message("bad").key("k")).await;
    let refused = Changed::WrongState(State::Ready);
    assert_eq!(node.store.messages.reschedule(&id, &edit).await.unwrap(), refused);
    let lease = node.take_one().await;
    let refused = Changed::WrongState(State::Leased);
    assert_eq!(node.store.messages.reschedule(&id, &edit).await.unwrap(), refused);
    node.end(Verb::Bury, &lease).await;

    assert_eq!(node.store.messages.reschedule(&id, &edit).await.unwrap(), Changed::Done);

    let dead = node.get(&id).await;
    assert_eq!((dead.state, dead.payload.as_deref()), (State::Dead, Some("better".as_bytes())));
    assert_eq!(dead.details.idempotency_key.as_deref(), Some("k"));
    assert_eq!(
        node.store
            .messages
            .reschedule(&id, &Edit { priority: Some(1), ..edit.clone() })
            .await
            .unwrap(),
        Changed::WrongState(State::Dead)
    );
    node.store.messages.requeue(&id).await.unwrap();
    let again = node.take(1).await;
    assert_eq!(bodies(&again), ["better"]);
    node.end(Verb::Park, &again[0].lease).await;
    assert_eq!(node.store.messages.reschedule(&id, &edit).await.unwrap(), Changed::Done);
    ground.assert_sound(&node).await;
}

async fn requeue_starts_over(ground: Ground) {
    let node = ground.node("concurrency = 9").await;
    let id = node.send(message("m").expires(When::After(400))).await;
    let lease = node.take_one().await;
    node.end(Verb::Bury, &lease).await;
    let expires_ms = node.get(&id).await.expires_at_ms.unwrap();
    ground.passes(expires_ms).await;

    assert_eq!(node.store.messages.requeue(&id).await.unwrap(), Changed::Done);

    let found = node.get(&id).await;
    assert_eq!((found.state, found.attempts, found.final_at_ms), (State::Ready, 0, None));
    assert_eq!(found.expires_at_ms, None, "a past expiry is cleared");
    assert_eq!(node.settle_one(Verb::Ack, &lease).await, Verdict::Stale);
    let refused = Changed::WrongState(State::Ready);
    assert_eq!(node.store.messages.requeue(&id).await.unwrap(), refused);
    let lease = node.take_one().await;
    node.end(Verb::Park, &lease).await;
    assert_eq!(node.store.messages.requeue(&id).await.unwrap(), Changed::Done);
    node.store.messages.cancel(&id).await.unwrap();
    assert_eq!(node.store.messages.requeue(&id).await.unwrap(), Changed::Done);
    let taken = node.take(9).await;
    assert_eq!((taken.len(), taken[0].attempt), (1, 1));
    node.end(Verb::Ack, &taken[0].lease).await;
    let refused = Changed::WrongState(State::Delivered);
    assert_eq!(node.store.messages.requeue(&id).await.unwrap(), refused);
    ground.assert_sound(&node).await;
}

/// Sends and buries this many messages.
async fn bury_many(node: &Node, count: usize) {
    node.store.messages.schedule(&node.name, vec![message("m"); count]).await.unwrap();
    loop {
        let leases: Vec<_> = node.take(250).await.into_iter().map(|c| c.lease).collect();
        if leases.is_empty() {
            return;
        }
        node.settle(Verb::Bury, &leases).await;
    }
}

async fn requeue_all_takes_what_stood_there(ground: Ground) {
    let node = ground.node("concurrency = 1000").await;
    bury_many(&node, 600).await;
    ground.passes(ground.now_ms().await).await;
    let dies_again = async {
        // A downstream that refuses at once, until everything has died twice.
        let mut buried = 0;
        while buried < 600 {
            let leases: Vec<_> = node.take(250).await.into_iter().map(|c| c.lease).collect();
            if !leases.is_empty() {
                node.settle(Verb::Bury, &leases).await;
            }
            buried += leases.len();
        }
    };

    let all = node.store.messages.requeue_all(&node.name, State::Dead, 10_000);
    let (requeued, ()) = tokio::join!(all, dies_again);

    assert_eq!(requeued.unwrap(), (600, false));
    assert_eq!(ground.assert_sound(&node).await.by_state[6], 600);
    let (some, more) = node.store.messages.requeue_all(&node.name, State::Dead, 100).await.unwrap();
    assert_eq!((some, more), (100, true));
    assert_eq!(node.counts().await.of(State::Ready), 100);
}

async fn an_uncertain_message_is_decided_once(ground: Ground) {
    let node = ground.node("").await;
    for (decision, state) in [
        (Decision::Delivered, State::Delivered),
        (Decision::Resend, State::Ready),
        (Decision::Dead, State::Dead),
    ] {
        let id = node.send(message("m").expires(When::After(HOUR_MS))).await;
        let lease = node.take_one().await;
        let refused = Changed::WrongState(State::Leased);
        assert_eq!(node.store.messages.resolve(&id, decision, None).await.unwrap(), refused);
        node.end(Verb::Park, &lease).await;

        assert_eq!(
            node.store.messages.resolve(&id, decision, Some("asked")).await.unwrap(),
            Changed::Done
        );

        let found = node.get(&id).await;
        assert_eq!((found.state, found.reason.as_deref()), (state, Some("asked")));
        assert_eq!(found.last_attempt.unwrap().outcome, "park");
        assert_eq!(found.attempts, 1, "the attempt may have been one");
        let refused = Changed::WrongState(state);
        assert_eq!(node.store.messages.resolve(&id, decision, None).await.unwrap(), refused);
        ground.assert_sound(&node).await;
        node.store.messages.cancel(&id).await.unwrap();
        assert!(node.take(1).await.is_empty());
    }
}

async fn purge_empties_a_state_up_to_its_own_time(ground: Ground) {
    let node = ground.node("concurrency = 1000\npriority_levels = 10").await;
    bury_many(&node, 300).await;
    // Stale entries at the head, as many as one step looks at.
    let early = node
        .store
        .messages
        .schedule(&node.name, vec![message("m").priority(9); 260])
        .await
        .unwrap();
    for sent in &early {
        node.store.messages.cancel(&sent.as_ref().unwrap().id).await.unwrap();
    }
    let messages = (0..10).cycle().take(600).map(|n| message("m").priority(n)).collect();
    node.store.messages.schedule(&node.name, messages).await.unwrap();
    node.store
        .messages
        .schedule(&node.name, vec![message("m").due(When::After(HOUR_MS)); 300])
        .await
        .unwrap();
    let by_state = ground.assert_sound(&node).await.by_state;
    assert_eq!(by_state, [300, 600, 0, 0, 0, 0, 300, 0, 260]);

    for (state, count) in [(State::Scheduled, 300), (State::Ready, 600), (State::Dead, 300)] {
        assert_eq!(
            node.store.messages.purge(&node.name, state, u64::MAX).await.unwrap(),
            (count, false)
        );
        ground.assert_sound(&node).await;
    }
    assert_eq!(node.counts().await.of(State::Cancelled), 1160);
    let (purged, remaining) =
        node.store.messages.purge(&node.name, State::Cancelled, 500).await.unwrap();
    assert_eq!((purged, remaining), (500, true));
    ground.assert_sound(&node).await;

    // A longer retention than today's keeps nothing back.
    let brief = ground.node_shaped("", |policy| policy.retention.delivered_ms = 1).await;
    assert_eq!(
        brief.store.messages.purge(&node.name, State::Cancelled, u64::MAX).await.unwrap().0,
        660
    );
    assert_eq!(ground.assert_sound(&node).await, super::scan::Scan::default());
}
