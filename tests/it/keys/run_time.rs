//! What single keys are given at run time, as the downstream sees it: shares, rates, quotas and calls in flight.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::calls::{assert_at_once, assert_paced, calls, message, of, units, with};
use super::lanes::Work;
use super::{assert_sound, others, put_key, try_put_key};
use crate::support::wait::poll_until;
use crate::support::{Answer, Daemon, Gate, QUEUE, Scene, Stalls, eventually};

/// How soon a value is to be in force on every node.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(1);

fn to(number: usize, recipient: &str) -> Value {
    message(number, &[("to", recipient)])
}

async fn delete_key(daemon: &Daemon, key: &str) {
    daemon.delete(&format!("/v1/queues/{QUEUE}/keys?key={key}")).await.expect(200);
}

#[tokio::test]
async fn a_weight_shifts_the_shares_from_the_next_call_on() {
    let lines = "rate = \"400/s\"\nconcurrency = 64\nfairness = { by = \"labels.tenant\", weights = { acme = 2 } }";
    let scene = Scene::start(lines).await;
    let _others = others(&scene, lines, 1).await;
    scene.queue_step("pause", &json!({})).await;
    let of_tenant = |number: usize| message(number, &[("tenant", ["acme", "beta"][number % 2])]);
    scene.send_all(&(0..2400).map(of_tenant).collect::<Vec<_>>()).await;
    scene.queue_step("resume", &json!({})).await;
    scene.downstream.wait_for(300).await;

    put_key(&scene.daemon, "acme", &json!({ "weight": 0.25 }), 201).await;

    // What was claimed by then leaves by the old weight: a tenth of a second of the rate, with room for a busy machine.
    let before = scene.downstream.requests().len();
    let seen = calls(&scene.downstream.wait_for(before + 700).await);
    let share = |seen: &[super::calls::Call]| of(seen, "tenant", "acme").len() * 100 / seen.len();
    assert!(share(&seen[..300]) >= 60, "2 of 3 by the configuration: {}", share(&seen[..300]));
    let after = share(&seen[before + 200..before + 700]);
    assert!((15..=25).contains(&after), "0.25 of 1.25: {after}");
    // It goes before the configuration, which holds again without it.
    delete_key(&scene.daemon, "acme").await;
    let before = scene.downstream.requests().len();
    let seen = calls(&scene.downstream.wait_for(before + 500).await);
    let again = share(&seen[before + 200..before + 500]);
    assert!((60..=72).contains(&again), "2 of 3 again: {again}");
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_raised_rate_lets_a_held_recipient_go_on_three_nodes_within_a_second() {
    let lines = "limits = [{ rate = \"1/h\", per = \"labels.to\" }]";
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;
    let nodes = others(&scene, lines, 2).await;
    let sent = (0..40).map(|number| to(number, ["a", "b"][number % 2])).collect::<Vec<_>>();
    let ids = scene.send_all(&sent).await;
    scene.downstream.wait_for(2).await;
    scene.wait_members(&ids[2], &json!({ "held_by": ["limit:per_to"] })).await;

    let asked = Instant::now();
    put_key(&nodes[1], "a", &json!({ "limits": { "per_to": { "rate": "50/s" } } }), 201).await;

    let seen = calls(&scene.downstream.wait_for(2 + 19).await);
    let came = &of(&seen, "to", "a")[1..];
    assert!(came[0].at - asked < IN_FORCE_WITHIN + 5 * stalls.worst(), "{:?}", came[0].at - asked);
    assert_eq!((came.len(), of(&seen, "to", "b").len()), (19, 1), "only the key that was given it");
    assert_paced(&stalls, came, 50.0, 1);
    // Every node shows the same.
    for daemon in nodes.iter().chain([&scene.daemon]) {
        let key = daemon.get(&format!("/v1/queues/{QUEUE}/keys?key=a")).await.expect(200).json();
        assert_eq!(key["limits"], json!({ "per_to": { "rate": "50/s" } }), "{key}");
    }
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_lowered_rate_holds_what_the_configuration_would_let_go() {
    let lines = "limits = [{ rate = \"100/s\", burst = 5, per = \"labels.to\" }]";
    let scene = Scene::start(lines).await;
    let nodes = others(&scene, lines, 2).await;
    scene.send_all(&(0..1000).map(|number| to(number, "a")).collect::<Vec<_>>()).await;
    scene.downstream.wait_for(50).await;

    put_key(&nodes[0], "a", &json!({ "limits": { "per_to": { "rate": "1/h" } } }), 201).await;

    // What was claimed by then leaves still, and the burst of the configuration stays.
    tokio::time::sleep(IN_FORCE_WITHIN).await;
    let then = scene.downstream.requests().len();
    scene.daemon.send(QUEUE, &to(2000, "b")).await;
    scene.downstream.wait_for(then + 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let seen = calls(&scene.downstream.requests());
    assert_eq!((seen.len(), of(&seen, "to", "b").len()), (then + 1, 1), "nothing more of a");
    assert!(then < 600, "{then} calls of 100/s");
    delete_key(&scene.daemon, "a").await;
    scene.downstream.wait_for(then + 50).await;
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn one_customer_has_more_calls_in_flight_and_then_fewer() {
    let lines = "concurrency = 32\nlimits = [{ concurrency = 2, per = \"labels.customer\" }]";
    let scene = Scene::start(lines).await;
    let of_customer = |number: usize| message(number, &[("customer", ["a", "b"][number % 2])]);
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    scene.send_all(&(0..60).map(of_customer).collect::<Vec<_>>()).await;
    scene.downstream.wait_for(4).await;
    let set = async |calls: u32, status: u16| {
        let body = json!({ "limits": { "per_customer_concurrency": { "concurrency": calls } } });
        put_key(&scene.daemon, "a", &body, status).await;
    };

    set(5, 201).await;

    let seen = calls(&scene.downstream.wait_for(7).await);
    assert_eq!((of(&seen, "customer", "a").len(), of(&seen, "customer", "b").len()), (5, 2));
    // Those in flight stay; what follows goes by the new value.
    set(1, 200).await;
    let then = Instant::now();
    scene.downstream.always(Answer::ok().after(Duration::from_millis(5)));
    gate.release();
    scene.wait_count("delivered", 60).await;
    let seen = calls(&scene.downstream.requests());
    let after: Vec<_> = of(&seen, "customer", "a").into_iter().filter(|it| it.at > then).collect();
    assert_eq!(after.len(), 25);
    assert_at_once(&after, 1);
    assert_at_once(&of(&seen, "customer", "b"), 2);
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn one_customer_has_a_quota_of_its_own_in_the_period_of_all() {
    for fairness in ["", "fairness = \"labels.to\"\n"] {
        let lines = format!("{fairness}limits = [{{ quota = \"3/month\", per = \"labels.to\" }}]");
        let scene = Scene::start(&lines).await;
        let set = async |quota: &str, status: u16| {
            let body = json!({ "limits": { "per_to_month": { "quota": quota } } });
            put_key(&scene.daemon, "a", &body, status).await;
        };
        let sent = (0..20).map(|number| to(number, ["a", "b"][number % 2])).collect::<Vec<_>>();
        scene.send_all(&sent).await;
        scene.wait_count("delivered", 6).await;

        set("7/month", 201).await;

        scene.wait_count("delivered", 10).await;
        assert_eq!(units(&of(&calls(&scene.downstream.requests()), "to", "a")), 7);
        // What is used counts on.
        set("8/month", 200).await;
        scene.wait_count("delivered", 11).await;
        set("5/month", 200).await;
        let body = json!({ "limits": { "per_to_month": { "quota": "9/week" } } });
        let refused = try_put_key(&scene.daemon, "a", &body).await.expect(400).json();
        assert_eq!(refused["errors"][0]["pointer"], "/limits/per_to_month", "{refused}");
        let detail = refused["detail"].as_str().expect("a sentence");
        assert!(detail.contains("is a quota for each month"), "{detail}");
        scene.wait_count("delivered", 11).await;
        // A cost that only this key's quota lets pass waits nowhere, and one that it never lets pass is found.
        set("4/month", 200).await;
        delete_key(&scene.daemon, "a").await;
        assert_sound(&scene.daemon).await;
    }
}

#[tokio::test]
async fn a_cost_above_the_quota_of_its_key_is_found_by_the_doctor() {
    let scene = Scene::start("limits = [{ quota = \"5/month\", per = \"labels.to\" }]").await;
    let set = json!({ "limits": { "per_to_month": { "quota": "2/month" } } });
    put_key(&scene.daemon, "a", &set, 201).await;

    let id = scene.daemon.send(QUEUE, &with(to(0, "a"), "cost", 4)).await;

    let held = json!({ "held_by": ["limit:per_to_month"], "state": "ready" });
    scene.wait_members(&id, &held).await;
    let finding = poll_until("the quota is found", async || {
        let found = scene.daemon.get("/v1/doctor").await.expect(200).json()["findings"].clone();
        let mut found = found.as_array().expect("a list").clone().into_iter();
        found.find(|finding| finding["code"] == "quota-too-small")
    })
    .await;
    assert!(finding["detail"].as_str().expect("a sentence").contains(&id), "{finding}");
    // A key that has a larger quota than all takes a cost that the configuration never lets pass.
    let set = json!({ "limits": { "per_to_month": { "quota": "20/month" } } });
    put_key(&scene.daemon, "a", &set, 200).await;
    let large = scene.daemon.send(QUEUE, &with(to(1, "a"), "cost", 12)).await;
    let path = format!("/v1/queues/{QUEUE}/messages");
    let refused = scene.daemon.post(&path, &with(to(2, "b"), "cost", 12)).await.expect(422).json();
    assert_eq!(refused["code"], "cost-too-large");
    let above = with(to(3, "a"), "cost", 21);
    scene.daemon.post(&path, &above).await.expect(422);
    assert_eq!(scene.daemon.wait_final(&large).await["state"], "delivered");
}

#[tokio::test]
async fn messages_without_the_key_have_the_empty_one() {
    let scene = Scene::start("limits = [{ quota = \"1/month\", per = \"labels.to\" }]").await;
    let set = json!({ "limits": { "per_to_month": { "quota": "4/month" } } });
    put_key(&scene.daemon, "", &set, 201).await;

    let without = (0..6).map(|number| message(number, &[]));
    scene.send_all(&without.chain([to(6, "a"), to(7, "a")]).collect::<Vec<_>>()).await;

    scene.wait_count("delivered", 5).await;
    scene.wait_count("ready", 3).await;
    let key = scene.daemon.get(&format!("/v1/queues/{QUEUE}/keys?key=")).await.expect(200).json();
    assert_eq!(key["key"], "");
}

#[tokio::test]
async fn further_attempts_and_halves_go_by_the_value_of_their_key() {
    let lines = "retry = { initial = \"100ms\", factor = 1.0, jitter = 0.0 }\nlimits = [{ quota = \"1/month\", per = \"labels.to\" }]";
    let scene = Scene::start(lines).await;
    put_key(
        &scene.daemon,
        "a",
        &json!({ "limits": { "per_to_month": { "quota": "3/month" } } }),
        201,
    )
    .await;
    scene.downstream.once(Answer::status(500));
    scene.downstream.once(Answer::status(500));

    let id = scene.daemon.send(QUEUE, &to(0, "a")).await;

    assert_eq!(scene.daemon.wait_final(&id).await["attempts"], 3);
    let next = scene.daemon.send(QUEUE, &to(1, "a")).await;
    scene.wait_members(&next, &json!({ "held_by": ["limit:per_to_month"] })).await;
}

/// Redis does as much for a message whether one key was given something or ten thousand, and with none it asks for nothing.
#[tokio::test]
async fn ten_thousand_keys_cost_a_message_what_one_costs() {
    const MESSAGES: usize = 200;
    let lines = "limits = [{ rate = \"1000/s\", burst = 1000, per = \"labels.to\" }]";
    let scene = Scene::start(lines).await;
    let set = json!({ "limits": { "per_to": { "rate": "900/s" } } });
    let work = async |first: usize| {
        let before = Work::by_now(&scene.redis).await;
        for number in first..first + MESSAGES {
            let id = scene.daemon.send(QUEUE, &to(number, "k1")).await;
            scene.daemon.wait_final(&id).await;
        }
        Work::by_now(&scene.redis).await.since(before).commands / MESSAGES as u64
    };
    let none = work(0).await;
    put_key(&scene.daemon, "k1", &set, 201).await;
    let one = work(1000).await;

    let puts = (2..=10_000).map(|number| format!("k{number}"));
    let puts = futures_util::stream::iter(puts).map(|key| {
        let (daemon, set) = (&scene.daemon, &set);
        async move { put_key(daemon, &key, set, 201).await }
    });
    puts.buffer_unordered(16).collect::<Vec<_>>().await;

    let many = work(2000).await;
    assert!(many <= one + 2, "{none} commands without keys, {one} with one, {many} with 10,000");
    assert!(one <= none + 8, "{none} commands without keys, {one} with one");
    let refused = try_put_key(&scene.daemon, "one-more", &set).await.expect(409).json();
    assert_eq!((&refused["code"], &refused["state"]), (&json!("wrong-state"), &json!("full")));
    put_key(&scene.daemon, "k7", &json!({ "limits": { "per_to": { "rate": "1/s" } } }), 200).await;
    delete_key(&scene.daemon, "k7").await;
    put_key(&scene.daemon, "one-more", &set, 201).await;
    eventually("all are listed", async || {
        let listed = scene.daemon.cli(&["key", QUEUE, "--output", "json"]).await.stdout;
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        listed["keys"].as_array().expect("a list").len() == 10_000
    })
    .await;
}
