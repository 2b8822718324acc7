//! The end of an account's period: at midnight of its zone, while its queues send.

use std::time::Duration;

use tokio::time::Instant;

use super::{PATIENCE, Shared};
use crate::support::downstream::Request;
use crate::support::redis::RedisOptions;
use crate::support::wait::poll_until_within;
use crate::support::{Daemon, Stalls};

const ZONE: &str = "America/Los_Angeles";
/// Time to start nodes on a busy machine, since no step of the clock goes unnoticed later.
const AHEAD: Duration = Duration::from_secs(20);
/// A call that has its slot before midnight comes by so much after it at the latest, by the contract.
const LATE: Duration = Duration::from_millis(20);

/// Two queues whose Redis has so long until midnight in the zone of their account; and when that is.
async fn before_midnight(quota: u64, left: Duration) -> (Shared, Instant) {
    let accounts = format!("[limits.brand]\nquota = \"{quota}/day\"\ntime_zone = \"{ZONE}\"\n");
    let mut scene = Shared::new(&["a", "b"], &accounts).await;
    scene.redis = RedisOptions::default().with_faults().start().await;
    let now = jiff::Timestamp::now().in_tz(ZONE).expect("the zone is known");
    let midnight = now.date().tomorrow().expect("a day").in_tz(ZONE).expect("the zone is known");
    let until = midnight.timestamp().duration_since(now.timestamp());
    let step = Duration::try_from(until).expect("it lies ahead").saturating_sub(left);
    scene.redis.faults().step_clock(i64::try_from(step.as_millis()).expect("a day"));
    let (asked, now_us) = (Instant::now(), redis_us(&scene).await);
    let midnight_us = u64::try_from(midnight.timestamp().as_microsecond()).expect("after 1970");
    (scene, asked + Duration::from_micros(midnight_us - now_us))
}

async fn redis_us(scene: &Shared) -> u64 {
    let [seconds, us]: [u64; 2] = scene.redis.cli(&["TIME"]).await;
    seconds * 1_000_000 + us
}

/// Waits until the account is used up in its second period and nothing is on its way; returns all calls.
async fn used_up(scene: &Shared, daemon: &Daemon, quota: u64, midnight: Instant) -> Vec<Request> {
    tokio::time::sleep_until(midnight + LATE).await;
    poll_until_within(PATIENCE, "the second day is used up", async || {
        let mut leased = 0;
        for (name, _) in &scene.queues {
            leased += daemon.counts(name).await["leased"].as_u64().expect("a count");
        }
        let limit = daemon.get("/v1/limits/brand").await.expect(200).json();
        (limit["used"] == quota && leased == 0).then_some(())
    })
    .await;
    let mut requests: Vec<Request> =
        scene.queues.iter().flat_map(|(_, downstream)| downstream.requests()).collect();
    requests.sort_by_key(|request| request.arrived);
    requests
}

#[tokio::test]
async fn a_day_that_is_used_up_ends_at_midnight_and_the_next_is_used_to_the_unit() {
    let (scene, midnight) = before_midnight(100, AHEAD).await;
    let lines = "rate = \"60/s\"\nlimits = [\"brand\"]";
    let daemon = scene.node(lines).await;
    let _other = scene.node(lines).await;

    scene.fill(&daemon, 200, 1).await;
    scene.wait_delivered(&daemon, 100).await;
    assert!(Instant::now() < midnight, "the machine was too slow for this test");
    let requests = used_up(&scene, &daemon, 100, midnight).await;

    assert_eq!(requests.len(), 200, "each day is used to the unit");
    let early: Vec<_> = requests.iter().filter(|request| request.arrived < midnight).collect();
    assert_eq!(early.len(), 100, "nothing of the next day comes before it");
    let limit = daemon.get("/v1/limits/brand").await.expect(200).json();
    let resets: jiff::Timestamp = limit["resets_at"].as_str().expect("a moment").parse().unwrap();
    let resets = resets.in_tz(ZONE).expect("the zone is known");
    assert_eq!(resets.time(), jiff::civil::time(0, 0, 0, 0), "{limit}");
}

/// Slots lie in both days, and so do the reservations that are in flight at midnight.
#[tokio::test]
async fn what_is_reserved_at_midnight_counts_in_the_day_of_its_slot() {
    let stalls = Stalls::watch();
    let (scene, midnight) = before_midnight(200, AHEAD).await;
    let lines = "rate = \"100/s\"\nlimits = [\"brand\"]";
    let daemon = scene.node(lines).await;
    let _other = scene.node(lines).await;
    scene.each_queue(&daemon, "pause").await;
    scene.fill(&daemon, 300, 1).await;
    let resume_at = midnight - Duration::from_millis(500);
    assert!(Instant::now() < resume_at, "the machine was too slow for this test");
    tokio::time::sleep_until(resume_at).await;
    scene.each_queue(&daemon, "resume").await;

    let requests = used_up(&scene, &daemon, 200, midnight).await;

    let before = requests.iter().filter(|request| request.arrived < midnight).count();
    assert!((1..=200).contains(&before), "{before} came on the first day");
    // Those right after midnight may have their slots before it.
    let is_surely_after =
        |request: &&Request| request.arrived > midnight + LATE + stalls.made_late(request.arrived);
    let after = requests.iter().filter(is_surely_after).count();
    assert!(after <= 200, "{after} came on the second day");
    assert!(requests.len() >= 200 + before, "all of the second day is used");
}
