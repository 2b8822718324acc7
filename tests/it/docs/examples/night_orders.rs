//! Orders that gathered by day leave at one o'clock, through silence, a broken line and a bad row; none is
//! booked twice. Shortly before four nothing starts any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Stage, of_day_ms};
use crate::support::downstream::Request;
use crate::support::wait::poll_until_within;

const ORDERS: u64 = 1200;
const BAD: u64 = 666;
const DONE_WITHIN: Duration = Duration::from_secs(60);
/// What would take half a minute and more.
const QUICKLY: [(&str, &str); 4] = [
    ("timeout = \"60s\"", "timeout = \"2s\""),
    ("after = \"30s\"", "after = \"200ms\""),
    ("initial = \"10s\"", "initial = \"100ms\""),
    ("max_wait = \"5s\"", "max_wait = \"500ms\""),
];

/// What the ERP booked: message by message, how often.
type Books = Arc<Mutex<HashMap<String, u32>>>;

/// An ERP that books its first batch in silence, loses the line before its second, and refuses every
/// batch with the bad order in it.
fn erp(books: &Books) -> impl FnMut(&Request) -> Answer + Send + 'static {
    let (books, mut batches) = (Arc::clone(books), 0);
    move |request| {
        let mut books = books.lock().expect("nobody panics with it");
        if let Some(id) = request.path.strip_prefix("/erp.example/orders/") {
            return Answer::status(if books.contains_key(id) { 200 } else { 404 });
        }
        let items = request.items();
        batches += 1;
        if batches == 2 {
            return Answer::reset();
        }
        if items.iter().any(|item| item["payload"]["order"] == BAD) {
            return Answer::status(422).json(&json!({ "error": "no such article" }));
        }
        for item in &items {
            *books.entry(item["id"].as_str().expect("an id").to_owned()).or_default() += 1;
        }
        if batches == 1 { Answer::silence() } else { Answer::ok() }
    }
}

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn a_night_of_orders_is_booked_once_but_for_the_bad_one() {
    let stage = Stage::set_at("night-orders", "00:59:52", &QUICKLY).await;
    let books = Books::default();
    stage.downstream.answer_with(erp(&books));

    stage.run().await;

    poll_until_within(DONE_WITHIN, "the night is over", async || {
        let counts = stage.daemon.counts("erp").await;
        (counts["delivered"] == ORDERS - 1 && counts["dead"] == 1).then_some(())
    })
    .await;
    let books = books.lock().expect("nobody panics with it").clone();
    assert_eq!(books.len() as u64, ORDERS - 1);
    assert!(books.values().all(|times| *times == 1), "an order was booked twice");
    let requests = stage.downstream.requests();
    let first = requests.iter().map(|request| stage.time_ms(request.arrived)).min();
    assert!(first >= Some(of_day_ms("01:00:00")), "{first:?}");
    // Each batch was worth its call: those that were answered are three full ones, and the halves in
    // which the bad order was looked for.
    let batches = requests.iter().filter(|request| request.method == "POST").count();
    assert!(batches <= 40, "{batches} calls");
    let dead = stage.list("erp", "dead").await;
    assert!(dead[0]["reason"].as_str().is_some_and(|reason| reason.contains("422")), "{dead:?}");
}

#[tokio::test]
async fn two_minutes_before_four_nothing_starts_any_more() {
    let stage = Stage::set_at("night-orders", "03:58:01", &QUICKLY).await;

    stage.run().await;

    let waiting: Vec<Value> = stage.list("erp", "ready").await;
    assert_eq!(waiting.len(), 1000, "a whole page");
    let is_held = |message: &Value| {
        message["held_by"].as_array().is_some_and(|gates| gates.contains(&json!("window")))
    };
    assert!(waiting.iter().all(is_held));
    assert_eq!(stage.calls("erp.example"), 0);
}
