//! Keys at queues whose workers claim by themselves: limits, order and shares hold for what is handed out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::assert_sound;
use super::calls::message;
use crate::support::{Daemon, QUEUE, RedisServer};

/// A queue that hands its messages to workers.
struct Desk {
    daemon: Daemon,
    _redis: RedisServer,
}

impl Desk {
    async fn open(lines: &str) -> Self {
        let redis = RedisServer::start().await;
        let toml = format!("[queues.{QUEUE}]\ndownstream.type = \"pull\"\n{lines}\n");
        Self { daemon: Daemon::start(&redis, toml).await, _redis: redis }
    }

    async fn send(&self, label: &str, keys: &[&str]) -> Vec<String> {
        let one = |(number, key): (usize, &&str)| message(number, &[(label, *key)]);
        let messages: Vec<_> = keys.iter().enumerate().map(one).collect();
        let path = format!("/v1/queues/{QUEUE}/messages/batch");
        let reply = self.daemon.post(&path, &json!(messages)).await.expect(200).json();
        let results = reply["results"].as_array().expect("a batch has results").clone();
        results.iter().map(|result| result["id"].as_str().expect("taken in").to_owned()).collect()
    }

    async fn claim(&self, most: usize) -> Vec<Value> {
        let path = format!("/v1/queues/{QUEUE}/claim");
        let reply = self.daemon.post(&path, &json!({ "max": most })).await.expect(200).json();
        reply["messages"].as_array().expect("a list").clone()
    }

    async fn settle(&self, claimed: &[Value], word: &str) {
        let one = |it: &Value| json!({ "id": it["id"], "token": it["token"], "as": word });
        let said: Vec<_> = claimed.iter().map(one).collect();
        let path = format!("/v1/queues/{QUEUE}/settle");
        let reply = self.daemon.post(&path, &json!(said)).await.expect(200).json();
        for result in reply["results"].as_array().expect("a list") {
            assert_eq!(result["verdict"], "ok", "{reply}");
        }
    }
}

fn numbers(claimed: &[Value]) -> Vec<u64> {
    let mut numbers: Vec<_> =
        claimed.iter().map(|it| it["payload"]["n"].as_u64().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn what_a_worker_releases_goes_back_to_the_quota_of_its_key() {
    let desk = Desk::open("limits = [{ quota = \"2/month\", per = \"labels.to\" }]").await;
    let ids = desk.send("to", &["a", "a", "a", "b", "b", "b"]).await;

    let first = desk.claim(10).await;
    assert_eq!(numbers(&first), [0, 1, 3, 4]);
    desk.settle(&first, "release").await;

    let again = desk.claim(10).await;
    assert_eq!(numbers(&again), [0, 1, 3, 4], "at their old places");
    assert!(again.iter().all(|message| message["attempt"] == 1), "{again:?}");
    desk.settle(&again, "delivered").await;
    assert!(desk.claim(10).await.is_empty());
    let held = desk.daemon.message(&ids[2]).await;
    assert!(held["held_by"].to_string().contains("limit:per_to_month"), "{held}");
    assert_sound(&desk.daemon).await;
}

#[tokio::test]
async fn workers_hold_no_more_of_a_key_than_its_concurrency() {
    let desk = Desk::open("limits = [{ concurrency = 2, per = \"labels.customer\" }]").await;
    desk.send("customer", &["a", "a", "a", "a", "b"]).await;

    let first = desk.claim(10).await;
    assert_eq!(numbers(&first), [0, 1, 4]);
    assert!(desk.claim(10).await.is_empty());
    let ended = first.iter().find(|message| message["payload"]["n"] == 1).expect("claimed").clone();
    desk.settle(&[ended], "delivered").await;

    assert_eq!(numbers(&desk.claim(10).await), [2]);
    assert_sound(&desk.daemon).await;
}

#[tokio::test]
async fn a_worker_gets_one_message_of_a_key_at_a_time_and_the_next_in_order() {
    let lines = "ordering = \"labels.customer\"\nretry.initial = \"1ms\"";
    let desk = Desk::open(lines).await;
    let ids = desk.send("customer", &["a", "b", "a", "b", "a"]).await;

    let first = desk.claim(10).await;
    assert_eq!(numbers(&first), [0, 1]);
    assert!(desk.claim(10).await.is_empty());
    let held = desk.daemon.message(&ids[4]).await;
    assert!(held["held_by"].to_string().contains("order"), "{held}");
    assert_eq!(held["blocked_by"], json!([{ "id": ids[0] }]), "{held}");
    // A release has begun nothing: the same message is next again.
    desk.settle(&first, "release").await;
    let again = desk.claim(10).await;
    assert_eq!(numbers(&again), [0, 1]);
    desk.settle(&again, "delivered").await;
    assert_eq!(numbers(&desk.claim(10).await), [2, 3]);
    assert_sound(&desk.daemon).await;
}

#[tokio::test]
async fn workers_get_messages_by_the_shares_of_their_keys() {
    let lines = "concurrency = 1000\nfairness = { by = \"labels.tenant\", weights = { big = 3 } }";
    let desk = Desk::open(lines).await;
    let keys: Vec<_> = [["big"; 200], ["small"; 200]].concat();
    desk.send("tenant", &keys).await;

    let mut got = BTreeMap::<String, usize>::new();
    for _ in 0..10 {
        for message in desk.claim(16).await {
            let tenant =
                message["payload"]["labels"]["tenant"].as_str().expect("a label").to_owned();
            *got.entry(tenant).or_default() += 1;
        }
    }

    assert_eq!(got.values().sum::<usize>(), 160);
    assert!(got["big"].abs_diff(120) <= 3, "{got:?}");
}
