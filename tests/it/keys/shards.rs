//! A queue with keys and several shards: each value of the key stands in one shard, whatever the way in, so that order
//! and limits hold as with one shard, over all nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::calls::{
    Call, assert_at_once, assert_in_order, assert_paced, assert_used, calls, message, of, units,
    with,
};
use super::{QUICK_RETRY, assert_sound, others};
use crate::limits::stacked::limit;
use crate::support::downstream::Request;
use crate::support::wait::poll_until_within;
use crate::support::{
    Answer, Daemon, Downstream, QUEUE, RedisServer, Scene, Stalls, eventually, queue_toml,
};

const SHARDS: usize = 4;

/// Messages of so many values of a label in turns.
fn in_turns(label: &str, count: usize, keys: usize) -> Vec<Value> {
    let one = |number: usize| message(number, &[(label, &format!("k{}", number % keys))]);
    (0..count).map(one).collect()
}

/// The shard that an id names: by its first two random characters.
fn shard_of(id: &str) -> usize {
    const ALPHABET: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let ulid = id.rsplit('_').next().expect("an id ends with a ULID");
    let digit = |at: usize| ALPHABET.find(&ulid[at..=at]).expect("a digit of a ULID");
    (digit(10) * 32 + digit(11)) % SHARDS
}

fn of_key(seen: &[Call], label: &str, key: usize) -> Vec<Call> {
    of(seen, label, &format!("k{key}"))
}

#[tokio::test]
async fn a_key_keeps_its_order_through_failures_in_four_shards_over_three_nodes() {
    const KEYS: usize = 12;
    let lines =
        format!("{QUICK_RETRY}\nshards = {SHARDS}\nconcurrency = 32\nordering = \"labels.order\"");
    let scene = Scene::start(&lines).await;
    let _others = others(&scene, &lines, 2).await;
    let slow = |status| Answer::status(status).after(Duration::from_millis(10));
    scene.downstream.answer_with(move |request| {
        match (request.json()["n"].as_u64().map(|n| n % 7), request.attempt()) {
            (Some(0), 1) => slow(500),
            (Some(1), 1..=2) => Answer::reset(),
            (Some(2), 1) => Answer::silence(),
            (Some(3), _) => slow(422),
            _ => slow(200),
        }
    });

    let ids = scene.send_all(&in_turns("order", KEYS * 14, KEYS)).await;

    scene.wait_count("delivered", KEYS * 12).await;
    scene.wait_count("dead", KEYS * 2).await;
    let seen = calls(&scene.downstream.requests());
    for key in 0..KEYS {
        let seen = of_key(&seen, "order", key);
        assert_in_order(&seen);
        assert!(seen.len() > 14, "some were tried again");
        let shards: BTreeSet<_> =
            ids.iter().skip(key).step_by(KEYS).map(|id| shard_of(id)).collect();
        assert_eq!(shards.len(), 1);
    }
    let shards: BTreeSet<_> = ids.iter().map(|id| shard_of(id)).collect();
    assert_eq!(shards.len(), SHARDS);
    assert!(scene.downstream.in_flight_max() > 1, "keys go beside one another");
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn the_rate_of_each_key_is_exact_and_used_in_four_shards_over_three_nodes() {
    const KEYS: usize = 6;
    let lines = format!(
        "shards = {SHARDS}\nrate = \"200/s\"\nconcurrency = 32\nlimits = [{{ rate = \"10/s\", per = \"labels.from\" }}]"
    );
    let stalls = Stalls::watch();
    let scene = Scene::start(&lines).await;
    let _others = others(&scene, &lines, 2).await;

    scene.queue_step("pause", &json!({ "reason": "until all are there" })).await;
    scene.send_all(&in_turns("from", KEYS * 25, KEYS)).await;
    scene.queue_step("resume", &json!({})).await;

    let seen = calls(&came(&scene, KEYS * 25).await);
    assert_paced(&stalls, &seen, 200.0, 1);
    for key in 0..KEYS {
        let seen = of_key(&seen, "from", key);
        assert_paced(&stalls, &seen, 10.0, 1);
        assert_used(&stalls, &seen, 10.0, 1);
    }
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn the_rate_of_the_queue_is_used_wholly_while_keys_are_held_in_turns() {
    const KEYS: usize = 36;
    let lines = format!(
        "shards = {SHARDS}\nrate = \"60/s\"\nconcurrency = 32\nlimits = [{{ rate = \"5/s\", per = \"labels.from\" }}]"
    );
    let stalls = Stalls::watch();
    let scene = Scene::start(&lines).await;
    let _others = others(&scene, &lines, 2).await;
    let mut sent = in_turns("from", KEYS * 6, KEYS);
    sent.sort_by_key(|message| message["labels"]["from"].to_string());

    scene.queue_step("pause", &json!({ "reason": "until all are there" })).await;
    scene.send_all(&sent).await;
    scene.queue_step("resume", &json!({})).await;

    let seen = calls(&came(&scene, sent.len()).await);
    assert_paced(&stalls, &seen, 60.0, 1);
    for key in 0..KEYS {
        assert_paced(&stalls, &of_key(&seen, "from", key), 5.0, 1);
    }
    // Twelve keys use it wholly. At the end too few are left.
    assert_used(&stalls, &seen[..KEYS * 4], 60.0, 1);
}

/// Waits until so many requests have come, also on a machine that makes most permits void.
async fn came(scene: &Scene, count: usize) -> Vec<Request> {
    poll_until_within(Duration::from_secs(120), "all came", async || {
        Some(scene.downstream.requests()).filter(|requests| requests.len() >= count)
    })
    .await
}

#[tokio::test]
async fn quotas_of_the_queue_and_of_each_key_are_exact_to_the_unit() {
    let lines = format!(
        "shards = {SHARDS}\nlimits = [{{ quota = \"100/month\" }}, {{ quota = \"15/month\", per = \"labels.to\" }}]"
    );
    let scene = Scene::start(&lines).await;
    let _others = others(&scene, &lines, 2).await;

    scene.send_all(&in_turns("to", 8 * 20, 8)).await;

    // Eight keys of 15 units would be 120.
    scene.wait_count("delivered", 100).await;
    scene.wait_count("ready", 60).await;
    let seen = calls(&scene.downstream.requests());
    assert_eq!(units(&seen), 100);
    for key in 0..8 {
        assert!(units(&of_key(&seen, "to", key)) <= 15);
    }
    assert_eq!(limit(&scene.daemon, "quota_month").await["used"], 100);
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_key_never_has_more_calls_in_flight_than_its_concurrency_in_four_shards() {
    let lines = format!(
        "shards = {SHARDS}\nconcurrency = 32\nrate = \"400/s\"\nlimits = [{{ concurrency = 2, per = \"labels.customer\" }}]"
    );
    let scene = Scene::start(&lines).await;
    let _others = others(&scene, &lines, 2).await;
    scene.downstream.always(Answer::ok().after(Duration::from_millis(30)));

    scene.send_all(&in_turns("customer", 120, 6)).await;

    scene.wait_count("delivered", 120).await;
    let seen = calls(&scene.downstream.requests());
    for key in 0..6 {
        assert_at_once(&of_key(&seen, "customer", key), 2);
    }
    assert!(scene.downstream.in_flight_max() > 2, "keys go beside one another");
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_batch_holds_one_message_of_a_key_and_keeps_their_order() {
    let lines = format!(
        "{QUICK_RETRY}\nshards = {SHARDS}\nrate = \"50/s\"\nordering = \"labels.order\"\nbatch = {{ max_items = 4, max_wait = \"50ms\" }}"
    );
    let scene = Scene::start(&lines).await;
    scene.downstream.once(Answer::status(500));

    scene.send_all(&in_turns("order", 120, 12)).await;

    scene.wait_count("delivered", 120).await;
    let requests = scene.downstream.requests();
    let seen = calls(&requests);
    for key in 0..12 {
        assert_in_order(&of_key(&seen, "order", key));
    }
    assert!(requests.len() < 100, "{} calls for 120 messages", requests.len());
}

#[tokio::test]
async fn an_idempotency_key_is_known_in_the_shard_of_its_message() {
    let lines = format!("shards = {SHARDS}\nordering = \"labels.order\"");
    let scene = Scene::start(&lines).await;
    let path = format!("/v1/queues/{QUEUE}/messages");
    let send = async |order: &str| {
        let body = with(message(1, &[("order", order)]), "idempotency_key", "i");
        scene.daemon.post(&path, &body).await
    };

    let first = send("c").await.expect(201).json();
    let again = send("c").await.expect(200).json();
    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));
    // "a" and "b" share a shard, "c" has another one.
    let other = send("a").await.expect(201).json();
    assert_ne!(other["id"], first["id"]);
    assert_eq!(send("b").await.expect(422).json()["code"], "idempotency-mismatch");

    let found = scene.daemon.get(&format!("{path}?idempotency_key=i")).await.expect(200).json();
    let found = found["messages"].as_array().expect("a page").iter();
    let found: BTreeSet<_> = found.map(|message| message["id"].to_string()).collect();
    assert_eq!(found, [first["id"].to_string(), other["id"].to_string()].into());
}

#[tokio::test]
async fn every_way_in_leads_to_the_shard_of_the_key() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let queue = queue_toml(QUEUE, &downstream, &format!("shards = {SHARDS}\nordering = \"group\""));
    let other = queue_toml("other", &downstream, "");
    let toml = format!(
        "{queue}{other}[inbox]\nenabled = true\n[topics.t]\nqueues = [\"{QUEUE}\"]\n[schedules.s]\nqueue = \"{QUEUE}\"\nevery = \"1s\"\npayload = 1\ngroup = \"g0\"\n"
    );
    let daemon = Daemon::start(&redis, toml).await;
    let groups: Vec<String> = (0..8).map(|number| format!("g{number}")).collect();
    let body = |group: &str| json!({ "payload": 1, "group": group });
    daemon.post("/v1/queues/other/pause", &json!({})).await.expect(200);
    for group in &groups {
        daemon.send(QUEUE, &body(group)).await;
        daemon.send(QUEUE, &with(body(group), "idempotency_key", format!("of {group}"))).await;
        daemon.send("other", &body(group)).await;
        daemon.post("/v1/topics/t/messages", &body(group)).await.expect(201);
    }
    let rows: Vec<_> = groups.iter().map(|group| body(group)).collect();
    daemon.post(&format!("/v1/queues/{QUEUE}/messages/batch"), &json!(rows)).await.expect(200);
    let mut connection = redis.connect().await.expect("redis-server accepts connections");
    for group in &groups {
        let mut add = redis::cmd("XADD");
        add.arg("tidegate:inbox:jobs").arg("*").arg("payload").arg("1").arg("group").arg(group);
        add.query_async::<String>(&mut connection).await.expect("the stream takes it");
    }
    let step =
        json!({ "action": "move", "queue": "other", "state": "ready", "all": true, "to": QUEUE });
    daemon.post("/v1/operations", &step).await.expect(202);
    let all = groups.len() * 6;
    eventually("all came", async || {
        daemon.counts(QUEUE).await["delivered"].as_u64() >= Some(all as u64 + 1)
    })
    .await;

    let path = format!("/v1/queues/{QUEUE}/messages?state=delivered&limit=500");
    let listed =
        daemon.http().send(Method::GET, &path, &[], String::new()).await.expect(200).json();
    let mut met: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for message in listed["messages"].as_array().expect("a page") {
        let group = message["group"].as_str().expect("all have one").to_owned();
        met.entry(group).or_default().insert(shard_of(message["id"].as_str().expect("an id")));
    }
    assert_eq!(met.len(), groups.len());
    assert!(met.values().all(|shards| shards.len() == 1), "{met:?}");
    let shards: BTreeSet<_> = met.values().flatten().collect();
    assert!(shards.len() > 1, "{met:?}");
}
