//! Callbacks: every final state is told, once, to whoever left a number; and nobody waits for a host
//! that does not pick up.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::downstream::Request;
use crate::support::{
    Answer, Cluster, Daemon, Downstream, Gate, QUEUE, RedisServer, Scene, eventually, queue_toml,
};

const SECRET: &str = "a secret";
const TOLD: &str = "jobs~callbacks";

/// A line of TOML: everything is told to `receiver`.
fn tells(receiver: &Downstream, more: &str) -> String {
    let url = receiver.url("/hook");
    let on = "[\"delivered\", \"dead\", \"expired\", \"cancelled\"]";
    format!(
        "callback = {{ url = \"{url}\", on = {on}, signing_secret = \"{SECRET}\", retry = {{ initial = \"20ms\" }}{more} }}"
    )
}

async fn scene(more: &str) -> (Scene, Downstream) {
    let receiver = Downstream::start().await;
    (Scene::start(&tells(&receiver, more)).await, receiver)
}

/// The callbacks that arrived about a message, in order.
fn about(receiver: &Downstream, id: &str) -> Vec<Request> {
    receiver.requests().into_iter().filter(|request| request.json()["subject"] == id).collect()
}

async fn told(receiver: &Downstream, id: &str) -> Request {
    eventually(&format!("{id} is told"), async || !about(receiver, id).is_empty()).await;
    about(receiver, id).remove(0)
}

/// Standard Webhooks: id, timestamp and body, signed.
fn assert_signed(request: &Request) {
    let timestamp = request.header("webhook-timestamp").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{}.{timestamp}.", request.id()).as_bytes());
    mac.update(&request.body);
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(request.header("webhook-signature"), Some(signature.as_str()));
}

/// The exact event about a message that is final and as GET shows it.
async fn assert_event(daemon: &Daemon, request: &Request, id: &str, state: &str) {
    let message = daemon.message(id).await;
    assert_eq!(message["state"], state);
    let expected = json!({
        "specversion": "1.0",
        "id": request.id(),
        "source": "/v1/queues/jobs",
        "type": format!("tidegate.message.{state}"),
        "subject": id,
        "time": message["final_at"],
        "datacontenttype": "application/json",
        "data": message,
    });
    assert_eq!(request.json(), expected);
    assert!(request.id().starts_with("jobs~callbacks_"), "{}", request.id());
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
    assert_eq!(request.header("content-type"), Some("application/cloudevents+json"));
    assert_eq!(request.header("tidegate-queue"), Some(TOLD));
    assert_signed(request);
}

#[tokio::test]
async fn every_final_state_is_told_as_a_signed_event() {
    let (scene, receiver) = scene("").await;
    let daemon = &scene.daemon;
    let answer = Answer::ok().json(&json!({ "booked": 7 }));
    scene.downstream.once(answer);
    let delivered = scene.send("a").await;
    daemon.wait_final(&delivered).await;
    scene.downstream.once(Answer::status(400).body("no such number"));
    let dead = scene.send("b").await;
    daemon.wait_final(&dead).await;
    scene.queue_step("pause", &json!({})).await;
    let short_lived = json!({ "payload": "c", "ttl": "1s", "labels": { "a": "b" } });
    let expired = daemon.send(QUEUE, &short_lived).await;
    let cancelled = daemon.send(QUEUE, &json!({ "payload": "d", "delay": "1h" })).await;
    daemon.delete(&format!("/v1/messages/{cancelled}")).await.expect(200);

    for (id, state) in [
        (&delivered, "delivered"),
        (&dead, "dead"),
        (&cancelled, "cancelled"),
        (&expired, "expired"),
    ] {
        let request = told(&receiver, id).await;
        assert_event(daemon, &request, id, state).await;
    }
    let data = &about(&receiver, &delivered)[0].json()["data"];
    assert_eq!(data["result"]["body"], "{\"booked\":7}");
    assert_eq!(data["callback"]["on"], json!(["delivered", "dead", "expired", "cancelled"]));
    eventually("the callbacks are delivered", async || daemon.counts(TOLD).await["delivered"] == 4)
        .await;
    assert_eq!(receiver.requests().len(), 4);
}

#[tokio::test]
async fn what_operators_decide_is_told_too() {
    let receiver = Downstream::start().await;
    let lines = format!("on_uncertain = \"park\"\n{}", tells(&receiver, ""));
    let scene = Scene::start(&lines).await;
    let daemon = &scene.daemon;
    scene.downstream.always(Answer::reset());
    let (found, lost) = (scene.send("found").await, scene.send("lost").await);
    scene.wait_count("uncertain", 2).await;
    assert!(receiver.requests().is_empty(), "nothing is final yet");

    let seen = json!({ "as": "delivered", "reason": "seen in their log" });
    scene.step(&found, "resolve", &seen).await;
    scene.step(&lost, "resolve", &json!({ "as": "dead" })).await;
    let purged = daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1h" })).await;
    scene.queue_step("purge", &json!({ "state": "scheduled" })).await;

    for (id, state) in [(&found, "delivered"), (&lost, "dead"), (&purged, "cancelled")] {
        let request = told(&receiver, id).await;
        assert_event(daemon, &request, id, state).await;
    }
}

#[tokio::test]
async fn a_message_says_for_itself_what_is_told_and_to_whom() {
    let (hook, own) = tokio::join!(Downstream::start(), Downstream::start());
    let host = own.url("").replace("http://", "");
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let queue = queue_toml(QUEUE, &downstream, &tells(&hook, ""));
    let other = queue_toml("plain", &downstream, "");
    let config = format!("[server]\ncallback_hosts = [\"{host}\"]\n{queue}{other}");
    let daemon = Daemon::start(&redis, config).await;
    let send = async |queue: &str, callback: Value| {
        daemon.send(queue, &json!({ "payload": 1, "callback": callback })).await
    };

    let own_url = send("plain", json!({ "url": own.url("/mine") })).await;
    let nobody = send(QUEUE, json!({ "on": [] })).await;
    let only_dead = send(QUEUE, json!({ "on": ["dead"] })).await;
    let both = send(QUEUE, json!({ "url": own.url("/too"), "on": ["delivered"] })).await;

    assert_eq!(told(&own, &own_url).await.path, "/mine");
    let request = told(&own, &both).await;
    // The queue's secret signs; its own url gets nothing.
    assert_signed(&request);
    let shown = &request.json()["data"]["callback"];
    assert_eq!(*shown, json!({ "url": own.url("/too"), "on": ["delivered"] }));
    for id in [&nobody, &only_dead] {
        daemon.wait_final(id).await;
    }
    let last = daemon.send(QUEUE, &json!({ "payload": 2 })).await;
    told(&hook, &last).await;
    assert_eq!((hook.requests().len(), own.requests().len()), (1, 2));
}

#[tokio::test]
async fn what_nobody_may_be_told_is_refused_with_the_remedy() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = format!(
        "[server]\ncallback_hosts = [\"shop.example\"]\n{}",
        queue_toml(QUEUE, &downstream, "")
    );
    let daemon = Daemon::start(&redis, config).await;
    let path = format!("/v1/queues/{QUEUE}/messages");
    for (callback, pointer, remedy) in [
        (json!({ "url": "https://evil.example/x" }), "/callback/url", "server.callback_hosts"),
        (json!({ "url": "https://a.shop.example/" }), "/callback/url", "server.callback_hosts"),
        (json!({ "on": ["dead"] }), "/callback", "queues.jobs.callback.url"),
        (json!({ "url": "ftp://shop.example/" }), "/callback/url", "http or https"),
        (json!({ "on": ["done"] }), "/callback/on", "\"cancelled\""),
    ] {
        let message = json!({ "payload": 1, "callback": callback });
        let error = &daemon.post(&path, &message).await.expect(400).json()["errors"][0];
        assert_eq!(error["pointer"], pointer, "{message}");
        assert!(error["detail"].as_str().unwrap().contains(remedy), "{error}");
        let batch = json!([message, { "payload": 2 }]);
        let reply = daemon.post(&format!("{path}/batch"), &batch).await.expect(200).json();
        assert_eq!((&reply["accepted"], &reply["rejected"]), (&json!(1), &json!(1)), "{reply}");
    }
    let message = json!({ "payload": 1 });
    let refused = daemon.post("/v1/queues/jobs~callbacks/messages", &message).await.expect(404);
    let detail = refused.json()["detail"].clone();
    assert!(detail.as_str().unwrap().contains("takes no messages"), "{detail}");
}

#[tokio::test]
async fn a_queue_without_callbacks_keeps_and_shows_none() {
    let scene = Scene::start("").await;
    let id = scene.send("x").await;
    let message = scene.daemon.wait_final(&id).await;

    assert!(message.get("callback").is_none(), "{message}");
    let keys: Vec<String> = scene.redis.cli(&["KEYS", "*callbacks*"]).await;
    assert_eq!(keys, Vec::<String>::new());
    let queues = scene.daemon.get("/v1/queues").await.expect(200).json();
    assert_eq!(queues["queues"].as_array().unwrap().len(), 1);
    assert_eq!(scene.daemon.get("/v1/queues/jobs~callbacks").await.status, 404);
}

#[tokio::test]
async fn a_dead_callback_is_kept_and_sent_again_under_its_id() {
    let (scene, receiver) = scene("").await;
    receiver.once(Answer::status(500));
    receiver.once(Answer::status(410).body("gone"));
    let id = scene.send("x").await;
    let daemon = &scene.daemon;
    eventually("the callback is dead", async || daemon.counts(TOLD).await["dead"] == 1).await;

    let list = daemon.get("/v1/queues/jobs~callbacks/messages?state=dead&view=full").await;
    let callback = list.expect(200).json()["messages"][0].clone();
    assert_eq!(callback["labels"], json!({ "state": "delivered", "subject": id }));
    assert_eq!(callback["payload"]["data"]["id"], id.as_str());
    assert_eq!(
        (&callback["attempts"], &callback["result"]["status_code"]),
        (&json!(2), &json!(410))
    );
    let callback_id = callback["id"].as_str().unwrap();
    let edit = json!({ "payload": 1 });
    daemon.patch(&format!("/v1/messages/{callback_id}"), &edit).await.expect(400);
    let output = daemon.cli(&["requeue", callback_id]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    daemon.wait_final(callback_id).await;

    let requests = receiver.wait_for(3).await;
    let ids: Vec<_> = requests.iter().map(Request::id).collect();
    assert_eq!(ids, [callback_id; 3]);
    assert_eq!(requests[0].body, requests[2].body, "the same event each time");
    assert_eq!(daemon.counts(TOLD).await["delivered"], 1);
    assert_eq!(daemon.message(&id).await["state"], "delivered");
    let metrics = daemon.get("/metrics").await.expect(200);
    let metrics = metrics.text();
    let sum = "tidegate_messages_total{queue=\"jobs~callbacks\",event=\"ack\"} 1";
    assert!(metrics.contains(sum), "{metrics}");
    let doctor = daemon.cli(&["doctor"]).await;
    assert_eq!(doctor.code, 0, "{}{}", doctor.stdout, doctor.stderr);
}

#[tokio::test]
async fn a_second_end_of_a_message_is_told_under_another_id() {
    let (scene, receiver) = scene("").await;
    scene.downstream.once(Answer::status(400));
    let id = scene.send("x").await;
    let first = told(&receiver, &id).await;
    assert_eq!(first.json()["type"], "tidegate.message.dead");
    scene.step(&id, "requeue", &json!({})).await;

    eventually("the second end is told", async || about(&receiver, &id).len() == 2).await;

    let second = &about(&receiver, &id)[1];
    assert_eq!(second.json()["type"], "tidegate.message.delivered");
    assert_ne!(second.id(), first.id());
}

/// A daemon that tells on two hosts: one that hangs, and one that is well.
async fn two_hosts(lines: &str) -> (Scene, Downstream, Downstream) {
    let (hung, good) = tokio::join!(Downstream::start(), Downstream::start());
    hung.always(Answer::silence());
    let hosts = "[server]\ncallback_hosts = [\"127.0.0.1\"]\n";
    let lines = format!("concurrency = 64\ncallback = {{ timeout = \"4s\" {lines} }}");
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = hosts.to_owned() + &queue_toml(QUEUE, &downstream, &lines);
    let daemon = Daemon::start(&redis, config).await;
    (Scene { daemon, downstream, redis }, hung, good)
}

async fn send_telling(scene: &Scene, url: &str, count: usize) {
    let callback = json!({ "url": url, "on": ["delivered"] });
    let messages = vec![json!({ "payload": 1, "callback": callback }); count];
    scene.send_all(&messages).await;
}

/// A hung host with a line before it, and another one whose callbacks come behind them.
async fn a_hung_host_holds_up_nobody(lines: &str) {
    let (scene, hung, good) = two_hosts(lines).await;
    send_telling(&scene, &hung.url("/"), 400).await;
    scene.wait_count("delivered", 400).await;
    hung.wait_for(1).await;
    let began = tokio::time::Instant::now();

    send_telling(&scene, &good.url("/"), 40).await;
    let arrived = good.wait_for(40).await;

    let took = arrived[39].arrived.saturating_duration_since(began);
    assert!(
        took < Duration::from_millis(3800),
        "before a single call of the other ended: {took:?}"
    );
    // Its share of the slots, what the failures freed until the host was closed (five, and some that
    // ended together), then nothing for half a minute.
    eventually("the host is left alone", async || {
        scene.daemon.log().contains("calls to a callback host fail")
    })
    .await;
    let before = hung.requests().len();
    assert!((5..=32 + 8).contains(&before), "{before}");
    send_telling(&scene, &hung.url("/"), 40).await;
    send_telling(&scene, &good.url("/"), 40).await;
    good.wait_for(80).await;
    assert!(hung.requests().len() <= 32 + 8, "none of those that came later");
    eventually("those that were not sent wait, none is lost", async || {
        let counts = scene.daemon.counts(TOLD).await;
        counts["delivered"] == 80 && counts["scheduled"] == 440
    })
    .await;
    let list = scene.daemon.get("/v1/queues/jobs~callbacks/messages?state=scheduled&limit=1000");
    let waiting = list.await.expect(200).json()["messages"].as_array().unwrap().clone();
    let tried = waiting.iter().filter(|message| message["attempts"] != 0).count();
    assert!(tried <= 32 + 8, "what met a closed host has not used an attempt: {tried}");
    let says_why = |message: &Value| {
        let reason = message["reason"].as_str().unwrap_or_default();
        message["throttles"] != 0 && reason.contains("takes no callbacks")
    };
    assert!(waiting.iter().all(|message| message["attempts"] != 0 || says_why(message)));
    let metrics = scene.daemon.get("/metrics").await.expect(200);
    let alone = "tidegate_callback_hosts_left_alone{queue=\"jobs~callbacks\"} 1";
    assert!(metrics.text().contains(alone), "{}", metrics.text());
}

#[tokio::test]
async fn a_hung_host_beside_a_good_one() {
    a_hung_host_holds_up_nobody("").await;
}

#[tokio::test]
async fn a_hung_host_uses_nothing_of_the_rate() {
    a_hung_host_holds_up_nobody(", rate = \"100/s\"").await;
}

#[tokio::test]
async fn a_host_that_asks_for_time_or_knows_nobody_shuts_no_gate_of_others() {
    let (scene, hung, good) = two_hosts("").await;
    for answer in [Answer::status(429).header("Retry-After", "60"), Answer::status(401)] {
        hung.always(answer);
        let before = good.requests().len();
        send_telling(&scene, &hung.url("/"), 1).await;
        hung.wait_for(1).await;
        send_telling(&scene, &good.url("/"), 10).await;
        good.wait_for(before + 10).await;
    }
    let queue = scene.daemon.get("/v1/queues/jobs~callbacks").await.expect(200).json();
    assert_eq!(queue["gate"]["open"], true, "{queue}");
    assert_eq!(hung.requests().len(), 1, "the minute that it asked for is kept");
}

#[tokio::test]
async fn the_rate_of_callbacks_holds_at_their_receiver() {
    let (scene, receiver) = scene(", rate = \"20/s\"").await;
    scene.send_numbers(15).await;

    let requests = receiver.wait_for(15).await;

    let took = requests[14].arrived - requests[0].arrived;
    assert!(took >= Duration::from_millis(14 * 50 - 25), "{took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn no_more_callbacks_are_in_flight_than_the_queue_allows() {
    // One host gets half of the places.
    let (scene, receiver) = scene(", concurrency = 4").await;
    let gate = Gate::new();
    let held = gate.clone();
    receiver.answer_with(move |_| Answer::ok().held_by(&held));
    scene.send_numbers(6).await;
    receiver.wait_for(2).await;
    eventually("the others are put back until there is a place", async || {
        scene.daemon.counts(TOLD).await["scheduled"] == 4
    })
    .await;

    gate.release();

    receiver.wait_for(6).await;
    assert_eq!(receiver.in_flight_max(), 2);
}

#[tokio::test]
async fn a_reload_moves_what_waits_and_forgets_nothing() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let (old, new) = tokio::join!(Downstream::start(), Downstream::start());
    old.always(Answer::status(503));
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, &tells(&old, ""))).await;
    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    old.wait_for(1).await;

    daemon.sighup(&queue_toml(QUEUE, &downstream, ""));
    let reason = "neither the message nor its queue names a url";
    eventually("it is kept, and says what holds it", async || {
        let list = daemon.get("/v1/queues/jobs~callbacks/messages?state=scheduled").await.json();
        list["messages"][0]["last_attempt"]["error"].as_str().is_some_and(|e| e.contains(reason))
    })
    .await;
    let later = daemon.send(QUEUE, &json!({ "payload": 2 })).await;
    assert!(daemon.wait_final(&later).await.get("callback").is_none());
    daemon.sighup(&queue_toml(QUEUE, &downstream, &tells(&new, "")));
    let list = daemon.get("/v1/queues/jobs~callbacks/messages?state=scheduled").await.json();
    let callback = list["messages"][0]["id"].as_str().unwrap().to_owned();
    eventually("the new address is in force", async || {
        daemon.get("/v1/queues/jobs").await.json()["policy"]["callback"] != Value::Null
    })
    .await;
    daemon.post(&format!("/v1/messages/{callback}/run"), &json!({})).await.expect(200);

    assert_eq!(told(&new, &id).await.id(), callback);
    assert!(about(&new, &later).is_empty());
}

#[tokio::test]
async fn on_a_cluster_with_shards_every_end_is_told_once() {
    let (cluster, downstream) = (Cluster::shared().await, Downstream::start().await);
    let receiver = Downstream::start().await;
    let lines = format!("shards = 5\n{}", tells(&receiver, ""));
    let daemon =
        Daemon::with(queue_toml(QUEUE, &downstream, &lines)).cluster(cluster).start().await;
    let messages: Vec<_> = (0..50).map(|n| json!({ "payload": n })).collect();
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    let reply = daemon.post(&path, &json!(messages)).await.expect(200).json();

    receiver.wait_for(50).await;

    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for request in receiver.requests() {
        *counts.entry(request.json()["subject"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    for result in reply["results"].as_array().unwrap() {
        assert_eq!(counts.remove(result["id"].as_str().unwrap()), Some(1));
    }
    assert!(counts.is_empty(), "{counts:?}");
    let id = receiver.requests()[0].id().to_owned();
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
}

#[cfg(feature = "failpoints")]
mod killed {
    use futures_util::future::join_all;

    use super::*;

    const LINES: &str = "downstream.timeout = \"500ms\"\nlease = \"5500ms\"\nretry = { initial = \"20ms\", max_attempts = 2 }";

    /// Kills a node at `point`, lets another one go on, and returns the ids under which the end of the
    /// message was told.
    async fn ids_after_a_kill_at(point: &str, answer: Answer) -> Vec<String> {
        let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
        let receiver = Downstream::start().await;
        downstream.always(answer);
        let lines = format!("{LINES}\n{}", tells(&receiver, ", timeout = \"500ms\""));
        let config = queue_toml(QUEUE, &downstream, &lines);
        let armed = Daemon::with(&config).redis(&redis).environment("FAILPOINTS", point);
        let mut first = armed.start().await;
        let id = first.send(QUEUE, &json!({ "payload": "x" })).await;
        first.wait_exit().await;

        let second = Daemon::start(&redis, config).await;
        second.wait_final(&id).await;
        let patience = Duration::from_secs(60);
        crate::support::wait::poll_until_within(patience, "it is told", async || {
            let counts = second.counts(TOLD).await;
            let open = ["scheduled", "ready", "leased"].iter().any(|state| counts[*state] != 0);
            (!open && !about(&receiver, &id).is_empty()).then_some(())
        })
        .await;
        let mut ids: Vec<_> =
            about(&receiver, &id).iter().map(|request| request.id().to_owned()).collect();
        ids.dedup();
        ids
    }

    #[tokio::test]
    async fn nodes_that_die_tell_each_end_once() {
        let ok = ["before-ack", "after-ack", "settled", "after-send"];
        let ok = ok.map(|point| (point, Answer::ok()));
        let dead = ["before-bury", "after-bury"].map(|point| (point, Answer::status(400)));
        let runs = ok.into_iter().chain(dead).map(async |(point, answer)| {
            let ids = ids_after_a_kill_at(&format!("{point}=1*return"), answer).await;
            assert_eq!(ids.len(), 1, "{point}: {ids:?}");
        });
        join_all(runs).await;
    }

    #[tokio::test]
    async fn nodes_that_die_with_a_callback_send_it_again_under_its_id() {
        // The second time: the first is the message itself.
        let runs = ["after-send", "before-ack", "claimed"].map(async |point| {
            let ids = ids_after_a_kill_at(&format!("{point}=1*off->return"), Answer::ok()).await;
            assert_eq!(ids.len(), 1, "{point}: {ids:?}");
        });
        join_all(runs).await;
    }
}
