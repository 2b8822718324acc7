//! Batches: a call that carries messages of several traces is a trace of its own, tied to them by links.

use serde_json::json;

use super::{TRACE, Traced, parent, post};
use crate::support::{Answer, QUEUE};

#[tokio::test]
async fn a_batch_is_one_call_that_links_to_the_attempt_of_each_message() {
    let batch = "batch = { max_items = 3, max_wait = \"10s\" }\nretry.initial = \"1h\"\n";
    let it = Traced::start(batch, 0.0).await;
    it.downstream.always(Answer::status(500));
    let other = "cd".repeat(16);
    let own = parent("01").replace(TRACE, &other);
    let items = json!([
        { "payload": 1 },
        { "payload": 2, "headers": { "traceparent": own, "x-tenant": "eu" } },
        { "payload": 3 },
    ]);
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    let answer = post(&it.daemon, &path, &items, &[("traceparent", &parent("01"))]).await;
    assert_eq!(answer["accepted"], 3);
    let request = it.downstream.wait_for(1).await.remove(0);

    // Two of the three are in the trace of the request, the other one in its own.
    let mut spans = it.collector.trace(TRACE, 6).await;
    spans.extend(it.collector.trace(&other, 3).await);
    let intakes: Vec<_> = spans.iter().filter(|span| span.name == "intake jobs").collect();
    assert_eq!(intakes.len(), 3);
    assert!(intakes.iter().all(|span| span.kind == 1 && span.parent == super::SPAN));
    let attempts: Vec<_> = spans.iter().filter(|span| span.name == "attempt jobs").collect();

    let call = it.collector.spans().into_iter().find(|span| span.name == "call jobs").unwrap();
    assert_eq!((call.parent.as_str(), call.kind, call.links.len()), ("", 3, 3));
    assert_eq!(call.attribute("messaging.batch.message_count"), "3");
    assert_eq!(call.attribute("http.response.status_code"), "500");
    assert_eq!(request.header("traceparent"), Some(&*call.traceparent()));
    let items = request.items();
    for attempt in attempts {
        assert!(call.links.contains(&format!("{}-{}", attempt.trace, attempt.span)));
        assert_eq!(attempt.links, [format!("{}-{}", call.trace, call.span)]);
        assert_eq!(attempt.attribute("error.type"), "500");
        let id = attempt.attribute("messaging.message.id");
        let item = items.iter().find(|item| item["id"] == id).expect("it was in the batch");
        assert_eq!(item["headers"]["traceparent"], attempt.traceparent());
    }
}

#[tokio::test]
async fn a_refused_batch_shows_each_call_of_its_halves() {
    let it = Traced::start("batch = { max_items = 2, max_wait = \"10s\" }\n", 1.0).await;
    it.downstream.answer_with(|request| {
        let is_guilty = request.items().iter().any(|item| item["payload"] == "bad");
        Answer::status(if is_guilty { 422 } else { 200 })
    });
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    post(&it.daemon, &path, &json!([{ "payload": "bad" }, { "payload": "good" }]), &[]).await;
    it.downstream.wait_for(3).await;
    crate::support::eventually("all spans arrive", async || it.collector.spans().len() == 9).await;
    let spans = it.collector.spans();
    let calls = spans.iter().filter(|span| span.name == "call jobs");
    let mut counts: Vec<_> =
        calls.map(|call| call.attribute("messaging.batch.message_count").to_owned()).collect();
    counts.sort();
    assert_eq!(counts, ["1", "1", "2"]);
    let mut outcomes: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "attempt jobs")
        .map(|span| span.attribute("tidegate.outcome").to_owned())
        .collect();
    outcomes.sort();
    assert_eq!(outcomes, ["delivered", "refused"]);
}
