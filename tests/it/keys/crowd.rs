//! A crowd that is held costs nothing to those that are not: their messages leave at once, and Redis does as much for
//! them as if there were no crowd.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::assert_sound;
use super::calls::{calls, message, of, with};
use super::lanes::Work;
use crate::limits::stacked::limit;
use crate::support::wait::poll_until_within;
use crate::support::{Answer, QUEUE, Scene, Stalls, eventually, queue_toml};

/// What is in `make test`; the long ones have twenty-five times as many.
const CROWD: usize = 4_000;
const LONG: usize = 100_000;
const FEW: usize = 10;
/// Free messages that are looked at, one after the other.
const FREE: usize = 40;
/// What the design promises of a free message.
const LEAVES_WITHIN: Duration = Duration::from_millis(50);

async fn send(scene: &Scene, messages: impl Iterator<Item = Value>) {
    for rows in messages.collect::<Vec<_>>().chunks(10_000) {
        scene.send_all(rows).await;
    }
}

/// What free messages, sent one after the other, took.
struct Free {
    work: Work,
    /// All but the slowest tenth left within this time.
    wait: Duration,
    /// The longest stall meanwhile, and all that counted together.
    stall: Duration,
    stalled: Duration,
}

/// Sends free messages one after the other, each when the one before has come.
async fn free(scene: &Scene, one: impl Fn(usize) -> Value) -> Free {
    let (stalls, began) = (Stalls::watch(), Instant::now());
    let before = Work::by_now(&scene.redis).await;
    let mut waits = Vec::new();
    for number in 0..FREE {
        let number = 1_000_000 + number;
        let sent = Instant::now();
        scene.daemon.send(QUEUE, &one(number)).await;
        let mut count = 0;
        let at = loop {
            count = scene.downstream.wait_for(count + 1).await.len();
            let requests = scene.downstream.requests();
            let seen = requests.iter().rev().find(|it| it.json()["n"] == number);
            if let Some(seen) = seen {
                break seen.arrived;
            }
        };
        waits.push(at - sent);
    }
    let work = Work::by_now(&scene.redis).await.since(before);
    waits.sort();
    println!("{work:?}, waits {:?} to {:?}", waits[0], waits[FREE - 1]);
    let ended = Instant::now();
    let stalled = stalls.sum_between(began, ended, Duration::ZERO);
    Free { work, wait: waits[FREE * 9 / 10], stall: stalls.worst_between(began, ended), stalled }
}

/// With a crowd a free message waits and works no longer than with a few.
#[track_caller]
fn assert_alike(few: &Free, crowd: &Free) {
    // A message meets some ten threads on its way, each of which may be kept waiting.
    let allowed = LEAVES_WITHIN + 10 * crowd.stall;
    assert!(crowd.wait <= allowed, "{:?}, allowed {allowed:?}", crowd.wait);
    let stalled = crowd.stalled;
    let (few, crowd) = (few.work, crowd.work);
    assert!(crowd.commands <= few.commands * 5 / 4 + 200, "{crowd:?} beside {few:?}");
    // Microseconds by the clock, also those in which Redis waits for a processor; what grew with the crowd would be a thousand
    // times as much.
    let allowed = Duration::from_micros(few.busy_us * 3 + 10_000) + stalled;
    assert!(Duration::from_micros(crowd.busy_us) <= allowed, "{crowd:?} beside {few:?}");
}

/// Keys that are all held, although none of them has had a call: their quota became too small for their messages.
async fn held_keys(count: usize) -> (Scene, Free) {
    let lines =
        |quota: u64| format!("limits = [{{ quota = \"{quota}/month\", per = \"labels.to\" }}]");
    let scene = Scene::start(&lines(2)).await;
    scene.queue_step("pause", &json!({})).await;
    let one = |number: usize| with(message(number, &[("to", &format!("u{number}"))]), "cost", 2);
    send(&scene, (0..count).map(one)).await;
    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, &lines(1)));
    eventually("the quota is less", async || {
        limit(&scene.daemon, "per_to_month").await["value"] == "1/month"
    })
    .await;
    scene.queue_step("resume", &json!({})).await;
    poll_until_within(Duration::from_secs(60), "all keys are held", async || {
        (limit(&scene.daemon, "per_to_month").await["held_keys"] == count).then_some(())
    })
    .await;
    assert_eq!(scene.downstream.requests().len(), 0);

    let free = free(&scene, |number| message(number, &[("to", &format!("free {number}"))])).await;

    assert_eq!(scene.downstream.requests().len(), FREE);
    (scene, free)
}

async fn held_keys_cost_others_nothing(count: usize) {
    let (_, few) = held_keys(FEW).await;
    let (scene, crowd) = held_keys(count).await;
    assert_alike(&few, &crowd);
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn thousands_of_held_keys_cost_a_free_one_nothing() {
    held_keys_cost_others_nothing(CROWD).await;
}

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn a_hundred_thousand_held_keys_cost_a_free_one_nothing() {
    held_keys_cost_others_nothing(LONG).await;
}

/// One tenant with so many recipients, each with a limit of its own, beside ten tenants that keep to their limit.
async fn recipients_of_one_tenant(count: usize) -> (Scene, Work, Duration) {
    const ROUNDS: usize = 4;
    let lines = "concurrency = 64\nfairness = \"labels.tenant\"\nlimits = [{ rate = \"1/s\", per = \"labels.tenant\" }, { quota = \"1/day\", per = \"labels.to\" }]";
    let scene = Scene::start(lines).await;
    let stalls = Stalls::watch();
    let one = |number: usize, tenant: &str| {
        message(number, &[("tenant", tenant), ("to", &format!("u{number}"))])
    };
    send(&scene, (0..count).map(|number| one(number, "noisy"))).await;
    scene.downstream.wait_for(2).await;
    let before = Work::by_now(&scene.redis).await;
    let began = Instant::now();

    let tenants: Vec<_> = (0..10).map(|tenant| format!("t{tenant}")).collect();
    let sent = (0..10 * ROUNDS).map(|number| one(1_000_000 + number, &tenants[number % 10]));
    scene.send_all(&sent.collect::<Vec<_>>()).await;

    let quiet = || {
        let seen = calls(&scene.downstream.requests());
        seen.into_iter().filter(|call| call.number >= 1_000_000).collect::<Vec<_>>()
    };
    // A machine that stalls makes permits void, and each of them is a second of its tenant.
    poll_until_within(Duration::from_secs(120), "all of the quiet ones came", async || {
        (quiet().len() == 10 * ROUNDS).then_some(())
    })
    .await;
    let work = Work::by_now(&scene.redis).await.since(before);
    let stalled = stalls.sum_between(began, Instant::now(), Duration::ZERO);
    println!("{work:?}");
    let seen = quiet();
    for tenant in &tenants {
        let seen = of(&seen, "tenant", tenant);
        for pair in seen.windows(2) {
            let waited = pair[1].at - pair[0].at;
            let lost = stalls.may_cost(pair[0].at, pair[1].at, Duration::from_secs(1));
            let allowed = Duration::from_secs(1) + LEAVES_WITHIN + lost;
            assert!(waited <= allowed, "{tenant}: {waited:?}, allowed {allowed:?}");
        }
    }
    (scene, work, stalled)
}

async fn a_noisy_tenant_costs_others_nothing(count: usize) {
    let (_, few, _) = recipients_of_one_tenant(FEW).await;
    let (scene, crowd, stalled) = recipients_of_one_tenant(count).await;
    assert!(crowd.commands <= few.commands * 5 / 4 + 400, "{crowd:?} beside {few:?}");
    let allowed = Duration::from_micros(few.busy_us * 3 + 20_000) + stalled;
    assert!(Duration::from_micros(crowd.busy_us) <= allowed, "{crowd:?} beside {few:?}");
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn thousands_of_recipients_of_a_held_tenant_cost_other_tenants_nothing() {
    a_noisy_tenant_costs_others_nothing(CROWD).await;
}

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn a_hundred_thousand_recipients_of_a_held_tenant_cost_other_tenants_nothing() {
    a_noisy_tenant_costs_others_nothing(LONG).await;
}

/// So many tenants wait for one recipient, whose limit lets twenty messages a second pass.
async fn tenants_of_one_recipient(count: usize) -> (Scene, Free) {
    let lines = "concurrency = 64\nfairness = \"labels.tenant\"\nlimits = [{ rate = \"20/s\", per = \"labels.to\" }]";
    let scene = Scene::start(lines).await;
    let one = |number: usize| message(number, &[("tenant", &format!("t{number}")), ("to", "x")]);
    send(&scene, (0..count).map(one)).await;
    scene.downstream.wait_for(5).await;
    let free = free(&scene, |number| {
        message(number, &[("tenant", "free"), ("to", &format!("free {number}"))])
    })
    .await;
    (scene, free)
}

#[tokio::test]
async fn thousands_of_lanes_behind_one_key_cost_as_much_as_some() {
    let (_, some) = tenants_of_one_recipient(100).await;
    let (scene, crowd) = tenants_of_one_recipient(5000).await;
    assert_alike(&some, &crowd);
    assert_sound(&scene.daemon).await;
}

/// So many messages of one key behind one that has failed and waits for an hour.
async fn behind_a_head(count: usize) -> (Scene, Free) {
    let lines = "ordering = \"labels.order\"\nretry = { initial = \"1h\", max = \"1h\" }";
    let scene = Scene::start(lines).await;
    scene.downstream.once(Answer::status(500));
    send(&scene, (0..count).map(|number| message(number, &[("order", "stuck")]))).await;
    scene.wait_count("ready", count - 1).await;
    let free = free(&scene, |number| message(number, &[("order", "free")])).await;
    (scene, free)
}

#[tokio::test]
async fn thousands_behind_the_head_of_one_key_cost_other_keys_nothing() {
    let (_, few) = behind_a_head(FEW).await;
    let (scene, crowd) = behind_a_head(CROWD).await;
    assert_alike(&few, &crowd);
    assert_eq!(scene.downstream.requests().len(), 1 + FREE);
    assert_sound(&scene.daemon).await;
}

/// The node sleeps until the first moment at which something opens; it does not look all the time.
#[tokio::test]
async fn a_held_crowd_lets_the_node_sleep() {
    let (scene, _) = held_keys(1000).await;

    let before = Work::by_now(&scene.redis).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let work = Work::by_now(&scene.redis).await.since(before);

    assert!(work.scripts <= 60, "{work:?} in two seconds in which nothing could go");
}
