//! `GET /v1/doctor`: what is wrong, each with its queue and its remedy, as the daemon itself sees it.

use serde_json::{Value, json};

use crate::support::{
    Answer, Daemon, Downstream, QUEUE, RedisServer, Scene, eventually, queue_toml,
};

async fn findings(daemon: &Daemon) -> Vec<Value> {
    let answer = daemon.get("/v1/doctor").await.expect(200).json();
    answer["findings"].as_array().expect("a list").clone()
}

/// The one finding of this kind.
fn of<'a>(findings: &'a [Value], code: &str) -> &'a Value {
    let found: Vec<_> = findings.iter().filter(|finding| finding["code"] == code).collect();
    assert_eq!(found.len(), 1, "{code}: {findings:#?}");
    found[0]
}

/// Its detail has these words, its remedy those.
#[track_caller]
fn says(finding: &Value, detail: &str, remedy: &str) {
    for (field, words) in [("detail", detail), ("remedy", remedy)] {
        let text = finding[field].as_str().expect("a text");
        assert!(text.contains(words), "{field} without {words}: {finding:#}");
    }
}

#[tokio::test]
async fn nothing_is_found_where_all_is_well() {
    let scene = Scene::start("").await;
    let id = scene.send("well").await;
    scene.daemon.wait_final(&id).await;

    let answer = scene.daemon.get("/v1/doctor").await.expect(200).json();

    assert_eq!(answer["findings"], json!([]), "{answer}");
    assert!(
        answer["store"].as_str().is_some_and(|store| store.starts_with("Redis at ")),
        "{answer}"
    );
    scene.daemon.get("/v1/doctor?about=queues").await.expect(400);
}

#[tokio::test]
async fn each_queue_is_judged_for_itself() {
    let redis = RedisServer::start().await;
    let downstream = Downstream::start().await;
    let shut = Downstream::start().await;
    shut.always(Answer::status(401));
    let pulled = "[queues.pulled]\ndownstream.type = \"pull\"\n";
    let config = [
        queue_toml(QUEUE, &downstream, "retry.max_attempts = 1"),
        queue_toml("shut", &shut, ""),
        queue_toml("idle", &downstream, ""),
        pulled.to_owned(),
    ];
    let daemon = Daemon::start(&redis, config.concat()).await;
    downstream.always(Answer::status(422));
    let dead = daemon.send(QUEUE, &json!({ "payload": "dies" })).await;
    assert_eq!(daemon.wait_final(&dead).await["state"], "dead");
    let pause = json!({ "reason": "deploy" });
    daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &pause).await.expect(200);
    daemon.send(QUEUE, &json!({ "payload": "waits" })).await;
    daemon.post("/v1/queues/idle/pause", &json!({})).await.expect(200);
    daemon.send("shut", &json!({ "payload": "refused" })).await;
    // Nobody comes, though it has been due for long.
    let pulled = daemon.send("pulled", &json!({ "payload": "waits", "delay": "1h" })).await;
    let long_due = json!({ "due_at": "2020-01-01T00:00:00Z" });
    daemon.patch(&format!("/v1/messages/{pulled}"), &long_due).await.expect(200);
    eventually("the gate is shut", async || {
        daemon.get("/v1/queues/shut").await.json()["gate"]["open"] == false
    })
    .await;

    let found = findings(&daemon).await;

    let paused: Vec<_> = found.iter().filter(|finding| finding["code"] == "paused").collect();
    let [idle, waiting] = paused.as_slice() else { panic!("two are paused: {found:#?}") };
    assert_eq!((&idle["queue"], &idle["weight"]), (&json!("idle"), &json!("note")));
    assert_eq!((&waiting["queue"], &waiting["weight"]), (&json!(QUEUE), &json!("problem")));
    says(waiting, "it is paused by anonymous (deploy), and 1 message wait", "tidegate resume jobs");
    assert_eq!(waiting["runbook"], "docs/runbook.md#tidegatepausedlong");
    let died = of(&found, "dead-messages");
    says(died, &dead, "tidegate list jobs --state dead");
    says(died, "status 422", "tidegate requeue ID");
    let gate = of(&found, "gate-shut");
    assert_eq!((&gate["queue"], &gate["about"]), (&json!("shut"), &json!("shut")));
    says(gate, "status 401", "tidegate try shut");
    says(of(&found, "no-worker"), "no worker has claimed", "POST /v1/queues/pulled/claim");
    assert!(found.iter().all(|finding| finding["remedy"] != ""), "{found:#?}");
}

#[tokio::test]
async fn a_window_and_a_failing_downstream_have_their_moments() {
    let scene = Scene::start("retry.initial = \"100ms\"\nretry.max = \"200ms\"").await;
    let other = scene.another_daemon(&closed_now(&scene.daemon).await).await;
    scene.downstream.always(Answer::status(500));
    scene.send("fails").await;
    eventually("it is failing", async || {
        scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.json()["failing"].is_object()
    })
    .await;

    let found = findings(&scene.daemon).await;
    let failing = of(&found, "downstream-failing");
    says(failing, "408 or 5xx", "`tidegate retry jobs`");
    let at = failing["at"].as_str().expect("since when");
    says(failing, &format!("is failing since {at}"), "tidegate try jobs");
    let differ = of(&found, "configs-differ");
    assert_eq!((&differ["queue"], &differ["about"]), (&Value::Null, &json!("nodes")));

    let found = findings(&other).await;
    let window = of(&found, "window-closed");
    assert_eq!(window["weight"], "note");
    says(window, "its window is closed and opens in ", "`tidegate windows jobs`");
    assert!(window["at"].is_string(), "{window}");
}

/// A window that is closed now, and for some hours yet.
async fn closed_now(daemon: &Daemon) -> String {
    let now = daemon.get("/v1/clock").await.json()["now"].as_str().expect("a moment").to_owned();
    let hour: u32 = now[11..13].parse().expect("an hour");
    let (from, to) = if (6..18).contains(&hour) { ("23:00", "01:00") } else { ("11:00", "13:00") };
    let open = format!("[{{ days = \"mon-sun\", from = \"{from}\", to = \"{to}\" }}]");
    format!("window.time_zone = \"UTC\"\nwindow.open = {open}")
}

#[tokio::test]
async fn a_redis_that_may_not_hold_messages_is_found_and_one_that_is_away_too() {
    let mut scene = Scene::start("").await;
    scene.redis.cli::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    eventually("it is not ready", async || scene.daemon.get("/readyz").await.status == 503).await;
    for path in ["/v1/doctor", "/v1/doctor?about=intake"] {
        let answer = scene.daemon.get(path).await.expect(200).json();
        let found = answer["findings"].as_array().expect("a list");
        let unfit = of(found, "store-unfit");
        says(unfit, "new messages are refused: ", "stored messages are still sent");
        says(unfit, "maxmemory-policy", "change that at Redis");
        assert_eq!((&unfit["queue"], found.len()), (&Value::Null, 1), "{path}: {answer}");
    }

    scene.redis.kill9().await;

    eventually("it is away", async || {
        let found = findings(&scene.daemon).await;
        found.len() == 1 && found[0]["code"] == "store-away"
    })
    .await;
    let found = findings(&scene.daemon).await;
    says(&found[0], "the daemon is not ready: ", "start Redis");
}
