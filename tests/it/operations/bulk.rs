//! Operations: many messages requeued, cancelled, rescheduled or moved, with filter, pace and progress,
//! through kills of the node at it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::downstream::Request;
use crate::support::wait::poll_until_within;
use crate::support::{
    Answer, Cluster, Daemon, Downstream, QUEUE, RedisServer, Scene, batch_results, queue_toml,
};

/// Long enough for another node to take over (a lease of 10 s) and go on.
const TAKEN_OVER: Duration = Duration::from_secs(40);
const DIES_AT_ONCE: &str = "retry.max_attempts = 1\nconcurrency = 32";

/// An operation's answer.
pub(crate) async fn start(daemon: &Daemon, body: &Value) -> Value {
    let reply = daemon.post("/v1/operations", body).await.expect(202);
    let operation = reply.json();
    let id = operation["id"].as_str().expect("an operation has an id");
    assert_eq!(reply.header("Location"), format!("/v1/operations/{id}"));
    operation
}

pub(crate) async fn read(daemon: &Daemon, operation: &Value) -> Value {
    let id = operation["id"].as_str().expect("an operation has an id");
    daemon.get(&format!("/v1/operations/{id}")).await.expect(200).json()
}

pub(crate) async fn ended(daemon: &Daemon, operation: &Value) -> Value {
    poll_until_within(TAKEN_OVER, "the operation has ended", async || {
        Some(read(daemon, operation).await).filter(|operation| operation["state"] != "running")
    })
    .await
}

fn numbers(operation: &Value) -> [u64; 4] {
    ["seen", "matched", "done", "skipped"].map(|name| operation[name].as_u64().expect("a count"))
}

/// A scene with so many dead letters, whose downstream takes everything from now on.
async fn dead_letters(count: usize, lines: &str) -> (Scene, Vec<String>) {
    let scene = Scene::start(&format!("{DIES_AT_ONCE}\n{lines}")).await;
    scene.downstream.always(Answer::status(422));
    let mut ids = Vec::new();
    for from in (0..count).step_by(5000) {
        let message = |n| json!({ "payload": n, "labels": { "kind": if n % 4 == 0 { "vip" } else { "plain" } } });
        let part: Vec<_> = (from..count.min(from + 5000)).map(message).collect();
        ids.extend(scene.send_all(&part).await);
    }
    poll_until_within(TAKEN_OVER, "all are dead", async || {
        (scene.daemon.counts(QUEUE).await["dead"] == count).then_some(())
    })
    .await;
    scene.downstream.always(Answer::status(200));
    (scene, ids)
}

#[tokio::test]
async fn ten_thousand_dead_letters_are_requeued_at_a_rate_and_each_once() {
    let count = 10_000;
    let scene = Scene::start("batch = { max_items = 500, max_wait = \"50ms\" }").await;
    scene.downstream.answer_with(|request| batch_results(request, |_| Some("dead")));
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        ids.extend(scene.send_numbers(count / 2).await);
    }
    scene.wait_count("dead", count).await;
    scene.downstream.always(Answer::ok());
    let before = scene.downstream.requests().len();
    let wish = json!({ "action": "requeue", "queue": QUEUE, "state": "dead", "all": true, "rate": "4000/s" });
    let began = Instant::now();

    let operation = start(&scene.daemon, &wish).await;
    let end = ended(&scene.daemon, &operation).await;

    assert!(began.elapsed() >= Duration::from_millis(2400), "{:?}", began.elapsed());
    let count_u64 = count as u64;
    assert_eq!(end["state"], "done", "{end}");
    assert_eq!(numbers(&end), [count_u64, count_u64, count_u64, 0], "{end}");
    assert_eq!(end["remaining"], 0);
    scene.wait_count("delivered", count).await;
    let calls = scene.downstream.requests();
    let items = calls[before..].iter().flat_map(Request::items);
    let again: Vec<_> = items.map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(again.len(), count, "each once");
    assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), ids);
    let metrics = scene.daemon.get("/metrics").await.expect(200);
    let line =
        format!("tidegate_operations_messages_total{{action=\"requeue\",result=\"done\"}} {count}");
    assert!(metrics.text().lines().any(|shown| shown == line), "{line}");
}

#[tokio::test]
async fn a_filter_takes_what_fits_and_a_dry_run_takes_nothing() {
    let (scene, ids) = dead_letters(40, "").await;
    let wish = |dry: bool, filter: Value| json!({ "action": "requeue", "queue": QUEUE, "state": "dead", "filter": filter, "dry_run": dry });

    let dry = start(&scene.daemon, &wish(true, json!({ "label": { "kind": "vip" } }))).await;
    let dry = ended(&scene.daemon, &dry).await;

    assert_eq!(numbers(&dry), [40, 10, 0, 0], "{dry}");
    assert_eq!(dry["sample"].as_array().unwrap().len(), 10);
    assert_eq!(scene.daemon.counts(QUEUE).await["dead"], 40, "a dry run changes nothing");

    let none =
        start(&scene.daemon, &wish(false, json!({ "error_contains": "no such words" }))).await;
    assert_eq!(numbers(&ended(&scene.daemon, &none).await), [40, 0, 0, 0]);
    let vips =
        start(&scene.daemon, &wish(false, json!({ "label": "kind=vip", "error_contains": "422" })))
            .await;
    assert_eq!(numbers(&ended(&scene.daemon, &vips).await), [40, 10, 10, 0]);
    scene.wait_count("delivered", 10).await;
    for (n, id) in ids.iter().enumerate() {
        let state = if n % 4 == 0 { "delivered" } else { "dead" };
        assert_eq!(scene.daemon.message(id).await["state"], state, "{n}");
    }
}

#[tokio::test]
async fn a_rate_is_held_without_bursts() {
    let (scene, _ids) = dead_letters(20, "").await;
    let before = scene.downstream.requests().len();
    let began = Instant::now();
    let wish = json!({ "action": "requeue", "queue": QUEUE, "state": "dead", "all": true, "rate": "10/s" });

    let operation = start(&scene.daemon, &wish).await;
    let calls = scene.downstream.wait_for(before + 20).await[before..].to_vec();

    // One more than the pace may be there; a busy machine only makes calls come later.
    for (n, call) in (0_u32..).zip(&calls) {
        let after = call.arrived - began;
        assert!(after >= Duration::from_millis(100) * n.saturating_sub(1), "{n} after {after:?}");
    }
    assert_eq!(ended(&scene.daemon, &operation).await["done"], 20);
}

#[tokio::test]
async fn what_comes_later_is_not_taken() {
    let (scene, _ids) = dead_letters(14, "").await;
    // Every requeued message dies again at once, and would be requeued for ever: the pages of so slow an
    // operation hold ten, so that it looks again when some have died.
    scene.downstream.always(Answer::status(422));
    let before = scene.downstream.requests().len();
    let wish =
        json!({ "action": "requeue", "queue": QUEUE, "state": "dead", "all": true, "rate": "5/s" });

    let operation = start(&scene.daemon, &wish).await;
    let end = ended(&scene.daemon, &operation).await;

    assert_eq!(numbers(&end), [14, 14, 14, 0], "{end}");
    scene.wait_count("dead", 14).await;
    assert_eq!(scene.downstream.requests().len(), before + 14);
}

#[tokio::test]
async fn a_stopped_operation_leaves_the_rest_alone() {
    let (scene, _ids) = dead_letters(50, "").await;
    let wish = json!({
        "action": "requeue", "queue": QUEUE, "state": "dead", "all": true, "rate": "5/s", "reason": "gateway is back",
    });
    let operation = start(&scene.daemon, &wish).await;
    let before = scene.downstream.requests().len();
    scene.downstream.wait_for(before + 2).await;

    let path = format!("/v1/operations/{}/stop", operation["id"].as_str().unwrap());
    let stopping = scene.daemon.post(&path, &json!({})).await.expect(200).json();
    let end = ended(&scene.daemon, &operation).await;

    assert_eq!((&stopping["stopping"], &stopping["state"]), (&json!(true), &json!("running")));
    assert_eq!((&end["state"], &end["stopped_by"]), (&json!("stopped"), &json!("anonymous")));
    assert_eq!(end["reason"], "gateway is back");
    let done = end["done"].as_u64().unwrap();
    assert!((2..40).contains(&done), "{end}");
    assert_eq!(scene.daemon.counts(QUEUE).await["dead"], 50 - done);
    scene.daemon.post(&path, &json!({})).await.expect(200);
    let list = scene.daemon.get("/v1/operations?state=stopped").await.expect(200).json();
    assert_eq!(list["operations"][0]["id"], operation["id"]);
}

#[tokio::test]
async fn waiting_messages_are_cancelled_and_rescheduled() {
    for shards in [1, 3] {
        let scene = Scene::start(&format!("shards = {shards}")).await;
        scene.queue_step("pause", &json!({})).await;
        let later =
            |n| json!({ "payload": n, "delay": "1h", "group": if n < 250 { "a" } else { "b" } });
        scene.send_all(&(0..300).map(later).collect::<Vec<_>>()).await;
        scene.send_numbers(300).await;

        let wish = json!({
            "action": "reschedule", "queue": QUEUE, "state": "scheduled", "filter": { "group": "a" }, "delay": "2h",
        });
        let moved = start(&scene.daemon, &wish).await;
        let moved = ended(&scene.daemon, &moved).await;
        assert_eq!((&moved["matched"], &moved["done"]), (&json!(250), &json!(250)), "{moved}");
        let again = start(&scene.daemon, &json!({
            "action": "reschedule", "queue": QUEUE, "state": "ready", "all": true, "due_at": moved["due_at"],
        })).await;
        assert_eq!(numbers(&ended(&scene.daemon, &again).await), [300, 300, 300, 0]);
        let wish = json!({
            "action": "cancel", "queue": QUEUE, "state": "scheduled", "reason": "not wanted",
            "filter": { "due_after": moved["due_at"] },
        });
        let cancelled = start(&scene.daemon, &wish).await;
        assert_eq!(numbers(&ended(&scene.daemon, &cancelled).await), [600, 550, 550, 0]);

        let counts = scene.daemon.counts(QUEUE).await;
        assert_eq!(
            (&counts["scheduled"], &counts["cancelled"]),
            (&json!(50), &json!(550)),
            "{counts}"
        );
    }
}

#[tokio::test]
async fn what_is_not_clear_is_refused() {
    let scene = Scene::start("").await;
    let refused = async |status: u16, body: Value| {
        scene.daemon.post("/v1/operations", &body).await.expect(status).json()
    };
    let everything = json!({ "action": "requeue", "queue": QUEUE, "state": "dead" });
    let problem = refused(400, everything).await;
    assert_eq!(problem["errors"][0]["pointer"], "/filter");
    assert!(problem["detail"].as_str().unwrap().contains("\"all\": true"), "{problem}");
    let unknown = json!({ "action": "requeue", "queue": "nowhere", "state": "dead", "all": true });
    assert_eq!(refused(404, unknown).await["code"], "not-found");
    let leased = json!({ "action": "cancel", "queue": QUEUE, "state": "leased", "all": true, "reason": "x" });
    assert_eq!(refused(409, leased).await["state"], "leased");
    let unasked = json!({ "action": "cancel", "queue": QUEUE, "state": "ready", "all": true });
    assert_eq!(refused(400, unasked).await["errors"][0]["pointer"], "/reason");
    scene.daemon.get("/v1/operations/op_nothing").await.expect(404);
    // Nothing to do is done at once, and only so many are kept at it.
    let slow = json!({ "action": "requeue", "queue": QUEUE, "state": "dead", "all": true });
    let operation = start(&scene.daemon, &slow).await;
    assert_eq!(ended(&scene.daemon, &operation).await["state"], "done");
}

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn a_killed_node_is_followed_by_another_and_the_rate_holds() {
    let (mut scene, ids) = dead_letters(120, "").await;
    let other = scene.another_daemon(DIES_AT_ONCE).await;
    let before = scene.downstream.requests().len();
    let wish = json!({ "action": "requeue", "queue": QUEUE, "state": "dead", "all": true, "rate": "20/s" });
    let operation = start(&scene.daemon, &wish).await;
    scene.downstream.wait_for(before + 30).await;

    // Whoever is at it dies.
    let node = read(&other, &operation).await["node"].clone();
    let nodes = scene.daemon.get("/v1/nodes").await.expect(200).json();
    let nodes = nodes["nodes"].as_array().unwrap().clone();
    let port =
        |node: &Value| node["listen"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let at_it = nodes.iter().find(|n| n["id"] == node).map(port).expect("a node is at it");
    let (mut killed, left) = if at_it == scene.daemon.port().to_string() {
        (scene.daemon, other)
    } else {
        let first = std::mem::replace(&mut scene.daemon, other);
        (std::mem::replace(&mut scene.daemon, first), scene.daemon)
    };
    killed.kill9().await;

    let end = ended(&left, &operation).await;
    assert_eq!(end["state"], "done", "{end}");
    assert_eq!(
        (&end["matched"], &end["done"], &end["skipped"]),
        (&json!(120), &json!(120), &json!(0))
    );
    poll_until_within(TAKEN_OVER, "all are delivered", async || {
        (left.counts(QUEUE).await["delivered"] == 120).then_some(())
    })
    .await;
    let calls = scene.downstream.requests()[before..].to_vec();
    let sent: BTreeSet<_> = calls.iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(sent, ids.into_iter().collect());
    // What the lost node was sending may come once more, and not under the operation's pace.
    let firsts: Vec<_> = calls.iter().filter(|request| request.attempt() == 1).collect();
    // Nothing is made up for the time when nobody was at it.
    for window in firsts.windows(51) {
        let took = window[50].arrived - window[0].arrived;
        assert!(took >= Duration::from_secs(1), "51 calls in {took:?}");
    }
}

/// Two queues, the first of which is paused.
fn two_queues(downstream: &Downstream, shards: u8, lines: &str) -> String {
    let both = format!("shards = {shards}\nlease = \"5500ms\"\ndownstream.timeout = \"500ms\"");
    let old = queue_toml("old", downstream, &both);
    let new = queue_toml("new", downstream, &format!("{both}\n{lines}"));
    format!("{old}\n{new}")
}

async fn fill(daemon: &Daemon, count: usize) -> Vec<String> {
    daemon.post("/v1/queues/old/pause", &json!({})).await.expect(200);
    let message = |n: usize| {
        let due = if n.is_multiple_of(2) { "0s" } else { "2s" };
        json!({ "payload": n, "delay": due, "group": "g", "labels": { "n": n.to_string() }, "priority": 3,
            "headers": { "x-shop": "eu" }, "idempotency_key": format!("k{n}") })
    };
    let messages: Vec<_> = (0..count).map(message).collect();
    let reply = daemon.post("/v1/queues/old/messages/batch", &json!(messages)).await.expect(200);
    let results = reply.json()["results"].as_array().unwrap().clone();
    results.iter().map(|result| result["id"].as_str().unwrap().to_owned()).collect()
}

/// Every message arrived once, from the new queue, and nothing waits any more.
async fn arrived_once(daemon: &Daemon, downstream: &Downstream, count: usize) {
    poll_until_within(TAKEN_OVER, "nothing waits", async || {
        let counts = [daemon.counts("old").await, daemon.counts("new").await];
        let waits = |state: &str| counts.iter().any(|counts| counts[state] != 0);
        let all_came = downstream.requests().len() >= count;
        let is_over = !["scheduled", "ready", "leased"].into_iter().any(waits);
        (all_came && is_over).then_some(())
    })
    .await;
    let calls = downstream.requests();
    // What a killed node was just sending is sent once more, and says so; a second copy would begin anew.
    let mut first_of = BTreeMap::new();
    for call in &calls {
        let (id, payload) = (call.id().to_owned(), call.json().as_u64().unwrap());
        if first_of.insert(id, payload).is_some() {
            assert!(call.attempt() > 1, "{} came twice as new", call.id());
        }
    }
    let mut payloads: Vec<u64> = first_of.into_values().collect();
    payloads.sort_unstable();
    assert_eq!(payloads, (0..count as u64).collect::<Vec<_>>(), "one copy of each");
    assert!(calls.iter().all(|call| call.id().starts_with("new_")));
    assert!(calls.iter().all(|call| call.header("x-shop") == Some("eu")));
    assert_eq!(daemon.counts("old").await["cancelled"], count);
}

/// The old messages tell where they went, the new ones have all that the old ones had, and nothing brings
/// the old ones back: they would be sent twice.
async fn passed_on(daemon: &Daemon, old_ids: &[String]) {
    for id in old_ids {
        let old = daemon.get(&format!("/v1/messages/{id}?view=full")).await.expect(200).json();
        let reason = old["reason"].as_str().unwrap();
        let new = daemon.message(reason.strip_prefix("moved to ").expect(reason)).await;
        for same in ["group", "priority", "labels", "created_at"] {
            assert_eq!(new[same], old[same], "{same}");
        }
        assert_eq!(old["payload"], Value::Null);
    }
    daemon.post(&format!("/v1/messages/{}/requeue", old_ids[0]), &json!({})).await.expect(409);
    let everything = json!({ "state": "cancelled" });
    let requeued = daemon.post("/v1/queues/old/requeue-all", &everything).await.expect(200).json();
    assert_eq!(requeued["requeued"], 0);
}

async fn move_all(daemon: &Daemon) {
    for state in ["ready", "scheduled"] {
        let wish =
            json!({ "action": "move", "queue": "old", "state": state, "all": true, "to": "new" });
        let operation = start(daemon, &wish).await;
        let end = ended(daemon, &operation).await;
        assert_eq!((&end["state"], &end["skipped"]), (&json!("done"), &json!(0)), "{end}");
        assert_eq!(end["done"], end["matched"], "{end}");
    }
}

#[tokio::test]
async fn messages_move_with_all_they_have() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, two_queues(&downstream, 3, "")).await;
    let ids = fill(&daemon, 60).await;

    move_all(&daemon).await;

    arrived_once(&daemon, &downstream, ids.len()).await;
    passed_on(&daemon, &ids).await;
}

#[tokio::test]
async fn messages_move_across_the_masters_of_a_cluster() {
    let (cluster, downstream) = (Cluster::shared().await, Downstream::start().await);
    let daemon = Daemon::with(two_queues(&downstream, 4, "")).cluster(cluster).start().await;
    let ids = fill(&daemon, 40).await;

    move_all(&daemon).await;

    arrived_once(&daemon, &downstream, ids.len()).await;
    passed_on(&daemon, &ids).await;
}

/// A node that is killed in the middle of a move, at each of its steps: none lost, none twice, also where
/// the other queue keeps nothing of what it has delivered.
#[cfg(feature = "failpoints")]
#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn a_move_survives_a_kill_at_every_step() {
    let points = [
        "before-operation_save=1*off->return",
        "before-move=return",
        "after-move=return",
        "before-move=1*off->return",
        "after-move=1*off->return",
        "after-schedule=return",
        "before-reschedule=return",
        "after-reschedule=5*off->return",
        "before-operation_save=2*off->return",
    ];
    let forgets = "retention = { delivered = \"1ms\" }";
    let runs = points.into_iter().map(async |point| {
        let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
        let config = two_queues(&downstream, 2, forgets);
        let first = Daemon::start(&redis, &config).await;
        let ids = fill(&first, 20).await;
        let mut armed =
            Daemon::with(&config).redis(&redis).environment("FAILPOINTS", point).start().await;
        let wish =
            json!({ "action": "move", "queue": "old", "state": "ready", "all": true, "to": "new" });
        // Only the armed one is there to take it up.
        let mut first = first;
        first.sigterm().await;
        let body = wish.to_string();
        let json = [("Content-Type", "application/json")];
        drop(armed.http().try_send(http::Method::POST, "/v1/operations", &json, body).await);
        assert_eq!(armed.wait_exit().await, 137, "{point}");
        first.restart().await;
        let operations = first.get("/v1/operations").await.expect(200).json();
        let end = ended(&first, &operations["operations"][0]).await;
        // Some of those due later may be due by now.
        assert_eq!((&end["state"], &end["skipped"]), (&json!("done"), &json!(0)), "{point}: {end}");
        assert!(
            end["done"].as_u64() >= Some(10) && end["done"] == end["matched"],
            "{point}: {end}"
        );
        move_all(&first).await;
        arrived_once(&first, &downstream, ids.len()).await;
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test]
async fn the_command_line_counts_requeues_follows_and_lists() {
    let (scene, _ids) = dead_letters(12, "").await;
    let cli = async |words: &[&str]| scene.daemon.cli(words).await;

    let dry = cli(&["requeue-all", QUEUE, "--state", "dead", "--rate", "5/s", "--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.stdout.starts_with("dry run: 12 of 12 messages of jobs would be taken"), "{dry:?}");
    assert_eq!(dry.stdout.lines().count(), 11, "ten of them are shown");
    let vips = ["--state", "dead", "--label", "kind=vip", "--rate", "50/s", "--yes"];
    let vips = cli(&[&["requeue-all", QUEUE][..], &vips].concat()).await;
    assert_eq!(vips.stdout.trim(), "3 messages of jobs requeued (3 of 12 messages matched)");
    let none = cli(&["operation", "start", "requeue", QUEUE, "--state", "dead"]).await;
    assert_eq!(none.code, 2, "{none:?}");
    let slow = ["--state", "dead", "--all", "--rate", "1/min", "--no-follow", "--reason", "slowly"];
    let slow = cli(&[&["operation", "start", "requeue", QUEUE][..], &slow].concat()).await;
    let id = slow.stdout.trim().to_owned();
    assert!(id.starts_with("op_"), "{slow:?}");
    let list = cli(&["operation", "list"]).await;
    assert!(list.stdout.contains(&id) && list.stdout.contains("slowly"), "{list:?}");
    let stop = cli(&["operation", "stop", &id]).await;
    assert!(stop.stdout.contains("is to stop"), "{stop:?}");
    let follow = cli(&["operation", "follow", &id]).await;
    assert_eq!(follow.code, 1, "{follow:?}");
    assert!(follow.stderr.contains("stopped by anonymous"), "{follow:?}");
    let show = cli(&["operation", "show", &id]).await;
    assert!(show.stdout.contains("1/min"), "{show:?}");
    let actions = cli(&["actions"]).await;
    assert!(
        actions.stdout.contains("stop operation") && actions.stdout.contains("slowly"),
        "{actions:?}"
    );
}

/// Ctrl-C ends the watching alone.
#[tokio::test]
async fn an_interrupted_watcher_leaves_the_operation_running() {
    let (scene, _ids) = dead_letters(5, "").await;
    let mut command = tokio::process::Command::new("timeout");
    command.args(["--signal=INT", "5", "tidegate", "requeue-all", QUEUE]);
    command.args(["--state", "dead", "--rate", "1/min", "--yes"]);

    let watcher = scene.daemon.run(command).await;

    assert!(watcher.stderr.contains("tidegate operation follow op_"), "{watcher:?}");
    let list = scene.daemon.get("/v1/operations?state=running").await.expect(200).json();
    assert_eq!(list["operations"].as_array().unwrap().len(), 1);
}
