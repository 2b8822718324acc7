//! Order: of one key one message at a time, in the order of acceptance, whatever becomes of the attempts.

use std::time::Duration;

use serde_json::{Value, json};

use super::calls::{assert_at_once, assert_in_order, calls, message, numbers, of, with};
use super::{QUICK_RETRY, assert_sound, others};
use crate::support::downstream::Request;
use crate::support::{
    Answer, Cluster, Daemon, Downstream, Gate, QUEUE, RedisServer, Scene, batch_results,
    eventually, queue_toml,
};

fn ordered(lines: &str) -> String {
    format!("{QUICK_RETRY}\nordering = \"labels.order\"\n{lines}")
}

fn in_order(number: usize, key: &str) -> Value {
    message(number, &[("order", key)])
}

/// Messages of so many keys in turns.
fn in_turns(count: usize, keys: usize) -> Vec<Value> {
    (0..count).map(|number| in_order(number, &format!("k{}", number % keys))).collect()
}

fn number(request: &Request) -> u64 {
    request.json()["n"].as_u64().expect("the body says the number")
}

#[tokio::test]
async fn a_key_goes_one_at_a_time_in_its_order_through_failures_over_three_nodes() {
    const KEYS: usize = 6;
    let lines = ordered("concurrency = 32");
    let scene = Scene::start(&lines).await;
    let _others = others(&scene, &lines, 2).await;
    let slow = |status| Answer::status(status).after(Duration::from_millis(10));
    scene.downstream.answer_with(move |request| match (number(request) % 7, request.attempt()) {
        (0, 1) => slow(500),
        (1, 1..=2) => Answer::reset(),
        (2, 1) => Answer::silence(),
        (3, _) => slow(422),
        _ => slow(200),
    });

    scene.send_all(&in_turns(KEYS * 14, KEYS)).await;

    scene.wait_count("delivered", KEYS * 12).await;
    scene.wait_count("dead", KEYS * 2).await;
    let seen = calls(&scene.downstream.requests());
    for key in 0..KEYS {
        let seen = of(&seen, "order", &format!("k{key}"));
        assert_in_order(&seen);
        assert!(seen.len() > 14, "some were tried again");
    }
    assert!(scene.downstream.in_flight_max() > 1, "keys go beside one another");
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_throttled_message_keeps_its_place() {
    let scene = Scene::start(&ordered("")).await;
    scene.downstream.once(Answer::status(429).header("Retry-After", "1"));

    scene.send_all(&in_turns(8, 2)).await;

    scene.wait_count("delivered", 8).await;
    let seen = calls(&scene.downstream.requests());
    for key in ["k0", "k1"] {
        // A throttled call was not an attempt, so that the same one comes again as the first.
        let of_key = of(&seen, "order", key);
        assert_at_once(&of_key, 1);
        assert!(numbers(&of_key).is_sorted(), "{:?}", numbers(&of_key));
    }
    let of_key = of(&seen, "order", seen[0].label("order"));
    assert_eq!(of_key[0].number, of_key[1].number, "first of all, once the gate is open");
    assert!(of_key[1].at - of_key[0].at >= Duration::from_secs(1));
}

#[tokio::test]
async fn rows_of_one_request_go_in_the_order_of_the_rows() {
    let scene = Scene::start(&ordered("")).await;

    scene.send_all(&in_turns(400, 2)).await;

    let seen = calls(&scene.downstream.wait_for(400).await);
    for key in ["k0", "k1"] {
        let seen = of(&seen, "order", key);
        assert_eq!(seen.len(), 200);
        assert_in_order(&seen);
    }
}

#[tokio::test]
async fn entries_of_a_stream_go_in_the_order_of_the_stream() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let lines = format!("{QUICK_RETRY}\nordering = \"group\"");
    let toml = queue_toml(QUEUE, &downstream, &lines) + "[inbox]\nenabled = true\n";
    let _daemon = Daemon::start(&redis, toml).await;

    let mut connection = redis.connect().await.expect("redis-server accepts connections");
    for number in 0..200 {
        let payload = in_order(number, "g")["payload"].to_string();
        let mut add = redis::cmd("XADD");
        add.arg("tidegate:inbox:jobs").arg("*").arg("payload").arg(payload).arg("group").arg("g");
        add.query_async::<String>(&mut connection).await.expect("the stream takes it");
    }

    let seen = calls(&downstream.wait_for(200).await);
    assert_in_order(&seen);
}

#[tokio::test]
async fn messages_without_the_key_are_in_no_order() {
    let scene = Scene::start(&ordered("concurrency = 4")).await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    let without = |number| message(number, &[]);

    scene.send_all(&(0..6).map(without).collect::<Vec<_>>()).await;

    scene.downstream.wait_for(4).await;
    gate.release();
    scene.wait_count("delivered", 6).await;
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn what_waits_for_the_one_ahead_says_so_and_names_it() {
    let scene = Scene::start(&ordered("")).await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    let ids = scene.send_all(&in_turns(4, 1)).await;
    scene.downstream.wait_for(1).await;

    let held = json!({ "held_by": ["order"], "blocked_by": [{ "id": ids[0] }], "state": "ready" });
    for id in &ids[1..] {
        scene.wait_members(id, &held).await;
    }
    let listed = format!("/v1/queues/{QUEUE}/messages?state=ready");
    let listed = scene.daemon.get(&listed).await.expect(200).json();
    for message in listed["messages"].as_array().expect("a page") {
        assert_eq!(message["blocked_by"], json!([{ "id": ids[0] }]), "{message}");
    }
    let told = scene.daemon.cli(&["get", &ids[3]]).await.stdout;
    assert!(told.contains(&ids[0]), "{told}");

    gate.release();
    scene.wait_count("delivered", 4).await;
    assert_in_order(&calls(&scene.downstream.requests()));
}

#[tokio::test]
async fn a_batch_has_one_message_of_a_key_at_most() {
    let lines = ordered("batch = { max_items = 4, max_wait = \"150ms\" }");
    let scene = Scene::start(&lines).await;
    // Some are to be tried again, some are dead, and the others have to wait for them.
    scene.downstream.answer_with(|request| {
        batch_results(request, |item| {
            let number = item["payload"]["n"].as_u64().expect("a number");
            match (number % 5, item["attempt"].as_u64()) {
                (1, Some(1)) => Some("retry"),
                (2, _) => Some("dead"),
                _ => Some("delivered"),
            }
        })
        .after(Duration::from_millis(10))
    });

    scene.send_all(&in_turns(30, 3)).await;

    scene.wait_count("delivered", 24).await;
    scene.wait_count("dead", 6).await;
    let requests = scene.downstream.requests();
    for request in &requests {
        let of_batch = calls(std::slice::from_ref(request));
        let mut keys: Vec<_> = of_batch.iter().map(|call| call.label("order")).collect();
        keys.dedup();
        assert_eq!(keys.len(), of_batch.len(), "{keys:?}");
    }
    for key in ["k0", "k1", "k2"] {
        assert_in_order(&of(&calls(&requests), "order", key));
    }
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_full_batch_takes_messages_of_as_many_keys() {
    let lines = ordered("batch = { max_items = 4, max_wait = \"60s\" }");
    let scene = Scene::start(&lines).await;

    // Many of one key are not a batch, since only one of them may be in it.
    scene.send_all(&in_turns(8, 1)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(scene.downstream.requests().len(), 0);
    let others = ["x", "y", "z"].iter().enumerate().map(|(number, key)| in_order(10 + number, key));
    scene.send_all(&others.collect::<Vec<_>>()).await;

    let seen = calls(&scene.downstream.wait_for(1).await);
    let mut numbers = numbers(&seen);
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 10, 11, 12]);
}

#[tokio::test]
async fn order_and_limits_by_another_key_hold_together() {
    let lines = ordered(
        "limits = [{ rate = \"10/s\", per = \"labels.from\" }, { concurrency = 2, per = \"labels.from\" }]",
    );
    let stalls = crate::support::Stalls::watch();
    let scene = Scene::start(&lines).await;
    let _others = others(&scene, &lines, 1).await;
    scene.downstream.always(Answer::ok().after(Duration::from_millis(50)));
    // The messages of a key are of different senders: its head decides.
    let one = |number: usize| {
        let (key, from) = (format!("k{}", number % 5), format!("f{}", number % 3));
        message(number, &[("order", &key), ("from", &from)])
    };

    scene.send_all(&(0..60).map(one).collect::<Vec<_>>()).await;

    scene.wait_count("delivered", 60).await;
    let seen = calls(&scene.downstream.requests());
    for key in 0..5 {
        assert_in_order(&of(&seen, "order", &format!("k{key}")));
    }
    for from in 0..3 {
        let seen = of(&seen, "from", &format!("f{from}"));
        super::calls::assert_paced(&stalls, &seen, 10.0, 1);
        assert_at_once(&seen, 2);
    }
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn order_holds_in_shards_where_all_keys_are_the_same() {
    let cluster = Cluster::shared().await;
    let downstream = Downstream::start().await;
    let lines = ordered(
        "shards = 4\nconcurrency = 32\nrate = \"100/s\"\nfairness = \"labels.order\"\nlimits = [{ rate = \"20/s\", per = \"labels.order\" }]",
    );
    let stalls = crate::support::Stalls::watch();
    let toml = queue_toml(QUEUE, &downstream, &lines);
    let daemon = Daemon::with(toml).cluster(cluster).start().await;
    downstream.answer_with(|request| {
        let status =
            if number(request).is_multiple_of(5) && request.attempt() == 1 { 500 } else { 200 };
        Answer::status(status)
    });

    let sent = in_turns(120, 12);
    daemon.post(&format!("/v1/queues/{QUEUE}/messages/batch"), &json!(sent)).await.expect(200);

    eventually("all are delivered", async || daemon.counts(QUEUE).await["delivered"] == 120).await;
    let seen = calls(&downstream.requests());
    super::calls::assert_paced(&stalls, &seen, 100.0, 1);
    for key in 0..12 {
        let seen = of(&seen, "order", &format!("k{key}"));
        assert_in_order(&seen);
        super::calls::assert_paced(&stalls, &seen, 20.0, 1);
    }
}

#[tokio::test]
async fn a_repeat_of_an_idempotency_key_takes_no_second_place() {
    let scene = Scene::start(&ordered("")).await;
    scene.queue_step("pause", &json!({})).await;
    let keyed = |number, key: &str| with(in_order(number, "k"), "idempotency_key", key);
    scene.send_all(&[keyed(0, "one"), keyed(1, "two"), keyed(0, "one"), keyed(2, "three")]).await;

    scene.queue_step("resume", &json!({})).await;

    scene.wait_count("delivered", 3).await;
    assert_eq!(numbers(&calls(&scene.downstream.requests())), [0, 1, 2]);
    assert_sound(&scene.daemon).await;
}
