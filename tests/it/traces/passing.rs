//! Without a collector: the context goes from the producer to the downstream, and nothing else happens.

use serde_json::json;

use super::{TRACE, message, parent, post, send};
use crate::support::{QUEUE, Scene};

#[tokio::test]
async fn without_a_collector_the_context_is_passed_on_as_it_came() {
    let scene = Scene::start("").await;
    let later = format!("cc{}-more", &parent("01")[2..]);
    let own = json!({ "payload": 1, "headers": { "traceparent": "mine" } });
    let cases = [
        (message("a"), vec![("traceparent", parent("01")), ("tracestate", "shop=1".to_owned())]),
        (message("b"), vec![("traceparent", later.clone())]),
        (message("c"), vec![("traceparent", parent("01").to_uppercase())]),
        (message("d"), vec![("tracestate", "shop=1".to_owned())]),
        (message("e"), vec![("traceparent", parent("01")), ("tracestate", "Shop".to_owned())]),
        (own, vec![("traceparent", parent("01")), ("tracestate", "shop=1".to_owned())]),
        (message("g"), vec![]),
    ];
    let mut seen = Vec::new();
    for (message, headers) in &cases {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let id = send(&scene.daemon, message, &headers).await;
        scene.daemon.wait_final(&id).await;
        let requests = scene.downstream.requests();
        let call = requests.iter().find(|request| request.id() == id).expect("it was called");
        let header = |name| call.header(name).unwrap_or("none").to_owned();
        seen.push([header("traceparent"), header("tracestate")]);
    }
    let expected = [
        [&*parent("01"), "shop=1"],
        [&*later, "none"],
        ["none", "none"],
        ["none", "none"],
        [&*parent("01"), "none"],
        [&*parent("01"), "shop=1"],
        ["none", "none"],
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_repeat_with_another_context_is_a_repeat() {
    let scene = Scene::start("").await;
    let keyed = json!({ "payload": "a", "idempotency_key": "k" });
    let first = send(&scene.daemon, &keyed, &[("traceparent", &parent("01"))]).await;
    let other = parent("01").replace(TRACE, &"ab".repeat(16));
    assert_eq!(send(&scene.daemon, &keyed, &[("traceparent", &other)]).await, first);
    assert_eq!(send(&scene.daemon, &keyed, &[]).await, first);
    scene.daemon.wait_final(&first).await;
    let calls = scene.downstream.requests();
    assert_eq!((calls.len(), calls[0].header("traceparent")), (1, Some(&*parent("01"))));
}

#[tokio::test]
async fn items_of_a_batch_and_callbacks_have_the_context_too() {
    let receiver = crate::support::Downstream::start().await;
    let lines = format!("callback = {{ url = \"{}\", on = [\"delivered\"] }}", receiver.url("/"));
    let scene = Scene::start(&lines).await;
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    let items = json!([{ "payload": 1 }, { "payload": 2 }]);
    post(&scene.daemon, &path, &items, &[("traceparent", &parent("00"))]).await;
    let expected = parent("00");
    for request in scene.downstream.wait_for(2).await.iter().chain(&receiver.wait_for(2).await) {
        assert_eq!(request.header("traceparent"), Some(&*expected));
    }
}
