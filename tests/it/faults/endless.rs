//! Others that send without end: a downstream, and clients of the API. Whatever they send, everybody else
//! keeps their pace.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::wait::poll_until;
use crate::support::{Answer, Daemon, Downstream, RedisServer, queue_toml};

/// Longest that a small request takes meanwhile, on a busy machine and without optimization too. Whoever is
/// held up takes several seconds there.
const SLOW: Duration = Duration::from_secs(1);

/// Asks the API for something small again and again; the slower half must not be slow.
async fn assert_the_api_keeps_its_pace(daemon: &Daemon, what: &str) {
    let mut took = Vec::new();
    for _ in 0..40 {
        let began = Instant::now();
        daemon.get("/v1/queues/other").await.expect(200);
        took.push(began.elapsed());
    }
    took.sort();
    assert!(took[20] < SLOW, "{what}: the API takes {:?}, at most {:?}", took[20], took[39]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_without_end_hold_nobody_else_up() {
    let (redis, bad, good) =
        tokio::join!(RedisServer::start(), Downstream::start(), Downstream::start());
    let lines = "on_uncertain = \"park\"\nconcurrency = 16\ndownstream.timeout = \"20s\"";
    let queues = [queue_toml("bad", &bad, lines), queue_toml("other", &good, "")].concat();
    let daemon = Daemon::start(&redis, queues).await;
    bad.always(Answer::endless("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"));
    let mut ids = Vec::new();
    for number in 0..16 {
        ids.push(daemon.send("bad", &json!({ "payload": number })).await);
    }
    bad.wait_for(1).await;

    let began = Instant::now();
    for number in 0..50 {
        daemon.send("other", &json!({ "payload": number })).await;
    }
    good.wait_for(50).await;
    let took = began.elapsed();
    assert_the_api_keeps_its_pace(&daemon, "103").await;

    assert!(took < Duration::from_secs(8), "50 messages took {took:?}");
    for id in ids {
        let message = poll_until("the call has ended", async || {
            let message = daemon.message(&id).await;
            (message["state"] == "uncertain").then_some(message)
        })
        .await;
        let reason = message["reason"].as_str().expect("it has a reason");
        assert!(reason.starts_with("the answer is not HTTP"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_end_hold_nobody_else_up() {
    let (redis, good) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, queue_toml("other", &good, "")).await;
    let chunked = "POST /v1/queues/other/messages HTTP/1.1\r\nHost: localhost\r\n\
                   Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let lines = chunked.replace("/messages ", "/messages/batch ").replace("/json", "/x-ndjson");
    for (what, begin, again) in [
        ("zeros before a length", chunked.to_owned(), "0"),
        ("blanks after a length", format!("{chunked}1"), " "),
        ("chunks of one byte", chunked.to_owned(), "1\r\n \r\n"),
        ("blank lines", lines, "1\r\n\n\r\n"),
        ("trailers", format!("{chunked}0\r\n"), "X: y\r\n"),
        ("blank lines before a request", String::new(), "\r\n"),
        ("a header", "GET / HTTP/1.1\r\nX: ".to_owned(), "x"),
    ] {
        let again = again.repeat(1 + (256 << 10) / again.len());
        let address = daemon.url().trim_start_matches("http://").to_owned();
        let mut senders = JoinSet::new();
        for _ in 0..12 {
            let (begin, again, address) = (begin.clone(), again.clone(), address.clone());
            senders.spawn(async move {
                loop {
                    let mut stream = TcpStream::connect(&address).await.expect("it listens");
                    drop(stream.write_all(begin.as_bytes()).await);
                    // Until it is refused; then from the beginning.
                    while stream.write_all(again.as_bytes()).await.is_ok() {}
                }
            });
        }
        assert_the_api_keeps_its_pace(&daemon, what).await;
        senders.shutdown().await;
    }
    let id = daemon.send("other", &json!({ "payload": 1 })).await;
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
}
