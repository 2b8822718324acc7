//! What operators did, as the list of actions tells it: who, when, what, why, and what came of it.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Daemon, QUEUE, RedisServer, Scene};

async fn actions(daemon: &Daemon, query: &str) -> Value {
    daemon.get(&format!("/v1/actions{query}")).await.expect(200).json()
}

fn told(action: &Value) -> [&str; 3] {
    ["action", "on", "reason"].map(|name| action[name].as_str().unwrap_or_default())
}

#[tokio::test]
async fn every_step_of_an_operator_is_written_down_with_its_outcome() {
    let scene = Scene::start("").await;
    let daemon = &scene.daemon;
    scene.queue_step("pause", &json!({ "for": "1h", "reason": "maintenance" })).await;
    let id = daemon.send(QUEUE, &json!({ "payload": { "secret": 1 }, "delay": "1h" })).await;
    let message = format!("/v1/messages/{id}");
    daemon.patch(&message, &json!({ "delay": "2h", "payload": { "secret": 2 } })).await.expect(200);
    daemon.post(&format!("{message}/requeue"), &json!({})).await.expect(409);
    daemon.delete(&message).await.expect(200);
    let wish = json!({
        "action": "requeue", "queue": QUEUE, "state": "cancelled", "all": true, "dry_run": true, "reason": "to see",
    });
    let operation = daemon.post("/v1/operations", &wish).await.expect(202);

    let list = actions(daemon, "").await;

    let list = list["actions"].as_array().unwrap();
    let told: Vec<_> = list.iter().map(told).collect();
    let expected = [
        ["start operation", "", "to see"],
        ["cancel", id.as_str(), ""],
        ["requeue", id.as_str(), ""],
        ["edit", id.as_str(), ""],
        ["pause", QUEUE, "maintenance"],
    ];
    assert_eq!(told, expected, "reading and sending are no actions");
    let statuses: Vec<_> = list.iter().map(|action| action["outcome"]["status"].clone()).collect();
    assert_eq!(statuses, [202, 200, 409, 200, 200]);
    assert_eq!(list[2]["outcome"]["done"], false);
    assert_eq!(list[0]["outcome"]["made"], operation.header("Location"));
    assert_eq!(list[4]["detail"], json!({ "for": "1h" }));
    assert_eq!(list[3]["detail"], json!({ "delay": "2h", "payload": "..." }), "no contents");
    assert!(list.iter().all(|action| action["by"] == "anonymous"));
    let mut moments: Vec<_> = list.iter().map(|action| action["at"].as_str().unwrap()).collect();
    moments.reverse();
    assert!(moments.is_sorted(), "{moments:?}");
}

#[tokio::test]
async fn the_command_line_says_who_sits_there() {
    let scene = Scene::start("").await;
    let mut command = tokio::process::Command::new("tidegate");
    command.args(["pause", QUEUE]).env("TIDEGATE_USER", "ann from accounts");
    assert_eq!(scene.daemon.run(command).await.code, 0);
    let mut command = tokio::process::Command::new("tidegate");
    command.args(["resume", QUEUE]).env_remove("TIDEGATE_USER");
    assert_eq!(scene.daemon.run(command).await.code, 0);
    scene.queue_step("pause", &json!({})).await;

    let list = actions(&scene.daemon, "").await;
    let table = scene.daemon.cli(&["actions"]).await.stdout;

    let users: Vec<_> = list["actions"].as_array().unwrap().iter().map(|a| &a["user"]).collect();
    assert_eq!(users[0], &Value::Null, "plain HTTP names nobody");
    assert!(users[1].as_str().is_some_and(|name| !name.is_empty()), "{users:?}");
    assert_eq!(users[2], "ann from accounts");
    assert!(table.contains("anonymous (ann from accounts)"), "{table}");
}

#[tokio::test]
async fn pages_go_back_in_time_and_another_node_tells_the_same() {
    let scene = Scene::start("").await;
    for n in 0..5 {
        scene.queue_step("pause", &json!({ "reason": n.to_string() })).await;
    }
    let other = scene.another_daemon("").await;

    let first = actions(&other, "?limit=3").await;
    let cursor = first["next_cursor"].as_str().expect("there are more");
    let rest = actions(&other, &format!("?limit=3&cursor={cursor}")).await;

    let reasons = |page: &Value| -> Vec<String> {
        let list = page["actions"].as_array().unwrap().iter();
        list.map(|action| action["reason"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(reasons(&first), ["4", "3", "2"]);
    assert_eq!(reasons(&rest), ["1", "0"]);
    assert_eq!(rest["next_cursor"], Value::Null);
    other.get("/v1/actions?cursor=odd").await.expect(400);
}

#[tokio::test]
async fn the_token_is_named_and_whoever_may_not_leaves_no_trace() {
    use sha2::{Digest as _, Sha256};
    let redis = RedisServer::start().await;
    let hash = |text: &str| {
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let config = format!(
        "[server]\ntokens = [{{ name = \"night-shift\", sha256 = \"{}\", scopes = [\"operate\", \"read\"] }},\n\
         {{ name = \"shop\", sha256 = \"{}\", scopes = [\"send\"] }}]\n[queues.{QUEUE}]\ndownstream.type = \"null\"\n",
        hash("ops"),
        hash("shop"),
    );
    let daemon = Daemon::start(&redis, config).await;
    let ask = async |method: Method, path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        daemon.http().send(method, path, &headers, "{}").await
    };

    ask(Method::POST, &format!("/v1/queues/{QUEUE}/pause"), "shop").await.expect(403);
    ask(Method::POST, &format!("/v1/queues/{QUEUE}/pause"), "nobody").await.expect(401);
    ask(Method::POST, &format!("/v1/queues/{QUEUE}/resume"), "ops").await.expect(200);

    let list = ask(Method::GET, "/v1/actions", "ops").await.expect(200).json();
    let list = list["actions"].as_array().unwrap();
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!((&list[0]["by"], &list[0]["action"]), (&json!("night-shift"), &json!("resume")));
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let scene = Scene::start("").await;
    let key = "{tidegate:~actions}:list";
    // A key of another type: writing to it fails, and everything else works.
    scene.redis.cli::<String>(&["SET", key, "x"]).await;

    let refused =
        scene.daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({})).await.expect(503);

    assert!(refused.json()["detail"].as_str().unwrap().contains("nothing was done"), "{refused:?}");
    let queue = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
    assert_eq!(queue["paused"], Value::Null);
    scene.redis.cli::<i64>(&["DEL", key]).await;
    scene.queue_step("pause", &json!({})).await;
}
