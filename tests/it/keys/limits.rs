//! Quotas and concurrency for each value of a key: what they hold, what they let pass, and what takes units anew.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::calls::{Call, assert_at_once, calls, message, numbers, of, units, with};
use super::{QUICK_RETRY, assert_sound, others};
use crate::limits::stacked::limit;
use crate::support::wait::poll_until_within;
use crate::support::{
    Answer, Daemon, Downstream, Gate, QUEUE, RedisServer, Scene, eventually, queue_toml,
};

fn to(number: usize, recipient: &str) -> Value {
    message(number, &[("to", recipient)])
}

/// How many units were started for each recipient.
fn used(seen: &[Call]) -> BTreeMap<String, u64> {
    let mut used = BTreeMap::new();
    for call in seen {
        *used.entry(call.label("to").to_owned()).or_default() += call.cost;
    }
    used
}

#[tokio::test]
async fn a_quota_of_a_key_holds_that_key_and_the_others_overtake_it() {
    let lines = "concurrency = 1\nlimits = [{ quota = \"100/month\" }, { quota = \"2/month\", per = \"labels.to\" }]";
    let scene = Scene::start(lines).await;
    let sent = ["a", "a", "a", "a", "b", "c", "b", "b"];
    let sent: Vec<_> = sent.iter().enumerate().map(|(number, key)| to(number, key)).collect();

    let ids = scene.send_all(&sent).await;

    scene.wait_count("delivered", 5).await;
    let seen = calls(&scene.downstream.requests());
    assert_eq!(numbers(&seen), [0, 1, 4, 5, 6], "each in its turn, but those that are held");
    for held in [2, 3, 7] {
        let members = json!({ "held_by": ["limit:per_to_month"], "state": "ready" });
        scene.wait_members(&ids[held], &members).await;
    }
    let shown = limit(&scene.daemon, "per_to_month").await;
    let members = ["kind", "value", "per", "used", "left", "resets_at", "next_at", "held_keys"];
    let expected = json!(["quota", "2/month", "labels.to", null, null, null, null, 2]);
    assert_eq!(json!(members.map(|name| shown[name].clone())), expected);
    assert_eq!(limit(&scene.daemon, "quota_month").await["used"], 5, "what is held took nothing");
    let told = scene.daemon.cli(&["queue", QUEUE]).await.stdout;
    assert!(told.contains("per_to_month"), "{told}");
    // A message that could never leave is not taken in.
    let large = with(to(9, "d"), "cost", 3);
    let reply = scene.daemon.post(&format!("/v1/queues/{QUEUE}/messages"), &large).await;
    assert_eq!(reply.expect(422).json()["code"], "cost-too-large");
    assert_sound(&scene.daemon).await;
}

/// It was taken in while the quota was large enough.
#[tokio::test]
async fn a_message_that_costs_more_than_its_whole_quota_waits_and_doctor_says_so() {
    let lines =
        |quota: u64| format!("limits = [{{ quota = \"{quota}/month\", per = \"labels.to\" }}]");
    let scene = Scene::start(&lines(5)).await;
    scene.queue_step("pause", &json!({})).await;
    let ids = scene.send_all(&[with(to(0, "a"), "cost", 4), to(1, "a"), to(2, "b")]).await;
    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, &lines(3)));
    eventually("the quota is less", async || {
        limit(&scene.daemon, "per_to_month").await["value"] == "3/month"
    })
    .await;

    scene.queue_step("resume", &json!({})).await;

    scene.wait_count("delivered", 1).await;
    scene.wait_members(&ids[1], &json!({ "held_by": ["limit:per_to_month"] })).await;
    let doctor = scene.daemon.cli(&["doctor"]).await;
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("per_to_month"), "{}", doctor.stdout);
    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, &lines(6)));
    scene.wait_count("delivered", 3).await;
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn what_does_not_fit_holds_those_behind_it_until_it_is_gone() {
    for fairness in ["", "fairness = \"labels.to\"\n"] {
        let lines = format!("{fairness}limits = [{{ quota = \"3/month\", per = \"labels.to\" }}]");
        let scene = Scene::start(&lines).await;
        scene.daemon.send(QUEUE, &with(to(0, "a"), "cost", 2)).await;
        scene.wait_count("delivered", 1).await;
        let large = scene.daemon.send(QUEUE, &with(to(1, "a"), "cost", 2)).await;
        let small = scene.daemon.send(QUEUE, &to(2, "a")).await;
        for held in [&large, &small] {
            scene.wait_members(held, &json!({ "held_by": ["limit:per_to_month"] })).await;
        }

        scene.daemon.delete(&format!("/v1/messages/{large}")).await.expect(200);

        assert_eq!(scene.daemon.wait_final(&small).await["state"], "delivered");
        assert_sound(&scene.daemon).await;
    }
}

#[tokio::test]
async fn messages_without_the_key_share_the_empty_one() {
    let scene = Scene::start("limits = [{ quota = \"3/month\", per = \"labels.to\" }]").await;
    let without = (0..5).map(|number| message(number, &[]));
    let empty = (5..7).map(|number| to(number, ""));
    let sent: Vec<_> = without.chain(empty).chain([to(7, "a")]).collect();

    scene.send_all(&sent).await;

    scene.wait_count("delivered", 4).await;
    scene.wait_count("ready", 4).await;
    let seen = calls(&scene.downstream.requests());
    assert_eq!(of(&seen, "to", "").len(), 3);
    assert_eq!(limit(&scene.daemon, "per_to_month").await["held_keys"], 1);
}

#[tokio::test]
async fn three_nodes_share_the_quota_of_each_key_to_the_unit() {
    let lines = "limits = [{ quota = \"20/month\", per = \"labels.to\" }]";
    let scene = Scene::start(lines).await;
    let _others = others(&scene, lines, 2).await;
    let keys = ["a", "b", "c", "d"];
    let mut sent: Vec<_> = (0..120).map(|number| to(number, keys[number % 4])).collect();
    // 7 + 7 units; the third does not fit, and holds the one behind it.
    let heavy = [7, 7, 7, 1].map(|cost| with(to(200, "heavy"), "cost", cost));
    sent.extend(heavy);

    scene.send_all(&sent).await;

    scene.wait_count("delivered", 4 * 20 + 2).await;
    scene.wait_count("ready", 4 * 10 + 2).await;
    let used = used(&calls(&scene.downstream.requests()));
    let expected = [("a", 20), ("b", 20), ("c", 20), ("d", 20), ("heavy", 14)];
    assert_eq!(used, expected.map(|(key, units)| (key.to_owned(), units)).into());
    assert_eq!(limit(&scene.daemon, "per_to_month").await["held_keys"], 5);
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_key_never_has_more_calls_in_flight_than_its_concurrency() {
    let lines = "concurrency = 16\nlimits = [{ concurrency = 2, per = \"labels.customer\" }]";
    let scene = Scene::start(lines).await;
    let _others = others(&scene, lines, 2).await;
    let slow = Answer::ok().after(Duration::from_millis(30));
    let gate = Gate::new();
    let (held, free) = (Answer::ok().held_by(&gate), slow.clone());
    scene.downstream.answer_with(move |request| {
        let is_held = request.json()["labels"]["customer"] == "a";
        if is_held { held.clone() } else { free.clone() }
    });
    let of_customer = |number: usize| message(number, &[("customer", ["a", "b"][number / 20])]);

    let ids = scene.send_all(&(0..40).map(of_customer).collect::<Vec<_>>()).await;

    scene.wait_count("delivered", 20).await;
    assert_eq!(of(&calls(&scene.downstream.requests()), "customer", "a").len(), 2);
    let held = json!({ "held_by": ["limit:per_customer_concurrency"], "state": "ready" });
    scene.wait_members(&ids[19], &held).await;
    let shown = limit(&scene.daemon, "per_customer_concurrency").await;
    let members = ["kind", "per", "held_keys"].map(|name| shown[name].clone());
    assert_eq!(json!(members), json!(["concurrency", "labels.customer", 1]));
    scene.downstream.always(slow);
    gate.release();
    scene.wait_count("delivered", 40).await;
    let seen = calls(&scene.downstream.requests());
    for customer in ["a", "b"] {
        let seen = of(&seen, "customer", customer);
        assert_at_once(&seen, 2);
        let beside = seen.windows(2).filter(|pair| pair[0].answered > Some(pair[1].at)).count();
        assert!(beside >= 5, "two at once are used: {beside}");
    }
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_call_gives_its_concurrency_back_however_it_ends() {
    let lines =
        format!("{QUICK_RETRY}\nlimits = [{{ concurrency = 1, per = \"labels.customer\" }}]");
    let scene = Scene::start(&lines).await;
    for answer in [
        Answer::status(500),
        Answer::reset(),
        Answer::status(422),
        Answer::silence(),
        Answer::status(429).header("Retry-After", "1"),
    ] {
        scene.downstream.once(answer);
    }

    scene.send_all(&(0..6).map(|n| message(n, &[("customer", "a")])).collect::<Vec<_>>()).await;

    scene.wait_count("delivered", 5).await;
    scene.wait_count("dead", 1).await;
    assert_at_once(&calls(&scene.downstream.requests()), 1);
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_batch_leaves_held_messages_behind_and_fills_up_with_others() {
    let lines = "batch = { max_items = 4, max_wait = \"60s\" }\nlimits = [{ quota = \"2/month\", per = \"labels.to\" }]";
    let scene = Scene::start(lines).await;
    scene.queue_step("pause", &json!({})).await;
    let sent = ["a", "a", "a", "a", "b", "b", "c", "c"];
    let sent: Vec<_> = sent.iter().enumerate().map(|(number, key)| to(number, key)).collect();
    scene.send_all(&sent).await;
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 4).await;

    // Two that are free beside two that are held are not enough for a batch.
    scene.wait_count("ready", 4).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(scene.downstream.requests().len(), 1);
    scene.send_all(&[to(8, "d"), to(9, "d")]).await;

    scene.wait_count("delivered", 8).await;
    let seen = calls(&scene.downstream.requests());
    assert_eq!(numbers(&seen[..4]), [0, 1, 4, 5]);
    assert_eq!(numbers(&seen[4..]), [6, 7, 8, 9]);
    assert_eq!(scene.downstream.requests().len(), 2);
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_held_message_does_not_make_a_batch_leave() {
    let lines = "batch = { max_items = 4, max_wait = \"800ms\" }\nlimits = [{ quota = \"1/month\", per = \"labels.to\" }]";
    let scene = Scene::start(lines).await;
    scene.send_all(&[to(0, "a"), to(1, "a")]).await;
    scene.wait_count("delivered", 1).await;
    // The second one waits for longer than a batch would wait for it.
    tokio::time::sleep(Duration::from_millis(1200)).await;

    let sent = tokio::time::Instant::now();
    scene.daemon.send(QUEUE, &to(2, "b")).await;

    let seen = calls(&scene.downstream.wait_for(2).await);
    assert_eq!(numbers(&seen), [0, 2]);
    let waited = seen[1].at - sent;
    assert!((799..1500).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn further_attempts_take_units_of_their_key_anew() {
    let lines = format!("{QUICK_RETRY}\nlimits = [{{ quota = \"5/month\", per = \"labels.to\" }}]");
    let scene = Scene::start(&lines).await;
    scene.downstream.once(Answer::status(500));
    scene.downstream.once(Answer::status(500));
    let first = scene.daemon.send(QUEUE, &to(0, "a")).await;
    assert_eq!(scene.daemon.wait_final(&first).await["attempts"], 3);

    scene.send_all(&[1, 2, 3].map(|number| to(number, "a"))).await;

    scene.wait_count("delivered", 3).await;
    scene.wait_count("ready", 1).await;
    assert_eq!(units(&calls(&scene.downstream.requests())), 5);
    // One that waits for another attempt finds nothing left either.
    scene.downstream.once(Answer::status(500));
    let retried = with(to(4, "b"), "cost", 3);
    let retried = scene.daemon.send(QUEUE, &retried).await;
    let held = json!({ "held_by": ["limit:per_to_month"], "attempts": 1, "state": "ready" });
    scene.wait_members(&retried, &held).await;
    assert_sound(&scene.daemon).await;
}

/// Batches of four are refused until each message is alone: three calls for each.
async fn halves(quota: u64) -> (Scene, BTreeMap<String, u64>) {
    let lines = format!(
        "{QUICK_RETRY}\nbatch = {{ max_items = 4, max_wait = \"100ms\" }}\nlimits = [{{ quota = \"{quota}/month\", per = \"labels.to\" }}]"
    );
    let scene = Scene::start(&lines).await;
    scene.downstream.answer_with(|request| {
        if request.items().len() > 1 { Answer::status(413) } else { Answer::ok() }
    });
    scene.queue_step("pause", &json!({})).await;
    let sent: Vec<_> = ["a", "a", "b", "b"].iter().enumerate().map(|(n, key)| to(n, key)).collect();
    scene.send_all(&sent).await;
    scene.queue_step("resume", &json!({})).await;
    // With a unit too few, the last one of each key has to wait.
    scene.wait_count("delivered", if quota < 6 { 2 } else { 4 }).await;
    let used = used(&calls(&scene.downstream.requests()));
    (scene, used)
}

#[tokio::test]
async fn halves_of_a_batch_take_units_of_their_keys_anew() {
    let (scene, used) = halves(6).await;

    assert_eq!(used, [("a".to_owned(), 6), ("b".to_owned(), 6)].into());
    let held = scene.daemon.send(QUEUE, &to(4, "a")).await;
    scene.wait_members(&held, &json!({ "held_by": ["limit:per_to_month"] })).await;
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_half_whose_key_has_no_unit_left_waits_and_costs_no_attempt() {
    let (scene, used) = halves(5).await;

    assert_eq!(used, [("a".to_owned(), 5), ("b".to_owned(), 5)].into());
    scene.wait_count("ready", 2).await;
    let path = format!("/v1/queues/{QUEUE}/messages?state=ready");
    let ready = scene.daemon.get(&path).await.expect(200).json()["messages"].clone();
    for message in ready.as_array().expect("a page") {
        // A batch of so few gathers, too.
        assert_eq!(message["held_by"][0], "limit:per_to_month", "{message}");
        assert_eq!(message["attempts"], 0, "{message}");
    }
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_stop_gives_back_the_units_that_keys_have_not_used() {
    let redis = RedisServer::start().await;
    let downstream = Downstream::start().await;
    let lines = "rate = \"20/s\"\nlimits = [{ quota = \"6/month\", per = \"labels.to\" }]";
    let mut daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, lines)).await;
    // Two more than the quotas let through.
    let sent: Vec<_> = (0..14).map(|number| to(number, ["a", "b"][number % 2])).collect();
    daemon.post(&format!("/v1/queues/{QUEUE}/messages/batch"), &json!(sent)).await.expect(200);

    // Each stop finds messages that are claimed and wait for their slots.
    for calls in [3, 6, 9] {
        downstream.wait_for(calls).await;
        assert_eq!(daemon.sigterm().await, 0);
        daemon.restart().await;
    }

    let patience = Duration::from_secs(10);
    poll_until_within(patience, "all are delivered", async || {
        (daemon.counts(QUEUE).await["delivered"] == 12).then_some(())
    })
    .await;
    assert_eq!(daemon.counts(QUEUE).await["ready"], 2);
    let seen = calls(&downstream.requests());
    assert_eq!(used(&seen), [("a".to_owned(), 6), ("b".to_owned(), 6)].into());
    assert_sound(&daemon).await;
}
