//! What a newcomer types and reads first: words that are no commands, zones of times, and which Redis is in use.

use serde_json::Value;

use super::commands::{ends, sent};
use crate::support::redis::RedisOptions;
use crate::support::{Daemon, Scene, eventually};

/// Banner, log, doctor and the refusal to start name the Redis, and never its password.
#[tokio::test]
async fn the_address_of_redis_is_named_without_its_password() {
    let redis = RedisOptions::default().on_tcp().start().await;
    redis.cli::<()>(&["ACL", "SETUSER", "gate", "on", ">hunter2", "~*", "&*", "+@all"]).await;
    let port = redis.port();
    let url = format!("redis://gate:hunter2@127.0.0.1:{port}");
    let daemon = Daemon::with("").redis_at(&url).start().await;
    let shown = format!("Redis at redis://***@127.0.0.1:{port}");
    eventually("the first lines name it", async || {
        daemon.log().lines().any(|line| line.starts_with(&format!("  store  {shown} (")))
    })
    .await;
    let log = daemon.log();
    let starts = log.lines().find(|line| line.contains("\"message\":\"tidegate starts\""));
    assert!(starts.unwrap().contains(&format!("\"redis\":\"{shown}\"")), "{log}");
    let doctor = ends(&daemon, "tidegate doctor --quick", 0).await.stdout;
    assert!(doctor.starts_with(&format!("messages are kept in: {shown}\n")), "{doctor}");
    let json = ends(&daemon, "tidegate doctor --quick --output json", 0).await.stdout;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["store"], shown);
    let metrics = daemon.get("/metrics").await.expect(200);
    assert!(metrics.text().contains(&format!("tidegate_store_info{{address=\"{shown}\"}} 1")));
    for text in [&log, &doctor, metrics.text()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn words_that_people_try_get_our_hint_alone() {
    let scene = Scene::start("").await;
    for (line, hint) in [
        ("tidegate status", "next: `tidegate queues`"),
        ("tidegate version", "next: `tidegate --version`"),
        ("tidegate stop", "next: the daemon stops with Ctrl-C"),
    ] {
        let said = ends(&scene.daemon, line, 2).await.stderr;
        assert!(said.contains(hint) && !said.contains("similar"), "{line}\n{said}");
    }
    let said = ends(&scene.daemon, r"tidegate get $(printf '\377')", 2).await.stderr;
    assert!(said.contains("invalid UTF-8"), "{said}");
    for (line, code) in [("queues --tz Asia/Atlantis", 2), ("queues --tz Asia/Shanghai", 0)] {
        let output = ends(&scene.daemon, &format!("tidegate {line}"), code).await;
        assert_eq!(
            output.stderr.contains("is not a valid time zone"),
            code == 2,
            "{}",
            output.stderr
        );
    }
    let id = sent(&scene.daemon, "tidegate send jobs -d 1 --delay 1h").await;
    let said = ends(&scene.daemon, &format!("TZ=Asia/Tokyo tidegate get {id} --local"), 0).await;
    assert!(said.stdout.contains("+09:00 (in "), "{}", said.stdout);
    let said = ends(&scene.daemon, &format!("TZ=Mars/Base tidegate get {id} --local"), 2).await;
    assert!(said.stderr.contains("this machine's time zone cannot be read"), "{}", said.stderr);
    assert!(said.stderr.contains("name a zone with --tz"), "{}", said.stderr);
    let due = "TZ=Asia/Tokyo tidegate send jobs -d 1 --due \"$(date -d '30 days' +%F) 9:00\"";
    let said = ends(&scene.daemon, due, 0).await.stderr;
    assert!(said.contains("time zone, Asia/Tokyo: that is "), "{said}");
    assert!(said.contains(" 00:00:00 UTC; --tz names another zone"), "{said}");
}
