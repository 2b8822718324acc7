//! The same daemon on a single server, by Sentinel, and on a cluster.

use std::process::Command;

use serde_json::json;

use crate::support::guarded::{AtEnd, Guarded};
use crate::support::ports::free_port;
use crate::support::redis::RedisOptions;
use crate::support::{Cluster, Daemon, Downstream, RedisServer, eventually};

/// Sends a message with a delay, one without, and a duplicate; all of them end well.
async fn the_main_job_works(daemon: &Daemon, downstream: &Downstream) {
    let now = daemon.send("sms", &json!({ "payload": { "n": 1 }, "idempotency_key": "k" })).await;
    let later = daemon.send("sms", &json!({ "payload": { "n": 2 }, "delay": "300ms" })).await;
    let again = json!({ "payload": { "n": 1 }, "idempotency_key": "k" });
    let duplicate = daemon.post("/v1/queues/sms/messages", &again).await.expect(200).json();
    assert_eq!(duplicate["id"], now.as_str());
    assert_eq!(duplicate["duplicate"], true);

    assert_eq!(daemon.wait_final(&now).await["state"], "delivered");
    assert_eq!(daemon.wait_final(&later).await["state"], "delivered");

    assert_eq!(downstream.requests().len(), 2);
    let counts = daemon.counts("sms").await;
    assert_eq!(counts["delivered"], 2, "{counts}");
}

fn queue(downstream: &Downstream, shards: u8) -> String {
    format!(
        "[queues.sms]\nshards = {shards}\n[queues.sms.downstream]\nurl = \"{}\"\n",
        downstream.url("/")
    )
}

#[tokio::test]
async fn a_single_server() {
    let (redis, downstream) = (RedisServer::start().await, Downstream::start().await);
    let daemon = Daemon::start(&redis, queue(&downstream, 1)).await;
    the_main_job_works(&daemon, &downstream).await;
}

#[tokio::test]
async fn a_single_server_with_several_shards() {
    let (redis, downstream) = (RedisServer::start().await, Downstream::start().await);
    let daemon = Daemon::start(&redis, queue(&downstream, 7)).await;
    the_main_job_works(&daemon, &downstream).await;
}

#[tokio::test]
async fn a_cluster() {
    let (cluster, downstream) = (Cluster::shared().await, Downstream::start().await);
    let daemon = Daemon::with(queue(&downstream, 1)).cluster(cluster).start().await;
    the_main_job_works(&daemon, &downstream).await;
}

#[tokio::test]
async fn a_cluster_with_shards_over_its_masters() {
    let (cluster, downstream) = (Cluster::shared().await, Downstream::start().await);
    let daemon = Daemon::with(queue(&downstream, 7)).cluster(cluster).start().await;
    the_main_job_works(&daemon, &downstream).await;
}

/// A sentinel that watches `redis` as "tide".
fn sentinel(redis: &RedisServer, dir: &std::path::Path) -> (Guarded, u16) {
    let port = free_port();
    let config = dir.join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor tide 127.0.0.1 {} 1\n",
        dir.display(),
        redis.port()
    );
    std::fs::write(&config, text).expect("temp dir is ours");
    let mut command = Command::new("redis-server");
    command.arg(&config).arg("--sentinel");
    (Guarded::start(&command, &dir.join("log"), AtEnd::Kill, dir), port)
}

#[tokio::test]
async fn the_master_that_a_sentinel_names() {
    let redis = RedisOptions::default().on_tcp().start().await;
    let downstream = Downstream::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (_sentinel, port) = sentinel(&redis, dir.path());
    eventually("the sentinel listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    })
    .await;
    let config = format!(
        "[redis]\nsentinel = {{ master = \"tide\", urls = [\"redis://127.0.0.1:{port}\"] }}\n{}",
        queue(&downstream, 1)
    );

    let daemon = Daemon::with(config).start().await;

    the_main_job_works(&daemon, &downstream).await;
    assert!(daemon.managed_redis().is_none());
}
