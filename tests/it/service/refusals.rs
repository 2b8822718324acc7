//! What a daemon refuses at start, each with the remedy.

use serde_json::json;

use crate::support::daemon::PROGRAM;
use crate::support::redis::RedisOptions;
use crate::support::vocabulary::Output;
use crate::support::{Daemon, Downstream, RedisServer};

const QUEUE: &str = "[queues.sms.downstream]\ntype = \"null\"\n";

/// Starts a daemon that is to refuse; its exit code and what it said.
async fn refused(options: RedisOptions, config: &str) -> (i32, String) {
    let redis = options.start().await;
    let mut daemon = Daemon::with(config).redis(&redis).launch();
    (daemon.wait_exit().await, daemon.log())
}

#[tokio::test]
async fn an_evicting_redis_is_refused() {
    let options = RedisOptions::default().set("maxmemory-policy", "allkeys-lru");
    let (code, log) = refused(options, QUEUE).await;
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("set maxmemory-policy noeviction"), "{log}");
}

#[tokio::test]
async fn a_durability_level_that_redis_cannot_meet_is_refused() {
    let options = RedisOptions::default().set("appendfsync", "everysec");
    let (code, log) = refused(options, QUEUE).await;
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("appendfsync always"), "{log}");
    assert!(
        log.contains("redis.durability = \"everysec\""),
        "names the level it could meet: {log}"
    );
}

#[tokio::test]
async fn a_lower_level_is_taken_when_it_is_asked_for() {
    let options = RedisOptions::default().set("appendonly", "no");
    let redis = options.start().await;
    let config = format!("[redis]\ndurability = \"memory\"\n{QUEUE}");
    let daemon = Daemon::start(&redis, config).await;

    let id = daemon.send("sms", &json!({ "payload": 1 })).await;

    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    let metrics = daemon.get("/metrics").await.expect(200);
    let metrics = metrics.text();
    assert!(metrics.contains("tidegate_durability_achieved{level=\"memory\"} 1"), "{metrics}");
}

#[tokio::test]
async fn records_of_another_version_are_refused() {
    let redis = RedisServer::start().await;
    for (version, remedy) in [
        ("9", "run the newer tidegate"),
        ("1", "let the older tidegate deliver"),
        ("x", "does not hold the version"),
    ] {
        redis.cli::<()>(&["SET", "{tidegate}:schema", version]).await;
        let mut daemon = Daemon::with(QUEUE).redis(&redis).launch();
        assert_eq!(daemon.wait_exit().await, 1);
        assert!(daemon.log().contains(remedy), "{}", daemon.log());
    }
}

#[tokio::test]
async fn a_lease_shorter_than_an_exchange_is_refused() {
    let config = "[queues.sms]\nlease = \"10s\"\n[queues.sms.downstream]\n\
                  url = \"http://127.0.0.1:9/\"\ntimeout = \"15s\"\n";
    let mut daemon = Daemon::with(config).launch();
    assert_eq!(daemon.wait_exit().await, 2);
    assert!(daemon.log().contains("queues.sms.lease"), "{}", daemon.log());
}

#[tokio::test]
async fn listening_beyond_loopback_without_tokens_is_refused() {
    let daemon = Daemon::with(QUEUE).start().await;
    let output = serve(&daemon, &["--listen", "0.0.0.0:0"], daemon.dir()).await;
    assert_eq!(output.code, 2, "{}", output.stderr);
    assert!(output.stderr.contains("tidegate token new"), "{}", output.stderr);
}

#[tokio::test]
async fn changed_shards_of_a_queue_that_is_not_empty_are_refused() {
    let redis = RedisServer::start().await;
    let downstream = Downstream::start().await;
    let config = |shards: u8| {
        format!(
            "[queues.sms]\nshards = {shards}\n[queues.sms.downstream]\nurl = \"{}\"\n",
            downstream.url("/")
        )
    };
    let mut daemon = Daemon::start(&redis, config(1)).await;
    daemon.send("sms", &json!({ "payload": 1, "delay": "1h" })).await;
    assert_eq!(daemon.sigterm().await, 0);

    let mut changed = Daemon::with(config(2)).redis(&redis).launch();

    assert_eq!(changed.wait_exit().await, 2);
    assert!(changed.log().contains("queues.sms.shards"), "{}", changed.log());
}

#[tokio::test]
async fn two_daemons_never_share_a_data_directory() {
    let first = Daemon::with(QUEUE).start().await;
    let output = serve(&first, &["--listen", "127.0.0.1:0"], &first.dir().join("data")).await;
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("another tidegate"), "{}", output.stderr);
}

#[tokio::test]
async fn a_port_in_use_is_refused_with_the_question_to_ask() {
    let first = Daemon::with(QUEUE).start().await;
    let address = first.url().trim_start_matches("http://").to_owned();
    let output = serve(&first, &["--listen", &address], &first.dir().join("other")).await;
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("another address with --listen or server.listen"),
        "{}",
        output.stderr
    );
}

/// A second daemon beside `beside`, on this data directory, that is to end by itself.
async fn serve(beside: &Daemon, arguments: &[&str], data_dir: &std::path::Path) -> Output {
    let mut command = tokio::process::Command::new(PROGRAM);
    command.arg("serve").args(arguments).env("TIDEGATE__REDIS__DATA_DIR", data_dir);
    beside.run(command).await
}

#[tokio::test]
async fn a_number_of_threads_that_is_none_is_refused() {
    let redis = RedisServer::start().await;
    let options = Daemon::with(QUEUE).redis(&redis).environment("TOKIO_WORKER_THREADS", "two");
    let mut daemon = options.launch();
    assert_eq!(daemon.wait_exit().await, 2, "{}", daemon.log());
    let log = daemon.log();
    assert!(log.contains("TOKIO_WORKER_THREADS is \"two\""), "{log}");
    assert!(log.contains("expected a number of threads"), "{log}");
}
