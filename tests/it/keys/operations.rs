//! What is done to messages that stand in lanes, at the head, in the middle and behind a limit: each leaves or comes as it
//! should, the next takes its place, and nothing is left behind.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::assert_sound;
use super::calls::{assert_in_order, calls, message, numbers, of, with};
use super::lanes::sizes;
use crate::support::{Answer, Gate, QUEUE, Scene, eventually};

const LIMIT: &str = "limit:per_to_concurrency";

/// One call at a time for each recipient, in the order of each conversation, shared out among tenants.
const LINES: &str = "priority_levels = 3\nconcurrency = 8\nordering = \"labels.order\"\nfairness = \"labels.tenant\"\nlimits = [{ concurrency = 1, per = \"labels.to\" }]";

/// A scene in which the message 0 is on its way, and its recipient's limit holds 1 to 3, which have no order, and 11 to 13, which
/// have one.
struct Held {
    scene: Scene,
    gate: Gate,
    ids: BTreeMap<usize, String>,
}

impl Held {
    async fn start(more: &str) -> Self {
        Self::start_with(more, |message| message).await
    }

    async fn start_with(more: &str, change: fn(Value) -> Value) -> Self {
        let scene = Scene::start(&format!("{LINES}\n{more}")).await;
        let gate = Gate::new();
        scene.downstream.always(Answer::ok().held_by(&gate));
        let mut ids = BTreeMap::new();
        let first = message(0, &[("to", "x"), ("tenant", "t0")]);
        ids.insert(0, scene.daemon.send(QUEUE, &first).await);
        scene.downstream.wait_for(1).await;
        for number in [1, 2, 3, 11, 12, 13] {
            let tenant = format!("t{}", number % 2);
            let mut labels = vec![("to", "x"), ("tenant", &*tenant)];
            if number > 10 {
                labels.push(("order", "k"));
            }
            ids.insert(number, scene.daemon.send(QUEUE, &change(message(number, &labels))).await);
        }
        eventually("the lanes are parked behind the limit", async || {
            let sizes = sizes(&scene.redis).await;
            // 1 and 3 have another tenant than 2, so that these are two lanes.
            sizes.get("parked") == Some(&3) && !sizes.contains_key("open")
        })
        .await;
        Self { scene, gate, ids }
    }

    fn id(&self, number: usize) -> &str {
        &self.ids[&number]
    }

    async fn cancel(&self, number: usize) {
        let path = format!("/v1/messages/{}", self.id(number));
        self.scene.daemon.delete(&path).await.expect(200);
    }

    async fn edit(&self, number: usize, change: &Value) {
        let path = format!("/v1/messages/{}", self.id(number));
        self.scene.daemon.patch(&path, change).await.expect(200);
    }

    /// The message waits, and these hold it.
    async fn waits(&self, number: usize, held_by: &[&str], blocked_by: &[usize]) {
        let ahead = blocked_by.iter().map(|number| json!({ "id": self.id(*number) }));
        let ahead: Vec<_> = ahead.collect();
        let shown = self.scene.daemon.message(self.id(number)).await;
        let found = (&shown["state"], &shown["held_by"], &shown["blocked_by"]);
        assert_eq!(found, (&json!("ready"), &json!(held_by), &json!(ahead)), "{number}");
    }

    async fn count(&self, state: &str) -> u64 {
        self.scene.daemon.counts(QUEUE).await[state].as_u64().expect("a count")
    }

    /// Lets everything go; the numbers of what went behind the first, each group in the order of arrival.
    async fn ends(&self, delivered: usize) -> [Vec<u64>; 2] {
        self.gate.release();
        self.scene.wait_count("delivered", delivered).await;
        let seen = calls(&self.scene.downstream.requests());
        assert_in_order(&of(&seen, "order", "k"));
        let of_key = numbers(&of(&seen, "order", "k"));
        let others = numbers(&of(&seen, "order", "")).split_off(1);
        self.leave_nothing().await;
        [others, of_key]
    }

    async fn leave_nothing(&self) {
        eventually("nothing is left in the lanes", async || {
            let left = sizes(&self.scene.redis).await;
            // What a key has had of its share is forgotten by a claim that finds nothing.
            left.keys().all(|name| name == "tags")
        })
        .await;
        assert_eq!(self.count("ready").await, 0);
        assert_sound(&self.scene.daemon).await;
    }
}

#[tokio::test]
async fn a_cancelled_message_makes_room_for_the_next_wherever_it_stood() {
    let held = Held::start("").await;
    held.waits(1, &[LIMIT], &[]).await;
    held.waits(12, &[LIMIT, "order"], &[11]).await;
    held.waits(13, &[LIMIT, "order"], &[11]).await;

    held.cancel(12).await;
    held.waits(13, &[LIMIT, "order"], &[11]).await;
    held.cancel(11).await;
    held.waits(13, &[LIMIT], &[]).await;
    held.cancel(1).await;
    held.waits(3, &[LIMIT], &[]).await;

    assert_eq!((held.count("ready").await, held.count("cancelled").await), (3, 3));
    let [mut others, of_key] = held.ends(4).await;
    others.sort_unstable();
    assert_eq!((others, of_key), (vec![2, 3], vec![13]));
}

#[tokio::test]
async fn all_may_be_cancelled_and_nothing_is_left() {
    let held = Held::start("").await;

    for number in [13, 3, 11, 1, 2, 12] {
        held.cancel(number).await;
    }

    assert_eq!((held.count("ready").await, held.count("cancelled").await), (0, 6));
    let [others, of_key] = held.ends(1).await;
    assert!(others.is_empty() && of_key.is_empty());
}

#[tokio::test]
async fn an_edited_message_leaves_its_place_only_where_its_due_time_changes() {
    let held = Held::start("").await;

    held.edit(12, &json!({ "priority": 9 })).await;
    held.waits(12, &[LIMIT, "order"], &[11]).await;
    held.edit(11, &json!({ "priority": 9 })).await;
    held.waits(12, &[LIMIT, "order"], &[11]).await;
    // Both leave, and the next of their keys goes on.
    held.edit(11, &json!({ "delay": "1h" })).await;
    held.edit(1, &json!({ "delay": "1h" })).await;
    held.waits(12, &[LIMIT], &[]).await;
    held.edit(3, &json!({ "expires_at": "2099-01-01T00:00:00Z" })).await;
    held.edit(13, &json!({ "priority": 5 })).await;
    assert_eq!((held.count("ready").await, held.count("scheduled").await), (4, 2));
    // What is run now is the last of its key.
    held.scene.step(held.id(11), "run", &json!({})).await;
    held.scene.step(held.id(1), "run", &json!({})).await;
    held.waits(11, &[LIMIT, "order"], &[12]).await;

    assert_eq!(held.count("ready").await, 6);
    held.gate.release();
    held.scene.wait_count("delivered", 7).await;
    let seen = calls(&held.scene.downstream.requests());
    assert_eq!(numbers(&of(&seen, "order", "k")), [12, 13, 11]);
    held.leave_nothing().await;
}

#[tokio::test]
async fn what_expires_in_a_lane_makes_room_for_the_next() {
    let expiring = |message: Value| {
        let number = message["payload"]["n"].as_u64().expect("a number");
        if [1, 11, 12].contains(&number) { with(message, "ttl", "3s") } else { message }
    };
    let held = Held::start_with("", expiring).await;

    held.scene.wait_count("expired", 3).await;

    held.waits(13, &[LIMIT], &[]).await;
    held.waits(3, &[LIMIT], &[]).await;
    assert_eq!(held.count("ready").await, 3);
    let [mut others, of_key] = held.ends(4).await;
    others.sort_unstable();
    assert_eq!((others, of_key), (vec![2, 3], vec![13]));
}

#[tokio::test]
async fn a_purge_and_a_requeue_of_all_find_every_lane() {
    let held = Held::start("").await;
    let path = format!("/v1/queues/{QUEUE}/purge");
    let purged = held.scene.daemon.post(&path, &json!({ "state": "ready" })).await.expect(200);
    assert_eq!(purged.json(), json!({ "purged": 6, "remaining": 0 }));
    assert_eq!((held.count("ready").await, held.count("cancelled").await), (0, 6));

    // One after the other, so that this is their order.
    for number in [13, 11, 12, 2] {
        held.scene.step(held.id(number), "requeue", &json!({})).await;
    }

    held.waits(11, &[LIMIT, "order"], &[13]).await;
    held.gate.release();
    held.scene.wait_count("delivered", 5).await;
    let seen = calls(&held.scene.downstream.requests());
    assert_eq!(numbers(&of(&seen, "order", "k")), [13, 11, 12]);
    held.leave_nothing().await;
}

#[tokio::test]
async fn moved_messages_leave_their_lanes_and_come_into_those_of_the_other_queue() {
    let other = "[queues.other]\nordering = \"labels.order\"\ndownstream.type = \"null\"";
    let held = Held::start(other).await;

    let body = json!({
        "action": "move", "queue": QUEUE, "state": "ready", "to": "other", "filter": { "label": { "order": "k" } },
    });
    held.scene.daemon.post("/v1/operations", &body).await.expect(202);
    eventually("they are delivered by the other queue", async || {
        held.scene.daemon.counts("other").await["delivered"] == 3
    })
    .await;

    assert_eq!((held.count("ready").await, held.count("cancelled").await), (3, 3));
    let [mut others, of_key] = held.ends(4).await;
    others.sort_unstable();
    assert_eq!((others, of_key), (vec![1, 2, 3], vec![]));
    let lines = held.scene.daemon.get("/v1/queues/other/audit").await.expect(200);
    assert!(lines.text().contains("\"faults\":{}"), "{}", lines.text());
}

#[tokio::test]
async fn an_operation_reschedules_what_stands_in_lanes() {
    let held = Held::start("").await;

    let body = json!({
        "action": "reschedule", "queue": QUEUE, "state": "ready", "delay": "1h", "all": true,
    });
    held.scene.daemon.post("/v1/operations", &body).await.expect(202);
    held.scene.wait_count("scheduled", 6).await;
    for number in [13, 12, 11, 1, 2, 3] {
        held.scene.step(held.id(number), "run", &json!({})).await;
    }

    held.waits(11, &[LIMIT, "order"], &[13]).await;
    held.gate.release();
    held.scene.wait_count("delivered", 7).await;
    let seen = calls(&held.scene.downstream.requests());
    assert_eq!(numbers(&of(&seen, "order", "k")), [13, 12, 11]);
    held.leave_nothing().await;
}

/// A scene whose first message of a key has failed, and waits an hour for its next attempt; the second one waits for it.
async fn failed(change: fn(Value) -> Value) -> (Scene, Vec<String>) {
    let lines = "ordering = \"labels.order\"\nretry = { initial = \"1h\", jitter = 0.0 }";
    let scene = Scene::start(lines).await;
    scene.downstream.once(Answer::status(500));
    let mut ids = Vec::new();
    for message in [change(message(0, &[("order", "k")])), message(1, &[("order", "k")])] {
        ids.push(scene.daemon.send(QUEUE, &message).await);
    }
    let held = json!({ "held_by": ["order"], "blocked_by": [{ "id": ids[0] }], "state": "ready" });
    scene.wait_members(&ids[0], &json!({ "state": "scheduled", "attempts": 1 })).await;
    scene.wait_members(&ids[1], &held).await;
    (scene, ids)
}

async fn ends_empty(scene: &Scene) {
    eventually("nothing is left in the lanes", async || sizes(&scene.redis).await.is_empty()).await;
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn retry_makes_due_what_holds_its_key_and_the_next_follows() {
    let (scene, ids) = failed(|first| first).await;
    let shown = scene.daemon.cli(&["retry", QUEUE]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    for id in &ids {
        assert_eq!(scene.daemon.wait_final(id).await["state"], "delivered");
    }
    assert_eq!(numbers(&calls(&scene.downstream.requests())), [0, 0, 1]);
    ends_empty(&scene).await;
}

#[tokio::test]
async fn whatever_ends_a_message_that_holds_its_key_frees_the_key() {
    let (scene, ids) = failed(|first| first).await;
    scene.daemon.delete(&format!("/v1/messages/{}", ids[0])).await.expect(200);
    assert_eq!(scene.daemon.wait_final(&ids[1]).await["state"], "delivered");
    ends_empty(&scene).await;

    let (scene, ids) = failed(|first| first).await;
    scene.queue_step("purge", &json!({ "state": "scheduled" })).await;
    assert_eq!(scene.daemon.wait_final(&ids[1]).await["state"], "delivered");
    ends_empty(&scene).await;

    let (scene, ids) = failed(|first| with(first, "ttl", "3s")).await;
    assert_eq!(scene.daemon.wait_final(&ids[1]).await["state"], "delivered");
    assert_eq!(scene.daemon.message(&ids[0]).await["state"], "expired");
    ends_empty(&scene).await;
}

#[tokio::test]
async fn get_and_list_say_what_a_message_waits_for() {
    let held = Held::start("").await;

    let get = held.scene.daemon.cli(&["get", held.id(12)]).await.stdout;
    let ahead = format!("Waiting for {}, which is ahead of it under the same key", held.id(11));
    assert!(get.contains(&ahead), "{get}");
    let limit = "The limit \"per_to_concurrency\" lets 1 at a time start for labels.to = x";
    assert!(get.contains(limit) && get.contains("Held as well by: order"), "{get}");
    let list = held.scene.daemon.cli(&["list", QUEUE, "--state", "ready"]).await.stdout;
    let of =
        |number: usize| list.lines().find(|line| line.contains(held.id(number))).map(str::to_owned);
    assert!(of(12).expect("a row").contains("limit:per_to_concurrency, order"), "{list}");
    assert!(!of(11).expect("a row").contains("order"), "{list}");
    let queue = held.scene.daemon.cli(&["queue", QUEUE]).await.stdout;
    assert!(
        queue.contains(
            "1 in flight for each value of labels.to; it holds the messages of 1 value now"
        ),
        "{queue}"
    );

    held.ends(7).await;
}
