//! The log as a machine reads it: one JSON object a line, no name twice, whole ids, and no line for each
//! message.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::support::{Answer, Daemon, QUEUE, RedisServer, Scene, eventually};

/// The names of an object, as often as they stand there.
struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
            names.push(name);
        }
        Ok(names)
    }
}

fn names_of(line: &str) -> Vec<String> {
    let mut reader = serde_json::Deserializer::from_str(line);
    reader.deserialize_map(Names).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Ids of messages that stand alone, without their queue.
fn bare_ids(line: &str) -> Vec<&str> {
    let is_ulid = |word: &&str| {
        word.len() == 26
            && word.starts_with("01")
            && word.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
    };
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(is_ulid).collect()
}

fn lines_with(daemon: &Daemon, words: &str) -> Vec<Value> {
    let log = daemon.log();
    let lines = log.lines().filter(|line| line.contains(words));
    lines.map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn repeated_names_and_bare_ids_are_seen() {
    assert_eq!(
        names_of(r#"{"message":"a","x":{"y":1},"message":"b"}"#),
        ["message", "x", "message"]
    );
    let ulid = "01JD3A9PX2M7Q8R4T6V0W1Y2Z3";
    assert_eq!(bare_ids(&format!(r#"{{"message":"{ulid}"}}"#)), [ulid]);
    assert!(bare_ids(&format!(r#"{{"id":"sms_{ulid}"}}"#)).is_empty());
}

#[tokio::test]
async fn every_line_is_json_without_a_name_twice_and_the_dead_are_summed_up() {
    let mut scene =
        Scene::start("concurrency = 4\nretry = { initial = \"1h\", max = \"1h\" }").await;
    scene.downstream.always(Answer::status(422).body("no such number"));
    let ids = scene.send_numbers(30).await;
    scene.wait_count("dead", 30).await;
    eventually("the dead are in the log", async || {
        !lines_with(&scene.daemon, "messages are dead").is_empty()
    })
    .await;
    scene.downstream.always(Answer::status(500));
    scene.send_numbers(4).await;
    scene.wait_count("scheduled", 4).await;
    scene.queue_step("pause", &json!({ "reason": "a \"look\"" })).await;
    scene.queue_step("resume", &json!({})).await;
    scene.downstream.always(Answer::status(401));
    assert_eq!(scene.daemon.cli(&["retry", QUEUE]).await.code, 0);
    eventually("the gate is shut", async || {
        !lines_with(&scene.daemon, "the gate is shut").is_empty()
    })
    .await;
    assert_eq!(scene.daemon.sigterm().await, 0);

    let log = scene.daemon.log();
    // Where it is to be found is said in words as well, for whoever has just started it.
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let names = names_of(line);
        let mut once = names.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len(), "a name stands twice: {line}");
        for name in ["timestamp", "level", "message"] {
            assert!(names.iter().any(|known| known == name), "{name} is missing: {line}");
        }
        assert!(bare_ids(line).is_empty(), "an id without its queue: {line}");
    }
    let dead = lines_with(&scene.daemon, "messages are dead");
    let count: u64 = dead.iter().map(|line| line["count"].as_u64().expect("a count")).sum();
    assert_eq!(count, 30, "{dead:?}");
    // One at first, and what was left at the end.
    assert!(dead.len() <= 2, "{dead:?}");
    assert_eq!((&dead[0]["level"], &dead[0]["queue"]), (&json!("WARN"), &json!(QUEUE)));
    assert!(dead[0]["last_reason"].as_str().unwrap().contains("no such number"), "{dead:?}");
    let first = dead[0]["first_ids"].as_str().unwrap();
    assert!(first.split(' ').all(|id| ids.iter().any(|known| known == id)), "{first}");
}

#[tokio::test]
async fn settings_of_the_log_that_cannot_be_read_are_reported() {
    let redis = RedisServer::start().await;
    let config = "[queues.a.downstream]\ntype = \"null\"\n";
    let daemon = Daemon::with(config).redis(&redis);
    let daemon = daemon.environment("TIDEGATE_LOG", "tidegate=loud");
    let daemon = daemon.environment("TIDEGATE_LOG_FORMAT", "xml").start().await;
    for words in ["TIDEGATE_LOG is not a valid filter", "TIDEGATE_LOG_FORMAT is \\\"xml\\\""] {
        assert_eq!(lines_with(&daemon, words).len(), 1, "{}", daemon.log());
    }
}
