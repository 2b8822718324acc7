//! A stream with many entries of a key whose backlog is full: they wait in it, and those of other keys pass them.

use std::time::Duration;

use crate::support::wait::poll_until_within;
use crate::support::{Daemon, Downstream, QUEUE, RedisServer, queue_toml};

const STREAM: &str = "tidegate:inbox:jobs";
/// More than could be drawn before the first of them are tried again.
const WAITING: usize = 1500;
/// Of the flooding key, so many fit.
const FIT: usize = 2;
const SOON: Duration = Duration::from_secs(20);

async fn add(redis: &RedisServer, tenant: &str, count: usize) {
    let script = "for i = 1, tonumber(ARGV[2]) do redis.call('XADD', KEYS[1], '*', 'payload', i, 'label.tenant', ARGV[1]) end";
    redis.cli::<()>(&["EVAL", script, "1", STREAM, tenant, &count.to_string()]).await;
}

async fn ready(daemon: &Daemon) -> u64 {
    daemon.counts(QUEUE).await["ready"].as_u64().expect("a count")
}

#[tokio::test]
async fn entries_of_other_keys_pass_those_of_a_key_that_is_full() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let backlog = format!("backlog = {{ per = \"labels.tenant\", max_messages_per_key = {FIT} }}");
    let config = queue_toml(QUEUE, &downstream, &backlog) + "[inbox]\nenabled = true\n";
    let daemon = Daemon::start(&redis, config).await;
    let pause = serde_json::json!({});
    daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &pause).await.expect(200);

    add(&redis, "flood", WAITING).await;
    add(&redis, "other", 1).await;
    let come_in = async |count: usize| {
        poll_until_within(SOON, "others come in", async || {
            (ready(&daemon).await == count as u64).then_some(())
        })
        .await;
    };
    come_in(FIT + 1).await;
    // Also those that come once the others count as left behind, five seconds after they were drawn, and are drawn again: the age is
    // what is tested, and nothing else tells of it.
    tokio::time::sleep(Duration::from_secs(6)).await;
    add(&redis, "third", 1).await;
    come_in(FIT + 2).await;
    let left: usize = redis.cli(&["XLEN", STREAM]).await;
    assert_eq!(left, WAITING - FIT, "the others wait in their stream");

    daemon.post(&format!("/v1/queues/{QUEUE}/resume"), &pause).await.expect(200);
    downstream.wait_for(FIT * 3).await;
}
