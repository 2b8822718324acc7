//! Batches: when they leave, what they look like, and how each item is settled by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::downstream::Request;
use crate::support::{Answer, QUEUE, Scene, batch_results};

/// A batch of so many items that leaves only when it is full.
fn full(max_items: usize) -> String {
    format!(
        "batch = {{ max_items = {max_items}, max_wait = \"60s\" }}\ndownstream.timeout = \"1s\"\nretry = {{ initial = \"50ms\", jitter = 0.0 }}"
    )
}

fn ids_of(request: &Request) -> Vec<String> {
    request.items().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn numbers_of(request: &Request) -> Vec<u64> {
    request.items().iter().map(|item| item["payload"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn full_batches_leave_at_once() {
    let scene = Scene::start(&full(10)).await;

    let ids = scene.send_numbers(30).await;

    let requests = scene.downstream.wait_for(3).await;
    assert!(requests.iter().all(|request| request.items().len() == 10));
    let sent: BTreeSet<_> = requests.iter().flat_map(ids_of).collect();
    assert_eq!(sent, ids.into_iter().collect());
    scene.wait_count("delivered", 30).await;
    let batch_ids: BTreeSet<_> =
        requests.iter().map(|r| r.header("tidegate-batch-id").unwrap().to_owned()).collect();
    assert_eq!(batch_ids.len(), 3);
    assert_eq!(requests[0].header("tidegate-queue"), Some(QUEUE));
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_lone_message_waits_for_company_only_so_long() {
    let scene = Scene::start("batch = { max_items = 500, max_wait = \"400ms\" }").await;
    let began = tokio::time::Instant::now();

    let id = scene.send("lone").await;
    let waiting = scene.daemon.message(&id).await;
    let waited = scene.downstream.wait_for(1).await[0].arrived - began;

    assert_eq!(waiting["state"], "ready", "it waits unleased");
    assert!((399..900).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
}

#[tokio::test]
async fn a_batch_holds_no_more_than_max_bytes() {
    let lines = "batch = { max_items = 100, max_bytes = \"2KiB\", max_wait = \"60s\" }";
    let scene = Scene::start(lines).await;
    let large = "x".repeat(600);

    scene.send_all(&vec![json!({ "payload": large }); 9]).await;

    // Enough bytes wait, so nothing is waited for; but what is left over does wait.
    let requests = scene.downstream.wait_for(2).await;
    for request in &requests {
        let bytes: usize = request.items().iter().map(|i| i["payload"].to_string().len()).sum();
        assert!((602 * 2..=2048).contains(&bytes), "{bytes} bytes of payload in a batch");
    }
}

#[tokio::test]
async fn items_carry_payloads_of_every_kind_with_their_headers() {
    let scene = Scene::start(&full(3)).await;
    scene.queue_step("pause", &json!({})).await;
    scene
        .daemon
        .send(QUEUE, &json!({ "payload": { "b": 1, "a": [] }, "headers": { "X-N": "1" } }))
        .await;
    scene.daemon.send(QUEUE, &json!({ "payload": "tëxt", "content_type": "text/plain" })).await;
    scene.daemon.send(QUEUE, &json!({ "payload_base64": "AP8=" })).await;
    scene.queue_step("resume", &json!({})).await;

    let items = scene.downstream.wait_for(1).await[0].items();

    let find =
        |test: &dyn Fn(&Value) -> bool| items.iter().find(|item| test(item)).unwrap().clone();
    let json_item = find(&|item| item["payload"].is_object());
    assert_eq!(json_item["payload"], json!({ "b": 1, "a": [] }));
    assert_eq!((&json_item["headers"], &json_item["attempt"]), (&json!({ "x-n": "1" }), &json!(1)));
    assert!(json_item["id"].as_str().unwrap().starts_with("jobs_"));
    assert_eq!(find(&|item| item["payload"].is_string())["payload"], "tëxt");
    let raw = find(&|item| item["payload_base64"].is_string());
    assert_eq!((&raw["payload_base64"], raw.get("payload")), (&json!("AP8="), None));
}

#[tokio::test]
async fn results_settle_each_item_by_itself() {
    let scene = Scene::start(&full(4)).await;
    scene.downstream.answer_with(|request| {
        let mut answer = batch_results(request, |item| {
            match (item["payload"].as_u64(), item["attempt"].as_u64()) {
                (Some(0), _) => Some("delivered"),
                (Some(1), Some(1)) => Some("retry"),
                (Some(2), _) => Some("dead"),
                (Some(3), Some(1)) => None,
                _ => Some("delivered"),
            }
        });
        if request.index == 0 {
            let text =
                json!({ "results": [{ "id": "jobs_STRANGER", "status": "dead" }] }).to_string();
            let mine = String::from_utf8(batch_body(request)).unwrap();
            let both = text.replace("]}", &format!(",{mine}]}}"));
            answer = Answer::ok().header("Content-Type", "application/json").body(both);
        }
        answer
    });

    let ids = scene.send_numbers(4).await;

    // The two that come again would wait for company; a full batch's worth keeps them moving.
    let dead = scene.daemon.wait_final(&ids[2]).await;
    assert_eq!((&dead["state"], &dead["attempts"]), (&json!("dead"), &json!(1)));
    assert!(dead["last_attempt"]["error"].as_str().unwrap().contains("scripted"), "{dead}");
    assert_eq!(scene.daemon.wait_final(&ids[0]).await["state"], "delivered");
    scene.send_all(&vec![json!({ "payload": 9 }); 2]).await;
    for at in [1, 3] {
        let message = scene.daemon.wait_final(&ids[at]).await;
        assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(2)));
    }
}

/// The results of the first answer above, without the brackets around them.
fn batch_body(request: &Request) -> Vec<u8> {
    let result = |item: &Value, status: &str| {
        json!({ "id": item["id"], "status": status, "detail": "scripted" }).to_string()
    };
    let of = |item: &Value| match item["payload"].as_u64() {
        Some(0) => Some(result(item, "delivered")),
        Some(1) => Some(result(item, "retry")),
        Some(2) => Some(result(item, "dead")),
        _ => None,
    };
    request.items().iter().filter_map(of).collect::<Vec<_>>().join(",").into_bytes()
}

#[tokio::test]
async fn an_item_left_out_of_the_results_is_uncertain_where_the_queue_parks() {
    let scene = Scene::start(&format!("{}\non_uncertain = \"park\"", full(2))).await;
    scene.downstream.answer_with(|request| {
        batch_results(request, |item| (item["payload"] == 0).then_some("delivered"))
    });

    let ids = scene.send_numbers(2).await;

    assert_eq!(scene.daemon.wait_final(&ids[0]).await["state"], "delivered");
    scene.wait_state(&ids[1], "uncertain").await;
}

/// Which calls the bad rows took, and that only they died.
async fn split(count: usize, bad: &'static [u64]) -> Scene {
    let scene = Scene::start(&full(count)).await;
    scene.downstream.answer_with(move |request| {
        let refused = numbers_of(request).iter().any(|number| bad.contains(number));
        if refused { Answer::status(422).body("a bad row") } else { Answer::ok() }
    });

    let ids = scene.send_numbers(count).await;

    scene.wait_count("delivered", count - bad.len()).await;
    scene.wait_count("dead", bad.len()).await;
    for (number, id) in ids.iter().enumerate() {
        let message = scene.daemon.message(id).await;
        let is_bad = bad.contains(&(number as u64));
        let state = if is_bad { "dead" } else { "delivered" };
        assert_eq!(
            (&message["state"], &message["attempts"]),
            (&json!(state), &json!(1)),
            "{number}"
        );
    }
    scene
}

#[tokio::test]
async fn one_bad_row_of_fifty_is_found_and_the_rest_delivered() {
    let scene = split(50, &[17]).await;

    assert!(
        scene.downstream.requests().len() <= 13,
        "halving takes at most 2 × log2(50) + 1 calls"
    );
}

#[tokio::test]
async fn three_bad_rows_of_sixty_four_are_found() {
    let scene = split(64, &[0, 31, 63]).await;

    let delivered: BTreeSet<_> = scene
        .downstream
        .requests()
        .iter()
        .filter(|request| !numbers_of(request).iter().any(|n| [0, 31, 63].contains(n)))
        .flat_map(numbers_of)
        .collect();
    assert_eq!(delivered.len(), 61, "every innocent was accepted once");
    assert!(scene.downstream.requests().len() <= 37);
}

#[tokio::test]
async fn a_paused_queue_splits_no_further() {
    let scene = Scene::start(&full(8)).await;
    let gate = crate::support::Gate::new();
    scene.downstream.always(Answer::status(400).held_by(&gate));
    let ids = scene.send_numbers(8).await;
    scene.downstream.wait_for(1).await;

    scene.queue_step("pause", &json!({})).await;
    gate.release();

    for id in &ids {
        scene.wait_members(id, &json!({ "state": "ready", "attempts": 0 })).await;
    }
    assert_eq!(scene.downstream.requests().len(), 1);
    scene.downstream.always(Answer::ok());
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 8).await;
}

#[tokio::test]
async fn a_batch_that_times_out_is_uncertain_as_a_whole_under_park() {
    let scene = Scene::start(&format!("{}\non_uncertain = \"park\"", full(5))).await;
    scene.downstream.always(Answer::silence());

    scene.send_numbers(5).await;

    scene.wait_count("uncertain", 5).await;
    assert_eq!(scene.downstream.requests().len(), 1);
}

#[tokio::test]
async fn a_batch_that_times_out_is_sent_again_under_resend() {
    let scene = Scene::start(&full(5)).await;
    scene.downstream.once(Answer::silence());

    let ids = scene.send_numbers(5).await;

    scene.wait_count("delivered", 5).await;
    let requests = scene.downstream.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].items().iter().all(|item| item["attempt"] == 2));
    assert_eq!(scene.daemon.message(&ids[0]).await["attempts"], 2);
}

#[tokio::test]
async fn a_throttled_batch_goes_back_in_its_order() {
    let scene = Scene::start(&full(600)).await;
    scene.downstream.once(Answer::status(429).header("Retry-After", "1"));

    let ids = scene.send_numbers(600).await;

    scene.wait_count("delivered", 600).await;
    let requests = scene.downstream.requests();
    assert_eq!(ids_of(&requests[0]), ids_of(&requests[1]));
    assert!(requests[1].arrived - requests[0].arrived >= Duration::from_secs(1));
    let message = scene.daemon.message(&ids[0]).await;
    assert_eq!((&message["attempts"], &message["throttles"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_batch_that_meets_a_404_loses_five_and_shuts_the_gate() {
    let scene = Scene::start(&full(40)).await;
    scene.downstream.always(Answer::status(404));

    scene.send_numbers(40).await;

    scene.wait_count("dead", 5).await;
    scene.wait_count("ready", 35).await;
    let calls = scene.downstream.requests().len();
    scene.downstream.always(Answer::ok());
    scene.send_all(&vec![json!({ "payload": 99 }); 5]).await;
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 40).await;
    assert_eq!(scene.downstream.requests().len(), calls + 1);
}

#[tokio::test]
async fn each_half_takes_a_permit_of_the_limit() {
    let stalls = crate::support::Stalls::watch();
    let scene = Scene::start(&format!("{}\nrate = \"20/s\"", full(16))).await;
    scene.downstream.always(Answer::status(422));

    scene.send_numbers(16).await;

    scene.wait_count("dead", 16).await;
    let requests = scene.downstream.requests();
    assert_eq!(requests.len(), 31);
    crate::limits::rates::assert_within(&stalls, &requests, 20.0, 1);
}
