//! Start and stop with much stored: loading is waited out and said, and memory does not grow with it.
//!
//! The small version of `cargo bench --bench backlog`, which does it with millions.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Empty;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::redis::RedisOptions;
use crate::support::wait::poll_until;
use crate::support::{Daemon, QUEUE, RedisServer, eventually};

const MESSAGES: usize = 30_000;
/// 200 bytes a message: a daemon that keeps its backlog takes more.
const GROWTH_KIB_MAX: u64 = 6 * 1024;
/// Commands in the file of a Redis that is slow to load; it answers after each thousand.
const PADDING: usize = 24_000;
const PER_COMMAND_US: u32 = 250;

fn config() -> String {
    format!("[queues.{QUEUE}]\nconcurrency = 32\ndownstream.type = \"null\"\n")
}

async fn redis() -> RedisServer {
    RedisOptions::default().set("appendfsync", "everysec").start().await
}

fn on(redis: &RedisServer) -> crate::support::daemon::DaemonOptions {
    Daemon::with(config()).redis(redis).environment("TIDEGATE__REDIS__DURABILITY", "everysec")
}

async fn fill(daemon: &Daemon) {
    daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({})).await.expect(200);
    let payload = "x".repeat(100);
    let messages: Vec<_> = (0..MESSAGES / 3)
        .map(|n| json!({ "payload": payload, "delay": if n % 2 == 0 { "0s" } else { "1h" } }))
        .collect();
    for _ in 0..3 {
        let path = format!("/v1/queues/{QUEUE}/messages/batch");
        let reply = daemon.post(&path, &json!(messages)).await.expect(200).json();
        assert_eq!(reply["rejected"], 0);
    }
}

/// What a daemon takes that has just begun, once each of its loops has looked at what there is, the auditor too.
async fn settled_rss_kib(daemon: &mut Daemon, redis: &RedisServer) -> u64 {
    let mark = format!("{{tidegate}}:audit:tidegate:{QUEUE}.0");
    assert_eq!(daemon.sigterm().await, 0);
    redis.cli::<u64>(&["DEL", &mark]).await;
    daemon.restart().await;
    eventually("the queue was looked through", async || {
        redis.cli::<Option<String>>(&["GET", &mark]).await.is_some()
    })
    .await;
    daemon.rss_kib()
}

#[tokio::test]
async fn memory_does_not_grow_with_the_backlog_and_a_stop_does_not_wait_for_it() {
    let redis = redis().await;
    let mut daemon = on(&redis).start().await;
    // Two messages: who is paused with nothing to do has not begun all that it does.
    let path = format!("/v1/queues/{QUEUE}/messages");
    for delay in ["0s", "1h"] {
        daemon.post(&path, &json!({ "payload": 1, "delay": delay })).await.expect(201);
    }
    let with_nothing = settled_rss_kib(&mut daemon, &redis).await;
    fill(&daemon).await;
    let with_backlog = settled_rss_kib(&mut daemon, &redis).await;
    daemon.post(&format!("/v1/queues/{QUEUE}/resume"), &json!({})).await.expect(200);
    eventually("a part is sent", async || {
        daemon.counts(QUEUE).await["delivered"].as_u64() > Some(2000)
    })
    .await;
    let under_way = daemon.rss_kib();
    let began = Instant::now();
    let code = daemon.sigterm().await;

    assert_eq!(code, 0);
    assert!(began.elapsed() < Duration::from_secs(10), "stopped after {:?}", began.elapsed());
    println!("{with_nothing} KiB, with a backlog {with_backlog}, while it drains {under_way}");
    assert!(with_backlog < with_nothing + GROWTH_KIB_MAX, "{with_nothing} → {with_backlog} KiB");
    daemon.restart().await;
    let counts = daemon.counts(QUEUE).await;
    let kept: u64 =
        counts.as_object().expect("by state").values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(kept, MESSAGES as u64 + 2);
}

#[tokio::test]
async fn a_redis_that_loads_is_waited_out_and_said() {
    let mut redis = redis().await;
    let mut daemon = on(&redis).start().await;
    let id = daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1h" })).await;
    assert_eq!(daemon.sigterm().await, 0);
    let pad = "for i = 1, tonumber(ARGV[1]) do redis.call('SET', 'padding:' .. i, i) end";
    redis.cli::<()>(&["EVAL", pad, "0", &PADDING.to_string()]).await;
    eventually("it is in the file", async || redis.info("aof_pending_bio_fsync").await == "0")
        .await;
    redis.set_option("key-load-delay", &PER_COMMAND_US.to_string());
    redis.cli::<()>(&["CONFIG", "SET", "appendfsync", "always"]).await;
    redis.cli::<()>(&["SET", "last", "one"]).await;
    redis.begin_restart().await;

    daemon.start_again_with(&[]);

    eventually("/livez answers", async || {
        let reply = daemon.http().try_send(Method::GET, "/livez", &[], Bytes::new()).await;
        reply.is_ok_and(|reply| reply.status == 200)
    })
    .await;
    let ready = daemon.get("/readyz").await.expect(503);
    assert_eq!(ready.json()["code"], "store-unavailable");
    assert!(!ready.header("retry-after").is_empty());
    eventually("it is said that Redis loads", async || {
        let log = daemon.log();
        log.contains("waiting for Redis") && log.contains("LOADING")
    })
    .await;
    assert!(daemon.get("/readyz").await.expect(503).text().contains("LOADING"));
    let send = daemon.post(&format!("/v1/queues/{QUEUE}/messages"), &json!({ "payload": 2 })).await;
    assert_eq!(send.status, 503);

    daemon.wait_ready().await;
    assert_eq!(daemon.message(&id).await["state"], "scheduled");
    daemon.send(QUEUE, &json!({ "payload": 2 })).await;
}

#[tokio::test]
async fn a_daemon_that_waits_for_redis_ends_when_it_is_told_to() {
    let redis = redis().await;
    redis.signal(Signal::STOP);
    let mut daemon = on(&redis).launch();
    eventually("/livez answers", async || {
        let reply = daemon.http().try_send(Method::GET, "/livez", &[], Bytes::new()).await;
        reply.is_ok_and(|reply| reply.status == 200)
    })
    .await;
    assert_eq!(daemon.sigterm().await, 0);
    redis.signal(Signal::CONT);
}

/// A connection of its own, which nothing opens anew.
#[expect(clippy::disallowed_methods, reason = "it ends with the connection")]
async fn connection(daemon: &Daemon) -> SendRequest<Empty<Bytes>> {
    let stream = poll_until("the daemon listens", async || {
        TcpStream::connect(("127.0.0.1", daemon.port())).await.ok()
    });
    let (sender, connection) = handshake(TokioIo::new(stream.await)).await.expect("a connection");
    tokio::spawn(connection);
    sender
}

async fn readyz(connection: &mut SendRequest<Empty<Bytes>>) -> u16 {
    let request = Request::get("/readyz").header("host", "localhost").body(Empty::new());
    let reply = connection.send_request(request.expect("a request")).await;
    reply.expect("the connection is open").status().as_u16()
}

#[tokio::test]
async fn no_connection_is_closed_because_redis_has_come() {
    let redis = redis().await;
    redis.signal(Signal::STOP);
    let mut daemon = on(&redis).launch();
    let mut told_to_wait = connection(&daemon).await;
    let mut silent_so_far = connection(&daemon).await;
    assert_eq!(readyz(&mut told_to_wait).await, 503);

    redis.signal(Signal::CONT);
    daemon.wait_ready().await;

    for connection in [&mut told_to_wait, &mut silent_so_far] {
        assert_eq!(readyz(connection).await, 200);
    }
}
