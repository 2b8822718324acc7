//! `tidegate doctor`: indexes that were broken by hand are found, mended and counted, by the operator
//! and by the daemon itself; and nothing is found where all is well.

use serde_json::{Value, json};

use crate::support::wait::poll_until;
use crate::support::{Answer, Daemon, Gate, QUEUE, RedisServer, Scene, eventually, queue_toml};

fn key(name: &str) -> String {
    format!("{{tidegate:{QUEUE}.0}}:{name}")
}

/// Another node is looking through: the daemon's own audit leaves the shard alone.
async fn leave_to_the_operator(redis: &RedisServer) {
    let mark = format!("{{tidegate}}:audit:tidegate:{QUEUE}.0");
    redis.cli::<()>(&["SET", &mark, "another node"]).await;
}

async fn doctor(daemon: &Daemon, words: &[&str]) -> (i32, Value) {
    let mut line = vec!["doctor", "--output", "json"];
    line.extend(words);
    let output = daemon.cli(&line).await;
    let document = serde_json::from_str(&output.stdout);
    (output.code, document.unwrap_or_else(|error| panic!("{error}: {output:?}")))
}

fn findings(document: &Value) -> Vec<String> {
    let findings = document["findings"].as_array().expect("a list");
    findings.iter().filter_map(|finding| finding["what"].as_str()).map(str::to_owned).collect()
}

/// What the audit of the queue came to.
async fn audit(daemon: &Daemon) -> Value {
    let lines = daemon.get(&format!("/v1/queues/{QUEUE}/audit")).await.expect(200);
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    serde_json::from_str(lines.text().lines().last().expect("a summary")).expect("JSON")
}

#[tokio::test]
async fn the_operator_finds_and_mends_what_is_broken() {
    let scene = Scene::start("").await;
    leave_to_the_operator(&scene.redis).await;
    scene.queue_step("pause", &json!({ "reason": "looking" })).await;
    let ids = scene.send_numbers(30).await;
    let counts = scene.daemon.counts(QUEUE).await;
    assert_eq!(counts["ready"], 30);
    scene.redis.cli::<()>(&["DEL", &key("ready:0")]).await;
    scene.redis.cli::<()>(&["HSET", &key("states"), "01JD3A9PX2M7Q8R4T6V0W1Y2Z3", "x"]).await;

    let (code, told) = doctor(&scene.daemon, &[]).await;
    let (quick, _) = doctor(&scene.daemon, &["--quick"]).await;
    let (mended, repaired) = doctor(&scene.daemon, &["--repair"]).await;
    let (_, again) = doctor(&scene.daemon, &[]).await;

    assert_eq!((code, quick), (1, 0), "{told}");
    let told = findings(&told).join("\n");
    assert!(told.contains("30 messages that are in no index"), "{told}");
    assert!(ids.iter().any(|id| told.contains(id.as_str())), "{told}");
    assert!(told.contains("1 leftover of messages that do not exist"), "{told}");
    let repaired = findings(&repaired).join("\n");
    assert!(repaired.contains("would never be sent") && repaired.contains("; repaired"));
    assert_eq!(mended, 0, "nobody has to act: {repaired}");
    assert_eq!(findings(&again).len(), 1, "only the pause: {again}");

    scene.queue_step("resume", &json!({})).await;
    for id in ids {
        assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    }
    assert_eq!(scene.downstream.requests().len(), 30);
}

#[tokio::test]
async fn the_daemon_finds_and_mends_by_itself_and_counts() {
    let mut scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    let ids = scene.send_numbers(5).await;
    let later = json!({ "payload": "later", "delay": "1h", "ttl": "2h" });
    let later = scene.daemon.send(QUEUE, &later).await;
    assert_eq!(scene.daemon.sigterm().await, 0);
    scene.redis.cli::<()>(&["DEL", &key("ready:0")]).await;
    scene.redis.cli::<()>(&["DEL", &key("expiry")]).await;

    scene.daemon.restart().await;

    let metric = |text: &str, name: &str, fault: &str| {
        let sample = format!("tidegate_{name}_total{{queue=\"{QUEUE}\",fault=\"{fault}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&sample)?.parse::<u64>().ok())
    };
    let seen = poll_until("both are mended", async || {
        let text = scene.daemon.get("/metrics").await.text().to_owned();
        let repairs = ["unplaced", "expiry"].map(|fault| metric(&text, "index_repairs", fault));
        (repairs == [Some(5), Some(1)]).then_some(text)
    })
    .await;
    assert_eq!(metric(&seen, "index_faults", "unplaced"), Some(5));
    assert!(scene.daemon.log().contains("an index disagrees with its message"));
    assert_eq!(audit(&scene.daemon).await["faults"], json!({}));
    scene.queue_step("resume", &json!({})).await;
    for id in ids {
        assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    }
    assert_eq!(scene.daemon.message(&later).await["state"], "scheduled");
}

#[tokio::test]
async fn nothing_is_found_while_thousands_are_dispatched() {
    let scene = Scene::start("downstream.type = \"null\"\nconcurrency = 64").await;
    leave_to_the_operator(&scene.redis).await;
    let messages: Vec<_> = (0..1000)
        .map(|n| json!({ "payload": n, "delay": format!("{}s", n % 3), "ttl": "1h" }))
        .collect();
    let sending = async {
        for _ in 0..3 {
            scene.send_all(&messages).await;
        }
    };
    let auditing = async {
        let mut audits = 0;
        while scene.daemon.counts(QUEUE).await["delivered"] != 3000 {
            let summary = audit(&scene.daemon).await;
            assert_eq!((&summary["faults"], &summary["complete"]), (&json!({}), &json!(true)));
            audits += 1;
        }
        audits
    };
    let ((), audits) = tokio::join!(sending, auditing);
    assert!(audits > 1, "{audits} audits in the two seconds until the last message was due");
}

#[tokio::test]
async fn what_cannot_be_read_is_shown_and_holds_nothing_up() {
    let scene = Scene::start("").await;
    let ids = scene.line_up(3).await;
    let ulid = ids[0].rsplit('_').next().expect("an id has a ULID");
    scene.redis.cli::<()>(&["HSET", &key("records"), ulid, "cut"]).await;

    scene.queue_step("resume", &json!({})).await;

    for id in &ids[1..] {
        assert_eq!(scene.daemon.wait_final(id).await["state"], "delivered");
    }
    assert_eq!(scene.daemon.message(&ids[0]).await["last_attempt"], Value::Null);
    let (code, told) = doctor(&scene.daemon, &["--repair"]).await;
    assert_eq!(code, 1);
    assert!(findings(&told)[0].contains("1 message that cannot be read"), "{told}");
    let kept: String = scene.redis.cli(&["HGET", &key("records"), ulid]).await;
    assert_eq!(kept, "cut");
}

#[tokio::test]
async fn nodes_tell_what_they_can_take_and_whether_they_agree() {
    let scene = Scene::start("concurrency = 7").await;
    let mut other = scene.another_daemon("concurrency = 9").await;
    let node = |document: &Value, slots: u64| {
        let nodes = document["nodes"].as_array().expect("a list").clone();
        nodes.into_iter().find(|node| node["slots"] == slots)
    };
    let nodes = poll_until("both nodes show what they can take", async || {
        let document = scene.daemon.get("/v1/nodes").await.json();
        (node(&document, 7).is_some() && node(&document, 9).is_some()).then_some(document)
    })
    .await;
    assert_eq!(nodes["config_agrees"], false);
    let first = node(&nodes, 7).expect("found above");
    assert_eq!((&first["in_flight"], &first["queues"]), (&json!(0), &json!(1)));
    let listed = scene.daemon.cli(&["nodes"]).await;
    let own = nodes["answered_by"].as_str().expect("a node answers");
    assert!(
        listed.stdout.contains(&format!("2 nodes; this answer is from node {own}.")),
        "{}",
        listed.stdout
    );
    assert!(
        listed.stdout.contains("0 of 9") && listed.stdout.contains("CONFIG"),
        "{}",
        listed.stdout
    );
    assert!(listed.stderr.contains("different configs"), "{}", listed.stderr);
    let (code, told) = doctor(&scene.daemon, &["--quick"]).await;
    assert_eq!(code, 1);
    assert!(findings(&told)[0].contains("2 different configs"), "{told}");

    other.sighup(&queue_toml(QUEUE, &scene.downstream, "concurrency = 7"));

    eventually("they agree", async || {
        scene.daemon.get("/v1/nodes").await.json()["config_agrees"] == true
    })
    .await;
    assert_eq!(other.sigterm().await, 0);
}

#[tokio::test]
async fn a_node_tells_how_much_it_does() {
    let scene = Scene::start("concurrency = 3").await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    scene.send_numbers(5).await;
    eventually("three calls are in flight", async || {
        scene.daemon.get("/v1/nodes").await.json()["nodes"][0]["in_flight"] == 3
    })
    .await;
    gate.release();
    eventually("none is", async || {
        scene.daemon.get("/v1/nodes").await.json()["nodes"][0]["in_flight"] == 0
    })
    .await;
}
