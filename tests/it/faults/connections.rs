//! What can befall a connection to Redis is absorbed: sending goes on within five seconds, nothing is
//! lost, and Redis is not stormed.

use std::time::Duration;

use redis::Value;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::ports::free_port;
use crate::support::redis::RedisOptions;
use crate::support::wait::poll_until;
use crate::support::wire::Wire;
use crate::support::{Cluster, Daemon, Flow, QUEUE, RedisServer, eventually};

/// Longer than a call is repeated.
const OUTAGE: Duration = Duration::from_millis(2500);
/// Messages that fall due meanwhile wait, so that these are enough for any outage here.
const LASTS: Duration = Duration::from_secs(3);

/// A daemon that sends all the time.
async fn flowing(redis: &RedisServer) -> (Flow, Daemon) {
    let mut flow = Flow::start().await;
    let daemon = Daemon::start(redis, flow.config("")).await;
    flow.seed(&daemon, LASTS).await;
    (flow, daemon)
}

/// On a wire to this Redis.
async fn flowing_over(redis: &RedisServer) -> (Wire, Flow, Daemon) {
    let wire = Wire::to(redis).await;
    let mut flow = Flow::start().await;
    let daemon = Daemon::with(flow.config("")).redis_at(&wire.url()).start().await;
    flow.seed(&daemon, LASTS).await;
    (wire, flow, daemon)
}

async fn command(redis: &RedisServer, words: &[&str]) {
    redis.cli::<Value>(words).await;
}

// Each takes seconds and does little: side by side.

#[tokio::test]
async fn refusals() {
    tokio::join!(
        a_master_that_becomes_a_replica_for_a_while(),
        a_master_that_wants_more_replicas_for_a_while(),
        somebody_elses_script_that_does_not_end(),
        scripts_that_redis_forgets_all_the_time(),
        a_redis_that_loads_its_data(),
    );
}

#[tokio::test]
async fn connections_that_end() {
    tokio::join!(
        connections_that_fall_silent_for_good(),
        a_wire_that_is_silent_for_a_while(),
        connections_that_break_and_replies_that_are_lost_all_the_time(),
        a_redis_that_is_away_is_not_stormed(),
        slots_that_move_while_they_are_used(),
    );
}

/// A refusal of every write that comes and goes by a command.
async fn refused(begin: &[&str], end: &[&str]) {
    let redis = RedisServer::start().await;
    let (flow, daemon) = flowing(&redis).await;

    command(&redis, begin).await;
    sleep(OUTAGE).await;
    let message = json!({ "payload": "meanwhile" });
    daemon.post(&format!("/v1/queues/{QUEUE}/messages"), &message).await.expect(503);
    daemon.get("/readyz").await.expect(503);
    command(&redis, end).await;

    flow.resumes(Instant::now()).await;
    flow.arrives(&daemon).await;
    eventually("intake goes on", async || daemon.get("/readyz").await.status == 200).await;
    let said = daemon.log().matches("Redis is away").count();
    assert!(said <= 2, "said {said} times that Redis is away:\n{}", daemon.log());
}

async fn a_master_that_becomes_a_replica_for_a_while() {
    let nobody = free_port().to_string();
    refused(&["REPLICAOF", "127.0.0.1", &nobody], &["REPLICAOF", "NO", "ONE"]).await;
}

async fn a_master_that_wants_more_replicas_for_a_while() {
    let wants = |count| ["CONFIG", "SET", "min-replicas-to-write", count];
    refused(&wants("1"), &wants("0")).await;
}

async fn somebody_elses_script_that_does_not_end() {
    let redis = RedisOptions::default().set("busy-reply-threshold", "100").start().await;
    let (flow, daemon) = flowing(&redis).await;

    let mut foreign = redis.connect().await.unwrap();
    let mut endless = redis::cmd("EVAL");
    endless.arg("while true do end").arg(0);
    let outage = async {
        poll_until("it is busy", async || {
            let refused = redis.try_cli::<Value>(&["GET", "x"]).await.err()?;
            (refused.code() == Some("BUSY")).then_some(())
        })
        .await;
        sleep(OUTAGE).await;
        command(&redis, &["SCRIPT", "KILL"]).await;
        Instant::now()
    };
    let (ended, over) = tokio::join!(endless.query_async::<Value>(&mut foreign), outage);

    ended.unwrap_err();
    flow.resumes(over).await;
    flow.arrives(&daemon).await;
}

async fn scripts_that_redis_forgets_all_the_time() {
    let redis = RedisServer::start().await;
    let (flow, daemon) = flowing(&redis).await;

    for _ in 0..50 {
        command(&redis, &["SCRIPT", "FLUSH"]).await;
        sleep(Duration::from_millis(40)).await;
    }

    flow.arrives(&daemon).await;
    let sent = flow.downstream.requests();
    assert!(sent.iter().all(|request| request.attempt() == 1), "nobody noticed");
    assert!(!daemon.log().contains("away"), "{}", daemon.log());
}

async fn a_redis_that_loads_its_data() {
    let mut redis = RedisServer::start().await;
    let (flow, daemon) = flowing(&redis).await;

    // Microseconds for each command that it reads back.
    redis.set_option("key-load-delay", "40000");
    redis.set_option("loading-process-events-interval-bytes", "1024");
    let began = Instant::now();
    redis.restart().await;

    assert!(began.elapsed() > Duration::from_secs(1), "it loaded within {:?}", began.elapsed());
    flow.resumes(Instant::now()).await;
    flow.arrives(&daemon).await;
}

async fn connections_that_fall_silent_for_good() {
    let redis = RedisServer::start().await;
    let (wire, flow, daemon) = flowing_over(&redis).await;

    wire.strand();

    flow.resumes(Instant::now() + Duration::from_millis(100)).await;
    flow.arrives(&daemon).await;
}

async fn a_wire_that_is_silent_for_a_while() {
    let redis = RedisServer::start().await;
    let (wire, flow, daemon) = flowing_over(&redis).await;

    wire.set_silent(true);
    sleep(Duration::from_secs(6)).await;
    wire.set_silent(false);

    flow.resumes(Instant::now()).await;
    flow.arrives(&daemon).await;
}

async fn connections_that_break_and_replies_that_are_lost_all_the_time() {
    let redis = RedisServer::start().await;
    let (wire, flow, daemon) = flowing_over(&redis).await;

    for round in 0..12 {
        match round % 3 {
            0 => wire.cut(),
            1 => wire.lose_a_reply(),
            _ => wire.halve_a_reply(),
        }
        sleep(Duration::from_millis(300)).await;
    }

    flow.resumes(Instant::now()).await;
    flow.arrives(&daemon).await;
}

async fn a_redis_that_is_away_is_not_stormed() {
    let mut redis = RedisServer::start().await;
    let (wire, flow, daemon) = flowing_over(&redis).await;
    redis.kill9().await;
    eventually("it is noticed", async || daemon.log().contains("Redis is away")).await;

    let before = wire.opened();
    sleep(Duration::from_secs(4)).await;
    let tries = wire.opened() - before;

    // Four connections and the channel for wake-ups, each at most once a second when it lasts.
    assert!((4..=60).contains(&tries), "{tries} connections in four seconds");
    redis.restart().await;
    flow.resumes(Instant::now()).await;
    flow.arrives(&daemon).await;
}

async fn slots_that_move_while_they_are_used() {
    let cluster = Cluster::start().await;
    let mut flow = Flow::start().await;
    let daemon = Daemon::with(flow.config("shards = 4")).cluster(&cluster);
    let daemon = daemon.environment("TIDEGATE__REDIS__NAMESPACE", "own").start().await;
    flow.seed(&daemon, LASTS).await;

    for shard in 0..4 {
        let slot = cluster.slot(&format!("{{own:{QUEUE}.{shard}}}")).await;
        let owner = cluster.owner(slot, 0).await;
        cluster.move_slot(slot, (owner + 1) % 3).await;
        let message = json!({ "payload": 0, "delay": "1h" });
        let path = format!("/v1/queues/{QUEUE}/messages");
        daemon.post(&path, &message).await.expect(201);
    }

    flow.resumes(Instant::now()).await;
    flow.arrives(&daemon).await;
    let sent = flow.downstream.requests();
    assert!(sent.iter().all(|request| request.attempt() == 1), "nobody noticed");
}
