//! Schedules: a tick belongs to one node, and its message comes once however late anybody repeats it.

use std::time::Duration;

use tidegate::domain::schedule::{Cadence, CatchUp, Due, Schedule, due};
use tidegate::store::{PutSchedule, Store, Sweep, Tick, Touched};

use super::ground::{Ground, QUEUE, on_each};
use super::node::{Node, WISH, message};

on_each!(
    a_tick_is_one_nodes_and_its_message_comes_once,
    a_node_that_slept_repeats_nothing,
    a_schedule_that_changed_is_read_again_and_one_under_way_keeps_to_its_queue,
    a_pause_ends_what_waits_and_not_what_is_under_way,
    another_cadence_begins_from_now_and_the_same_one_keeps_its_next_tick,
);

fn every(ms: u64) -> Schedule {
    Schedule {
        name: "tick".parse().expect("a name"),
        queue: QUEUE.parse().expect("a name"),
        cadence: Cadence::every_ms(ms).expect("an interval"),
        catch_up: CatchUp::All,
        payload: "hello".into(),
        details: message("").details,
        priority: 0,
        ttl_ms: None,
    }
}

/// Waits until something is due; returns the sweep that found it.
async fn sweep_when_due(store: &Store) -> Sweep {
    loop {
        let sweep = store.schedules.sweep(0).await.expect("the store answers");
        if !sweep.due.is_empty() || !sweep.left.is_empty() {
            return sweep;
        }
        tokio::time::sleep(sweep.next_in.unwrap_or(Duration::from_millis(50))).await;
    }
}

fn decided(tick: &Tick, now_ms: u64) -> Due {
    due(&tick.schedule.cadence, tick.schedule.catch_up, tick.nominal_ms, now_ms)
}

async fn kept(node: &Node) -> tidegate::store::Kept {
    let name = "tick".parse().expect("a name");
    node.store.schedules.get(&name).await.expect("the store answers").expect("it is there")
}

async fn a_tick_is_one_nodes_and_its_message_comes_once(ground: Ground) {
    let (one, other) = (ground.node("").await, ground.node("").await);
    assert_eq!(one.store.schedules.put(&every(150)).await.unwrap(), PutSchedule::Created);
    assert_eq!(other.store.schedules.put(&every(150)).await.unwrap(), PutSchedule::Same);

    let swept = sweep_when_due(&one.store).await;
    let (tick, seen) = (&swept.due[0], sweep_when_due(&other.store).await);
    let first = one.store.schedules.tick(tick, &decided(tick, swept.now_ms)).await.unwrap();
    let second = other
        .store
        .schedules
        .tick(&seen.due[0], &decided(&seen.due[0], seen.now_ms))
        .await
        .unwrap();

    let mine = first.expect("the first node has it");
    assert!(second.is_none(), "the second one does not");
    assert_eq!(kept(&one).await.under_way.map(|tick| tick.nominal_ms), Some(tick.nominal_ms));
    // While it is under way, the next one waits.
    ground.passes(tick.nominal_ms + 300).await;
    assert!(other.store.schedules.sweep(0).await.unwrap().due.is_empty());
    one.store.schedules.fire(&mine).await.unwrap();
    let kept = kept(&one).await;
    assert_eq!((kept.fired, kept.last.map(|last| last.nominal_ms)), (1, Some(tick.nominal_ms)));
    assert!(kept.under_way.is_none());
    assert_eq!(sweep_when_due(&other.store).await.due[0].nominal_ms, tick.nominal_ms + 150);
    assert_eq!(ground.assert_sound(&one).await.by_state[1], 1);
}

async fn a_node_that_slept_repeats_nothing(ground: Ground) {
    let (one, other) = (ground.node("").await, ground.node("").await);
    one.store.schedules.put(&every(150)).await.unwrap();
    let swept = sweep_when_due(&one.store).await;
    let tick = &swept.due[0];
    let slow = one.store.schedules.tick(tick, &decided(tick, swept.now_ms)).await.unwrap().unwrap();
    // It sleeps; another one takes over, and the message is delivered and forgotten.
    ground.passes(tick.nominal_ms + 2500).await;
    let left = sweep_when_due(&other.store).await.left;
    assert_eq!(left.iter().map(|tick| tick.nominal_ms).collect::<Vec<_>>(), [tick.nominal_ms]);
    other.store.schedules.fire(&left[0]).await.unwrap();
    let claimed = other.store.messages.claim(&other.queue, WISH).await.unwrap();
    assert_eq!(claimed.messages.len(), 1);
    let id = kept(&other).await.last.unwrap().message_id;
    let records = ground.key("records");
    ground.raw::<i64>(redis::cmd("UNLINK").arg(&records)).await;

    one.store.schedules.fire(&slow).await.unwrap();

    assert_eq!(ground.raw::<i64>(redis::cmd("HLEN").arg(&records)).await, 0, "{id} came again");
    assert_eq!(kept(&one).await.fired, 1);
}

async fn a_schedule_that_changed_is_read_again_and_one_under_way_keeps_to_its_queue(
    ground: Ground,
) {
    let node = ground.node("").await;
    node.store.schedules.put(&every(150)).await.unwrap();
    let swept = sweep_when_due(&node.store).await;
    let tick = &swept.due[0];
    let changed = Schedule { payload: "changed".into(), ..every(150) };
    assert_eq!(node.store.schedules.put(&changed).await.unwrap(), PutSchedule::Replaced);

    assert!(node.store.schedules.tick(tick, &decided(tick, swept.now_ms)).await.unwrap().is_none());

    let swept = sweep_when_due(&node.store).await;
    let tick = &swept.due[0];
    assert_eq!(tick.schedule.payload, "changed");
    assert!(node.store.schedules.tick(tick, &decided(tick, swept.now_ms)).await.unwrap().is_some());
    // Gone: but what had begun still comes, as it was.
    let name = "tick".parse().expect("a name");
    assert_eq!(node.store.schedules.delete(&name).await.unwrap(), Touched::Done);
    assert_eq!(node.store.schedules.delete(&name).await.unwrap(), Touched::NotFound);
    ground.passes(tick.nominal_ms + 2500).await;
    let left = sweep_when_due(&node.store).await.left;
    node.store.schedules.fire(&left[0]).await.unwrap();
    let claimed = node.store.messages.claim(&node.queue, WISH).await.unwrap();
    assert_eq!(claimed.messages[0].payload, "changed");
    let sweep = node.store.schedules.sweep(0).await.unwrap();
    assert!(sweep.due.is_empty() && sweep.left.is_empty() && sweep.next_in.is_none(), "{sweep:?}");
}

async fn a_pause_ends_what_waits_and_not_what_is_under_way(ground: Ground) {
    let node = ground.node("").await;
    let name = "tick".parse().expect("a name");
    node.store.schedules.put(&every(150)).await.unwrap();
    let swept = sweep_when_due(&node.store).await;
    let tick = &swept.due[0];
    let mine =
        node.store.schedules.tick(tick, &decided(tick, swept.now_ms)).await.unwrap().unwrap();

    assert_eq!(node.store.schedules.pause(&name, "why", "me").await.unwrap(), Touched::Done);
    node.store.schedules.fire(&mine).await.unwrap();

    let paused = kept(&node).await;
    assert_eq!((paused.fired, paused.next_ms), (1, None));
    assert_eq!(
        paused.paused.map(|paused| (paused.reason, paused.by)),
        Some(("why".into(), "me".into()))
    );
    ground.passes(tick.nominal_ms + 400).await;
    // A changed definition does not end the pause.
    node.store.schedules.put(&every(200)).await.unwrap();
    assert!(node.store.schedules.sweep(0).await.unwrap().next_in.is_none());
    let before_ms = ground.now_ms().await;
    assert_eq!(node.store.schedules.resume(&name).await.unwrap(), Touched::Done);
    let resumed = kept(&node).await;
    assert!(resumed.paused.is_none() && resumed.next_ms.unwrap() > before_ms, "{resumed:?}");
}

async fn another_cadence_begins_from_now_and_the_same_one_keeps_its_next_tick(ground: Ground) {
    let node = ground.node("").await;
    node.store.schedules.put(&every(150)).await.unwrap();
    let next_ms = kept(&node).await.next_ms.unwrap();
    ground.passes(next_ms + 200).await;

    let other_payload = Schedule { payload: "other".into(), ..every(150) };
    node.store.schedules.put(&other_payload).await.unwrap();
    assert_eq!(kept(&node).await.next_ms, Some(next_ms), "what is overdue is still caught up");

    let now_ms = ground.now_ms().await;
    node.store.schedules.put(&every(3_600_000)).await.unwrap();
    assert!(kept(&node).await.next_ms.unwrap() > now_ms);
    let names: Vec<_> = node.store.schedules.list("", 10).await.unwrap().schedules;
    assert_eq!(names.len(), 1);
}
