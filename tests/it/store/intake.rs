//! Schedule, promote and idempotency keys.

use std::collections::HashSet;

use tidegate::domain::message::When;
use tidegate::domain::state::State;
use tidegate::store::NotAccepted;

use super::ground::{Ground, on_each};
use super::node::{HOUR_MS, With, bodies, message};

on_each!(
    a_message_reads_back_as_it_was_handed_over,
    a_key_takes_one_message,
    keys_within_one_call,
    a_key_is_known_for_its_window_and_then_forgotten,
    nothing_is_promoted_early,
    better_bands_go_first_and_each_in_order_of_due,
    moments_beyond_the_calendar_are_kept_in_range,
);

async fn a_message_reads_back_as_it_was_handed_over(ground: Ground) {
    let node = ground.node("priority_levels = 10").await;
    let sent = message("hello")
        .due(When::After(HOUR_MS))
        .expires(When::After(2 * HOUR_MS))
        .priority(7)
        .key("k");
    let before_ms = ground.now_ms().await;
    let accepted = node.try_send(sent.clone()).await.unwrap();
    let after_ms = ground.now_ms().await;

    let found = node.get(&accepted.id).await;
    assert_eq!(found.payload, Some(sent.payload));
    assert_eq!(found.details, sent.details);
    assert_eq!((found.state, found.priority, found.attempts), (State::Scheduled, 7, 0));
    assert_eq!(found.due_at_ms, accepted.due_at_ms);
    assert!((before_ms + HOUR_MS..=after_ms + HOUR_MS).contains(&found.due_at_ms));
    assert_eq!(found.expires_at_ms, Some(found.due_at_ms + HOUR_MS));
    ground.assert_sound(&node).await;
}

async fn a_key_takes_one_message(ground: Ground) {
    let node = ground.node("").await;
    let first = node.try_send(message("a").key("k").due(When::After(HOUR_MS))).await.unwrap();
    assert!(!first.duplicate);

    let repeat = node.try_send(message("a").key("k").due(When::After(2 * HOUR_MS))).await.unwrap();
    let other = node.try_send(message("b").key("k")).await;
    let free = node.try_send(message("a").key("l")).await.unwrap();

    assert!(repeat.duplicate);
    assert_eq!((repeat.id, repeat.due_at_ms), (first.id.clone(), first.due_at_ms));
    assert!(matches!(other, Err(NotAccepted::Mismatch(id)) if id == first.id));
    assert!(!free.duplicate);
    assert_eq!(node.store.messages.find_key(&node.name, "k").await.unwrap(), [first.id]);
    assert_eq!(node.store.messages.find_key(&node.name, "l").await.unwrap(), [free.id]);
    assert!(node.store.messages.find_key(&node.name, "m").await.unwrap().is_empty());
    assert_eq!(ground.assert_sound(&node).await.by_state[..2], [1, 1]);
}

async fn keys_within_one_call(ground: Ground) {
    let node = ground.node("").await;
    let messages = ["a", "a", "b"].map(|body| message(body).key("k").due(When::After(HOUR_MS)));

    // The first goes alone, since nobody waits; those behind it gather meanwhile.
    let answers = node.store.messages.schedule(&node.name, messages.to_vec()).await.unwrap();

    let first = answers[0].as_ref().unwrap();
    assert!(!first.duplicate);
    let second = answers[1].as_ref().unwrap();
    assert_eq!(
        (&second.id, second.due_at_ms, second.duplicate),
        (&first.id, first.due_at_ms, true)
    );
    assert!(matches!(&answers[2], Err(NotAccepted::Mismatch(id)) if *id == first.id));
    assert_eq!(ground.assert_sound(&node).await.by_state[0], 1);
}

async fn a_key_is_known_for_its_window_and_then_forgotten(ground: Ground) {
    let node = ground.node_shaped("", |policy| policy.idempotency_window_ms = HOUR_MS).await;
    let brief = ground.node_shaped("", |policy| policy.idempotency_window_ms = 1).await;
    let turn = async || {
        ground.passes(ground.now_ms().await + 1).await;
        // Any message turns the generations when the window is over.
        brief.send(message("turn")).await;
    };
    let age = async |windows: u64| {
        let turned_ms = ground.now_ms().await - windows * HOUR_MS;
        let mut set = redis::cmd("HSET");
        ground.raw::<()>(set.arg(ground.key("meta")).arg("idem_turned").arg(turned_ms)).await;
    };
    let first = node.send(message("a").key("k")).await;

    // The generation turns once: the key is an old one, and still known.
    age(1).await;
    let repeat = node.try_send(message("a").key("k")).await.unwrap();
    assert_eq!((repeat.id, repeat.duplicate), (first.clone(), true));
    assert_eq!(node.store.messages.find_key(&node.name, "k").await.unwrap(), [first.clone()]);

    // Twice: forgotten, and taken by a new message.
    age(1).await;
    let fresh = node.try_send(message("b").key("k")).await.unwrap();
    assert!(!fresh.duplicate);
    assert_ne!(fresh.id, first);

    // After a silence of two windows everything is forgotten at once.
    age(2).await;
    assert!(!node.try_send(message("c").key("k")).await.unwrap().duplicate);

    turn().await;
    turn().await;
    turn().await;
    assert!(node.store.messages.find_key(&node.name, "k").await.unwrap().is_empty());
    ground.assert_sound(&node).await;
}

async fn nothing_is_promoted_early(ground: Ground) {
    let node = ground.node("").await;
    let mut due = Vec::new();
    for delay_ms in [15, 5, 25, 10, 20, 30] {
        let sent = node.try_send(message("m").due(When::After(delay_ms))).await.unwrap();
        due.push(sent.due_at_ms);
    }
    let never = node.send(message("later").due(When::After(HOUR_MS))).await;
    let mut promoted = 0;

    while promoted < due.len() {
        let swept = node.store.messages.promote(&node.queue, node.shard()).await.unwrap();
        let now_ms = ground.now_ms().await;
        promoted += usize::try_from(swept.moved).unwrap();
        let may = due.iter().filter(|due_ms| **due_ms <= now_ms).count();
        assert!(promoted <= may, "{promoted} promoted, {may} were due");
        let next_in = swept.next_in.expect("one is always left");
        tokio::time::sleep(next_in.min(std::time::Duration::from_millis(5))).await;
    }

    assert_eq!(node.state(&never).await, State::Scheduled);
    assert_eq!(ground.assert_sound(&node).await.by_state[..2], [1, 6]);
}

async fn better_bands_go_first_and_each_in_order_of_due(ground: Ground) {
    let node = ground.node("priority_levels = 5").await;
    let now_ms = ground.now_ms().await;
    let soon = |ms: u64| When::At(now_ms + 400 + ms);
    for (body, priority, due_ms) in
        [("low 2", 1, 2), ("low 1", 0, 1), ("high 2", 9, 4), ("high 1", 8, 3), ("middle", 5, 0)]
    {
        node.send(message(body).priority(priority).due(soon(due_ms))).await;
    }
    assert!(node.take(1).await.is_empty());
    ground.passes(now_ms + 410).await;
    assert_eq!(node.promote().await, 5);

    let taken = node.take(10).await;

    assert_eq!(bodies(&taken), ["high 1", "high 2", "middle", "low 1", "low 2"]);
    let tokens: HashSet<_> = taken.iter().map(|claimed| &claimed.lease.token).collect();
    assert_eq!(tokens.len(), 1, "one claim, one token");
    ground.assert_sound(&node).await;
}

async fn moments_beyond_the_calendar_are_kept_in_range(ground: Ground) {
    let node = ground.node("").await;
    let sent = message("m").due(When::After(HOUR_MS)).expires(When::After(u64::MAX));

    let id = node.send(sent).await;

    assert_eq!(node.get(&id).await.expires_at_ms, Some((1 << 48) - 1));
    ground.assert_sound(&node).await;
}
