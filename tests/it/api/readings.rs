//! Large readings stand in nobody's way: sending and taking in go on, and Redis is not said to be away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::wait::poll_until_within;
use crate::support::{Daemon, Downstream, QUEUE, RedisServer, queue_toml};

const READERS: usize = 30;
const LARGE: usize = 250_000;
const MESSAGES: usize = 120;

/// A daemon whose queue `store` holds large messages, beside one that sends.
async fn with_large_messages() -> (Daemon, Downstream, RedisServer) {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = queue_toml(QUEUE, &downstream, "") + &queue_toml("large", &downstream, "");
    let daemon = Daemon::start(&redis, config).await;
    daemon.post("/v1/queues/large/pause", &json!({})).await.expect(200);
    let payload = "x".repeat(LARGE);
    for _ in 0..MESSAGES {
        daemon.send("large", &json!({ "payload": payload })).await;
    }
    (daemon, downstream, redis)
}

#[tokio::test]
async fn a_reading_does_not_wait_long_for_a_redis_that_is_known_to_be_away() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, "")).await;
    let id = daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1h" })).await;
    redis.signal(Signal::STOP);
    let patience = Duration::from_secs(30);
    poll_until_within(patience, "the daemon knows", async || {
        (daemon.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    let began = Instant::now();
    let problem = daemon.get(&format!("/v1/messages/{id}?view=full")).await.expect(503).json();
    // Twenty seconds are for readings that stand behind larger ones.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(!problem["detail"].as_str().expect("a detail").contains("unknown"), "{problem}");
    redis.signal(Signal::CONT);
    poll_until_within(patience, "it is read again", async || {
        let read = daemon.get(&format!("/v1/messages/{id}?view=full")).await;
        (read.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_clients_that_list_large_messages_do_not_stop_the_sending() {
    let (daemon, _downstream, _redis) = with_large_messages().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let pages = AtomicUsize::new(0);
    let readers = join_all((0..READERS).map(async |number| {
        // Every third wants the payloads as well.
        let view = if number % 3 == 0 { "&view=full" } else { "" };
        let path = format!("/v1/queues/large/messages?limit=1000{view}");
        while !is_over.load(Ordering::SeqCst) {
            let reply = daemon.get(&path).await;
            assert!(matches!(reply.status, 200 | 503), "{}", reply.text());
            if reply.status == 200 {
                pages.fetch_add(1, Ordering::SeqCst);
            } else {
                assert!(!reply.header("retry-after").is_empty());
            }
        }
    }));
    let sending = async {
        let mut slowest = Duration::ZERO;
        let until = Instant::now() + Duration::from_secs(12);
        while Instant::now() < until {
            let began = Instant::now();
            let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
            let message = daemon.wait_final(&id).await;
            assert_eq!(message["state"], "delivered", "{message}");
            assert_eq!(message["attempts"], 1, "{message}");
            slowest = slowest.max(began.elapsed());
        }
        is_over.store(true, Ordering::SeqCst);
        slowest
    };

    let (slowest, _) = tokio::join!(sending, readers);

    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(pages.load(Ordering::SeqCst) >= READERS, "{}", pages.load(Ordering::SeqCst));
    assert!(!daemon.log().contains("Redis is away"), "{}", daemon.log());
}

#[tokio::test]
async fn pages_of_large_messages_are_whole() {
    let (daemon, _downstream, _redis) = with_large_messages().await;
    // Without payloads: one page has them all.
    let page = daemon.get("/v1/queues/large/messages?limit=1000").await.expect(200).json();
    let messages = page["messages"].as_array().expect("messages");
    assert_eq!((messages.len(), &page["next_cursor"]), (MESSAGES, &Value::Null));
    assert!(messages.iter().all(|message| message.get("payload").is_none()));

    // With them: page after page, each once and whole.
    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), None);
    poll_until_within(Duration::from_secs(60), "the last page", async || {
        let after = cursor.take().map_or_else(String::new, |at: String| format!("&cursor={at}"));
        let path = format!("/v1/queues/large/messages?limit=1000&view=full{after}");
        let reply = daemon.get(&path).await.expect(200);
        assert!(reply.body.len() < 6 << 20, "{} bytes", reply.body.len());
        let page = reply.json();
        for message in page["messages"].as_array().expect("messages") {
            assert_eq!(message["payload"].as_str().map(str::len), Some(LARGE));
            assert!(seen.insert(message["id"].as_str().expect("an id").to_owned()));
        }
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        cursor.is_none().then_some(())
    })
    .await;
    assert_eq!(seen.len(), MESSAGES);

    // The program's own walk through them.
    let exported = daemon.cli(&["export", "large", "--state", "ready"]).await;
    assert_eq!(exported.code, 0, "{}", exported.stderr);
    assert_eq!(exported.stdout.lines().count(), MESSAGES);
}
