//! Shares: what busy keys get of a queue, by their weights and not by their backlogs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::calls::{CALM, assert_paced, assert_shares, assert_used, calls, message, of, with};
use super::{assert_sound, others};
use crate::support::{QUEUE, Scene, Stalls};

fn of_tenant(number: usize, tenant: &str) -> Value {
    message(number, &[("tenant", tenant)])
}

/// Sends all of it while the queue is paused, and lets it go.
async fn let_go(scene: &Scene, sent: &[Value]) {
    scene.queue_step("pause", &json!({})).await;
    for rows in sent.chunks(5000) {
        scene.send_all(rows).await;
    }
    scene.queue_step("resume", &json!({})).await;
}

/// Whether the machine kept these calls from hardly anything: a permit that is void by a stall sends its message back.
fn is_calm(stalls: &Stalls, seen: &[super::calls::Call]) -> bool {
    let (first, last) = (seen[0].at, seen[seen.len() - 1].at);
    stalls.may_cost(first, last, Duration::from_millis(4)) * 20 < last - first
}

#[tokio::test]
async fn busy_tenants_share_by_their_weights_whatever_their_backlogs() {
    let stalls = Stalls::watch();
    let lines = "rate = \"250/s\"\nconcurrency = 64\nfairness = { by = \"labels.tenant\", weights = { acme = 5, beta = 3 }, weight = 2 }";
    let scene = Scene::start(lines).await;
    let _others = others(&scene, lines, 1).await;
    // What has no tenant shares as one more, with the weight of all others.
    let without = (0..1400).map(|number| message(number, &[]));
    let beta = (2000..2600).map(|number| of_tenant(number, "beta"));
    let acme = (3000..3900).map(|number| of_tenant(number, "acme"));
    let sent: Vec<_> = without.chain(beta).chain(acme).collect();

    let_go(&scene, &sent).await;

    let seen = calls(&scene.downstream.wait_for(1600).await);
    if !is_calm(&stalls, &seen[..1600]) {
        return;
    }
    assert_shares(&seen[..1600], "tenant", &[("acme", 0.5), ("beta", 0.3), ("", 0.2)]);
    for tenant in ["acme", "beta", ""] {
        let numbers: Vec<_> = of(&seen, "tenant", tenant).iter().map(|it| it.number).collect();
        // Two calls that begin within a millisecond may arrive the other way round.
        let swapped = numbers.windows(2).filter(|pair| pair[0] > pair[1]).count();
        // A permit that is void by a stall of the machine sends its message back to its place.
        assert!(swapped * 5 <= numbers.len(), "{tenant:?}: first in, first out within a key");
    }
}

#[tokio::test]
async fn shares_are_counted_in_units_of_cost() {
    let stalls = Stalls::watch();
    let lines = "rate = \"300/s\"\nconcurrency = 64\nfairness = \"labels.tenant\"";
    let scene = Scene::start(lines).await;
    let large = (0..400).map(|number| with(of_tenant(number, "large"), "cost", 4));
    let small = (400..1500).map(|number| of_tenant(number, "small"));

    let_go(&scene, &large.chain(small).collect::<Vec<_>>()).await;

    let seen = calls(&scene.downstream.wait_for(1000).await);
    if is_calm(&stalls, &seen[..1000]) {
        assert_shares(&seen[..1000], "tenant", &[("large", 0.5), ("small", 0.5)]);
    }
}

#[tokio::test]
async fn a_flood_of_one_tenant_hardly_delays_the_others() {
    let lines = "rate = \"200/s\"\nconcurrency = 64\nfairness = \"labels.tenant\"";
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;
    let _others = others(&scene, lines, 1).await;
    let flood: Vec<_> = (0..4000).map(|number| of_tenant(number, "flood")).collect();
    scene.send_all(&flood).await;
    scene.downstream.wait_for(20).await;

    let mut asked = BTreeMap::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for number in 0..120 {
        ticks.tick().await;
        asked.insert(5000 + number as u64, Instant::now());
        let tenant = format!("t{}", number % 10);
        scene.daemon.send(QUEUE, &of_tenant(5000 + number, &tenant)).await;
    }

    let came = || {
        let seen = calls(&scene.downstream.requests());
        let others = seen.into_iter().filter(|call| call.label("tenant") != "flood");
        others.map(|call| (call.number, call.at)).collect::<BTreeMap<_, _>>()
    };
    crate::support::eventually("all of the others came", async || came().len() == 120).await;
    let came = came();
    let mut waits: Vec<_> = asked.iter().map(|(number, at)| came[number] - *at).collect();
    waits.sort();
    let p99 = waits[(waits.len() * 99).div_ceil(100) - 1];
    let stall = stalls.worst_between(asked[&5000], Instant::now());
    let allowed = Duration::from_secs(11) / 200 + Duration::from_millis(50) + 5 * stall;
    let is_calm = stall < 3 * CALM;
    assert!(
        !is_calm || p99 <= allowed,
        "{p99:?}, allowed {allowed:?}; the longest {:?}",
        waits.last()
    );
    let ready = scene.daemon.counts(QUEUE).await["ready"].as_u64();
    assert!(ready > Some(500), "the flood has lasted: {ready:?}");
}

#[tokio::test]
async fn a_lone_tenant_gets_everything() {
    let lines = "rate = \"200/s\"\nconcurrency = 64\nfairness = { by = \"labels.tenant\", weights = { lone = 0.01 }, weight = 1000 }";
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;

    let_go(&scene, &(0..500).map(|n| of_tenant(n, "lone")).collect::<Vec<_>>()).await;

    let seen = calls(&scene.downstream.wait_for(500).await);
    assert_paced(&stalls, &seen, 200.0, 1);
    assert_used(&stalls, &seen, 200.0, 1);
}

#[tokio::test]
async fn a_tenant_that_was_idle_has_earned_nothing_by_it() {
    let lines = "rate = \"250/s\"\nconcurrency = 64\nfairness = \"labels.tenant\"";
    let scene = Scene::start(lines).await;
    // Both are busy at first; then one of them rests.
    let rests = (0..40).map(|number| of_tenant(number, "rests"));
    let goes_on = (100..1200).map(|number| of_tenant(number, "goes on"));
    let_go(&scene, &rests.chain(goes_on).collect::<Vec<_>>()).await;
    scene.downstream.wait_for(300).await;

    scene.send_all(&(2000..2400).map(|n| of_tenant(n, "rests")).collect::<Vec<_>>()).await;

    crate::support::eventually("both are busy for a while", async || {
        let seen = calls(&scene.downstream.requests());
        let back = seen.iter().position(|call| call.number >= 2000 && call.number < 2400);
        back.is_some_and(|back| seen.len() >= back + 300)
    })
    .await;
    let seen = calls(&scene.downstream.requests());
    let back = seen.iter().position(|call| call.number >= 2000).expect("it is back");
    assert_shares(&seen[back..back + 300], "tenant", &[("rests", 0.5), ("goes on", 0.5)]);
}

#[tokio::test]
async fn what_a_held_tenant_cannot_use_goes_to_the_others() {
    let lines = "rate = \"120/s\"\nconcurrency = 64\nfairness = { by = \"labels.tenant\", weights = { a = 10 } }\nlimits = [{ rate = \"50/s\", per = \"labels.tenant\" }]";
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;
    let one = |number: usize| of_tenant(number, ["a", "b", "c"][number % 3]);

    let_go(&scene, &(0..900).map(one).collect::<Vec<_>>()).await;

    let seen = calls(&scene.downstream.wait_for(360).await);
    let seen = &seen[..360];
    assert_paced(&stalls, seen, 120.0, 1);
    assert_used(&stalls, seen, 120.0, 1);
    for tenant in ["a", "b", "c"] {
        assert_paced(&stalls, &of(seen, "tenant", tenant), 50.0, 1);
    }
    // 50 a second of 120 for the one that is held by its limit; the others share what it leaves.
    assert_used(&stalls, &of(seen, "tenant", "a"), 50.0, 1);
    let others: Vec<_> = seen.iter().filter(|call| call.label("tenant") != "a").cloned().collect();
    assert_shares(&others, "tenant", &[("b", 0.5), ("c", 0.5)]);
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn tenants_share_the_concurrency_where_there_is_no_rate() {
    let lines = "concurrency = 4\nfairness = { by = \"labels.tenant\", weights = { big = 3 } }";
    let scene = Scene::start(lines).await;
    let answer = crate::support::Answer::ok().after(Duration::from_millis(10));
    scene.downstream.always(answer);
    let small = (0..400).map(|number| of_tenant(number, "small"));
    let big = (400..800).map(|number| of_tenant(number, "big"));

    let_go(&scene, &small.chain(big).collect::<Vec<_>>()).await;

    let seen = calls(&scene.downstream.wait_for(400).await);
    assert_shares(&seen[..400], "tenant", &[("big", 0.75), ("small", 0.25)]);
}

#[tokio::test]
async fn a_batch_takes_its_messages_by_the_shares() {
    let lines = "concurrency = 1\nbatch = { max_items = 40, max_wait = \"1s\" }\nfairness = { by = \"labels.tenant\", weights = { big = 3 } }";
    let scene = Scene::start(lines).await;
    let small = (0..400).map(|number| of_tenant(number, "small"));
    let big = (400..800).map(|number| of_tenant(number, "big"));

    let_go(&scene, &small.chain(big).collect::<Vec<_>>()).await;

    let requests = scene.downstream.wait_for(10).await;
    let seen = calls(&requests[..10]);
    assert_eq!(seen.len(), 400);
    assert_shares(&seen, "tenant", &[("big", 0.75), ("small", 0.25)]);
}
