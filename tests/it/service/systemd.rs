//! The daemon as a service: what it tells systemd and monitors, and how it bears a Redis that goes.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::http::Reply;
use crate::support::wait::poll_until;
use crate::support::{
    Answer, Daemon, Downstream, Gate, QUEUE, RedisServer, Scene, eventually, queue_toml, within,
};

const NULL_QUEUE: &str = "[queues.jobs.downstream]\ntype = \"null\"\n";

/// Every metric of the contract, with its labels.
const METRICS: [(&str, &[&str]); 15] = [
    ("tidegate_messages_total", &["queue", "event"]),
    ("tidegate_queue_messages", &["queue", "state"]),
    ("tidegate_oldest_ready_age_seconds", &["queue"]),
    ("tidegate_lateness_seconds_count", &["queue"]),
    ("tidegate_promote_lateness_seconds_count", &["queue"]),
    ("tidegate_attempt_duration_seconds_count", &["queue", "outcome"]),
    ("tidegate_possible_duplicates_total", &["queue"]),
    ("tidegate_unreadable_answers_total", &["queue"]),
    ("tidegate_script_duration_seconds_count", &["verb"]),
    ("tidegate_dead_total", &["queue", "reason"]),
    ("tidegate_gate_open", &["queue", "gate"]),
    ("tidegate_permits_unused_total", &["queue"]),
    ("tidegate_store_up", &[]),
    ("tidegate_durability_achieved", &["level"]),
    ("tidegate_build_info", &["version"]),
];

/// The value of a sample, by its name with labels as they are written.
fn sample(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

async fn metrics(daemon: &Daemon) -> String {
    daemon.get("/metrics").await.expect(200).text().to_owned()
}

#[tokio::test]
async fn metrics_have_every_name_of_the_contract_and_count_what_happened() {
    let scene = Scene::start("").await;
    scene.downstream.once(Answer::status(422));
    let dead = scene.send("refused").await;
    scene.daemon.wait_final(&dead).await;
    let later = scene.daemon.send(QUEUE, &json!({ "payload": 1, "delay": "50ms" })).await;
    scene.daemon.wait_final(&later).await;

    let text = metrics(&scene.daemon).await;

    for (name, labels) in METRICS {
        let named = text
            .lines()
            .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let line = named.unwrap_or_else(|| panic!("no {name} in\n{text}"));
        assert!(labels.iter().all(|label| line.contains(&format!("{label}=\""))), "{line}");
    }
    for (name, value) in [
        ("tidegate_messages_total{queue=\"jobs\",event=\"schedule\"}", 2.0),
        ("tidegate_messages_total{queue=\"jobs\",event=\"ack\"}", 1.0),
        ("tidegate_messages_total{queue=\"jobs\",event=\"bury\"}", 1.0),
        ("tidegate_dead_total{queue=\"jobs\",reason=\"refused\"}", 1.0),
        ("tidegate_lateness_seconds_count{queue=\"jobs\"}", 2.0),
        ("tidegate_promote_lateness_seconds_count{queue=\"jobs\"}", 1.0),
        ("tidegate_attempt_duration_seconds_count{queue=\"jobs\",outcome=\"delivered\"}", 1.0),
        ("tidegate_possible_duplicates_total{queue=\"jobs\"}", 0.0),
        ("tidegate_queue_messages{queue=\"jobs\",state=\"delivered\"}", 1.0),
        ("tidegate_queue_messages{queue=\"jobs\",state=\"dead\"}", 1.0),
        ("tidegate_queue_messages{queue=\"jobs\",state=\"ready\"}", 0.0),
        ("tidegate_store_up", 1.0),
        ("tidegate_durability_achieved{level=\"disk\"}", 1.0),
        ("tidegate_gate_open{queue=\"jobs\",gate=\"pause\"}", 1.0),
    ] {
        assert_eq!(sample(&text, name), Some(value), "{name} in\n{text}");
    }
}

#[tokio::test]
async fn the_api_describes_itself_completely() {
    let scene = Scene::start("").await;
    let document = scene.daemon.get("/openapi.json").await.expect(200).json();
    let paths = document["paths"].as_object().unwrap();

    for (path, methods) in [
        ("/v1/queues/{queue}/messages", vec!["get", "post"]),
        ("/v1/queues/{queue}/messages/batch", vec!["post"]),
        ("/v1/messages/{id}", vec!["get", "patch", "delete"]),
        ("/v1/messages/{id}/attempts", vec!["get"]),
        ("/v1/messages/{id}/resolve", vec!["post"]),
        ("/v1/messages/{id}/run", vec!["post"]),
        ("/v1/messages/{id}/requeue", vec!["post"]),
        ("/v1/queues", vec!["get"]),
        ("/v1/queues/{queue}", vec!["get"]),
        ("/v1/queues/{queue}/pause", vec!["post"]),
        ("/v1/queues/{queue}/resume", vec!["post"]),
        ("/v1/queues/{queue}/purge", vec!["post"]),
        ("/v1/queues/{queue}/requeue-all", vec!["post"]),
        ("/v1/queues/{queue}/windows", vec!["get"]),
        ("/v1/nodes", vec!["get"]),
        ("/livez", vec!["get"]),
        ("/readyz", vec!["get"]),
        ("/metrics", vec!["get"]),
    ] {
        for method in methods {
            assert!(paths[path].get(method).is_some(), "{method} {path} is not described");
        }
    }
    // What is answered is described, and the other way round.
    scene.downstream.once(Answer::status(422));
    let id = scene.send(1).await;
    scene.daemon.wait_final(&id).await;
    let full = scene.daemon.get(&format!("/v1/messages/{id}?view=full")).await.expect(200).json();
    let described = document["components"]["schemas"]["Message"]["properties"].as_object().unwrap();
    for name in full.as_object().unwrap().keys() {
        assert!(described.contains_key(name), "Message.{name} is not described");
    }
    let queue = scene.daemon.get("/v1/queues/jobs").await.expect(200).json();
    let described = document["components"]["schemas"]["Queue"]["properties"].as_object().unwrap();
    for name in queue.as_object().unwrap().keys() {
        assert!(described.contains_key(name), "Queue.{name} is not described");
    }
    assert!(!dangling(&document, &document), "a $ref leads nowhere");
}

/// Whether some `$ref` below `part` leads nowhere.
fn dangling(document: &Value, part: &Value) -> bool {
    match part {
        Value::Object(members) => members.iter().any(|(name, value)| match value.as_str() {
            Some(target) if name == "$ref" => {
                document.pointer(target.trim_start_matches('#')).is_none()
            }
            _ => dangling(document, value),
        }),
        Value::Array(items) => items.iter().any(|item| dangling(document, item)),
        _ => false,
    }
}

/// The next notification that contains `word`.
async fn told(socket: &tokio::net::UnixDatagram, word: &str) -> String {
    within(&format!("the notification {word}"), async {
        loop {
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).await.expect("the socket is ours");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line == word) {
                return text;
            }
        }
    })
    .await
}

#[tokio::test]
async fn the_service_manager_hears_ready_watchdog_reloading_and_stopping() {
    let redis = RedisServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::UnixDatagram::from_std(socket).unwrap();

    let options = Daemon::with(NULL_QUEUE).redis(&redis);
    let options = options.environment("NOTIFY_SOCKET", path.to_str().unwrap());
    let mut daemon = options.environment("WATCHDOG_USEC", "30000000").launch();

    told(&socket, "READY=1").await;
    told(&socket, "WATCHDOG=1").await;
    daemon.wait_ready().await;
    daemon.sighup(NULL_QUEUE);
    let reloading = told(&socket, "RELOADING=1").await;
    assert!(reloading.contains("MONOTONIC_USEC="), "Type=notify-reload wants it: {reloading}");
    told(&socket, "READY=1").await;
    daemon.signal(Signal::TERM);
    told(&socket, "STOPPING=1").await;
    assert_eq!(daemon.wait_exit().await, 0);
}

#[tokio::test]
async fn logs_are_json_where_nobody_looks_and_human_on_request() {
    let redis = RedisServer::start().await;
    let mut daemon = Daemon::start(&redis, NULL_QUEUE).await;
    daemon.sigterm().await;
    let log = daemon.log();
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["message"] == "stopped"), "{log}");
    assert!(
        events.iter().all(|event| event["level"].is_string() && event["timestamp"].is_string())
    );

    let options = Daemon::with(NULL_QUEUE).redis(&redis);
    let mut daemon = options.environment("TIDEGATE_LOG_FORMAT", "human").start().await;
    daemon.sigterm().await;
    assert!(daemon.log().lines().all(|line| !line.starts_with('{')), "{}", daemon.log());
}

#[tokio::test]
async fn the_first_lines_say_where_the_api_and_the_data_are_and_what_to_try() {
    let daemon = Daemon::with(NULL_QUEUE).start().await;
    // The API answers a moment before.
    eventually("it has said all", async || daemon.log().contains("try ")).await;
    let (log, data) = (daemon.log(), daemon.dir().join("data"));
    for word in [daemon.url(), data.to_str().unwrap(), "tidegate send jobs"] {
        assert!(log.contains(word), "{word} in\n{log}");
    }
}

/// Sends one message, whatever comes of it.
async fn try_send(daemon: &Daemon) -> Reply {
    daemon.post("/v1/queues/jobs/messages", &json!({ "payload": 1 })).await
}

fn assert_unavailable(reply: &Reply, code: &str) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(reply.json()["code"], code);
    let after: u64 = reply.header("retry-after").parse().expect("Retry-After is in seconds");
    assert!((1..=60).contains(&after), "Retry-After: {after}");
}

#[tokio::test]
async fn a_redis_that_is_away_is_told_at_once_and_borne_until_it_is_back() {
    let mut scene = Scene::start("").await;
    let before = scene.daemon.send(QUEUE, &json!({ "payload": 0, "delay": "1h" })).await;
    scene.redis.kill9().await;

    let ready = poll_until("/readyz says so", async || {
        let reply = scene.daemon.get("/readyz").await;
        (reply.status == 503).then_some(reply)
    })
    .await;
    assert_unavailable(&ready, "store-unavailable");
    assert!(!ready.json()["detail"].as_str().unwrap().is_empty());
    assert_unavailable(&try_send(&scene.daemon).await, "store-unavailable");
    scene.daemon.get("/livez").await.expect(200);
    let text = metrics(&scene.daemon).await;
    assert_eq!(sample(&text, "tidegate_store_up"), Some(0.0));

    scene.redis.restart().await;
    let back = Instant::now();
    eventually("/readyz is ready again", async || scene.daemon.get("/readyz").await.status == 200)
        .await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    let id = scene.send("after").await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    assert!(back.elapsed() < Duration::from_secs(6), "{:?}", back.elapsed());
    assert_eq!(scene.daemon.message(&before).await["state"], "scheduled");
    eventually("the store is up", async || {
        sample(&metrics(&scene.daemon).await, "tidegate_store_up") == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_told_too() {
    let scene = Scene::start("").await;
    scene.redis.signal(Signal::STOP);

    let began = Instant::now();
    let reply = try_send(&scene.daemon).await;
    let took = began.elapsed();
    let ready = scene.daemon.get("/readyz").await;
    scene.redis.signal(Signal::CONT);

    assert_unavailable(&reply, "store-unavailable");
    assert_unavailable(&ready, "store-unavailable");
    assert!(took < Duration::from_secs(20), "{took:?}");
    let back = Instant::now();
    eventually("/readyz is ready again", async || scene.daemon.get("/readyz").await.status == 200)
        .await;
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
    let id = scene.send("after").await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
}

#[tokio::test]
async fn a_daemon_that_stops_says_so_and_goes_on_reading() {
    let mut scene = Scene::start("").await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    let id = scene.send(1).await;
    scene.downstream.wait_for(1).await;
    let (http, path) = (scene.daemon.http().clone(), format!("/v1/messages/{id}?wait=30s"));
    let mut waiter = tokio::task::JoinSet::new();
    waiter.spawn(async move { http.send(Method::GET, &path, &[], "").await });

    scene.daemon.signal(Signal::TERM);

    let refused = poll_until("intake is closed", async || {
        let reply = try_send(&scene.daemon).await;
        (reply.status == 503).then_some(reply)
    })
    .await;
    assert_unavailable(&refused, "draining");
    assert_unavailable(&scene.daemon.get("/readyz").await, "draining");
    assert_eq!(scene.daemon.message(&id).await["state"], "leased");
    let waited = within("open waits end", waiter.join_next()).await.unwrap().unwrap();
    let waited = waited.expect(200).json();
    assert_eq!(waited["state"], "leased");
    gate.release();
    assert_eq!(scene.daemon.wait_exit().await, 0);
    assert_eq!(scene.downstream.requests().iter().filter(|r| r.id() == id).count(), 1);
}

#[tokio::test]
async fn an_idle_daemon_does_next_to_nothing_and_is_punctual() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let queues: String = (0..10).map(|n| queue_toml(&format!("q{n}"), &downstream, "")).collect();
    let daemon = Daemon::start(&redis, queues).await;
    // How much it does is what is observed, over a span that covers its slowest loops.
    tokio::time::sleep(Duration::from_secs(1)).await;
    redis.cli::<()>(&["CONFIG", "RESETSTAT"]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let stats: String = redis.cli(&["INFO", "commandstats"]).await;
    // What scripts call counts as well; the commands of clients are what is bounded here.
    let from_clients = ["evalsha", "eval", "ping", "time", "config|get", "info", "zadd", "publish"];
    let calls = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        from_clients.contains(&name).then(|| rest.split(',').next()?.parse::<u64>().ok())?
    };
    let total: u64 = stats.lines().filter_map(calls).sum();
    assert!(total < 60, "{total} commands in 3 s:\n{stats}");

    let mut late = Vec::new();
    for n in 0..5 {
        let message = json!({ "payload": n, "delay": "300ms" });
        daemon.send(&format!("q{n}"), &message).await;
        let arrived = downstream.wait_for(n + 1).await;
        let (seconds, micros): (i64, i64) = redis.cli(&["TIME"]).await;
        // Redis' clock is read after the arrival: what passed in between is taken off.
        let between = i64::try_from(arrived[n].arrived.elapsed().as_millis()).unwrap();
        let due: jiff::Timestamp = arrived[n].header("tidegate-due-at").unwrap().parse().unwrap();
        late.push(seconds * 1000 + micros / 1000 - between - due.as_millisecond());
    }
    late.sort_unstable();
    assert!(late[0] >= -1, "early: {late:?}");
    assert!(late[2] < 100, "late: {late:?}");
}

#[tokio::test]
async fn a_shells_limit_of_open_files_does_not_bound_the_callers() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let redis = RedisServer::start().await;
    let before = getrlimit(Resource::Nofile);
    let half = before.maximum.map_or(4096, |most| most / 2);
    setrlimit(Resource::Nofile, Rlimit { current: Some(half), ..before }).expect("less is allowed");
    let mut daemon = Daemon::with(NULL_QUEUE).redis(&redis).launch();
    daemon.wait_ready().await;
    setrlimit(Resource::Nofile, before).expect("and what was allowed before");

    let [soft, hard] = daemon.open_files();

    assert_eq!(soft, hard);
    assert_ne!(soft, half.to_string());
}
