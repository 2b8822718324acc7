//! Nodes whose files have different `collapse` tables: the latest proposal is in force, and who follows it says so.

use serde_json::{Value, json};

use super::{level, post};
use crate::support::wait::poll_until;
use crate::support::{Daemon, QUEUE, Scene, queue_toml};

const SHORT: &str = "collapse = { wait = \"10m\", max_wait = \"20m\" }";
const LONG: &str = "collapse = { wait = \"10h\", max_wait = \"20h\" }";

/// The addresses of the nodes that follow another one, as any of them knows.
async fn followers(daemon: &Daemon) -> Vec<String> {
    let nodes = daemon.get("/v1/nodes").await.expect(200).json();
    let nodes = nodes["nodes"].as_array().expect("a list").clone();
    let follows = nodes.iter().filter(|node| node["follows"] == json!([QUEUE]));
    follows.map(|node| node["listen"].as_str().expect("an address").to_owned()).collect()
}

fn address(daemon: &Daemon) -> String {
    daemon.url().trim_start_matches("http://").to_owned()
}

async fn structure(daemon: &Daemon) -> Value {
    daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json()["structure"].clone()
}

/// How many minutes a message waits that comes in through this node.
async fn waits_minutes(daemon: &Daemon, number: usize) -> i64 {
    let mut message = level(number);
    message["collapse_key"] = json!(format!("article-{number}"));
    let said = post(daemon, &message).await.expect(201).json();
    let moment = |name: &str| -> jiff::Timestamp { said[name].as_str().unwrap().parse().unwrap() };
    (moment("due_at").as_second() - moment("created_at").as_second() + 30) / 60
}

#[tokio::test]
async fn a_node_whose_file_has_another_collapse_follows_and_says_so() {
    let scene = Scene::start(SHORT).await;
    assert_eq!(waits_minutes(&scene.daemon, 1).await, 10);
    assert_eq!(structure(&scene.daemon).await, Value::Null);

    // A node that starts proposes what its file says.
    let other = scene.another_daemon(LONG).await;
    poll_until("the first node follows the second", async || {
        (followers(&other).await == [address(&scene.daemon)]).then_some(())
    })
    .await;
    assert_eq!(waits_minutes(&scene.daemon, 2).await, 600);
    assert_eq!(structure(&scene.daemon).await["is_own"], false);
    let doctor = async |daemon: &Daemon| daemon.cli(&["doctor", "--quick"]).await.stdout;
    let said = doctor(&scene.daemon).await;
    assert!(said.contains("this node follows another one") && said.contains("collapse"), "{said}");
    assert!(!doctor(&other).await.contains("follows another one"));
    let shown = scene.daemon.cli(&["queue", QUEUE]).await.stdout;
    assert!(shown.contains("that of another node, whose configuration differs"), "{shown}");

    // A reload proposes anew, although the file is the same.
    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, SHORT));
    poll_until("now the second node follows", async || {
        (followers(&other).await == [address(&other)]).then_some(())
    })
    .await;
    assert_eq!(waits_minutes(&other, 3).await, 10);

    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, LONG));
    poll_until("both have the same configuration", async || {
        followers(&other).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(structure(&other).await, Value::Null);
    // Said once when it began, and once when it ended.
    let log = scene.daemon.log();
    for words in ["another node has proposed a structure", "is in force again"] {
        assert_eq!(log.matches(words).count(), 1, "{words}: {log}");
    }
}

#[tokio::test]
async fn a_redis_that_has_forgotten_everything_is_told_of_collapse_again() {
    let scene = Scene::start(SHORT).await;
    assert_eq!(waits_minutes(&scene.daemon, 1).await, 10);
    scene.redis.cli::<()>(&["FLUSHALL"]).await;
    poll_until("it waits again", async || {
        let minutes = waits_minutes(&scene.daemon, 2).await;
        (minutes == 10).then_some(())
    })
    .await;
}
