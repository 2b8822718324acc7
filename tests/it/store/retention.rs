//! What is kept of finished messages: limits of number and bytes, what they weigh, and a week of traffic.
//!
//! That the sums of weights are what a full scan finds is the scan's business, after every step (see `scan`);
//! `model` weighs between random steps.

use std::sync::Arc;

use bytes::Bytes;
use redis::cmd;
use tidegate::domain::id::MessageId;
use tidegate::domain::index_fault::Fault;
use tidegate::domain::message::When;
use tidegate::domain::retention::KeepLimits;
use tidegate::domain::state::State;
use tidegate::store::{Audit, Edit, Pruned, Verb};

use super::ground::{Ground, on_each};
use super::node::{Node, With, message};

on_each!(
    beyond_its_number_the_oldest_go,
    beyond_its_bytes_the_oldest_go,
    what_was_there_before_is_weighed_as_well,
    each_shard_keeps_its_share,
    doctor_has_all_weighed_anew,
    a_week_of_traffic_stays_flat,
);

const MANY: KeepLimits = KeepLimits { messages_max: None, bytes_max: Some(1 << 30) };

/// Prunes until nothing is left to do; the sum.
async fn prune(node: &Node) -> Pruned {
    let living = [node.store.nodes.own_id().as_str().to_owned()];
    let mut all = Pruned::default();
    for shard in &node.queue.shards {
        loop {
            let pruned = node
                .store
                .messages
                .prune(&node.queue, shard, &living)
                .await
                .expect("Redis is there");
            all.messages += pruned.messages;
            all.dead_early += pruned.dead_early;
            if !pruned.more {
                break;
            }
        }
    }
    all
}

/// So many messages of this payload that end by this verb, one after the other.
async fn finish(
    ground: &Ground,
    node: &Node,
    verb: Verb,
    count: usize,
    payload: &str,
) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = node.send(message(payload)).await;
        if verb == Verb::Cancel {
            node.store.messages.cancel(&id).await.expect("Redis is there");
        } else {
            node.end(verb, &node.take_one().await).await;
        }
        ids.push(id);
        // The next one is final later, by the clock that orders them.
        ground.passes(ground.now_ms().await).await;
    }
    ids
}

async fn kept(node: &Node, ids: &[MessageId]) -> Vec<bool> {
    let mut kept = Vec::new();
    for id in ids {
        kept.push(node.store.messages.get(id).await.expect("Redis is there").is_some());
    }
    kept
}

/// The second half of them is there and the first is gone.
async fn assert_newest_kept(node: &Node, ids: &[MessageId], count: usize) {
    let expected: Vec<bool> = (0..ids.len()).map(|at| at >= ids.len() - count).collect();
    assert_eq!(kept(node, ids).await, expected);
}

async fn beyond_its_number_the_oldest_go(ground: Ground) {
    let most = |messages| KeepLimits { messages_max: Some(messages), bytes_max: None };
    let node = ground.node_shaped("", |policy| {
        (policy.retention.delivered, policy.retention.dead) = (most(5), most(3));
    });
    let node = node.await;
    let mut ended = Vec::new();
    for verb in [Verb::Ack, Verb::Cancel, Verb::Ack, Verb::Cancel] {
        ended.extend(finish(&ground, &node, verb, 3, "m").await);
    }
    let dead = finish(&ground, &node, Verb::Bury, 7, "m").await;

    let pruned = prune(&node).await;

    assert_eq!((pruned.messages, pruned.dead_early), (7 + 4, 4));
    assert_newest_kept(&node, &ended, 5).await;
    assert_newest_kept(&node, &dead, 3).await;
    ground.assert_sound(&node).await;
    assert_eq!(prune(&node).await, Pruned::default());
    let metrics = node.store.metrics().render();
    for (state, count) in [("delivered", 4), ("cancelled", 3), ("expired", 0), ("dead", 4)] {
        let line = format!("state=\"{state}\",reason=\"messages\"}} {count}\n");
        assert_eq!(metrics.contains(&line), count > 0, "{line} in {metrics}");
    }
}

async fn beyond_its_bytes_the_oldest_go(ground: Ground) {
    let node = ground.node_shaped("", |policy| {
        let limit = KeepLimits { messages_max: None, bytes_max: Some(10_000) };
        (policy.retention.delivered, policy.retention.dead) = (limit, limit);
    });
    let node = node.await;
    prune(&node).await;
    // A delivered one gives its body back, a dead one keeps it.
    let delivered = finish(&ground, &node, Verb::Ack, 10, &"x".repeat(2000)).await;
    let dead = finish(&ground, &node, Verb::Bury, 10, &"x".repeat(2000)).await;
    ground.assert_sound(&node).await;

    let pruned = prune(&node).await;

    assert_eq!((pruned.messages, pruned.dead_early), (6, 6), "a dead one weighs 2.3 kB");
    assert_newest_kept(&node, &delivered, 10).await;
    assert_newest_kept(&node, &dead, 4).await;
    let bytes = node.counts().await.kept_bytes.expect("they are weighed");
    assert!(bytes[0] > 1000 && bytes[1] > 8000 && bytes[1] <= 10_000, "{bytes:?}");
    ground.assert_sound(&node).await;
    // What an operator does to dead letters is weighed as well.
    let better = Edit { payload: Some(Bytes::from_static(b"short")), ..Edit::default() };
    node.store.messages.reschedule(&dead[9], &better).await.unwrap();
    ground.assert_sound(&node).await;
    node.store.messages.requeue(&dead[9]).await.unwrap();
    ground.assert_sound(&node).await;
    node.end(Verb::Retry, &node.take_one().await).await;
    node.store.messages.cancel(&dead[9]).await.unwrap();
    ground.assert_sound(&node).await;
    node.store.messages.purge(&node.name, State::Dead, u64::MAX).await.unwrap();
    ground.assert_sound(&node).await;
    assert_eq!(node.counts().await.kept_bytes.expect("they are weighed")[1], 0);
}

async fn what_was_there_before_is_weighed_as_well(ground: Ground) {
    let node = ground.node("concurrency = 1000").await;
    let dead = finish(&ground, &node, Verb::Bury, 4, &"x".repeat(1000)).await;
    for _ in 0..3 {
        node.store.messages.schedule(&node.name, vec![message("m"); 200]).await.unwrap();
        let leases: Vec<_> = node.take(200).await.into_iter().map(|c| c.lease).collect();
        node.settle(Verb::Ack, &leases).await;
    }
    let weighed = ground.node_shaped("", |policy| {
        policy.retention.delivered = MANY;
        policy.retention.dead = KeepLimits { messages_max: None, bytes_max: Some(3000) };
    });
    let weighed = weighed.await;

    // A page a call, with new ones in between.
    let living = [];
    let mut calls = 0;
    while weighed.store.messages.prune(&weighed.queue, weighed.shard(), &living).await.unwrap().more
    {
        finish(&ground, &node, Verb::Ack, 1, "new").await;
        ground.assert_sound(&node).await;
        calls += 1;
    }

    assert!(calls > 4, "it took {calls} calls");
    assert_newest_kept(&node, &dead, 2).await;
    ground.assert_sound(&node).await;
    assert!(node.counts().await.kept_bytes.expect("they are weighed")[0] > 600 * 150);
    // Without limits nobody weighs, and nothing is left of it; with them all begins anew.
    prune(&node).await;
    assert_eq!(node.counts().await.kept_bytes, None);
    finish(&ground, &node, Verb::Ack, 3, "unweighed").await;
    ground.assert_sound(&node).await;
    prune(&weighed).await;
    ground.assert_sound(&node).await;
}

async fn each_shard_keeps_its_share(ground: Ground) {
    let node = ground.node_shaped("shards = 4\nconcurrency = 1000", |policy| {
        policy.retention.dead = KeepLimits { messages_max: Some(10), bytes_max: None };
    });
    let node = node.await;
    node.store.messages.schedule(&node.name, vec![message("m"); 80]).await.unwrap();
    loop {
        let mut leases: Vec<_> = node.take(80).await.into_iter().map(|c| c.lease).collect();
        leases.sort_by_key(|lease| lease.shard);
        if leases.is_empty() {
            break;
        }
        for of_shard in leases.chunk_by(|a, b| a.shard == b.shard) {
            node.settle(Verb::Bury, of_shard).await;
        }
    }
    let mut expected = 0;
    for shard in 0..4 {
        let there: u64 = ground.raw(cmd("ZCARD").arg(ground.key_of(shard, "dead"))).await;
        expected += there.min(2);
    }

    prune(&node).await;

    assert_eq!(node.counts().await.of(State::Dead), expected);
    ground.assert_sound(&node).await;
}

async fn doctor_has_all_weighed_anew(ground: Ground) {
    let node = ground.node_shaped("", |policy| policy.retention.dead = MANY).await;
    prune(&node).await;
    finish(&ground, &node, Verb::Bury, 4, "dead").await;
    finish(&ground, &node, Verb::Ack, 3, "delivered").await;
    let audit = async |mends| {
        let mut audit = Audit::new(Arc::clone(&node.queue), Arc::clone(node.shard()), mends);
        let mut found = Vec::new();
        while !audit.is_done() {
            found.extend(node.store.audits.step(&mut audit).await.expect("Redis is there"));
        }
        found
    };
    assert_eq!(audit(true).await, []);
    let before = node.counts().await.kept_bytes;
    for field in ["weight_dead", "weight_delivered"] {
        let mut spoil = cmd("HINCRBY");
        ground.raw::<i64>(spoil.arg(ground.key("meta")).arg(field).arg(77)).await;

        let found = audit(false).await;

        assert_eq!((found.len(), found[0].fault, found[0].mended), (1, Fault::Weight, false));
        assert_eq!(audit(true).await.len(), 1);
        prune(&node).await;
        assert_eq!(node.counts().await.kept_bytes, before);
        assert_eq!(audit(true).await, []);
        ground.assert_sound(&node).await;
    }
}

const DAY_MS: u64 = 300;
/// Server memory beside the messages: buffers, and the tables that Redis resizes when it likes.
const SLACK_BYTES: u64 = 600 << 10;

/// Delivered ones stay for a day, dead ones for two; a day is 300 ms. Keys to tell repeats stay one to two.
async fn a_week_of_traffic_stays_flat(ground: Ground) {
    let node = ground.node_shaped("concurrency = 1000", |policy| {
        policy.idempotency_window_ms = DAY_MS;
        policy.retention.delivered_ms = DAY_MS;
        policy.retention.dead_ms = 2 * DAY_MS;
        policy.retention.dead.messages_max = Some(150);
    });
    let node = node.await;
    let used = async || -> u64 {
        if ground.is_shared() {
            return 0;
        }
        let info: String = ground.raw(cmd("INFO").arg("memory")).await;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|bytes| bytes.trim().parse().ok()).expect("INFO says it")
    };
    let entries = async || {
        let mut entries = 0;
        for name in ["records", "states", "history", "idem:new", "idem:old", "claims"] {
            entries += ground.raw::<u64>(cmd("HLEN").arg(ground.key(name))).await;
        }
        for name in ["delivered", "dead", "expired", "cancelled", "expiry", "waited", "looks"] {
            entries += ground.raw::<u64>(cmd("ZCARD").arg(ground.key(name))).await;
        }
        entries
    };
    let mut evenings = Vec::new();
    for day in 0..7 {
        let brief = message("brief").expires(When::After(1)).due(When::After(0));
        let mut sent = vec![brief; 40];
        sent.extend((0..400).map(|n| message("m").key(&format!("{day}.{n}"))));
        node.store.messages.schedule(&node.name, sent).await.unwrap();
        let expire =
            async || node.store.messages.expire(&node.queue, node.shard()).await.unwrap().moved;
        ground.passes(ground.now_ms().await + 1).await;
        assert_eq!(expire().await, 40);
        let leases: Vec<_> = node.take(400).await.into_iter().map(|c| c.lease).collect();
        let (refused, accepted) = leases.split_at(leases.len() / 3);
        node.settle(Verb::Bury, refused).await;
        node.settle(Verb::Ack, accepted).await;
        let ready = node.store.messages.purge(&node.name, State::Ready, u64::MAX).await.unwrap();
        assert_eq!(leases.len() as u64 + ready.0, 400);
        ground.passes(ground.now_ms().await + DAY_MS).await;
        prune(&node).await;
        ground.assert_sound(&node).await;
        evenings.push((
            node.counts().await.by_state.iter().sum::<u64>(),
            entries().await,
            used().await,
        ));
    }
    let (messages, entries, memory) = evenings[2];
    for evening in &evenings[3..] {
        assert!(evening.0 <= 150 && evening.0 <= messages + 150, "{evenings:?}");
        assert!(evening.1 <= entries + entries / 2, "{evenings:?}");
        assert!(evening.2 <= memory + SLACK_BYTES, "{evenings:?}");
    }
}
