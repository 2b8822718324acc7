//! The whole chain: producer, intake, waits, attempts, downstream and callback are one trace.

use serde_json::json;

use super::picture;
use super::{SPAN, TRACE, Traced, message, named, parent, send};
use crate::support::{Answer, Downstream, QUEUE, eventually};

const RETRY: &str = "retry = { initial = \"300ms\", jitter = 0.0 }\n";

#[tokio::test]
async fn a_message_is_one_trace_from_its_producer_to_its_downstream_and_back() {
    let receiver = Downstream::start().await;
    let callback =
        format!("callback = {{ url = \"{}\", on = [\"delivered\"] }}", receiver.url("/"));
    let it = Traced::start(&format!("{RETRY}{callback}"), 0.0).await;
    it.downstream.once(Answer::status(503).body("out of paper: the secret payload"));
    it.daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({})).await.expect(200);
    let headers = [("traceparent", &*parent("01")), ("tracestate", "shop=1")];
    let id = send(&it.daemon, &message("the secret payload"), &headers).await;
    // How long the pause lasts is what the span has to say.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    it.daemon.post(&format!("/v1/queues/{QUEUE}/resume"), &json!({})).await.expect(200);
    it.daemon.wait_final(&id).await;
    let told = receiver.wait_for(1).await;

    let spans = it.collector.trace(TRACE, 7).await;
    let intake = named(&spans, "intake jobs");
    assert_eq!((intake.parent.as_str(), intake.kind), (SPAN, 2));
    assert_eq!(intake.attribute("messaging.message.id"), id);
    assert!(spans.iter().all(|span| span.span == intake.span || span.parent == intake.span));

    let of = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let (waits, attempts) = (of("wait jobs"), of("attempt jobs"));
    let paused_ms: u64 = waits[0].attribute("tidegate.waited.pause_ms").parse().expect("a pause");
    assert!((1000..5000).contains(&paused_ms), "{paused_ms}");
    assert_eq!(waits[1].attribute("tidegate.attempt"), "2");
    let calls = it.downstream.wait_for(2).await;
    for (call, attempt) in calls.iter().zip(&attempts) {
        assert_eq!(call.header("traceparent"), Some(&*attempt.traceparent()));
        assert_eq!(call.header("tracestate"), Some("shop=1"));
        assert_eq!(attempt.kind, 3);
        assert_eq!(attempt.attribute("server.address"), "127.0.0.1");
        assert_eq!(attempt.attribute("http.request.method"), "POST");
    }
    assert_eq!(attempts[0].attribute("http.response.status_code"), "503");
    assert_eq!(attempts[0].attribute("error.type"), "503");
    assert_eq!(attempts[0].attribute("tidegate.retry_delay_ms"), "300");
    assert_eq!(attempts[0].failure.as_deref(), Some("status 503"));
    assert_eq!(attempts[1].attribute("tidegate.outcome"), "delivered");
    assert_eq!(attempts[1].failure, None);
    assert!(attempts[0].end_us <= waits[1].start_us && waits[1].end_us <= attempts[1].start_us);

    let callback = named(&spans, "attempt jobs~callbacks");
    assert_eq!(told[0].header("traceparent"), Some(&*callback.traceparent()));
    assert_eq!(told[0].header("tracestate"), Some("shop=1"));
    let sent: Vec<u8> = it.collector.server.requests().into_iter().flat_map(|it| it.body).collect();
    assert!(!String::from_utf8_lossy(&sent).contains("secret"), "a payload is among the spans");
    picture::keep(&spans);
}

#[tokio::test]
async fn a_restart_between_intake_and_attempt_goes_on_with_the_trace() {
    let mut it = Traced::start("", 0.0).await;
    it.daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({})).await.expect(200);
    let id = send(&it.daemon, &message("a"), &[("traceparent", &parent("01"))]).await;
    let intake = it.collector.trace(TRACE, 1).await.remove(0);
    it.daemon.restart().await;
    it.daemon.post(&format!("/v1/queues/{QUEUE}/resume"), &json!({})).await.expect(200);
    it.daemon.wait_final(&id).await;
    let spans = it.collector.trace(TRACE, 3).await;
    let attempt = named(&spans, "attempt jobs");
    assert_eq!(attempt.parent, intake.span);
    assert_eq!(it.downstream.requests()[0].header("traceparent"), Some(&*attempt.traceparent()));
}

#[tokio::test]
async fn the_waits_of_a_message_do_not_overlap() {
    let it = Traced::start("retry.max_attempts = 1", 0.0).await;
    it.downstream.once(Answer::status(429).header("retry-after", "1"));
    it.downstream.once(Answer::status(422));
    let id = send(&it.daemon, &message("a"), &[("traceparent", &parent("01"))]).await;
    it.daemon.wait_final(&id).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    it.daemon.post(&format!("/v1/messages/{id}/requeue"), &json!({})).await.expect(200);
    it.daemon.wait_final(&id).await;
    let spans = it.collector.trace(TRACE, 7).await;
    let mut own: Vec<_> = spans.iter().filter(|span| !span.name.starts_with("intake")).collect();
    own.sort_by_key(|span| (span.start_us, span.end_us));
    let names: Vec<_> = own.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["wait jobs", "attempt jobs"].repeat(3));
    for pair in own.windows(2) {
        assert!(pair[0].end_us <= pair[1].start_us, "{spans:#?}");
    }
    let intake = named(&spans, "intake jobs");
    assert!(own.iter().all(|span| span.start_us >= intake.start_us), "{spans:#?}");
    // After the gate that the throttle shut, and after the time in which it was dead.
    let throttled: u64 =
        own[2].attribute("tidegate.waited.throttled_ms").parse().expect("throttled");
    assert!(throttled >= 900, "{throttled}");
    assert!(own[4].start_us >= own[3].end_us + 500_000, "{spans:#?}");
    // What nobody asked for is not told as something else.
    assert!(!own[0].attributes.contains_key("tidegate.waited.turn_ms"), "{:?}", own[0]);
}

#[tokio::test]
async fn a_stop_sends_the_last_spans() {
    let mut it = Traced::start("", 0.0).await;
    let id = send(&it.daemon, &message("a"), &[("traceparent", &parent("01"))]).await;
    it.daemon.wait_final(&id).await;
    assert_eq!(it.daemon.sigterm().await, 0);
    let spans = it.collector.spans();
    assert_eq!(spans.len(), 3, "{spans:#?}");
}

#[tokio::test]
async fn what_begins_here_is_traced_by_the_sample() {
    for (sample, count) in [(1.0, 3), (0.0, 0)] {
        let mut it = Traced::start("", sample).await;
        let id = send(&it.daemon, &message("a"), &[]).await;
        let unsampled = send(&it.daemon, &message("b"), &[("traceparent", &parent("00"))]).await;
        it.daemon.wait_final(&id).await;
        it.daemon.wait_final(&unsampled).await;
        let calls = it.downstream.wait_for(2).await;
        let call = |of: &str| calls.iter().find(|call| call.id() == of).expect("it was called");
        assert_eq!(call(&unsampled).header("traceparent"), Some(&*parent("00")), "as it came");
        assert_eq!(it.daemon.sigterm().await, 0);
        let spans = it.collector.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        if count == 0 {
            assert_eq!(call(&id).header("traceparent"), None);
            continue;
        }
        let (intake, attempt) = (named(&spans, "intake jobs"), named(&spans, "attempt jobs"));
        assert_eq!((intake.parent.as_str(), &attempt.parent), ("", &intake.span));
        assert_eq!(call(&id).header("traceparent"), Some(&*attempt.traceparent()));
    }
}

#[tokio::test]
async fn a_repeat_is_part_of_its_own_trace_and_the_message_of_the_first() {
    let it = Traced::start("", 0.0).await;
    let other = parent("01").replace(TRACE, &"ab".repeat(16));
    let keyed = json!({ "payload": "a", "idempotency_key": "k" });
    let id = send(&it.daemon, &keyed, &[("traceparent", &parent("01"))]).await;
    assert_eq!(send(&it.daemon, &keyed, &[("traceparent", &other)]).await, id);
    it.daemon.wait_final(&id).await;
    let repeat = it.collector.trace(&"ab".repeat(16), 1).await.remove(0);
    assert_eq!(repeat.attribute("tidegate.duplicate"), "true");
    assert_eq!(repeat.attribute("messaging.message.id"), id);
    assert_eq!(it.collector.trace(TRACE, 3).await.len(), 3);
    eventually("one call was made", async || it.downstream.requests().len() == 1).await;
}
