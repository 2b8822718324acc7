//! A node killed at any boundary of taking an entry in: another one goes on, and there is one message.

use futures_util::future::join_all;

use crate::support::{Daemon, Downstream, QUEUE, RedisServer, eventually, queue_toml};

/// Killed by signal 9, as a shell says it.
const KILLED: i32 = 137;
const STREAM: &str = "tidegate:inbox:jobs";

async fn killed_at(point: &str) {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = queue_toml(QUEUE, &downstream, "") + "[inbox]\nenabled = true\n";
    let points = format!("{point}=return");
    let armed = Daemon::with(&config).redis(&redis).environment("FAILPOINTS", &points);
    let mut first = armed.start().await;
    // The first good, the second to be rejected; not due while the first node lives.
    let good = ["XADD", STREAM, "*", "payload", "1", "delay", "2s"];
    let bad = ["XADD", STREAM, "*", "payload", "1", "delay", "soon"];
    for words in [&good, &bad] {
        redis.cli::<String>(words).await;
    }
    assert_eq!(first.wait_exit().await, KILLED, "{point}\n{}", first.log());

    let second = Daemon::start(&redis, config).await;

    eventually(&format!("both have left: {point}"), async || {
        redis.cli::<u64>(&["XLEN", STREAM]).await == 0
    })
    .await;
    eventually(&format!("it is delivered: {point}"), async || {
        second.counts(QUEUE).await["delivered"] == 1
    })
    .await;
    assert_eq!(downstream.requests().len(), 1, "{point}");
    let rejected: u64 = redis.cli(&["XLEN", "tidegate:inbox:rejected"]).await;
    assert!((1..=2).contains(&rejected), "{point}: {rejected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_a_dead_node_drew_becomes_one_message() {
    let points = ["after-draw", "drawn", "before-durable", "taken-in", "after-reject", "digested"];
    join_all(points.map(killed_at)).await;
}
