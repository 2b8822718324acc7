//! A downstream that fails is seen: in the log once when it begins and once when it ends, in every view of
//! its queue, in `doctor` and in the metrics; and `retry` sends at once what waited for another attempt.

use serde_json::{Value, json};

use crate::support::downstream::Downstream;
use crate::support::ports::free_port;
use crate::support::wait::poll_until;
use crate::support::{Answer, Daemon, QUEUE, RedisServer, Scene, eventually};

const BEGINS: &str = "the downstream is failing";
const ENDS: &str = "the downstream answers again";
/// What fails waits for an hour, so that each message is one attempt.
const ONCE_EACH: &str = "concurrency = 1\nretry = { initial = \"1h\", max = \"1h\", jitter = 0 }";

pub(crate) fn logged(daemon: &Daemon, words: &str) -> usize {
    daemon.log().matches(words).count()
}

async fn view(daemon: &Daemon) -> Value {
    daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json()
}

async fn metric(daemon: &Daemon) -> bool {
    let text = daemon.get("/metrics").await.expect(200).text().to_owned();
    text.contains(&format!("tidegate_downstream_failing{{queue=\"{QUEUE}\"}} 1"))
}

/// Sends a message and waits until its first attempt is over.
async fn try_one(scene: &Scene) -> Value {
    let id = scene.send("x").await;
    poll_until("the attempt is over", async || {
        let message = scene.daemon.message(&id).await;
        let is_over = message["state"] != "leased" && message["last_attempt"].is_object();
        is_over.then_some(message)
    })
    .await
}

#[tokio::test]
async fn who_refuses_connections_is_failing_until_an_answer_and_retry_sends_what_waits() {
    let (redis, port) = (RedisServer::start().await, free_port());
    let toml =
        format!("[queues.{QUEUE}]\ndownstream.url = \"http://127.0.0.1:{port}/x\"\n{ONCE_EACH}\n");
    let daemon = Daemon::start(&redis, toml).await;
    let later = daemon.send(QUEUE, &json!({ "payload": "later", "delay": "2h" })).await;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(daemon.send(QUEUE, &json!({ "payload": number })).await);
    }

    let queue = poll_until("it is failing", async || {
        Some(view(&daemon).await).filter(|queue| queue["failing"]["attempts"] == 4)
    })
    .await;

    let error = queue["failing"]["last_error"].as_str().expect("an error");
    assert!(error.contains("refused"), "{queue}");
    assert_eq!(queue["sending"]["state"], "failing");
    assert!(queue["sending"]["reason"].as_str().unwrap().contains(error), "{queue}");
    assert_eq!(queue["sending"]["since"], queue["failing"]["since"]);
    assert_eq!((logged(&daemon, BEGINS), logged(&daemon, ENDS)), (1, 0));
    eventually("the metric says so", async || metric(&daemon).await).await;
    let table = daemon.cli(&["queues"]).await.stdout;
    assert!(table.contains("SENDING") && table.contains("failing for"), "{table}");
    assert!(table.contains("refused") && !table.contains("DOOR"), "{table}");
    let list = daemon.cli(&["list", QUEUE, "--state", "scheduled"]).await.stdout;
    assert!(list.contains("WHY") && list.matches("refused").count() == 4, "{list}");
    let message = daemon.message(&ids[0]).await;
    assert_eq!(message["failing"], queue["failing"], "{message}");
    let get = daemon.cli(&["get", &ids[0]]).await.stdout;
    let first = get.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    assert!(first.contains("its downstream is failing: 4 attempts in a row"), "{get}");
    let doctor = daemon.cli(&["doctor"]).await;
    assert_eq!(doctor.code, 1);
    assert!(doctor.stdout.contains("is failing since"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains(&format!("`tidegate retry {QUEUE}`")), "{}", doctor.stdout);

    daemon.cli(&["pause", QUEUE]).await;
    let run = daemon.cli(&["run", &ids[0]]).await.stdout;
    assert!(run.contains("due now; it waits for its queue to be resumed"), "{run}");
    let get = daemon.cli(&["get", &ids[0]]).await.stdout;
    let first = get.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    assert!(first.starts_with("Its last attempt failed: "), "{get}");
    assert!(first.contains("Its downstream is failing: 4 attempts in a row since "), "{get}");
    assert!(
        first.contains(". Waiting for its queue to be resumed The queue was paused by "),
        "{get}"
    );

    let downstream = Downstream::start_at(port).await;
    let resumed = daemon.cli(&["resume", QUEUE]).await.stdout;
    assert!(resumed.starts_with(&format!("{QUEUE} is resumed\n")), "{resumed}");
    let again = daemon.cli(&["resume", QUEUE]).await.stdout;
    assert!(again.contains("was neither paused nor shut"), "{again}");
    assert_eq!(daemon.wait_final(&ids[0]).await["state"], "delivered");
    let retry = daemon.cli(&["retry", QUEUE, "--rate", "100/s"]).await;

    assert_eq!(retry.code, 0, "{retry:?}");
    assert!(retry.stdout.contains("3 messages"), "{retry:?}");
    assert!(
        retry.stderr.contains(&format!("`tidegate queue {QUEUE}` shows how many")),
        "{retry:?}"
    );
    for id in &ids {
        let message = daemon.wait_final(id).await;
        assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(2)));
    }
    assert_eq!(downstream.requests().len(), 4);
    assert_eq!(daemon.message(&later).await["state"], "scheduled", "nobody has tried it yet");
    let queue = view(&daemon).await;
    assert_eq!((&queue["failing"], &queue["sending"]["state"]), (&Value::Null, &json!("open")));
    assert!(daemon.message(&later).await.get("failing").is_none(), "it is not failing any more");
    assert_eq!((logged(&daemon, BEGINS), logged(&daemon, ENDS)), (1, 1));
    assert!(daemon.cli(&["doctor"]).await.stdout.contains("no problems found"));
}

#[tokio::test]
async fn it_takes_three_in_a_row_and_throttles_are_not_counted() {
    let scene = Scene::start(ONCE_EACH).await;
    let attempts = async || view(&scene.daemon).await["failing"]["attempts"].clone();
    for (statuses, shown) in [
        (&[500, 503][..], Value::Null),
        (&[425, 500, 408], Value::Null),
        (&[422, 502, 500], Value::Null),
        (&[504], json!(3)),
        (&[500], json!(4)),
        (&[200], Value::Null),
    ] {
        for status in statuses {
            scene.downstream.always(Answer::status(*status));
            try_one(&scene).await;
        }
        assert_eq!(attempts().await, shown, "after {statuses:?}");
    }
    for status in [500, 500] {
        scene.downstream.always(Answer::status(status));
        try_one(&scene).await;
    }
    scene.downstream.once(Answer::status(429).header("Retry-After", "1"));
    scene.send("throttled").await;
    poll_until("the throttled one has failed as well", async || {
        (attempts().await == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_batch_is_one_attempt() {
    let lines = format!("{ONCE_EACH}\nbatch = {{ max_items = 3, max_wait = \"1h\" }}");
    let scene = Scene::start(&lines).await;
    scene.downstream.always(Answer::status(500));
    for (calls, attempts) in [(1, Value::Null), (2, Value::Null), (3, json!(3))] {
        scene.send_numbers(3).await;
        scene.wait_count("scheduled", calls * 3).await;
        assert_eq!(view(&scene.daemon).await["failing"]["attempts"], attempts);
    }
}

#[tokio::test]
async fn an_unknown_outcome_counts_and_dead_letters_do() {
    let park = format!("{ONCE_EACH}\non_uncertain = \"park\"");
    let once = "concurrency = 1\nretry.max_attempts = 1";
    for (lines, state) in [(park.as_str(), "uncertain"), (once, "dead")] {
        let scene = Scene::start(lines).await;
        scene.downstream.always(Answer::reset());
        scene.send_numbers(3).await;
        scene.wait_count(state, 3).await;
        assert_eq!(view(&scene.daemon).await["failing"]["attempts"], 3);
        assert_eq!(logged(&scene.daemon, BEGINS), 1);
    }
}

#[tokio::test]
async fn one_node_logs_it_and_all_nodes_count_together() {
    for shards in [1, 4] {
        let lines = format!("{ONCE_EACH}\nshards = {shards}");
        let scene = Scene::start(&lines).await;
        let other = scene.another_daemon(&lines).await;
        let both = |words: &str| logged(&scene.daemon, words) + logged(&other, words);
        scene.downstream.always(Answer::status(500));
        scene.send_numbers(40).await;
        scene.wait_count("scheduled", 40).await;
        assert_eq!(view(&other).await["sending"]["state"], "failing");
        assert_eq!(both(BEGINS), 1, "{shards} shards");

        scene.downstream.always(Answer::ok());
        let retry = other.cli(&["retry", QUEUE]).await;
        assert_eq!(retry.code, 0, "{retry:?}");
        scene.wait_count("delivered", 40).await;

        eventually("it is over", async || view(&other).await["failing"].is_null()).await;
        assert_eq!((both(BEGINS), both(ENDS)), (1, 1), "{shards} shards");
    }
}

#[tokio::test]
async fn a_downstream_that_comes_and_goes_is_logged_once_a_minute() {
    let scene = Scene::start(ONCE_EACH).await;
    for _ in 0..4 {
        for status in [500, 500, 500, 200] {
            scene.downstream.always(Answer::status(status));
            try_one(&scene).await;
        }
    }
    assert_eq!((logged(&scene.daemon, BEGINS), logged(&scene.daemon, ENDS)), (1, 1));
}

#[tokio::test]
async fn retry_takes_what_its_filter_names_and_refuses_an_id() {
    let scene = Scene::start(ONCE_EACH).await;
    scene.downstream.always(Answer::status(500));
    let sent = [json!({ "payload": 1, "group": "a" }), json!({ "payload": 2, "group": "b" })];
    let ids = scene.send_all(&sent).await;
    scene.wait_count("scheduled", 2).await;
    scene.downstream.always(Answer::ok());

    let wish = json!({ "action": "retry", "queue": QUEUE, "filter": { "group": "b" } });
    scene.daemon.post("/v1/operations", &wish).await.expect(202);

    assert_eq!(scene.daemon.wait_final(&ids[1]).await["state"], "delivered");
    assert_eq!(scene.daemon.message(&ids[0]).await["state"], "scheduled");
    let by_id = scene.daemon.cli(&["retry", &ids[0]]).await;
    assert_eq!(by_id.code, 2, "{by_id:?}");
    assert!(by_id.stderr.contains(&format!("tidegate run {}", ids[0])), "{by_id:?}");
}
