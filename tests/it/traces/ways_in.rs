//! Other ways in than a request to a queue: topics, streams and schedules.

use super::{SPAN, TRACE, named, parent, post};
use crate::support::{Collector, Daemon, Downstream, RedisServer, eventually, queue_toml};

#[tokio::test]
async fn topics_streams_and_schedules_are_traced_too() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let collector = Collector::start().await;
    let config = ["stock", "sms"].map(|name| queue_toml(name, &downstream, "")).concat()
        + &queue_toml("jobs", &downstream, "idempotency_window = \"1h\"")
        + "[topics.paid]\nqueues = [\"stock\", \"sms\"]\n[inbox]\nenabled = true\n"
        + "[schedules.often]\nqueue = \"jobs\"\nevery = \"1s\"\npayload = \"tick\"\n"
        + &collector.toml(1.0);
    let daemon = Daemon::start(&redis, config).await;

    let event = super::message("a");
    post(&daemon, "/v1/topics/paid/messages", &event, &[("traceparent", &parent("01"))]).await;
    let spans = collector.trace(TRACE, 5).await;
    let intake = named(&spans, "intake paid");
    assert_eq!((intake.parent.as_str(), intake.kind), (SPAN, 2));
    for name in ["wait stock", "attempt stock", "wait sms", "attempt sms"] {
        assert_eq!(named(&spans, name).parent, intake.span, "{name}");
    }

    let other = "ef".repeat(16);
    let header = parent("01").replace(TRACE, &other);
    let entry = ["XADD", "tidegate:inbox:sms", "*", "payload", "1", "header.traceparent", &header];
    let _id: String = redis.cli(&entry).await;
    let spans = collector.trace(&other, 3).await;
    assert_eq!(named(&spans, "intake sms").parent, SPAN);

    eventually("a tick is traced", async || {
        let spans = collector.spans();
        let intake = spans.iter().find(|span| span.name == "intake jobs");
        let is_below = |span: &crate::support::SeenSpan| {
            span.name == "attempt jobs" && intake.is_some_and(|intake| span.parent == intake.span)
        };
        intake.is_some_and(|it| it.parent.is_empty()) && spans.iter().any(is_below)
    })
    .await;
}
