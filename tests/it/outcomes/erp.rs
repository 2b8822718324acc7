//! The costly orders: an ERP that books an order and then lets the answer time out, while nodes are
//! killed. Every order is booked, and none twice.
//!
//! Owns the ERP, which books what it is sent as often as it is sent. Refuses to know how Tidegate
//! tells what was booked: it may only ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::downstream::Request;
use crate::support::wait::poll_until_within;
use crate::support::{Answer, Daemon, Downstream, RedisServer};

/// Orders in one request of the shop.
const CHUNK: usize = 500;
const NODES: usize = 3;
/// Of a hundred calls, so many are booked and never answered...
const BOOKED_IN_SILENCE: u32 = 5;
/// ...so many are read and lost before anything is booked...
const LOST: u32 = 2;
/// ...and so many break off when half of their orders are booked.
const BOOKED_IN_HALF: u32 = 1;
const DONE_WITHIN: Duration = Duration::from_secs(120);

/// What the ERP booked: order by order, and how often.
type Books = Arc<Mutex<HashMap<String, u32>>>;

fn config(erp: &Downstream, lines: &str) -> String {
    let url = erp.url("/orders");
    format!(
        "[queues.erp]\nconcurrency = 12\nlease = \"5300ms\"\nbatch = {{ max_items = 10, max_wait = \"20ms\" }}\ndownstream = {{ url = \"{url}\", timeout = \"300ms\" }}\nretry = {{ initial = \"50ms\", max_attempts = 50 }}\n{lines}\n"
    )
}

/// Probes begin after 200 ms; this ERP books at once.
fn asks(erp: &Downstream) -> String {
    let url = erp.url("/orders/{id}");
    format!(
        "on_uncertain = \"probe\"\nprobe = {{ url = \"{url}\", after = \"200ms\", max_attempts = 20, timeout = \"2s\" }}"
    )
}

/// The answer of an ERP that is not to be relied on.
fn answer(request: &Request, books: &Books, dice: &mut StdRng) -> Answer {
    let mut books = books.lock().expect("nobody panics with it");
    if let Some(id) = request.path.strip_prefix("/orders/") {
        return Answer::status(if books.contains_key(id) { 200 } else { 404 });
    }
    let items = request.items();
    let roll = dice.random_range(0..100);
    let booked = match roll {
        _ if roll < LOST => 0,
        _ if roll < LOST + BOOKED_IN_HALF => items.len() / 2,
        _ => items.len(),
    };
    for item in &items[..booked] {
        *books.entry(item["id"].as_str().expect("an id").to_owned()).or_default() += 1;
    }
    match roll {
        _ if roll < LOST + BOOKED_IN_HALF => Answer::reset(),
        _ if roll < LOST + BOOKED_IN_HALF + BOOKED_IN_SILENCE => Answer::silence(),
        _ => Answer::ok(),
    }
}

/// Hands orders over until each is taken in, as a shop does: again under the same key.
async fn hand_over(nodes: &[Daemon], from: usize) -> Vec<String> {
    let orders = from..from + CHUNK;
    let rows: Vec<Value> = orders
        .map(|n| json!({ "payload": { "order": n }, "idempotency_key": format!("order-{n}") }))
        .collect();
    let body = json!(rows).to_string();
    for turn in 0.. {
        let http = nodes[turn % nodes.len()].http();
        let headers = [("Content-Type", "application/json")];
        let path = "/v1/queues/erp/messages/batch";
        let reply = http.try_send(Method::POST, path, &headers, body.clone()).await;
        let Some(reply) = reply.ok().filter(|reply| reply.status == 200) else { continue };
        let results = reply.json()["results"].as_array().expect("results").clone();
        let ids: Option<Vec<_>> =
            results.iter().map(|result| Some(result["id"].as_str()?.to_owned())).collect();
        if let Some(ids) = ids {
            return ids;
        }
    }
    unreachable!("it goes on until all are taken in")
}

/// What is left when a scenario is over.
struct Outcome {
    ids: Vec<String>,
    books: HashMap<String, u32>,
    requests: Vec<Request>,
}

impl Outcome {
    fn booked_twice(&self) -> Vec<&String> {
        self.books.iter().filter(|(_, times)| **times > 1).map(|(id, _)| id).collect()
    }

    fn orders_without_an_answer(&self) -> usize {
        let posts = self.requests.iter().filter(|request| request.method == "POST");
        posts.filter(|call| call.status.is_none()).map(|call| call.items().len()).sum()
    }

    fn probes(&self) -> usize {
        self.requests.iter().filter(|request| request.method == "GET").count()
    }
}

/// Hands `orders` over and waits until all are delivered, while nodes are killed `kills` times.
async fn play(lines: fn(&Downstream) -> String, orders: usize, kills: usize) -> Outcome {
    let (redis, erp) = tokio::join!(RedisServer::start(), Downstream::start());
    let books = Books::default();
    let (seen, mut dice) = (Arc::clone(&books), StdRng::seed_from_u64(7));
    erp.answer_with(move |request| answer(request, &seen, &mut dice));
    let started = (0..NODES).map(|_| Daemon::start(&redis, config(&erp, &lines(&erp))));
    let mut nodes = futures_util::future::join_all(started).await;
    let (mut ids, mut killed) = (Vec::new(), 0);
    for from in (0..orders).step_by(CHUNK) {
        ids.extend(hand_over(&nodes, from).await);
        if killed < kills / 3 {
            nodes[killed % NODES].restart().await;
            killed += 1;
        }
    }
    poll_until_within(DONE_WITHIN, "every order is delivered", async || {
        tokio::time::sleep(Duration::from_millis(700)).await;
        if killed < kills {
            nodes[killed % NODES].restart().await;
            killed += 1;
        }
        let counts = nodes[0].counts("erp").await;
        (counts["delivered"].as_u64() == Some(orders as u64)).then_some(())
    })
    .await;
    let books = books.lock().expect("nobody panics with it").clone();
    Outcome { ids, books, requests: erp.requests() }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn ten_thousand_orders_are_booked_once_each_whatever_times_out_and_dies() {
    let outcome = play(asks, 10_000, 12).await;

    assert_eq!(outcome.booked_twice(), Vec::<&String>::new());
    let missing: Vec<_> =
        outcome.ids.iter().filter(|id| !outcome.books.contains_key(*id)).collect();
    assert!(missing.is_empty(), "delivered, and not booked: {missing:?}");
    assert_eq!((outcome.ids.len(), outcome.books.len()), (10_000, 10_000));
    let silent = outcome.orders_without_an_answer();
    assert!(silent > 10_000 / 25, "{silent} orders went without an answer");
    let (calls, probes) = (outcome.requests.len(), outcome.probes());
    eprintln!("{calls} calls, {silent} orders without an answer, {probes} probes");
}

/// That the scenario can fail: the same ERP, and a queue that repeats what it cannot tell.
#[tokio::test(flavor = "multi_thread")]
async fn an_erp_that_is_not_asked_books_twice() {
    let outcome = play(|_| String::new(), 1000, 0).await;

    assert!(!outcome.booked_twice().is_empty());
}
