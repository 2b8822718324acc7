//! The API as a producer or a conformance check meets it: idempotency, batches, lists, states, waits.
//!
//! Bad input is in `hostile`, the daemon as a service in `service`.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::support::http::Reply;
use crate::support::{Answer, Daemon, Gate, QUEUE, Scene, within};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");

fn messages() -> String {
    format!("/v1/queues/{QUEUE}/messages")
}

/// Sends a message with this `Idempotency-Key`.
async fn send_keyed(daemon: &Daemon, key: &str, body: &Value) -> Reply {
    let headers = [JSON, ("Idempotency-Key", key)];
    daemon.http().send(Method::POST, &messages(), &headers, body.to_string()).await
}

#[tokio::test]
async fn a_repeat_is_the_first_message_and_another_body_is_refused() {
    let scene = Scene::start("").await;
    let body = json!({ "payload": { "n": 1 }, "delay": "1h" });
    let first = send_keyed(&scene.daemon, "\"key-1\"", &body).await.expect(201);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), format!("/v1/messages/{id}"));

    let mut keyed = body.clone();
    keyed["idempotency_key"] = json!("key-1");
    for repeat in [
        send_keyed(&scene.daemon, "key-1", &body).await,
        send_keyed(&scene.daemon, "\"key-1\"", &keyed).await,
        scene.daemon.post(&messages(), &keyed).await,
    ] {
        let repeat = repeat.expect(200).json();
        assert_eq!((&repeat["id"], &repeat["duplicate"]), (&json!(id), &json!(true)));
    }
    let other = json!({ "payload": { "n": 2 }, "delay": "1h" });
    let refused = send_keyed(&scene.daemon, "key-1", &other).await.expect(422).json();
    assert_eq!(refused["code"], "idempotency-mismatch");
    let differs = send_keyed(&scene.daemon, "key-2", &keyed).await.expect(400).json();
    assert_eq!(differs["errors"][0]["pointer"], "/idempotency_key");

    assert_eq!(scene.daemon.counts(QUEUE).await["scheduled"], 1);
    let found = scene.daemon.get(&format!("{}?idempotency_key=key-1", messages())).await;
    let found = found.expect(200).json();
    assert_eq!(found["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["messages"][0]["id"], json!(id));
}

#[tokio::test]
async fn payloads_leave_byte_for_byte() {
    let scene = Scene::start("").await;
    let odd = "{ \"b\":1.50,\t\"a\" : 12345678901234567890123456789, \"a\":1e999, \"u\":\"\\u00e9\\ud83d\\ude00\" }";
    let mut ids = Vec::new();
    for body in [
        format!("{{\"payload\":{odd}}}"),
        "{\"payload_base64\":\"AAH/Cg==\",\"content_type\":\"application/x-bytes\"}".to_owned(),
        "{\"payload\":\"Gr\\u00fc\\u00dfe\\n\",\"content_type\":\"text/plain\"}".to_owned(),
        "{\"payload\":\"text as JSON\"}".to_owned(),
    ] {
        let sent = scene.daemon.http().send(Method::POST, &messages(), &[JSON], body).await;
        ids.push(sent.expect(201).json()["id"].as_str().unwrap().to_owned());
        scene.downstream.wait_for(ids.len()).await;
    }

    let requests = scene.downstream.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|request| (request.header("content-type").unwrap(), request.body.as_slice()))
        .collect();
    assert_eq!(
        seen,
        [
            ("application/json", odd.as_bytes()),
            ("application/x-bytes", b"\x00\x01\xff\n".as_slice()),
            ("text/plain", "Grüße\n".as_bytes()),
            ("application/json", b"\"text as JSON\"".as_slice()),
        ]
    );
    for (request, id) in requests.iter().zip(&ids) {
        assert_eq!((request.id(), request.header("idempotency-key")), (&**id, Some(&**id)));
        assert_eq!(request.header("tidegate-queue"), Some(QUEUE));
    }
}

#[tokio::test]
async fn ten_thousand_items_are_a_batch_and_one_more_is_too_many() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    let path = format!("{}/batch", messages());
    let row = |n: usize| format!("{{\"payload\":{n},\"idempotency_key\":\"k{n}\"}}");
    let array = |count| format!("[{}]", (0..count).map(row).collect::<Vec<_>>().join(","));
    let lines = |count| (0..count).map(row).collect::<Vec<_>>().join("\n");
    let send = async |kind, body: String| {
        let headers = [kind];
        let sent = scene.daemon.http().try_send(Method::POST, &path, &headers, body);
        within("a large batch", sent).await.expect("the daemon answers")
    };

    let first = send(JSON, array(10_000)).await.expect(200).json();
    let again = send(NDJSON, lines(10_000)).await.expect(200).json();
    let over = send(JSON, array(10_001)).await.expect(413).json();
    let over_lines = send(NDJSON, lines(10_001)).await.expect(413).json();

    for (answer, duplicate) in [(&first, false), (&again, true)] {
        assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(10_000), &json!(0)));
        for (index, result) in answer["results"].as_array().unwrap().iter().enumerate() {
            assert_eq!(
                (&result["index"], &result["duplicate"]),
                (&json!(index), &json!(duplicate))
            );
        }
    }
    assert_eq!(first["results"][9_999]["id"], again["results"][9_999]["id"]);
    assert_eq!((&over["code"], &over_lines["code"]), (&json!("too-large"), &json!("too-large")));
    assert_eq!(scene.daemon.counts(QUEUE).await["ready"], 10_000, "the 10,001st was not stored");
}

#[tokio::test]
async fn one_bad_item_never_rejects_its_neighbours() {
    let scene = Scene::start("").await;
    let lines =
        b"{\"payload\":1,\"delay\":\"1h\"}\r\n\n{\"payload\":\n\xff\xfe\n{\"priority\":10}\n\
        {\"payload\":2,\"delay\":\"1h\"}\n7"
            .to_vec();
    let path = format!("{}/batch", messages());

    let sent = scene.daemon.http().send(Method::POST, &path, &[NDJSON], lines).await;
    let answer = sent.expect(200).json();

    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(4)), "{answer}");
    let results = answer["results"].as_array().unwrap();
    let is_good: Vec<_> = results.iter().map(|result| result.get("id").is_some()).collect();
    assert_eq!(is_good, [true, false, false, false, true, false]);
    let pointers: Vec<_> = results[3]["problem"]["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/payload", "/priority"]);
    assert_eq!(scene.daemon.counts(QUEUE).await["scheduled"], 2);
}

#[tokio::test]
async fn a_cursor_walks_through_everything_once() {
    let scene = Scene::start("").await;
    let all: Vec<_> = (0..2_300).map(|n| json!({ "payload": n, "delay": "1h" })).collect();
    let sent: BTreeSet<_> = scene.send_all(&all).await.into_iter().collect();

    let (mut seen, mut pages) = (Vec::new(), Vec::new());
    let mut cursor = String::new();
    loop {
        let path = format!("{}?state=scheduled&limit=1000{cursor}", messages());
        let page = scene.daemon.get(&path).await.expect(200).json();
        let ids = page["messages"].as_array().unwrap().iter();
        let before = seen.len();
        seen.extend(ids.map(|message| message["id"].as_str().unwrap().to_owned()));
        pages.push(seen.len() - before);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }

    assert_eq!(seen.len(), 2_300, "pages of {pages:?}");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), sent);
    assert!(pages.iter().all(|page| *page <= 1_000), "{pages:?}");
    let page = scene.daemon.get(&messages()).await.expect(200).json();
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(100), "limit is 100 by default");
}

/// Messages in every state that a caller can bring about, by the name of the state.
struct States {
    scene: Scene,
    _gate: Gate,
}

impl States {
    async fn start() -> Self {
        let scene = Scene::start("concurrency = 1\non_uncertain = \"park\"").await;
        Self { scene, _gate: Gate::new() }
    }

    /// A message in this state; the queue is paused for `ready`.
    async fn message(&self, state: &str) -> String {
        let Scene { daemon, downstream, .. } = &self.scene;
        let id = match state {
            "scheduled" => daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1h" })).await,
            "cancelled" => {
                let id = daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1h" })).await;
                daemon.delete(&format!("/v1/messages/{id}")).await.expect(200);
                id
            }
            "ready" => {
                self.scene.queue_step("pause", &json!({})).await;
                self.scene.send(1).await
            }
            "expired" => daemon.send(QUEUE, &json!({ "payload": 1, "ttl": "50ms" })).await,
            state => {
                downstream.once(match state {
                    "delivered" => Answer::ok(),
                    "dead" => Answer::status(422),
                    "uncertain" => Answer::status(500),
                    "leased" => Answer::silence(),
                    other => panic!("no way to {other}"),
                });
                self.scene.send(1).await
            }
        };
        self.scene.wait_state(&id, state).await;
        id
    }
}

#[tokio::test]
async fn every_step_holds_to_its_states() {
    let payload = json!({ "payload": 2 });
    let due = json!({ "delay": "2h" });
    // Steps in the order: cancel, reschedule, edit, run, requeue, resolve.
    for (state, statuses) in [
        ("scheduled", [200, 200, 200, 200, 409, 409]),
        ("uncertain", [200, 409, 200, 409, 200, 200]),
        ("delivered", [409, 409, 409, 409, 409, 409]),
        ("dead", [409, 409, 200, 409, 200, 409]),
        ("cancelled", [200, 409, 409, 409, 200, 409]),
        ("leased", [409, 409, 409, 409, 409, 409]),
        ("ready", [200, 200, 409, 200, 409, 409]),
    ] {
        let states = States::start().await;
        for (step, status) in statuses.into_iter().enumerate() {
            // A leased message holds the queue's only slot, and no step changes it.
            let id = match (state, step) {
                ("leased", 1..) => None,
                _ => Some(states.message(state).await),
            };
            let daemon = &states.scene.daemon;
            let id = match id {
                Some(id) => id,
                None => only_id(daemon, state).await,
            };
            let path = format!("/v1/messages/{id}");
            let reply = match step {
                0 => daemon.delete(&path).await,
                1 => daemon.patch(&path, &due).await,
                2 => daemon.patch(&path, &payload).await,
                3 => daemon.post(&format!("{path}/run"), &json!({})).await,
                4 => daemon.post(&format!("{path}/requeue"), &json!({})).await,
                _ => daemon.post(&format!("{path}/resolve"), &json!({ "as": "dead" })).await,
            };
            assert_eq!(reply.status, status, "step {step} while {state}: {}", reply.text());
            let answer = reply.json();
            if status == 409 {
                assert_eq!(
                    (&answer["code"], &answer["state"]),
                    (&json!("wrong-state"), &json!(state))
                );
            } else {
                assert_eq!(answer["id"], json!(id));
            }
            if (step, status) == (4, 200) {
                // It is sent again, and must not take the answer meant for the next message.
                daemon.wait_final(&id).await;
            }
        }
    }
}

async fn only_id(daemon: &Daemon, state: &str) -> String {
    let listed = daemon.get(&format!("{}?state={state}", messages())).await.expect(200).json();
    listed["messages"][0]["id"].as_str().expect("one is in this state").to_owned()
}

#[tokio::test]
async fn a_past_expiry_is_cleared_by_requeue() {
    let states = States::start().await;
    states.scene.queue_step("pause", &json!({})).await;
    let id = states.message("expired").await;

    states.scene.step(&id, "requeue", &json!({})).await;

    let message = states.scene.daemon.message(&id).await;
    assert_eq!((&message["state"], &message["expires_at"]), (&json!("ready"), &Value::Null));
}

/// How often Redis has run scripts and read data since its statistics were reset.
async fn redis_calls(scene: &Scene) -> u64 {
    let stats: String = scene.redis.cli(&["INFO", "commandstats"]).await;
    let calls = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let is_ours = matches!(name, "evalsha" | "eval" | "hget" | "hgetall" | "hmget" | "get");
        is_ours.then(|| rest.split(',').next()?.parse::<u64>().ok())?
    };
    stats.lines().filter_map(calls).sum()
}

#[tokio::test]
async fn five_hundred_waiters_are_answered_at_once_and_poll_nothing() {
    let scene = Scene::start("").await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    let id = scene.send(1).await;
    scene.downstream.wait_for(1).await;
    let path = format!("/v1/messages/{id}?wait=30s");
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let (http, path) = (scene.daemon.http().clone(), path.clone());
        waiters.spawn(async move {
            let reply = http.try_send(Method::GET, &path, &[], "").await;
            reply.expect("the daemon answers").expect(200).json()["state"].clone()
        });
    }
    // Every waiter reads once; afterwards only the node's own loops speak with Redis. That they do
    // not poll is what is observed here, so this is a span of time and no waiting for something.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    scene.redis.cli::<()>(&["CONFIG", "RESETSTAT"]).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let calls = redis_calls(&scene).await;
    let released = tokio::time::Instant::now();
    gate.release();

    let states = within("500 answers", waiters.join_all()).await;

    assert!(calls < 100, "{calls} calls in 2 s while 500 wait");
    assert!(states.iter().all(|state| state == "delivered"), "{states:?}");
    assert!(released.elapsed() < std::time::Duration::from_secs(3), "{:?}", released.elapsed());
}

#[tokio::test]
async fn a_wait_that_ends_in_vain_shows_the_state() {
    let scene = Scene::start("").await;
    let id = scene.daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1h" })).await;
    let reply = scene.daemon.get(&format!("/v1/messages/{id}?wait=200ms")).await.expect(200);
    assert_eq!(reply.json()["state"], "scheduled");
    let reply = scene.daemon.get(&format!("/v1/messages/{id}?wait=61s")).await.expect(400);
    assert_eq!(reply.json()["errors"][0]["pointer"], "?wait");
}

#[tokio::test]
async fn a_step_on_a_message_of_which_nothing_is_kept_is_answered_without_a_body() {
    let scene = Scene::start("retention = { delivered = \"0s\" }").await;
    let daemon = &scene.daemon;
    let id = daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1h" })).await;
    let path = format!("/v1/messages/{id}");
    let reply = daemon.delete(&path).await.expect(204);
    assert!(reply.body.is_empty(), "{}", reply.text());
    daemon.get(&path).await.expect(404);
}
