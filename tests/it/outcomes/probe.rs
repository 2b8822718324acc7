//! `on_uncertain = "probe"`: the downstream is asked by id before anything is sent again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::downstream::Request;
use crate::support::wait::poll_until;
use crate::support::{Answer, Cluster, Daemon, Downstream, Gate, Scene, queue_toml};

const QUEUE: &str = "jobs";

/// Lines of a queue that asks the same downstream under `/orders/`; probes begin after 50 ms.
fn asks(downstream: &Downstream, more: &str) -> String {
    let url = downstream.url("/orders/{id}");
    format!(
        "on_uncertain = \"probe\"\ndownstream.timeout = \"300ms\"\nretry = {{ initial = \"20ms\", max_attempts = 3 }}\nprobe = {{ url = \"{url}\", after = \"50ms\", max_attempts = 3, timeout = \"300ms\" }}\n{more}"
    )
}

async fn scene(more: &str) -> Scene {
    let scene = Scene::start("").await;
    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, &asks(&scene.downstream, more)));
    poll_until("the queue asks", async || {
        let queue = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
        (queue["policy"]["on_uncertain"] == "probe").then_some(())
    })
    .await;
    scene
}

fn is_probe(request: &Request) -> bool {
    request.path.starts_with("/orders/")
}

/// Answers calls with one answer and probes with another.
fn answers(scene: &Scene, call: Answer, probe: Answer) {
    scene.downstream.answer_with(
        move |request| {
            if is_probe(request) { probe.clone() } else { call.clone() }
        },
    );
}

fn probes(scene: &Scene) -> Vec<Request> {
    scene.downstream.requests().into_iter().filter(is_probe).collect()
}

fn calls(scene: &Scene) -> usize {
    scene.downstream.requests().iter().filter(|request| !is_probe(request)).count()
}

#[tokio::test]
async fn what_the_downstream_has_is_delivered_without_another_call() {
    let scene = scene("downstream.headers = { X-Key = \"k\" }").await;
    answers(&scene, Answer::silence(), Answer::ok());

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(1)));
    assert_eq!(
        message["result"],
        json!({ "status_code": 200, "content_type": null, "body": null, "by": "probe" })
    );
    assert_eq!((calls(&scene), probes(&scene).len()), (1, 1));
    let probe = &probes(&scene)[0];
    assert_eq!((&*probe.method, &*probe.path), ("GET", &*format!("/orders/{id}")));
    assert_eq!((probe.id(), probe.attempt(), probe.header("x-key")), (&*id, 1, Some("k")));
    assert!(probe.body.is_empty() && probe.header("content-length").is_none());
    let metrics = scene.daemon.get("/metrics").await.expect(200);
    let counted = "tidegate_probes_total{queue=\"jobs\",found=\"delivered\"} 1";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

#[tokio::test]
async fn what_the_downstream_does_not_have_is_sent_again() {
    let scene = scene("").await;
    scene.downstream.once(Answer::reset());
    answers(&scene, Answer::ok(), Answer::status(404));

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(2)));
    assert!(message["result"]["by"].is_null(), "{message}");
    let requests = scene.downstream.requests();
    let ids: Vec<_> = requests.iter().map(Request::id).collect();
    assert_eq!(ids, [&*id; 3], "the very same message");
    assert_eq!(requests[2].attempt(), 2);
    // Counted from the end of the attempt: a downstream that is slow to book must have booked.
    let ended = requests[0].answered.expect("the connection broke");
    assert!(requests[1].arrived - ended >= Duration::from_millis(50));
}

#[tokio::test]
async fn the_time_to_the_first_probe_begins_when_the_attempt_has_ended() {
    let scene = scene("").await;
    answers(&scene, Answer::silence(), Answer::ok());

    let id = scene.send("x").await;

    scene.daemon.wait_final(&id).await;
    let requests = scene.downstream.requests();
    let asked_after = requests[1].arrived - requests[0].arrived;
    // The timeout, then `after`; less what the call itself may have been late on its way.
    assert!(asked_after >= Duration::from_millis(250), "{asked_after:?}");
}

#[tokio::test]
async fn what_nobody_can_tell_is_asked_ever_later_and_then_left_to_an_operator() {
    let scene = scene("").await;
    answers(&scene, Answer::silence(), Answer::status(500));

    let id = scene.send("x").await;

    let message = scene.wait_state(&id, "uncertain").await;
    assert_eq!(message["held_by"], json!(["probe"]));
    assert!(message["probe"]["next_at"].is_string(), "{message}");
    let given_up = poll_until("three probes were made", async || {
        let message = scene.daemon.message(&id).await;
        let is_over = message["probe"]["attempts"] == 3 && message["probe"]["next_at"].is_null();
        is_over.then_some(message)
    })
    .await;
    assert_eq!(given_up["state"], "uncertain");
    assert_eq!(given_up["probe"]["error"], "status 500");
    let asked = probes(&scene);
    let waits: Vec<_> = asked.windows(2).map(|two| two[1].arrived - two[0].arrived).collect();
    assert!(
        waits[0] >= Duration::from_millis(100) && waits[1] >= Duration::from_millis(200),
        "{waits:?}"
    );
    let told = scene.daemon.cli(&["get", &id]).await.stdout;
    assert!(told.contains("3 probes could not tell (status 500); ask the downstream"), "{told}");
    assert_eq!(calls(&scene), 1, "never again without a decision");

    scene.step(&id, "resolve", &json!({ "as": "delivered" })).await;
    let message = scene.daemon.message(&id).await;
    assert_eq!(
        (&message["state"], &message["result"]["by"]),
        (&json!("delivered"), &json!("operator"))
    );
}

#[tokio::test]
async fn a_probe_that_hangs_or_is_turned_away_says_nothing() {
    for silent in [Answer::silence(), Answer::reset(), Answer::status(401), Answer::status(302)] {
        let scene = scene("").await;
        scene.downstream.once(Answer::silence());
        scene.downstream.once(silent);
        answers(&scene, Answer::ok(), Answer::ok());

        let id = scene.send("x").await;

        let message = scene.daemon.wait_final(&id).await;
        assert_eq!(message["result"]["by"], "probe");
        assert_eq!((calls(&scene), probes(&scene).len()), (1, 2));
    }
}

#[tokio::test]
async fn attempts_that_a_probe_found_absent_are_spent_like_any_others() {
    let scene = scene("").await;
    answers(&scene, Answer::silence(), Answer::status(404));

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("dead"), &json!(3)));
    let reason = message["reason"].as_str().expect("a dead message has a reason");
    assert!(reason.starts_with("3 attempts failed; the last: no answer within"), "{reason}");
    assert_eq!((calls(&scene), probes(&scene).len()), (3, 3));
}

#[tokio::test]
async fn an_operator_who_decides_while_a_probe_is_under_way_is_right() {
    let scene = scene("").await;
    let gate = Gate::new();
    let held = Answer::status(404).held_by(&gate);
    answers(&scene, Answer::silence(), held);
    let id = scene.send("x").await;
    scene.downstream.wait_for(2).await;

    scene.step(&id, "resolve", &json!({ "as": "dead", "reason": "nobody wants it" })).await;
    gate.release();

    poll_until("the probe comes too late", async || {
        scene.daemon.log().contains("probes came too late").then_some(())
    })
    .await;
    assert_eq!(scene.daemon.message(&id).await["state"], "dead");
    assert_eq!(calls(&scene), 1);
}

#[tokio::test]
async fn no_probe_is_made_while_the_queue_is_paused_or_its_window_closed() {
    let scene = scene("").await;
    answers(&scene, Answer::silence(), Answer::ok());
    let id = scene.send("x").await;
    scene.downstream.wait_for(1).await;
    scene.queue_step("pause", &json!({ "reason": "stocktaking" })).await;
    scene.wait_state(&id, "uncertain").await;
    // Longer than any probe would have waited.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(probes(&scene).is_empty(), "no call at a paused downstream");

    scene.queue_step("resume", &json!({})).await;

    assert_eq!(scene.daemon.wait_final(&id).await["result"]["by"], "probe");
}

#[tokio::test]
async fn probes_take_permits_of_the_limit() {
    let lines = "rate = \"10/s\"\nbatch = { max_items = 4, max_wait = \"50ms\" }";
    let scene = scene(lines).await;
    answers(&scene, Answer::silence(), Answer::ok());

    // One call, and four messages that are all to be asked about at once.
    let ids = scene.send_numbers(4).await;

    for id in &ids {
        assert_eq!(scene.daemon.wait_final(id).await["result"]["by"], "probe");
    }
    let probes = probes(&scene);
    assert_eq!((calls(&scene), probes.len()), (1, 4));
    let took = probes[3].arrived - probes[0].arrived;
    assert!(
        took >= Duration::from_millis(240),
        "three periods, less what a call may be late: {took:?}"
    );
}

#[tokio::test]
async fn each_item_of_a_batch_is_asked_about_by_its_own_id() {
    let scene = scene("batch = { max_items = 4, max_wait = \"50ms\" }").await;
    let booked: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let seen = Arc::clone(&booked);
    let mut first = true;
    scene.downstream.answer_with(move |request| {
        let mut booked = seen.lock().unwrap();
        if let Some(id) = request.path.strip_prefix("/orders/") {
            return if booked.contains_key(id) { Answer::ok() } else { Answer::status(404) };
        }
        // Half of the first batch is booked before the line breaks.
        let items = request.items();
        let took = if first { items.len() / 2 } else { items.len() };
        for item in &items[..took] {
            *booked.entry(item["id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        if std::mem::take(&mut first) { Answer::reset() } else { Answer::ok() }
    });

    let ids = scene.send_numbers(4).await;

    let mut by_probe = 0;
    for id in &ids {
        let message = scene.daemon.wait_final(id).await;
        assert_eq!(message["state"], "delivered");
        by_probe += u32::from(message["result"]["by"] == "probe");
    }
    assert_eq!(by_probe, 2);
    assert_eq!(*booked.lock().unwrap(), ids.into_iter().map(|id| (id, 1)).collect(), "each once");
}

#[tokio::test]
async fn what_a_queue_parked_before_is_asked_about_once_it_probes() {
    let scene = Scene::start("on_uncertain = \"park\"\ndownstream.timeout = \"300ms\"").await;
    answers(&scene, Answer::reset(), Answer::ok());
    let ids = scene.send_numbers(3).await;
    for id in &ids {
        scene.wait_state(id, "uncertain").await;
    }

    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, &asks(&scene.downstream, "")));

    for id in &ids {
        assert_eq!(scene.daemon.wait_final(id).await["result"]["by"], "probe");
    }
}

#[tokio::test]
async fn what_a_lost_node_may_have_sent_is_asked_about_by_another() {
    let downstream = Downstream::start().await;
    let more = "lease = \"5300ms\"";
    let toml = queue_toml(QUEUE, &downstream, &asks(&downstream, more));
    let redis = crate::support::RedisServer::start().await;
    let mut first = Daemon::start(&redis, toml.clone()).await;
    let gate = Gate::new();
    let held = Answer::ok().held_by(&gate);
    downstream.answer_with(
        move |request| {
            if is_probe(request) { Answer::ok() } else { held.clone() }
        },
    );
    let id = first.send(QUEUE, &json!({ "payload": 1 })).await;
    downstream.wait_for(1).await;

    first.kill9().await;
    let second = Daemon::start(&redis, toml).await;

    let message = second.wait_final(&id).await;
    assert_eq!(
        (&message["state"], &message["result"]["by"]),
        (&json!("delivered"), &json!("probe"))
    );
    assert_eq!(downstream.requests().iter().filter(|request| !is_probe(request)).count(), 1);
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_prober_that_dies_is_made_up_for() {
    let downstream = Downstream::start().await;
    let toml = queue_toml(QUEUE, &downstream, &asks(&downstream, ""));
    let redis = crate::support::RedisServer::start().await;
    for (point, answer, attempts) in [
        ("after-probe", 200, 1),
        ("probed", 404, 2),
        ("before-resolve", 404, 2),
        ("after-resolve", 200, 1),
    ] {
        let mut broken = true;
        downstream.answer_with(move |request| match is_probe(request) {
            true => Answer::status(answer),
            false if std::mem::take(&mut broken) => Answer::reset(),
            false => Answer::ok(),
        });
        let points = format!("{point}=return");
        // A loop looks before there is anything to ask about.
        let points =
            if point == "after-probe" { "after-probe=2*off->return".to_owned() } else { points };
        let mut first = Daemon::with(toml.clone())
            .redis(&redis)
            .environment("FAILPOINTS", &points)
            .start()
            .await;
        let reply = first.http();
        let body = json!({ "payload": 1, "idempotency_key": point }).to_string();
        let path = format!("/v1/queues/{QUEUE}/messages");
        let headers = [("Content-Type", "application/json")];
        let sent = reply.try_send(http::Method::POST, &path, &headers, body.clone()).await;
        drop(sent);
        first.wait_exit().await;
        drop(first);

        let second = Daemon::start(&redis, toml.clone()).await;
        let known = second.http().send(http::Method::POST, &path, &headers, body).await.json();
        let id = known["id"].as_str().expect("it was taken in").to_owned();

        let message = second.wait_final(&id).await;
        assert_eq!(
            (&message["state"], &message["attempts"]),
            (&json!("delivered"), &json!(attempts)),
            "{point}"
        );
    }
}

#[tokio::test]
async fn two_nodes_ask_about_a_message_once_at_a_time() {
    let scene = scene("").await;
    let gate = Gate::new();
    answers(&scene, Answer::silence(), Answer::ok().held_by(&gate));
    let lines = asks(&scene.downstream, "");
    let other = scene.another_daemon(&lines).await;

    let ids = scene.send_numbers(3).await;
    scene.downstream.wait_for(6).await;
    // Both nodes look again, more than once.
    tokio::time::sleep(Duration::from_millis(250)).await;
    let mut asked: Vec<_> = probes(&scene).iter().map(|request| request.path.clone()).collect();
    asked.sort();
    asked.dedup();
    assert_eq!((asked.len(), probes(&scene).len()), (3, 3));
    gate.release();

    for id in &ids {
        assert_eq!(other.wait_final(id).await["result"]["by"], "probe");
    }
}

#[tokio::test]
async fn probing_works_on_a_cluster_with_shards() {
    let cluster = Cluster::shared().await;
    let downstream = Downstream::start().await;
    let toml = queue_toml(QUEUE, &downstream, &asks(&downstream, "shards = 3"));
    let daemon = Daemon::with(toml).cluster(cluster).start().await;
    let mut lost: Vec<String> = Vec::new();
    downstream.answer_with(move |request| {
        let id = request.id().to_owned();
        if is_probe(request) {
            return Answer::status(if id.as_bytes().last().is_some_and(|b| b % 2 == 0) {
                200
            } else {
                404
            });
        }
        if lost.contains(&id) {
            return Answer::ok();
        }
        lost.push(id);
        Answer::reset()
    });
    let rows: Vec<Value> = (0..12).map(|n| json!({ "payload": n })).collect();
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    let reply = daemon.post(&path, &json!(rows)).await.expect(200).json();

    for result in reply["results"].as_array().unwrap() {
        let id = result["id"].as_str().unwrap();
        let message = daemon.wait_final(id).await;
        let is_there = id.as_bytes().last().is_some_and(|b| b % 2 == 0);
        assert_eq!(message["state"], "delivered");
        assert_eq!(message["attempts"], if is_there { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_stop_gives_probes_back_and_waits_for_those_under_way() {
    let mut scene = scene("").await;
    let gate = Gate::new();
    answers(&scene, Answer::silence(), Answer::ok().held_by(&gate));
    let id = scene.send("x").await;
    scene.downstream.wait_for(2).await;
    let began = Instant::now();

    let release = gate.clone();
    let (code, ()) = tokio::join!(scene.daemon.sigterm(), async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        release.release();
    });

    assert_eq!(code, 0);
    assert!(began.elapsed() < Duration::from_secs(10));
    scene.daemon.restart().await;
    assert_eq!(scene.daemon.wait_final(&id).await["result"]["by"], "probe");
}
