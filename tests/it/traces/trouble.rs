//! Collectors that refuse, hang or are not there: messages do not notice, and it is said once.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use super::{TRACE, Traced, message, parent, send};
use crate::support::ports::free_port;
use crate::support::{
    Answer, Collector, Daemon, Downstream, QUEUE, RedisServer, eventually, queue_toml,
};

const ENDS: &str = "takes all traces again";

/// Sends so many messages, and waits until `delivered` are, with those before.
async fn send_some(daemon: &Daemon, count: usize, delivered: u64) {
    for _ in 0..count {
        send(daemon, &message("a"), &[("traceparent", &parent("01"))]).await;
    }
    eventually("all are delivered", async || {
        daemon.counts(QUEUE).await["delivered"].as_u64() >= Some(delivered)
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_told_once_and_gets_its_spans_later() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let port = free_port();
    let lines = format!("[telemetry]\notlp = \"http://127.0.0.1:{port}\"\n");
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, "") + &lines).await;
    send_some(&daemon, 20, 20).await;
    eventually("it is said", async || daemon.log().contains("takes no traces now")).await;
    send_some(&daemon, 5, 25).await;
    let dropping = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    for _ in 0..2 {
        // Two further tries come to nothing.
        let tried = timeout(Duration::from_secs(30), dropping.accept()).await;
        drop(tried.expect("it is tried again").expect("a connection"));
    }
    drop(dropping);
    assert_eq!(daemon.log().matches("takes no traces now").count(), 1, "it is said once");
    let collector = Collector::start_at(port).await;
    eventually("its end is said", async || daemon.log().contains(ENDS)).await;
    collector.trace(TRACE, 75).await;
    assert_eq!(daemon.log().matches(ENDS).count(), 1);
    let metrics = daemon.get("/metrics").await;
    assert!(metrics.text().contains("tidegate_trace_spans_lost_total 0\n"), "{}", metrics.text());
}

#[tokio::test]
async fn a_collector_that_refuses_is_told_once_and_what_it_lost_is_counted() {
    let it = Traced::start("", 0.0).await;
    it.collector.server.always(Answer::status(400));
    send_some(&it.daemon, 3, 3).await;
    it.collector.server.wait_for(1).await;
    eventually("they are counted", async || {
        it.daemon.get("/metrics").await.text().contains("tidegate_trace_spans_lost_total 9\n")
    })
    .await;
    let codes = async || {
        let found = it.daemon.get("/v1/doctor").await.expect(200).json();
        let found = found["findings"].as_array().expect("findings").clone();
        found
            .iter()
            .map(|it| it["code"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(codes().await, ["traces-lost"]);
    it.collector.server.always(Answer::ok());
    send_some(&it.daemon, 4, 7).await;
    eventually("its end is said", async || it.daemon.log().contains(ENDS)).await;
    assert_eq!(it.daemon.log().matches("refuses spans, which are lost").count(), 1);
    let end = it.daemon.log();
    let end = end.lines().find(|line| line.contains(ENDS)).expect("its end");
    assert!(
        end.contains("lost=9") || end.contains("\"lost\":9"),
        "the first ones count too: {end}"
    );
    assert!(codes().await.is_empty());
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_neither_messages_nor_a_stop() {
    let mut it = Traced::start("", 0.0).await;
    let took = async |count| {
        let began = Instant::now();
        send_some(&it.daemon, 50, count).await;
        began.elapsed()
    };
    let usual = took(50).await;
    it.collector.trace(TRACE, 150).await;
    it.collector.server.always(Answer::silence());
    send_some(&it.daemon, 5, 55).await;
    it.collector.server.wait_for(2).await;
    let hanging = took(105).await;
    assert!(hanging < usual * 3 + Duration::from_secs(2), "{usual:?}, then {hanging:?}");
    let began = Instant::now();
    assert_eq!(it.daemon.sigterm().await, 0);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(it.daemon.log().contains("the last traces could not be sent"));
}
