//! Priority levels beside keys, with and without aging.

use std::time::Duration;

use serde_json::{Value, json};

use super::calls::{assert_shares, calls, message, numbers, of, with};
use super::{assert_sound, is_so_unless_void, unless_void};
use crate::support::{Answer, QUEUE, Scene, Stalls};

fn of_tenant(number: usize, tenant: &str, priority: u64) -> Value {
    with(message(number, &[("tenant", tenant)]), "priority", priority)
}

async fn released(scene: &Scene, count: usize) -> Vec<u64> {
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", count).await;
    assert_sound(&scene.daemon).await;
    numbers(&calls(&scene.downstream.requests()))
}

#[tokio::test]
async fn without_aging_the_highest_level_goes_first_whatever_the_key() {
    let lines = "concurrency = 1\npriority_levels = 10\nfairness = \"labels.tenant\"";
    let scene = Scene::start(lines).await;
    scene.queue_step("pause", &json!({})).await;
    let sent = [
        of_tenant(0, "a", 0),
        of_tenant(1, "a", 9),
        of_tenant(2, "b", 5),
        of_tenant(3, "b", 9),
        of_tenant(4, "c", 6),
    ];

    scene.send_all(&sent).await;

    let mut order = released(&scene, 5).await;
    // Between the two of the highest level the shares decide.
    order[..2].sort_unstable();
    assert_eq!(order, [1, 3, 4, 2, 0]);
}

#[tokio::test]
async fn with_aging_a_message_that_has_waited_long_enough_goes_before_a_higher_one() {
    let lines =
        "concurrency = 1\npriority_levels = 2\naging = \"1s\"\nfairness = \"labels.tenant\"";
    let scene = Scene::start(lines).await;
    scene.queue_step("pause", &json!({})).await;
    scene.send_all(&[of_tenant(0, "a", 0)]).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // A level above, but more than the aging later than the first one.
    scene.send_all(&[of_tenant(1, "b", 9), of_tenant(2, "b", 9), of_tenant(3, "a", 0)]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Less than the aging later than the last one of the low level.
    scene.send_all(&[of_tenant(4, "b", 9)]).await;

    assert_eq!(released(&scene, 5).await, [0, 1, 2, 4, 3]);
}

#[tokio::test]
async fn several_levels_gain_one_each_time() {
    let lines =
        "concurrency = 1\npriority_levels = 10\naging = \"500ms\"\nfairness = \"labels.tenant\"";
    let scene = Scene::start(lines).await;
    scene.queue_step("pause", &json!({})).await;
    scene.send_all(&[of_tenant(0, "a", 4)]).await;
    tokio::time::sleep(Duration::from_millis(800)).await;

    // Two levels above: a second ahead; one level above: half a second.
    scene.send_all(&[of_tenant(1, "b", 5), of_tenant(2, "b", 6)]).await;

    assert_eq!(released(&scene, 3).await, [2, 0, 1]);
}

#[tokio::test]
async fn with_aging_a_low_level_is_not_starved_by_a_high_one_that_never_ends() {
    let lines =
        "rate = \"50/s\"\npriority_levels = 2\naging = \"1s\"\nfairness = \"labels.tenant\"";
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;
    let mut next = 0;
    let mut high = |count: usize| {
        next += count;
        (next - count..next).map(|number| of_tenant(number, "high", 9)).collect::<Vec<_>>()
    };
    scene.send_all(&high(30)).await;
    let low = scene.daemon.send(QUEUE, &of_tenant(9999, "low", 0)).await;
    let sent = tokio::time::Instant::now();

    // More than the rate lets through, for as long as the low one may wait and longer.
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..70 {
        ticks.tick().await;
        scene.send_all(&high(4)).await;
    }

    assert_eq!(scene.daemon.message(&low).await["state"], "delivered");
    let seen = calls(&scene.downstream.requests());
    let at = seen.iter().position(|call| call.number == 9999).expect("it came");
    let waited = seen[at].at - sent;
    assert!(waited >= Duration::from_secs(1), "the higher ones go first: {waited:?}");
    // All that fell due within a second after it, 110 calls, take 2.2 s.
    let stalled = stalls.sum_between(sent, seen[at].at, Duration::ZERO);
    assert!(waited <= Duration::from_millis(2900) + stalled, "{waited:?}, stalls {stalled:?}");
}

#[tokio::test]
async fn what_a_tenant_sends_with_priority_counts_against_its_share() {
    let lines =
        "rate = \"300/s\"\nconcurrency = 1\npriority_levels = 2\nfairness = \"labels.tenant\"";
    let scene = Scene::start(lines).await;
    scene.queue_step("pause", &json!({})).await;
    let high = (0..100).map(|number| of_tenant(number, "a", 9));
    let low = (100..400).map(|number| of_tenant(number, "a", 0));
    let other = (400..800).map(|number| of_tenant(number, "b", 0));
    scene.send_all(&high.chain(low).chain(other).collect::<Vec<_>>()).await;

    scene.queue_step("resume", &json!({})).await;

    let seen = calls(&scene.downstream.wait_for(400).await);
    assert_eq!(of(&seen[..100], "tenant", "a").len(), 100, "the higher level goes first");
    let b = of(&seen[100..200], "tenant", "b").len();
    assert!(b >= 95, "then the other one has its turn until it has had as much: {b}");
    assert_shares(&seen[200..400], "tenant", &[("a", 0.5), ("b", 0.5)]);
}

#[tokio::test]
async fn a_held_key_of_a_high_level_lets_the_lower_levels_go() {
    unless_void(a_held_key_of_a_high_level_holds_itself_alone).await;
}

async fn a_held_key_of_a_high_level_holds_itself_alone() -> bool {
    let lines = "concurrency = 4\npriority_levels = 2\nlimits = [{ rate = \"4/min\", per = \"labels.tenant\" }]\nretry.initial = \"100ms\"";
    let scene = Scene::start(lines).await;
    let sent: Vec<_> = (0..40)
        .map(|number| of_tenant(number, "held", 9))
        .chain((40..50).map(|number| of_tenant(number, &format!("t{number}"), 0)))
        .collect();
    scene.downstream.always(Answer::ok());

    scene.send_all(&sent).await;

    let is_so = async || {
        let counts = scene.daemon.counts(QUEUE).await;
        counts["delivered"] == 11 && counts["ready"] == 39
    };
    if !is_so_unless_void(&scene, "all others are delivered", is_so).await {
        return false;
    }
    assert_sound(&scene.daemon).await;
    true
}
