//! Claim: bounds, gates, and what it skips.

use std::time::Duration;

use tidegate::domain::gates::Gate;
use tidegate::domain::limit::{GrantedSlots, Limit, SlotWish};
use tidegate::domain::message::When;
use tidegate::domain::settlement::Settlement;
use tidegate::domain::state::State;
use tidegate::store::{ClaimStatus, ClaimWish, Claimed, Lease, Verb};

use super::ground::{Ground, on_each};
use super::node::{HOUR_MS, Node, WISH, With, bodies, ended, message};

on_each!(
    a_claim_takes_no_more_than_its_bytes_but_at_least_one,
    concurrency_counts_what_is_in_flight,
    slots_of_a_steady_limit_are_those_of_the_model,
    slots_of_a_limit_with_a_burst_are_those_of_the_model,
    slots_of_a_fast_limit_are_those_of_the_model,
    no_slot_is_granted_after_the_window,
    a_permit_is_taken_only_with_a_message,
    a_batch_gathers_until_it_is_full_or_old,
    batches_in_flight_count_as_one_call_each,
    a_pause_holds_everything_and_its_time_is_kept,
    throttles_shut_the_gate_longer_each_time,
    what_expired_is_not_claimed,
    stale_entries_are_skipped_and_uncounted,
    two_nodes_never_claim_the_same_message,
);

async fn a_claim_takes_no_more_than_its_bytes_but_at_least_one(ground: Ground) {
    let node = ground.node("concurrency = 100").await;
    let body = "x".repeat(200 << 10);
    node.send_all(&[body.as_str(); 6]).await;
    node.send(message(&"y".repeat(2 << 20)).priority(9)).await;

    // 1 MiB a claim; five bodies of 200 KiB fit.
    assert_eq!(node.take(100).await.len(), 5);
    assert_eq!(node.take(100).await.len(), 1);
    assert_eq!(node.take(100).await[0].payload.len(), 2 << 20);
    assert!(node.take(100).await.is_empty());
    ground.assert_sound(&node).await;
}

async fn concurrency_counts_what_is_in_flight(ground: Ground) {
    let node = ground.node("concurrency = 3").await;
    let other = ground.node("concurrency = 3").await;
    node.send_all(&["a", "b", "c", "d"]).await;

    let taken = node.take(2).await;
    assert_eq!(bodies(&other.take(10).await), ["c"]);
    let full = node.claim(WISH).await;
    assert_eq!((full.status, full.ready_left), (ClaimStatus::Held(Gate::Concurrency), 1));

    node.end(Verb::Ack, &taken[0].lease).await;
    assert_eq!(bodies(&other.take(10).await), ["d"]);
    assert_eq!(other.claim(WISH).await.status, ClaimStatus::Empty);
    ground.assert_sound(&node).await;
}

/// How much later a horizon may begin, on a machine where replies come late.
const LEAD_US_MAX: f64 = 1e6;

/// The arrival time of the limit, as Redis keeps it.
async fn arrival_us(ground: &Ground) -> f64 {
    ground.meta("tat_us").await.map_or(0.0, |text| text.parse().unwrap())
}

/// The slots of a node's last claim, as the shard remembers them.
async fn slots_us(ground: &Ground, node: &Node) -> Vec<f64> {
    let mut get = redis::cmd("HGET");
    let memory: String =
        ground.raw(get.arg(ground.key("claims")).arg(node.store.nodes.own_id().as_str())).await;
    let count: usize = memory[20..24].parse().unwrap();
    let slots = memory.as_bytes()[24 + 26 * count..].chunks(16);
    slots.map(|slot| std::str::from_utf8(slot).unwrap().parse().unwrap()).collect()
}

async fn slots_of_a_steady_limit_are_those_of_the_model(ground: Ground) {
    slots_are_those_of_the_model(&ground, "300/s", 1).await;
}

async fn slots_of_a_limit_with_a_burst_are_those_of_the_model(ground: Ground) {
    slots_are_those_of_the_model(&ground, "7/s", 4).await;
}

async fn slots_of_a_fast_limit_are_those_of_the_model(ground: Ground) {
    slots_are_those_of_the_model(&ground, "1000/s", 20).await;
}

async fn slots_are_those_of_the_model(ground: &Ground, rate: &str, burst: u32) {
    let node = ground.node(&format!("rate = \"{rate}\"\nburst = {burst}\nconcurrency = 500")).await;
    let (rate, burst) = node.queue.policy.own_rate().unwrap();
    let limit = Limit::new(rate, burst);
    node.store.messages.schedule(&node.name, vec![message("m"); 200]).await.unwrap();
    for _ in 0..4 {
        let before_us = arrival_us(ground).await;
        let reply = node.claim(WISH).await;
        let clock_us = node.store.clock().require_us().unwrap();
        let taken = reply.messages.len();
        if taken == 0 {
            assert_eq!(reply.status, ClaimStatus::Held(Gate::Limit));
            assert!(reply.wait.is_some_and(|wait| wait <= Duration::from_secs(1)));
            continue;
        }
        let slots_us = slots_us(ground, &node).await;
        let wish = SlotWish {
            now_us: slots_us[0],
            lead_us: 0.0,
            horizon_us: 50_000.0,
            before_us: None,
            count: taken,
        };
        let GrantedSlots { slots_us: model_us, arrival_us: after_us, .. } =
            limit.grant(before_us, wish);
        assert_eq!(slots_us.len(), taken);
        for (slot_us, expected_us) in slots_us.iter().zip(&model_us) {
            assert!((slot_us - expected_us).abs() <= 1.0, "{slots_us:?} {model_us:?}");
        }
        let ahead_us = slots_us[taken - 1] - clock_us.to_string().parse::<f64>().unwrap();
        assert!(ahead_us <= 50_000.0 + LEAD_US_MAX, "the horizon, and the way of the reply");
        assert!((arrival_us(ground).await - after_us).abs() <= 1.0);
    }
    ground.assert_sound(&node).await;
}

async fn no_slot_is_granted_after_the_window(ground: Ground) {
    let node = ground.node("rate = \"100/s\"\nconcurrency = 50").await;
    node.send_all(&["m"; 10]).await;
    let close_us = (ground.now_ms().await + 1_000_000) * 1000;

    let closed = node.claim(ClaimWish { before_us: Some(close_us - 2_000_000_000), ..WISH }).await;
    assert_eq!((closed.status, closed.messages.len()), (ClaimStatus::Held(Gate::Limit), 0));

    let open = node.claim(ClaimWish { before_us: Some(close_us), ..WISH }).await;
    assert!((1..=6).contains(&open.messages.len()), "{} in 50 ms at 100/s", open.messages.len());
    ground.assert_sound(&node).await;
}

async fn a_permit_is_taken_only_with_a_message(ground: Ground) {
    let node = ground.node("rate = \"1/min\"\nconcurrency = 50").await;
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Empty);
    let id = node.send(message("m")).await;
    node.store.messages.cancel(&id).await.unwrap();
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Stale);
    assert_eq!(arrival_us(&ground).await.to_bits(), 0.0_f64.to_bits());

    node.send_all(&["a", "b"]).await;
    assert_eq!(bodies(&node.take(10).await), ["a"]);
    let held = node.claim(WISH).await;
    assert_eq!(held.status, ClaimStatus::Held(Gate::Limit));
    let wait = held.wait.unwrap();
    assert!((Duration::from_secs(55)..=Duration::from_secs(60)).contains(&wait), "{wait:?}");
    ground.assert_sound(&node).await;
}

const BATCH: &str = "[queues.tide.batch]\nmax_items = 3\nmax_bytes = \"1KiB\"\nmax_wait = \"1h\"";

async fn a_batch_gathers_until_it_is_full_or_old(ground: Ground) {
    let node = ground.node(&format!("concurrency = 9\n{BATCH}")).await;
    let stale = node.send(message("stale")).await;
    node.store.messages.cancel(&stale).await.unwrap();
    node.send_all(&["a", "b"]).await;

    let gathering = node.claim(WISH).await;
    assert_eq!((gathering.status, gathering.messages.len()), (ClaimStatus::Held(Gate::Batch), 0));
    let wait = gathering.wait.unwrap();
    assert!(wait > Duration::from_secs(3500) && wait <= Duration::from_secs(3600), "{wait:?}");

    // Full by number, though the wish would take more.
    node.send_all(&["c", "d"]).await;
    assert_eq!(bodies(&node.claim(WISH).await.messages), ["a", "b", "c"]);
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Held(Gate::Batch));
    // Told not to wait.
    let now = node.claim(ClaimWish { batch_now: true, ..WISH }).await;
    assert_eq!(bodies(&now.messages), ["d"]);
    // Full by bytes: the second would not fit.
    let body = "x".repeat(600);
    node.send_all(&[&body, &body]).await;
    assert_eq!(node.claim(WISH).await.messages.len(), 1);
    // Old enough: due an hour ago.
    let past = When::At(ground.now_ms().await - 2 * HOUR_MS);
    node.send(message("old").due(past)).await;
    assert_eq!(
        node.claim(WISH).await.status,
        ClaimStatus::Held(Gate::Batch),
        "the first one counts"
    );
    node.send(message("urgent").due(past)).await;
    assert_eq!(node.claim(WISH).await.messages.len(), 1 + 1 + 1);
    ground.assert_sound(&node).await;
}

async fn batches_in_flight_count_as_one_call_each(ground: Ground) {
    let node = ground.node(&format!("concurrency = 2\n{BATCH}")).await;
    node.send_all(&["m"; 9]).await;

    let first = node.claim(WISH).await.messages;
    let second = node.claim(WISH).await.messages;
    assert_eq!((first.len(), second.len()), (3, 3));
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Held(Gate::Concurrency));
    assert_eq!(node.counts().await.by_shard[0].exchanges, 2);

    // Its first message is settled, and the batch goes on until it is said to be over.
    node.end(Verb::Ack, &first[0].lease).await;
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Held(Gate::Concurrency));
    let acked = |claimed: &Claimed| ended(&claimed.lease, "ack", Settlement::Ack);
    let rest: Vec<_> = first[1..].iter().map(acked).collect();
    let exchanges = [first[0].lease.token.clone()];
    node.store.messages.settle(&node.queue, rest[0].way(), &exchanges, &rest).await.unwrap();
    assert_eq!(node.counts().await.by_shard[0].exchanges, 1);
    assert_eq!(node.claim(WISH).await.messages.len(), 3);
    ground.assert_sound(&node).await;
}

async fn a_pause_holds_everything_and_its_time_is_kept(ground: Ground) {
    let node = ground.node("").await;
    node.send_all(&["a", "b"]).await;
    assert_eq!(node.store.queues.pause(&node.name, None, "night", "op").await.unwrap(), 0);
    let begun_ms = ground.now_ms().await;
    let held = node.claim(WISH).await;
    assert_eq!((held.status, held.wait), (ClaimStatus::Held(Gate::Pause), None));
    let info = node.counts().await.paused.unwrap();
    assert_eq!((info.until_ms, info.reason.as_str(), info.by.as_str()), (None, "night", "op"));

    ground.passes(begun_ms + 20).await;
    assert!(node.store.queues.resume(&node.name).await.unwrap());
    assert!(!node.store.queues.resume(&node.name).await.unwrap());
    let first = node.claim(ClaimWish { messages_max: 1, ..WISH }).await;
    assert!((20..5000).contains(&first.paused_ms), "{}", first.paused_ms);
    assert_eq!(first.messages[0].paused_at_first_ms, first.paused_ms);

    // A pause with an end ends by itself, and counts for as long as it lasted.
    let until_ms =
        node.store.queues.pause(&node.name, Some(When::After(400)), "", "").await.unwrap();
    assert_eq!(node.counts().await.paused.unwrap().until_ms, Some(until_ms));
    assert!(node.claim(WISH).await.wait.is_some_and(|wait| wait <= Duration::from_millis(400)));
    ground.passes(until_ms + 30).await;
    assert_eq!(node.counts().await.paused, None);
    let second = node.claim(WISH).await;
    assert_eq!(second.messages.len(), 1);
    assert_eq!(second.paused_ms, first.paused_ms + 400);
    ground.assert_sound(&node).await;
}

async fn throttles_shut_the_gate_longer_each_time(ground: Ground) {
    let node = ground.node("concurrency = 4").await;
    node.send_all(&["a", "b", "c", "d"]).await;
    let defer = async |leases: &[&Lease], gate_ms| {
        let end = |lease: &&Lease| ended(lease, "throttled", Settlement::Throttle { gate_ms });
        node.settle_as(&leases.iter().map(end).collect::<Vec<_>>()).await
    };
    let shut_for = async || {
        let shut = node.claim(WISH).await;
        assert_eq!(shut.status, ClaimStatus::Held(Gate::Throttled));
        u64::try_from(shut.wait.unwrap().as_millis()).unwrap()
    };
    let open = async || {
        let mut set = redis::cmd("HSET");
        ground.raw::<()>(set.arg(ground.key("meta")).arg("gate_until").arg(1)).await;
    };

    // A volley of refusals counts once.
    let taken = node.take(4).await;
    let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| &taken[at].lease);
    defer(&[a], None).await;
    defer(&[b, c], None).await;
    let first_ms = shut_for().await;
    assert!((900..=1000).contains(&first_ms), "{first_ms}");
    let (until_ms, kind, why) = node.counts().await.gate.unwrap();
    assert!(until_ms > ground.now_ms().await);
    assert_eq!((kind.as_str(), why.as_str()), ("throttle", "it was throttled"));

    open().await;
    let again = node.take(1).await;
    assert_eq!((again[0].throttles, again[0].attempt), (1, 1), "a throttle is no attempt");
    defer(&[&again[0].lease], None).await;
    assert!((1900..=2000).contains(&shut_for().await));
    // What the downstream asks for counts, and a success starts the streak over.
    open().await;
    let again = node.take(1).await;
    defer(&[&again[0].lease], Some(7000)).await;
    assert!((6900..=7000).contains(&shut_for().await));
    node.end(Verb::Ack, d).await;
    open().await;
    let again = node.take(1).await;
    defer(&[&again[0].lease], None).await;
    assert!((900..=1000).contains(&shut_for().await));
    assert!(node.store.queues.resume(&node.name).await.unwrap());
    assert_eq!(node.take(10).await.len(), 3);
    ground.assert_sound(&node).await;
}

async fn what_expired_is_not_claimed(ground: Ground) {
    let node = ground.node("").await;
    let brief = node.send(message("brief").expires(When::After(1))).await;
    let long = node.send(message("long").expires(When::After(HOUR_MS))).await;
    ground.passes(node.get(&brief).await.expires_at_ms.unwrap()).await;

    let taken = node.take(10).await;
    assert_eq!(bodies(&taken), ["long"]);
    assert_eq!(taken[0].expires_ms, node.get(&long).await.expires_at_ms);
    assert_eq!(node.state(&brief).await, State::Expired);
    ground.assert_sound(&node).await;

    // Requeued, it never expires again, and the claim says so.
    node.store.messages.requeue(&brief).await.unwrap();
    let again = node.take(10).await;
    assert_eq!((bodies(&again), again[0].expires_ms), (vec!["brief".to_owned()], None));
    ground.assert_sound(&node).await;
}

async fn stale_entries_are_skipped_and_uncounted(ground: Ground) {
    let node = ground.node("").await;
    let ids = node.send_all(&["a", "b", "c", "d"]).await;
    node.store.messages.cancel(&ids[0]).await.unwrap();
    node.store.messages.cancel(&ids[2]).await.unwrap();
    assert_eq!(ground.assert_sound(&node).await.stale, 2);
    assert_eq!(node.counts().await.of(State::Ready), 2);

    assert_eq!(bodies(&node.take(10).await), ["b", "d"]);
    assert_eq!(ground.assert_sound(&node).await.stale, 0);
}

async fn two_nodes_never_claim_the_same_message(ground: Ground) {
    let (one, two) =
        (ground.node("concurrency = 500").await, ground.node("concurrency = 500").await);
    one.store.messages.schedule(&one.name, vec![message("m"); 300]).await.unwrap();
    let take_all = async |node: &Node| {
        let mut ids = Vec::new();
        loop {
            let taken = node.take(7).await;
            if taken.is_empty() {
                return ids;
            }
            ids.extend(taken.into_iter().map(|claimed| claimed.lease.ulid));
        }
    };

    let (mut all, others) = tokio::join!(take_all(&one), take_all(&two));

    assert!(!all.is_empty() && !others.is_empty());
    all.extend(others);
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (300, 300));
    ground.assert_sound(&one).await;
}
