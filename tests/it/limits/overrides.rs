//! Overrides: what holds in place of the configuration for a time, on every node, through restarts and reloads.

use serde_json::{Value, json};

use crate::support::{Answer, Daemon, Downstream, RedisServer, eventually, queue_toml};

/// Two nodes with one queue.
struct Scene {
    redis: RedisServer,
    downstream: Downstream,
    lines: String,
}

impl Scene {
    async fn new(lines: &str) -> Self {
        let (redis, downstream) = (RedisServer::start().await, Downstream::start().await);
        Self { redis, downstream, lines: lines.to_owned() }
    }

    fn config(&self, lines: &str) -> String {
        queue_toml("q", &self.downstream, lines)
    }

    async fn node(&self) -> Daemon {
        Daemon::start(&self.redis, self.config(&self.lines)).await
    }

    async fn fill(&self, daemon: &Daemon, count: usize) {
        let messages: Vec<Value> = (0..count).map(|number| json!({ "payload": number })).collect();
        let reply = daemon.post("/v1/queues/q/messages/batch", &json!(messages)).await.expect(200);
        assert_eq!(reply.json()["accepted"], count);
    }
}

async fn put(daemon: &Daemon, body: &Value) -> Value {
    daemon.post("/v1/queues/q/overrides", body).await.expect(201).json()
}

async fn queue(daemon: &Daemon) -> Value {
    daemon.get("/v1/queues/q").await.expect(200).json()
}

/// What a node has in force of a limit.
async fn limit(daemon: &Daemon, name: &str) -> Value {
    let queue = queue(daemon).await;
    let limits = queue["limits"].as_array().expect("a list");
    limits.iter().find(|it| it["name"] == name).map_or(Value::Null, |it| it["value"].clone())
}

async fn wait_limit(daemon: &Daemon, name: &str, value: &Value) {
    eventually("the node has this in force", async || limit(daemon, name).await == *value).await;
}

#[tokio::test]
async fn the_lesser_holds_on_every_node_until_it_ends_and_resets_nothing() {
    let scene = Scene::new("rate = \"100/s\"\nlimits = [{ quota = \"20/month\" }]").await;
    let (one, other) = (scene.node().await, scene.node().await);
    scene.fill(&one, 5).await;
    scene.downstream.wait_for(5).await;

    let quota = json!({ "limit": { "name": "quota_month", "quota": "8/month" }, "for": "1h", "reason": "a test" });
    let quota = put(&one, &quota).await;
    let more = put(&one, &json!({ "rate": "500/s", "for": "1h" })).await;
    assert_eq!(
        json!([quota["kind"], quota["value"], quota["configured"], quota["in_force"]]),
        json!(["limit:quota_month", "8/month", "20/month", "8/month"])
    );
    assert_eq!(json!([more["kind"], more["in_force"]]), json!(["rate", "100/s"]));
    for node in [&one, &other] {
        eventually("the node has both in force", async || {
            queue(node).await["overrides"].as_array().is_some_and(|all| all.len() == 2)
        })
        .await;
        wait_limit(node, "quota_month", &json!("8/month")).await;
        assert_eq!(limit(node, "rate").await, json!("100/s"));
        let view = queue(node).await;
        assert_eq!(view["policy"]["rate"], "100/s");
        assert_eq!(view["overrides"].as_array().map(Vec::len), Some(2), "{view}");
    }
    scene.fill(&other, 10).await;
    scene.downstream.wait_for(8).await;
    // More than the override allows in a whole period, and less than the configuration does.
    let costly = json!({ "payload": 1, "cost": 9 });
    other.post("/v1/queues/q/messages", &costly).await.expect(201);
    eventually("the lesser quota holds the rest", async || {
        limit_of(&one, "quota_month", "used").await == json!(8)
    })
    .await;
    assert_eq!(scene.downstream.requests().len(), 8);

    let path = format!("/v1/queues/q/overrides/{}", quota["id"].as_str().expect("an id"));
    one.delete(&path).await.expect(200);
    scene.downstream.wait_for(15).await;
    other.delete(&path).await.expect(404);
    wait_limit(&other, "quota_month", &json!("20/month")).await;
    // Five before it, three while it held, seven behind it; the costly one has no room.
    assert_eq!(limit_of(&one, "quota_month", "used").await, json!(15));
}

#[tokio::test]
async fn an_override_of_a_limit_by_key_goes_before_what_single_keys_were_given() {
    let scene =
        Scene::new("concurrency = 50\nlimits = [{ quota = \"3/month\", per = \"labels.to\", name = \"each\" }]")
            .await;
    let daemon = scene.node().await;
    for (value, quota) in [("much", "50/month"), ("none", "1/month")] {
        let given =
            daemon.cli(&["key", "q", value, "put", "--limit", &format!("each={quota}")]).await;
        assert_eq!(given.code, 0, "{given:?}");
    }
    let send = async |to: &str, count: usize| {
        let message = json!({ "payload": to, "labels": { "to": to } });
        let rows = json!(vec![message; count]);
        daemon.post("/v1/queues/q/messages/batch", &rows).await.expect(200);
    };
    let arrived = async |to: &str, count: usize| {
        eventually("as many have arrived", async || {
            scene.downstream.requests().iter().filter(|it| it.json() == to).count() == count
        })
        .await;
    };
    let kind = json!({ "name": "each", "quota": "10/month" });
    let body = json!({ "limit": kind, "for": "1h", "reason": "the month is short" });
    let id = put(&daemon, &body).await["id"].as_str().unwrap().to_owned();

    // Of the configuration and the override the lesser; of what a key was given too.
    send("usual", 12).await;
    send("much", 60).await;
    send("none", 12).await;
    arrived("usual", 3).await;
    arrived("much", 10).await;
    arrived("none", 1).await;
    let waits = daemon.get("/v1/queues/q/messages?state=ready&limit=200").await.expect(200).json();
    let of_much =
        waits["messages"].as_array().unwrap().iter().find(|it| it["labels"]["to"] == "much");
    let path = format!("/v1/messages/{}/explain", of_much.unwrap()["id"].as_str().unwrap());
    let explained = daemon.get(&path).await.expect(200).json();
    let gates = explained["gates"].as_array().unwrap();
    let gate = gates.iter().find(|it| it["gate"] == "limit:each").unwrap();
    assert_eq!(gate["setting"], format!("override {id}"), "{explained}");
    assert!(gate["detail"].as_str().unwrap().contains("10/month"), "{gate}");

    // Above the configuration it holds for each key, whatever it was given.
    let above =
        json!({ "limit": { "name": "each", "quota": "5/month" }, "for": "1h", "above": true });
    let id = put(&daemon, &above).await["id"].as_str().unwrap().to_owned();
    arrived("usual", 5).await;
    arrived("none", 5).await;
    daemon.delete(&format!("/v1/queues/q/overrides/{id}")).await.expect(200);
    arrived("much", 50).await;
    arrived("usual", 5).await;
    arrived("none", 5).await;
}

async fn limit_of(daemon: &Daemon, name: &str, field: &str) -> Value {
    let queue = queue(daemon).await;
    let limits = queue["limits"].as_array().expect("a list");
    let found = limits.iter().find(|it| it["name"] == name);
    found.map_or(Value::Null, |it| it[field].clone())
}

#[tokio::test]
async fn a_rate_for_a_time_ends_by_itself_also_where_the_queue_has_none() {
    let scene = Scene::new("").await;
    let daemon = scene.node().await;
    put(&daemon, &json!({ "rate": "2/s", "for": "3s" })).await;
    wait_limit(&daemon, "rate", &json!("2/s")).await;
    scene.fill(&daemon, 40).await;
    let few = scene.downstream.wait_for(3).await;
    let spread = few[2].arrived - few[0].arrived;
    assert!(spread.as_millis() >= 900, "three calls at 2/s came within {spread:?}");
    wait_limit(&daemon, "rate", &Value::Null).await;
    scene.downstream.wait_for(40).await;
    let view = queue(&daemon).await;
    assert_eq!(view["overrides"], json!([]));
    assert_eq!(view["rate"]["configured"], Value::Null);
}

#[tokio::test]
async fn a_closed_window_outlives_restarts_and_reloads() {
    let scene = Scene::new("concurrency = 2").await;
    let mut daemon = scene.node().await;
    let closed =
        put(&daemon, &json!({ "window": "closed", "for": "1h", "reason": "they move" })).await;
    assert_eq!(closed["configured"], Value::Null);
    eventually("it is closed", async || queue(&daemon).await["sending"]["state"] == "closed").await;
    let id = daemon.send("q", &json!({ "payload": 1 })).await;

    daemon.restart().await;
    let view = queue(&daemon).await;
    assert_eq!(view["sending"]["state"], "closed", "from the first moment on: {view}");
    let reason = view["sending"]["reason"].as_str().expect("a sentence");
    assert!(reason.contains("override") && reason.contains("they move"), "{reason}");
    daemon.sighup(&scene.config("concurrency = 3"));
    eventually("the reload is done", async || queue(&daemon).await["policy"]["concurrency"] == 3)
        .await;
    assert_eq!(queue(&daemon).await["sending"]["until"], closed["until"]);
    let message = daemon.message(&id).await;
    assert_eq!(message["held_by"], json!(["window"]));
    assert!(scene.downstream.requests().is_empty());

    // A newer one of its kind takes its place, and opens nothing that the hours close.
    put(&daemon, &json!({ "window": "closed", "for": "1s" })).await;
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    let list = daemon.get("/v1/queues/q/overrides").await.expect(200).json();
    assert_eq!(list, json!({ "overrides": [] }));
}

#[tokio::test]
async fn a_window_opens_above_its_hours() {
    let lines = "window = { time_zone = \"UTC\", open = [{ from = \"00:00\", to = \"24:00\" }], closed_dates = [] }";
    let never = closed_these_days(lines);
    let scene = Scene::new(&never).await;
    let daemon = scene.node().await;
    let id = daemon.send("q", &json!({ "payload": 1 })).await;
    eventually("it waits for the window", async || {
        daemon.message(&id).await["held_by"] == json!(["window"])
    })
    .await;
    let open = json!({ "window": "open", "for": "1h" });
    let refused = daemon.post("/v1/queues/q/overrides", &open).await.expect(400).json();
    assert_eq!(refused["errors"][0]["pointer"], "/window", "{refused}");

    let put = put(&daemon, &json!({ "window": "open", "for": "1h", "above": true })).await;

    assert_eq!(json!([put["configured"], put["in_force"]]), json!(["closed", "open"]));
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
}

/// The same window, closed for the days around this one.
fn closed_these_days(lines: &str) -> String {
    let now_s = i64::try_from(crate::support::clocks::wall_us() / 1_000_000).expect("a moment");
    let date = |days: i64| {
        let at = jiff::Timestamp::from_second(now_s + days * 86_400).expect("a moment");
        format!("\"{}\"", at.to_zoned(jiff::tz::TimeZone::UTC).date())
    };
    let dates: Vec<String> = (-1..=2).map(date).collect();
    lines.replace("closed_dates = []", &format!("closed_dates = [{}]", dates.join(", ")))
}

#[tokio::test]
async fn fewer_calls_are_in_flight_while_it_holds() {
    let scene = Scene::new("concurrency = 8").await;
    scene.downstream.always(Answer::status(200).after(std::time::Duration::from_millis(60)));
    let daemon = scene.node().await;
    put(&daemon, &json!({ "concurrency": 2, "for": "1h" })).await;
    eventually("it is in force", async || {
        queue(&daemon).await["overrides"].as_array().is_some_and(|list| list.len() == 1)
    })
    .await;
    scene.fill(&daemon, 20).await;
    scene.downstream.wait_for(20).await;
    assert_eq!(scene.downstream.in_flight_max(), 2);
}

#[tokio::test]
async fn an_override_ends_with_its_queue() {
    let scene = Scene::new("rate = \"10/s\"").await;
    let daemon = scene.node().await;
    put(&daemon, &json!({ "rate": "1/s", "for": "1h" })).await;
    wait_limit(&daemon, "rate", &json!("1/s")).await;
    daemon.sighup(&queue_toml("another", &scene.downstream, ""));
    eventually("the queue is retired", async || queue(&daemon).await["retired"] == true).await;
    daemon.sighup(&scene.config("rate = \"10/s\""));
    eventually("the queue is back", async || queue(&daemon).await["retired"] == false).await;
    assert_eq!(limit(&daemon, "rate").await, json!("10/s"));
    assert_eq!(queue(&daemon).await["overrides"], json!([]));
}

#[tokio::test]
async fn what_cannot_hold_is_refused_with_field_and_remedy() {
    let scene = Scene::new("rate = \"10/s\"\nlimits = [{ quota = \"9/day\" }]").await;
    let daemon = scene.node().await;
    let quota =
        |name: &str, quota: &str| json!({ "limit": { "name": name, "quota": quota }, "for": "1h" });
    for (body, pointer, part) in [
        (json!({ "rate": "1/s" }), "/for", "an override ends by itself"),
        (json!({ "for": "1h" }), "", "one of rate, concurrency, window and limit"),
        (json!({ "rate": "1/s", "concurrency": 2, "for": "1h" }), "", "more than one"),
        (json!({ "rate": "fast", "for": "1h" }), "/rate", "expected for example 20/s"),
        (json!({ "rate": "1/s", "for": "90d" }), "/for", "31d"),
        (json!({ "rate": "1/s", "until": "2001-01-01T00:00:00Z" }), "/until", "to come"),
        (json!({ "window": "ajar", "for": "1h" }), "/window", "\"open\" or \"closed\""),
        (json!({ "concurrency": 0, "for": "1h" }), "/concurrency", "found 0"),
        (json!({ "rate": "1/s", "for": "1h", "above": 1 }), "/above", "true or false"),
        (quota("quota_da", "1/day"), "/limit", "did you mean \"quota_day\"?"),
        (quota("quota_day", "1/hour"), "/limit", "counts by the day"),
        (quota("rate", "1/day"), "/limit", "is a rate (10/s)"),
        (json!({ "limit": { "quota": "1/day" }, "for": "1h" }), "/limit/name", "is missing"),
        (json!({ "limit": { "name": "rate" }, "for": "1h" }), "/limit", "one of rate, quota"),
        (json!({ "speed": "1/s", "for": "1h" }), "/speed", "unknown"),
    ] {
        let problem = daemon.post("/v1/queues/q/overrides", &body).await.expect(400).json();
        let errors = problem["errors"].as_array().expect("a list");
        let said = errors.iter().any(|error| {
            error["pointer"] == pointer
                && error["detail"].as_str().is_some_and(|detail| detail.contains(part))
        });
        assert!(said, "{body}: {problem}");
    }
    daemon
        .post("/v1/queues/none/overrides", &json!({ "rate": "1/s", "for": "1h" }))
        .await
        .expect(404);
    daemon.delete("/v1/queues/q/overrides/01JD8Q2W6R9T4Y7B1N0C5V8K3M").await.expect(404);
    assert_eq!(queue(&daemon).await["overrides"], json!([]));
}

#[tokio::test]
async fn the_command_line_puts_lists_and_ends() {
    let scene = Scene::new("rate = \"10/s\"\nlimits = [{ quota = \"9/day\" }]").await;
    let daemon = scene.node().await;
    let none = daemon.cli(&["override", "q"]).await;
    assert_eq!((none.code, none.stdout.contains("no override is in force")), (0, true), "{none:?}");

    let words = ["override", "q", "rate", "2/s", "--for", "1h", "--reason", "slow today"];
    let put = daemon.cli(&words).await;
    assert_eq!(put.code, 0, "{put:?}");
    assert!(put.stdout.contains("rate 2/s until ") && put.stdout.contains("10/s"), "{put:?}");
    let put = daemon.cli(&["override", "q", "limit", "quota_day", "5/day", "--for", "1h"]).await;
    assert_eq!(put.code, 0, "{put:?}");

    let listed = daemon.cli(&["override", "q", "list"]).await;
    for part in ["KIND", "limit:quota_day", "9/day", "slow today", "anonymous"] {
        assert!(listed.stdout.contains(part), "{part}: {listed:?}");
    }
    let json = daemon.cli(&["override", "q", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let id = json["overrides"][0]["id"].as_str().expect("an id");
    let shown = daemon.cli(&["queue", "q"]).await;
    assert!(shown.stdout.contains("override"), "{shown:?}");
    let ended = daemon.cli(&["override", "q", "end", id]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let again = daemon.cli(&["override", "q", "end", id]).await;
    assert_eq!(again.code, 3, "{again:?}");
    let without = daemon.cli(&["override", "q", "rate", "2/s"]).await;
    assert_eq!(without.code, 2, "{without:?}");
}
