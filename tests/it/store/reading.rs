//! Readings: pages of every state, counts, waiters, and queues of several shards.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use tidegate::domain::gates::Gate;
use tidegate::domain::id::MessageId;
use tidegate::domain::message::When;
use tidegate::domain::state::State;
use tidegate::shutdown::Tasks;
use tidegate::store::{ClaimStatus, Part, Verb};
use tokio::time::Instant;

use super::ground::{Ground, on_each};
use super::node::{HOUR_MS, Node, WISH, With, message};
use crate::support::{eventually, within};

on_each!(
    pages_show_every_state_completely,
    a_page_is_stable_while_others_come_and_go,
    a_cursor_that_is_none_starts_from_the_beginning,
    counts_tell_ages_and_calls,
    a_waiter_is_woken_by_another_node,
    a_waiter_is_told_what_is_final_already,
    a_wake_up_reaches_other_nodes,
    an_id_finds_its_shard,
    claims_go_round_the_shards,
    a_grant_is_spent_on_all_shards,
);

/// All pages of a state, this many at a time.
async fn pages(node: &Node, state: State, limit: usize) -> Vec<MessageId> {
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let page =
            node.store.messages.list(&node.name, state, limit, cursor.as_deref()).await.unwrap();
        assert!(page.messages.len() <= limit);
        assert!(page.messages.iter().all(|message| message.state == state));
        ids.extend(page.messages.into_iter().map(|message| message.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return ids;
        }
    }
}

async fn pages_show_every_state_completely(ground: Ground) {
    let node = ground.node("concurrency = 100\npriority_levels = 3").await;
    for verb in [Verb::Ack, Verb::Bury, Verb::Park, Verb::Renew] {
        node.store.messages.schedule(&node.name, vec![message("m"); 7]).await.unwrap();
        let leases: Vec<_> = node.take(7).await.into_iter().map(|c| c.lease).collect();
        node.settle(verb, &leases).await;
    }
    let far = || message("m").due(When::After(HOUR_MS));
    let cancelled = node.store.messages.schedule(&node.name, vec![far(); 7]).await.unwrap();
    for sent in cancelled {
        node.store.messages.cancel(&sent.unwrap().id).await.unwrap();
    }
    node.store.messages.schedule(&node.name, vec![far().expires(When::After(0)); 7]).await.unwrap();
    assert_eq!(node.store.messages.expire(&node.queue, node.shard()).await.unwrap().moved, 7);
    let ready = [0, 9, 5, 0, 9, 5, 0].map(|priority| message("m").priority(priority));
    node.store.messages.schedule(&node.name, ready.to_vec()).await.unwrap();
    node.store.messages.schedule(&node.name, vec![far(); 7]).await.unwrap();

    let scan = ground.assert_sound(&node).await;
    assert_eq!(scan.by_state, [7, 7, 7, 7, 0, 7, 7, 7, 7]);
    let mut seen = HashSet::new();
    for state in State::ALL {
        for limit in [1, 2, 3, 7, 100] {
            let ids = pages(&node, state, limit).await;
            let distinct: BTreeSet<_> = ids.iter().cloned().collect();
            let count = usize::try_from(node.counts().await.of(state)).unwrap();
            assert_eq!((ids.len(), distinct.len()), (count, count), "{state} by {limit}");
            seen.extend(ids);
        }
    }
    assert_eq!(seen.len(), 56);
    let page = node.store.messages.list(&node.name, State::Ready, 9, None).await.unwrap();
    let priorities: Vec<_> = page.messages.iter().map(|m| m.priority).collect();
    assert_eq!(priorities, [9, 9, 5, 5, 0, 0, 0], "as they will go");
}

async fn a_page_is_stable_while_others_come_and_go(ground: Ground) {
    let node = ground.node("").await;
    // Forty in the same millisecond: only their ids tell them apart.
    let due_ms = ground.now_ms().await + HOUR_MS;
    let at = |due_ms| message("m").due(When::At(due_ms));
    node.store.messages.schedule(&node.name, vec![at(due_ms); 40]).await.unwrap();
    let all = pages(&node, State::Scheduled, 100).await;

    let first = node.store.messages.list(&node.name, State::Scheduled, 10, None).await.unwrap();
    // The last one shown goes, and so does one before and one after it; others come before and after.
    for gone in [3, 9, 12] {
        node.store.messages.cancel(&all[gone]).await.unwrap();
    }
    node.store.messages.schedule(&node.name, vec![at(due_ms - 1); 5]).await.unwrap();
    node.store.messages.schedule(&node.name, vec![at(due_ms + 1); 5]).await.unwrap();
    let cursor = first.next_cursor.unwrap();
    let rest =
        node.store.messages.list(&node.name, State::Scheduled, 100, Some(&cursor)).await.unwrap();

    let shown: Vec<_> = rest.messages.iter().map(|m| m.id.clone()).collect();
    let expected: Vec<_> = all[10..].iter().filter(|id| **id != all[12]).cloned().collect();
    assert_eq!(shown[..29], expected[..]);
    assert_eq!(shown.len(), 34, "and those that came after");

    // The last one shown moved far away: the reader does not follow it.
    let edit = tidegate::store::Edit { due: Some(When::At(due_ms + 50)), ..Default::default() };
    let first = node.store.messages.list(&node.name, State::Scheduled, 10, None).await.unwrap();
    node.store.messages.reschedule(&first.messages[9].id, &edit).await.unwrap();
    let cursor = first.next_cursor.unwrap();
    let rest =
        node.store.messages.list(&node.name, State::Scheduled, 100, Some(&cursor)).await.unwrap();
    assert_eq!(rest.messages.len(), 47 - 10 + 1);
    ground.assert_sound(&node).await;
}

async fn a_cursor_that_is_none_starts_from_the_beginning(ground: Ground) {
    let node = ground.node("").await;
    node.send_all(&["a", "b", "c"]).await;
    node.send(message("m").due(When::After(HOUR_MS))).await;
    let zset =
        node.store.messages.list(&node.name, State::Scheduled, 1, None).await.unwrap().next_cursor;
    let list =
        node.store.messages.list(&node.name, State::Ready, 1, None).await.unwrap().next_cursor;
    for cursor in [zset, Some("nonsense".into()), Some("0.99:".into()), Some("0.1:x:y".into())] {
        let page =
            node.store.messages.list(&node.name, State::Ready, 9, cursor.as_deref()).await.unwrap();
        assert_eq!(page.messages.len(), 3, "{cursor:?}");
    }
    let page =
        node.store.messages.list(&node.name, State::Scheduled, 9, list.as_deref()).await.unwrap();
    assert_eq!(page.messages.len(), 1);
}

async fn counts_tell_ages_and_calls(ground: Ground) {
    let node = ground.node("concurrency = 9").await;
    let empty = node.counts().await;
    assert_eq!((empty.oldest_ready_age_ms, empty.next_due_ms), (None, None));
    let due_ms = ground.now_ms().await;
    let stale = node.send(message("m").due(When::At(due_ms - 9000))).await;
    node.store.messages.cancel(&stale).await.unwrap();
    node.send(message("m").due(When::At(due_ms - 5000))).await;
    node.send(message("m").due(When::At(due_ms + HOUR_MS))).await;

    let counts = node.counts().await;
    assert!((5000..8000).contains(&counts.oldest_ready_age_ms.unwrap()));
    assert_eq!(counts.next_due_ms, Some(due_ms + HOUR_MS));
    assert_eq!((counts.of(State::Ready), counts.of(State::Scheduled)), (1, 1));
    assert_eq!((counts.calls_last_minute, counts.gate, counts.paused), (0, None, None));
    node.take(1).await;
    node.send(message("m")).await;
    node.take(1).await;
    assert_eq!(node.counts().await.calls_last_minute, 2);
}

/// Lets a node listen for wake-ups until the tasks are dropped with the scenario.
async fn listens(ground: &Ground, node: &Node) -> Tasks {
    let tasks = Tasks::new();
    let (store, stop) = (node.store.clone(), tasks.stop_token().clone());
    tasks.spawn("listen", async move { store.wake_ups.listen(&stop).await });
    let channel = format!("{}:final", ground.namespace());
    eventually("it listens", async || ground.subscribers(&channel).await > 0).await;
    tasks
}

async fn a_waiter_is_woken_by_another_node(ground: Ground) {
    let (one, two) = (ground.node("").await, ground.node("").await);
    let tasks = listens(&ground, &one).await;
    for verb in [Verb::Ack, Verb::Bury] {
        let id = one.send(message("m")).await;
        let lease = two.take_one().await;
        let asked_at = Instant::now();
        let ends = async {
            eventually("somebody waits", async || {
                let mut score = redis::cmd("ZSCORE");
                let waited = score.arg(ground.key("waited")).arg(id.ulid.to_string());
                ground.raw::<Option<u64>>(waited).await.is_some()
            })
            .await;
            two.end(verb, &lease).await;
        };

        let waits = one.store.messages.get_final(&id, Duration::from_secs(60), Part::Whole);
        let (found, ()) =
            within("the waiter is told", Box::pin(async { tokio::join!(waits, ends) })).await;

        assert!(found.unwrap().unwrap().state.is_final());
        assert!(asked_at.elapsed() < Duration::from_secs(10));
        let left: u64 = ground.raw(redis::cmd("ZCARD").arg(ground.key("waited"))).await;
        assert_eq!(left, 0);
    }
    tasks.stop();
    within("listening ends", tasks.join()).await;
}

async fn a_waiter_is_told_what_is_final_already(ground: Ground) {
    let node = ground.node("").await;
    let id = node.send(message("m")).await;
    let waited =
        node.store.messages.get_final(&id, Duration::from_millis(20), Part::Whole).await.unwrap();
    assert_eq!(waited.unwrap().state, State::Ready, "not final in time");
    node.store.messages.cancel(&id).await.unwrap();

    let found = within(
        "an answer",
        node.store.messages.get_final(&id, Duration::from_secs(60), Part::Whole),
    )
    .await;

    assert_eq!(found.unwrap().unwrap().state, State::Cancelled);
    let nobody = MessageId { ulid: ulid::Ulid::from_parts(1, 1), ..id };
    let found = within(
        "an answer",
        node.store.messages.get_final(&nobody, Duration::from_secs(60), Part::Whole),
    )
    .await;
    assert_eq!(found.unwrap(), None);
}

async fn a_wake_up_reaches_other_nodes(ground: Ground) {
    let (one, two) = (ground.node("").await, ground.node("").await);
    let tasks = listens(&ground, &one).await;
    // Listening itself wakes everybody once.
    within("the first wake-up", one.queue.ready.notified()).await;
    within("the first wake-up", one.shard().due.notified()).await;

    two.send(message("ready")).await;
    within("something is ready", one.queue.ready.notified()).await;
    two.send(message("later").due(When::After(2 * HOUR_MS))).await;
    within("an earlier due time", one.shard().due.notified()).await;
    two.send(message("sooner").due(When::After(HOUR_MS))).await;
    within("an earlier due time", one.shard().due.notified()).await;
    tasks.stop();
    within("listening ends", tasks.join()).await;
}

async fn an_id_finds_its_shard(ground: Ground) {
    let node = ground.node("shards = 4\nconcurrency = 400").await;
    let mut shards = HashSet::new();
    for n in 0..40 {
        let key = format!("key {n}");
        let id = node.send(message("m").key(&key)).await;
        assert_eq!(node.get(&id).await.details.idempotency_key, Some(key.clone()));
        assert_eq!(node.store.messages.find_key(&node.name, &key).await.unwrap(), [id.clone()]);
        assert!(node.try_send(message("m").key(&key)).await.unwrap().duplicate);
        shards.insert(id.shard(4));
    }
    node.store
        .messages
        .schedule(&node.name, vec![message("m").due(When::After(HOUR_MS)); 40])
        .await
        .unwrap();
    assert_eq!(shards.len(), 4);
    assert_eq!(pages(&node, State::Scheduled, 7).await.len(), 40);
    assert_eq!(pages(&node, State::Ready, 7).await.len(), 40);
    assert_eq!(ground.assert_sound(&node).await.by_state[..2], [40, 40]);

    assert_eq!(
        node.store.messages.purge(&node.name, State::Ready, u64::MAX).await.unwrap(),
        (40, false)
    );
    let requeued =
        node.store.messages.requeue_all(&node.name, State::Cancelled, 1000).await.unwrap();
    assert_eq!(requeued, (40, false));
    node.store.queues.pause(&node.name, None, "", "").await.unwrap();
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Held(Gate::Pause));
    node.store.queues.resume(&node.name).await.unwrap();
    assert_eq!(node.claim(WISH).await.messages.len(), 40);
    ground.assert_sound(&node).await;
}

async fn claims_go_round_the_shards(ground: Ground) {
    let node = ground.node("shards = 4\nconcurrency = 400").await;
    node.store.messages.schedule(&node.name, vec![message("m"); 200]).await.unwrap();
    let mut met = HashSet::new();
    for _ in 0..4 {
        let taken = node.take(2).await;
        assert_eq!(taken.len(), 2);
        met.extend(taken.iter().map(|claimed| claimed.lease.shard));
    }
    assert_eq!(met.len(), 4, "a backlog in one shard does not starve the others");
    let mut taken = 8;
    while taken < 200 {
        let more = node.take(50).await.len();
        assert!(more > 0);
        taken += more;
    }
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Empty);
    ground.assert_sound(&node).await;
}

async fn a_grant_is_spent_on_all_shards(ground: Ground) {
    let node = ground.node("shards = 4\nconcurrency = 400\nrate = \"100/s\"\nburst = 20").await;
    node.store.messages.schedule(&node.name, vec![message("m"); 60]).await.unwrap();

    // Twenty at once and the horizon's five, from however many shards that takes.
    let taken = node.take(250).await;
    assert!((25..=29).contains(&taken.len()), "{}", taken.len());
    let distinct: HashSet<_> = taken.iter().map(|claimed| claimed.lease.ulid).collect();
    assert_eq!(distinct.len(), taken.len());
    let shards: HashSet<_> = taken.iter().map(|claimed| claimed.lease.shard).collect();
    assert!(shards.len() > 1, "no shard has as many");
    ground.assert_sound(&node).await;
}
