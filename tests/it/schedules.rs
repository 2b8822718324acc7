//! Recurring messages: a tick comes once over any number of nodes, restarts and failovers; what was
//! missed is caught up as asked; schedules of the file and of the API live side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tidegate::domain::time::parse_rfc3339;

use crate::support::downstream::Request;
use crate::support::http::Reply;
use crate::support::ports::free_port;
use crate::support::{
    Cluster, Daemon, Downstream, QUEUE, RedisServer, Scene, eventually, queue_toml,
};

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

async fn put(daemon: &Daemon, name: &str, schedule: &Value) -> Reply {
    let path = format!("/v1/schedules/{name}");
    daemon.http().send(Method::PUT, &path, &JSON, schedule.to_string()).await
}

async fn schedule(daemon: &Daemon, name: &str) -> Value {
    daemon.get(&format!("/v1/schedules/{name}")).await.expect(200).json()
}

async fn step(daemon: &Daemon, name: &str, step: &str) -> Value {
    daemon.post(&format!("/v1/schedules/{name}/{step}"), &json!({})).await.expect(200).json()
}

/// The nominal time that a call says.
fn nominal(request: &Request) -> u64 {
    let moment =
        request.header("tidegate-nominal-at").expect("a message of a schedule says its time");
    parse_rfc3339(moment).expect("a moment")
}

/// The messages of each nominal time. (One that was being sent when its node was killed comes again, by its
/// own id.)
fn arrivals(requests: &[Request]) -> BTreeMap<u64, BTreeSet<String>> {
    let mut arrivals: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for request in requests {
        arrivals.entry(nominal(request)).or_default().insert(request.id().to_owned());
    }
    arrivals
}

/// Every nominal time from the first to the last, each by exactly one message.
#[track_caller]
fn assert_each_once(requests: &[Request], every_ms: u64) {
    let arrivals = arrivals(requests);
    assert!(arrivals.values().all(|ids| ids.len() == 1), "{arrivals:?}");
    let times: Vec<_> = arrivals.keys().copied().collect();
    let gaps: Vec<_> = times.windows(2).filter(|pair| pair[1] - pair[0] != every_ms).collect();
    assert!(gaps.is_empty(), "between these ticks some are missing: {gaps:?}");
}

#[tokio::test]
async fn a_schedule_of_the_api_ticks_and_shows_its_next_times() {
    let scene = Scene::start("").await;
    let body = json!({
        "queue": QUEUE, "every": "300ms", "payload": { "job": "close-day" }, "headers": { "X-A": "1" },
        "priority": 3, "labels": { "team": "erp" },
    });

    let made = put(&scene.daemon, "often", &body).await.expect(201);
    assert_eq!(made.header("location"), "/v1/schedules/often");
    let requests = scene.downstream.wait_for(4).await;

    assert_each_once(&requests, 300);
    let first = &requests[0];
    assert_eq!(first.json(), json!({ "job": "close-day" }));
    assert_eq!((first.header("x-a"), nominal(first) % 300), (Some("1"), 0));
    let message = scene.daemon.message(first.id()).await;
    assert_eq!(message["labels"], json!({ "team": "erp", "schedule": "often" }));
    assert_eq!(message["priority"], 3);
    let shown = schedule(&scene.daemon, "often").await;
    assert_eq!((&shown["source"], &shown["every"]), (&json!("api"), &json!("300ms")));
    let next: Vec<_> = shown["next"].as_array().unwrap().clone();
    assert_eq!(next.len(), 5, "{shown}");
    assert!(shown["fired"].as_u64().unwrap() >= 3, "{shown}");
    assert!(put(&scene.daemon, "often", &body).await.status == 200);
    let gone = scene.daemon.http().send(Method::DELETE, "/v1/schedules/often", &[], "").await;
    gone.expect(200);
    assert_eq!(scene.daemon.get("/v1/schedules/often").await.status, 404);
}

/// A queue and one schedule of the file.
fn config(downstream: &Downstream, schedule: &str) -> String {
    // The shortest lease: what a killed node held is sent soon.
    let lease = "lease = \"5500ms\"\ndownstream.timeout = \"500ms\"";
    let queue = queue_toml(QUEUE, downstream, lease);
    format!("{queue}[schedules.tick]\nqueue = \"{QUEUE}\"\n{schedule}\n")
}

#[tokio::test]
async fn three_nodes_that_are_killed_and_restarted_send_each_tick_once() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let toml = config(&downstream, "every = \"200ms\"\npayload = 1\ncatch_up = \"all\"");
    let starts = (0..3).map(|_| Daemon::start(&redis, toml.clone()));
    let mut nodes = futures_util::future::join_all(starts).await;
    downstream.wait_for(3).await;

    for round in 0..6 {
        let node = &mut nodes[round % 3];
        if round % 2 == 0 {
            node.kill9().await;
        } else {
            node.sigterm().await;
        }
        downstream.wait_for(3 + 3 * (round + 1)).await;
        node.restart().await;
    }
    // All at once: nobody is there for a while, and what was missed is caught up.
    for node in &mut nodes {
        node.kill9().await;
    }
    let before = downstream.requests().len();
    for node in &mut nodes {
        node.restart().await;
    }
    downstream.wait_for(before + 10).await;

    step(&nodes[0], "tick", "pause").await;
    settled(&nodes[0]).await;
    assert_each_once(&downstream.requests(), 200);
    let shown = schedule(&nodes[1], "tick").await;
    assert_eq!(shown["fired"], arrivals(&downstream.requests()).len(), "{shown}");
    assert_eq!(shown["missed"], 0);
}

/// Waits until nothing is under way, and all that fired is delivered.
async fn settled(daemon: &Daemon) {
    eventually("everything that fired is delivered", async || {
        let fired = schedule(daemon, "tick").await;
        let counts = daemon.counts(QUEUE).await;
        fired["overdue"].is_null() && counts["delivered"] == fired["fired"]
    })
    .await;
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_node_that_dies_between_the_steps_of_a_tick_leaves_it_to_another() {
    for point in ["after-tick", "before-fire", "after-fire", "before-fired", "after-fired"] {
        let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
        let toml = config(&downstream, "every = \"500ms\"\npayload = 1\ncatch_up = \"all\"");
        let doomed = Daemon::with(toml.clone()).redis(&redis);
        let mut doomed =
            doomed.environment("FAILPOINTS", &format!("{point}=2*off->return")).launch();
        doomed.wait_exit().await;
        let before = downstream.requests().len();

        let heir = Daemon::start(&redis, toml).await;

        downstream.wait_for(before + 6).await;
        step(&heir, "tick", "pause").await;
        settled(&heir).await;
        assert_each_once(&downstream.requests(), 500);
    }
}

#[tokio::test]
async fn what_was_missed_is_caught_up_as_asked() {
    for (catch_up, comes) in [("one", "the newest"), ("all", "each")] {
        let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
        let toml = config(
            &downstream,
            &format!("every = \"250ms\"\npayload = 1\ncatch_up = \"{catch_up}\""),
        );
        let mut daemon = Daemon::start(&redis, toml).await;
        downstream.wait_for(2).await;
        daemon.sigterm().await;
        let before = arrivals(&downstream.requests());
        let last = *before.keys().last().unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;

        daemon.restart().await;

        downstream.wait_for(before.len() + 8).await;
        step(&daemon, "tick", "pause").await;
        settled(&daemon).await;
        let requests = downstream.requests();
        let after: Vec<_> = arrivals(&requests).into_keys().filter(|at| *at > last).collect();
        let shown = schedule(&daemon, "tick").await;
        if comes == "each" {
            assert_each_once(&requests, 250);
            assert_eq!(shown["missed"], 0);
        } else {
            assert!(after[0] - last >= 1500, "{} ms", after[0] - last);
            // Every tick that did not come is counted, also one that a busy machine let pass later on.
            let nominals: Vec<u64> = std::iter::once(last).chain(after).collect();
            let skipped: u64 = nominals.windows(2).map(|pair| (pair[1] - pair[0]) / 250 - 1).sum();
            assert_eq!(shown["missed"].as_u64(), Some(skipped), "{shown}");
            assert!(arrivals(&requests).values().all(|ids| ids.len() == 1));
        }
    }
}

#[tokio::test]
async fn a_pause_outlasts_restarts_and_run_is_beside_the_cadence() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let toml = config(&downstream, "every = \"300ms\"\npayload = 1\ncatch_up = \"all\"");
    let mut daemon = Daemon::start(&redis, toml).await;
    downstream.wait_for(2).await;

    let paused = daemon.post("/v1/schedules/tick/pause", &json!({ "reason": "stocktaking" })).await;
    assert_eq!(paused.expect(200).json()["paused"]["reason"], "stocktaking");
    settled(&daemon).await;
    daemon.restart().await;
    let before = downstream.requests();
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(downstream.requests().len(), before.len(), "it rests");
    let shown = schedule(&daemon, "tick").await;
    assert_eq!((&shown["paused"]["by"], &shown["missed"]), (&json!("anonymous"), &json!(0)));

    let path = "/v1/schedules/tick/run";
    let keyed = [JSON[0], ("Idempotency-Key", "k")];
    let ran = daemon.http().send(Method::POST, path, &keyed, "{}").await.expect(201).json();
    let again = daemon.http().send(Method::POST, path, &keyed, "{}").await.expect(200).json();
    assert_eq!((&again["id"], &again["duplicate"]), (&ran["id"], &json!(true)));
    let requests = downstream.wait_for(before.len() + 1).await;
    assert_eq!(requests.last().unwrap().id(), ran["id"].as_str().unwrap());
    assert_eq!(schedule(&daemon, "tick").await["fired"], shown["fired"], "a run is no tick");

    let resumed = step(&daemon, "tick", "resume").await;
    assert!(resumed["paused"].is_null());
    let requests = downstream.wait_for(before.len() + 4).await;
    let ticks = &requests[before.len() + 1..];
    assert_each_once(ticks, 300);
    let rest = nominal(&ticks[0]) - nominal(before.last().unwrap());
    assert!(rest >= 900, "what the pause missed stays missed; {rest} ms");
}

#[tokio::test]
async fn a_reload_adds_changes_and_takes_out_without_a_tick_too_many() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let bare = queue_toml(QUEUE, &downstream, "");
    let with = |payload: u8| {
        config(&downstream, &format!("every = \"300ms\"\npayload = {payload}\ncatch_up = \"all\""))
    };
    let one = Daemon::start(&redis, bare.clone()).await;
    let other = Daemon::start(&redis, bare.clone()).await;
    let there = async |daemon: &Daemon| daemon.get("/v1/schedules/tick").await.status == 200;

    one.sighup(&with(1));
    eventually("it is there, for the other node too", async || there(&other).await).await;
    downstream.wait_for(3).await;
    // The nodes disagree for a while: the newest loaded holds, and nobody flaps.
    other.sighup(&with(2));
    eventually("the new payload comes", async || {
        downstream.requests().last().is_some_and(|request| request.json() == 2)
    })
    .await;
    let count = downstream.requests().len();
    let requests = downstream.wait_for(count + 3).await;
    assert!(requests[count..].iter().all(|request| request.json() == 2));
    assert_each_once(&requests, 300);

    // It stays as long as one node has it.
    one.sighup(&bare);
    eventually("the reload is done", async || {
        one.log().matches("configuration reloaded").count() == 2
    })
    .await;
    let count = downstream.requests().len();
    downstream.wait_for(count + 3).await;
    other.sighup(&bare);
    eventually("it is gone", async || !there(&one).await).await;
    eventually("what fired is delivered", async || {
        let counts = one.counts(QUEUE).await;
        counts["ready"] == 0 && counts["leased"] == 0
    })
    .await;
    let all = downstream.requests();
    assert_each_once(&all, 300);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(downstream.requests().len(), all.len());
}

#[tokio::test]
async fn the_file_and_the_api_keep_to_their_own() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let toml =
        config(&downstream, "cron = \"30 2 * * *\"\ntime_zone = \"Europe/Berlin\"\npayload = 1");
    let daemon = Daemon::start(&redis, toml).await;
    let shown = schedule(&daemon, "tick").await;
    assert_eq!((&shown["source"], &shown["catch_up"]), (&json!("config"), &json!("one")));
    assert!(shown["description"].as_str().unwrap().contains("02:30"), "{shown}");

    let body = json!({ "queue": QUEUE, "every": "1h", "payload": 1 });
    for reply in [put(&daemon, "tick", &body).await, daemon.delete("/v1/schedules/tick").await] {
        let problem = reply.expect(409).json();
        assert_eq!(
            (&problem["code"], &problem["state"]),
            (&json!("wrong-state"), &json!("config"))
        );
        assert!(problem["detail"].as_str().unwrap().contains("[schedules.tick]"), "{problem}");
    }
    put(&daemon, "mine", &body).await.expect(201);
    let list = daemon.get("/v1/schedules").await.expect(200).json();
    let names: Vec<_> = list["schedules"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
    assert_eq!(names, ["mine", "tick"]);
    let page = daemon.get("/v1/schedules?limit=1").await.expect(200).json();
    let cursor = page["next_cursor"].as_str().expect("there is one more");
    let next = format!("/v1/schedules?limit=1&cursor={cursor}");
    let page = daemon.get(&next).await.expect(200).json();
    assert_eq!(
        (&page["schedules"][0]["name"], &page["next_cursor"]),
        (&json!("tick"), &Value::Null)
    );
}

#[tokio::test]
async fn what_is_no_schedule_is_refused_with_everything_that_is_wrong() {
    let scene = Scene::start("").await;
    let refused = put(
        &scene.daemon,
        "bad",
        &json!({ "queue": "nowhere", "cron": "61 * * * *", "catch_up": "some", "priority": 10,
            "payload": 1, "headers": { "Tidegate-Nominal-At": "x" }, "colour": 1 }),
    )
    .await
    .expect(400)
    .json();
    let mut pointers: Vec<_> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["pointer"].as_str().unwrap())
        .collect();
    pointers.sort_unstable();
    let expected =
        ["/catch_up", "/colour", "/cron", "/headers/Tidegate-Nominal-At", "/priority", "/queue"];
    assert_eq!(pointers, expected, "{refused}");
    for (body, pointer) in [
        (json!({ "queue": QUEUE, "payload": 1 }), "/cron"),
        (json!({ "queue": QUEUE, "payload": 1, "cron": "@daily", "every": "1h" }), "/every"),
        (json!({ "queue": QUEUE, "payload": 1, "every": "1h", "time_zone": "UTC" }), "/time_zone"),
        (
            json!({ "queue": QUEUE, "payload": 1, "cron": "@daily", "time_zone": "Mars" }),
            "/time_zone",
        ),
        (json!({ "queue": QUEUE, "payload": 1, "cron": "0 0 30 2 *" }), "/cron"),
        (json!({ "queue": QUEUE, "payload": 1, "every": "1ms" }), "/every"),
        (json!({ "queue": QUEUE, "every": "1h" }), "/payload"),
    ] {
        let problem = put(&scene.daemon, "bad", &body).await.expect(400).json();
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
    let body = json!({ "queue": QUEUE, "payload": 1, "every": "1h" });
    let name = put(&scene.daemon, "Nightly", &body).await.expect(400).json();
    assert!(name["detail"].as_str().unwrap().contains("schedule name"), "{name}");
    for (method, path) in [
        (Method::GET, "/v1/schedules/none"),
        (Method::DELETE, "/v1/schedules/none"),
        (Method::POST, "/v1/schedules/none/pause"),
        (Method::POST, "/v1/schedules/none/resume"),
        (Method::POST, "/v1/schedules/none/run"),
    ] {
        let reply = scene.daemon.http().send(method, path, &JSON, "").await.expect(404).json();
        assert!(reply["detail"].as_str().unwrap().contains("no schedule \"none\""), "{reply}");
    }
    let foreign = [("Content-Type", "text/plain")];
    let sent = scene.daemon.http().send(Method::PUT, "/v1/schedules/x", &foreign, body.to_string());
    sent.await.expect(415);
}

#[tokio::test]
async fn ticks_wait_for_room_and_none_is_lost() {
    let redis = RedisServer::start().await;
    let downstream = Downstream::start().await;
    let toml = config(&downstream, "every = \"500ms\"\npayload = 1\ncatch_up = \"all\"");
    let daemon = Daemon::start(&redis, toml).await;
    downstream.wait_for(2).await;

    redis.cli::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    eventually("a tick is overdue, and it shows", async || {
        schedule(&daemon, "tick").await["overdue"]["late_ms"].as_u64().is_some_and(|ms| ms > 1000)
    })
    .await;
    let metrics = daemon.get("/metrics").await.expect(200);
    let value = |name: &str| {
        let line = metrics.text().lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    // Read up to a second ago.
    assert!(value("tidegate_schedule_lag_seconds{schedule=\"tick\"}") > 0.0, "{}", metrics.text());
    assert!(
        value("tidegate_schedule_errors_total{schedule=\"tick\",reason=\"store_full\"}") >= 1.0,
        "{}",
        metrics.text()
    );
    let before = downstream.requests().len();
    redis.cli::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;

    let requests = downstream.wait_for(before + 6).await;
    assert_each_once(&requests, 500);
}

#[tokio::test]
async fn on_a_cluster_with_shards_each_tick_comes_once() {
    let (cluster, downstream) = (Cluster::shared().await, Downstream::start().await);
    let queue = queue_toml(QUEUE, &downstream, "shards = 5");
    let toml = (0..4).fold(queue, |toml, n| {
        format!("{toml}[schedules.s{n}]\nqueue = \"{QUEUE}\"\nevery = \"300ms\"\npayload = {n}\n")
    });
    let namespace = format!("t{}", free_port());
    let options = || {
        Daemon::with(toml.clone())
            .cluster(cluster)
            .environment("TIDEGATE__REDIS__NAMESPACE", &namespace)
    };
    let (mut one, other) = tokio::join!(options().start(), options().start());

    downstream.wait_for(12).await;
    one.kill9().await;
    let requests = downstream.wait_for(downstream.requests().len() + 30).await;

    drop(other);
    for n in 0..4 {
        let of: Vec<_> = requests.iter().filter(|r| r.json() == n).cloned().collect();
        assert!(of.len() > 5, "{}", of.len());
        assert!(arrivals(&of).values().all(|ids| ids.len() == 1), "{:?}", arrivals(&of));
    }
}

#[tokio::test]
async fn the_command_line_shows_and_steers_schedules() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let toml = config(
        &downstream,
        "cron = \"30 2 * * *\"\ntime_zone = \"Asia/Shanghai\"\npayload = { job = \"x\" }",
    );
    let daemon = Daemon::start(&redis, toml).await;
    eventually("it is there", async || daemon.get("/v1/schedules/tick").await.status == 200).await;

    let table = daemon.cli(&["schedules"]).await;
    for part in ["SCHEDULE", "tick", "30 2 * * * Asia/Shanghai", "ticks", "config"] {
        assert!(table.stdout.contains(part), "{part} not in\n{}", table.stdout);
    }
    let one = daemon.cli(&["schedule", "tick"]).await;
    assert!(one.stdout.contains("At 02:30, Asia/Shanghai"), "{}", one.stdout);
    assert_eq!(one.stdout.matches("18:30").count(), 5, "five times, in UTC\n{}", one.stdout);
    let ran = daemon.cli(&["schedule", "tick", "run"]).await;
    assert_eq!(daemon.wait_final(ran.stdout.trim()).await["state"], "delivered");
    assert_eq!(daemon.cli(&["schedule", "tick", "pause", "--reason", "why not"]).await.code, 0);
    assert!(daemon.cli(&["schedules"]).await.stdout.contains("paused (why not)"));
    assert_eq!(daemon.cli(&["schedule", "tick", "resume"]).await.code, 0);
    let body = json!({ "queue": QUEUE, "every": "1h", "payload": 1 }).to_string();
    let made = daemon.cli(&["schedule", "mine", "put", "-d", &body]).await;
    assert_eq!(made.code, 0, "{}", made.stderr);
    let json = daemon.cli(&["--output", "json", "schedules"]).await.stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["schedules"][0]["name"], "mine");
    assert_eq!(daemon.cli(&["schedule", "mine", "delete"]).await.code, 0);
    assert_eq!(daemon.cli(&["schedule", "mine"]).await.code, 3);
    assert_eq!(daemon.cli(&["schedule", "tick", "delete"]).await.code, 4);
}
