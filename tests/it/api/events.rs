//! Events: in order, whole over reconnects, restarts and nodes, and nothing that a slow listener could hold up.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::{
    Answer, Cluster, Daemon, Downstream, Listener, QUEUE, RedisServer, Scene, Told, eventually,
    queue_toml,
};

fn texts(events: &[Told]) -> Vec<String> {
    events.iter().map(Told::text).collect()
}

/// The states of each message, in the order in which they were told.
fn by_message(events: &[Told]) -> BTreeMap<String, Vec<String>> {
    let mut states: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.name == "message") {
        let word = |key: &str| event.data[key].as_str().expect("a word").to_owned();
        states.entry(word("id")).or_default().push(word("state"));
    }
    states
}

#[tokio::test]
async fn every_change_of_a_message_and_its_queue_is_told_in_order() {
    let scene = Scene::start("retry = { initial = \"10ms\", jitter = 0.0 }").await;
    let mut listener = Listener::start(&scene.daemon, "").await;
    let mut finals = Listener::start(&scene.daemon, "?state=delivered,cancelled").await;
    let mut other = Listener::start(&scene.daemon, &format!("?queue={QUEUE}&state=dead")).await;

    let ids = scene.line_up(3).await;
    let later = scene.daemon.send(QUEUE, &json!({ "payload": "later", "delay": "1h" })).await;
    scene.daemon.delete(&format!("/v1/messages/{later}")).await.expect(200);
    scene.downstream.once(Answer::status(500));
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 3).await;
    scene.downstream.once(Answer::status(400));
    let refused = scene.send("refused").await;

    // Of the queue, of the three (one of which failed once), of the later and of the refused one.
    let told = listener.take(2 + 3 * 3 + 3 + 2 + 3).await;
    let changes: Vec<_> = told.iter().filter(|event| event.name == "queue").collect();
    let changes: Vec<_> = changes.iter().map(|event| event.text()).collect();
    assert_eq!(changes, [format!("{QUEUE} paused"), format!("{QUEUE} resumed")]);
    let states = by_message(&told);
    assert_eq!(states[&later], ["scheduled", "cancelled"]);
    let plain = ["ready", "leased", "delivered"];
    let failed = ["ready", "leased", "scheduled", "ready", "leased", "delivered"];
    let taken: Vec<_> = ids.iter().map(|id| states[id].clone()).collect();
    assert_eq!(taken.iter().filter(|states| **states == plain).count(), 2, "{taken:?}");
    assert_eq!(taken.iter().filter(|states| **states == failed).count(), 1, "{taken:?}");
    assert_eq!(states[&refused], ["ready", "leased", "dead"]);
    let finals = finals.take(4).await;
    assert_eq!(finals[0].text(), format!("{later} cancelled"));
    assert!(finals[1..].iter().all(|event| event.data["state"] == "delivered"));
    assert_eq!(other.take(1).await[0].text(), format!("{refused} dead"));
    let at = told[0].data["at"].as_str().expect("a moment");
    assert!(at.ends_with('Z') && at.len() == 24, "{at}");
}

/// What a listener hears at one node, with breaks, is what one hears at another, without any.
async fn resumes_without_a_gap(mut first: Daemon, second: Daemon, steps: usize) {
    let send = async |count: usize| {
        let messages: Vec<_> = (0..count).map(|n| json!({ "payload": n })).collect();
        let path = format!("/v1/queues/{QUEUE}/messages/batch");
        second.post(&path, &json!(messages)).await.expect(200);
    };
    let mut whole = Listener::start(&second, "").await;
    let mut broken = Listener::start(&first, "").await;
    let mut heard = Vec::new();
    send(20).await;
    heard.extend(broken.take(20).await);
    // It hangs up, and things happen meanwhile.
    let last_id = broken.last_id.clone();
    drop(broken);
    send(20).await;
    let mut broken = Listener::after(&first, "", &last_id).await;
    heard.extend(broken.take(30).await);
    // Its node dies and comes back.
    let last_id = broken.last_id.clone();
    first.kill9().await;
    send(20).await;
    first.restart().await;
    let mut broken = Listener::after(&first, "", &last_id).await;
    send(20).await;
    let all = whole.take(80 * steps).await;

    heard.extend(broken.take(80 * steps - heard.len()).await);

    assert_eq!(texts(&heard), texts(&all), "the same, in the same order");
    assert_eq!(heard, all);
    assert!(heard.is_sorted_by_key(|event| event.data["at"].as_str().expect("it has").to_owned()));
    let states = by_message(&all);
    assert_eq!(states.len(), 80);
    assert!(states.values().all(|states| *states == ["ready", "leased", "delivered"]));
}

#[tokio::test]
async fn whoever_comes_back_goes_on_without_a_gap_at_any_node() {
    let redis = RedisServer::start().await;
    let downstream = Downstream::start().await;
    let config = queue_toml(QUEUE, &downstream, "concurrency = 4");
    let second = Daemon::start(&redis, config).await;
    let first = Daemon::start(&redis, other_queue(&downstream)).await;
    resumes_without_a_gap(first, second, 3).await;
}

/// The first node works on a queue of which nothing is heard, so that no lease is lost with it.
fn other_queue(downstream: &Downstream) -> String {
    queue_toml("other", downstream, "")
}

#[tokio::test]
async fn on_a_cluster_the_shards_are_told_in_one_order() {
    let downstream = Downstream::start().await;
    let config = queue_toml(QUEUE, &downstream, "shards = 5");
    let cluster = Cluster::shared().await;
    let namespace = format!("events{}", downstream.url("").rsplit(':').next().unwrap_or_default());
    let start = async |config: String| {
        Daemon::with(config)
            .cluster(cluster)
            .environment("TIDEGATE__REDIS__NAMESPACE", namespace.trim_end_matches('/'))
            .start()
            .await
    };
    let second = start(config.clone()).await;
    let first = start(other_queue(&downstream)).await;
    resumes_without_a_gap(first, second, 3).await;
}

#[tokio::test]
async fn while_nobody_listens_nothing_is_written_and_a_gap_is_told() {
    let scene = Scene::start("").await;
    let key = format!("{{tidegate:{QUEUE}.0}}:events");
    let length = async || scene.redis.cli::<u64>(&["XLEN", &key]).await;
    let unheard = scene.send("unheard").await;
    scene.wait_state(&unheard, "delivered").await;
    assert_eq!(length().await, 0);

    let mut late = Listener::after(&scene.daemon, "", "1000").await;

    assert_eq!(late.next().await.expect("an event").name, "gap");
    let heard = scene.send("heard").await;
    let told = late.take(3).await;
    let expected = ["ready", "leased", "delivered"].map(|state| format!("{heard} {state}"));
    assert_eq!(texts(&told), expected);
    let lasts_ms: i64 = scene.redis.cli(&["PTTL", &key]).await;
    assert!(lasts_ms > 0 && lasts_ms <= 15 * 60 * 1000, "{lasts_ms}");
    // The same without a gap: everything since is there.
    let mut again = Listener::after(&scene.daemon, "", &told[0].id).await;
    assert_eq!(again.take(2).await, told[1..]);
    // What has been trimmed is a gap, and what is there follows.
    for _ in 0..200 {
        let blob = format!("{}r", heard.split_once('_').expect("an id").1).repeat(2);
        scene.redis.cli::<String>(&["XADD", &key, "*", "m", &blob]).await;
    }
    scene.redis.cli::<u64>(&["XTRIM", &key, "MAXLEN", "=", "50"]).await;
    let mut trimmed = Listener::after(&scene.daemon, "", &told[0].id).await;
    assert_eq!(trimmed.next().await.expect("an event").name, "gap");
    assert_eq!(trimmed.take(100).await.len(), 100);
    // The last one to leave ends it, after a while.
    drop((late, again, trimmed));
    scene.redis.cli::<u64>(&["DEL", &key]).await;
    let unheard = scene.send("unheard").await;
    scene.wait_state(&unheard, "delivered").await;
    assert_eq!(length().await, 0);
}

#[tokio::test]
async fn a_slow_listener_is_dropped_with_a_last_event_and_the_daemon_stays_small() {
    let scene = Scene::start("").await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(Listener::start(&scene.daemon, "").await);
    }
    let mut quick = Listener::start(&scene.daemon, "?state=expired").await;
    let before_kib = scene.daemon.rss_kib();
    let messages: Vec<_> = (0..5000).map(|n| json!({ "payload": n, "delay": "1h" })).collect();
    let brief = json!({ "payload": 1, "ttl": "1ms" });
    let purge = async || {
        let purge = json!({ "state": "scheduled" });
        scene.queue_step("purge", &purge).await;
    };
    scene.queue_step("pause", &json!({})).await;
    for _ in 0..8 {
        scene.send_all(&messages).await;
        purge().await;
    }
    scene.send_all(&[brief]).await;
    assert_eq!(quick.next().await.expect("an event").data["state"], "expired");

    let grown_kib = scene.daemon.rss_kib().saturating_sub(before_kib);

    assert!(grown_kib < 150 << 10, "it grew by {grown_kib} KiB");
    let mut listener = slow.pop().expect("one of them");
    let mut heard = 0;
    let last = loop {
        let event = listener.next().await.expect("a last event before the end");
        if !matches!(event.name.as_str(), "message" | "queue") {
            break event;
        }
        heard += 1;
    };
    assert_eq!(last.name, "dropped", "after {heard} changes");
    assert!(last.data["detail"].as_str().expect("words").contains("slowly"), "{last:?}");
    assert_eq!(listener.next().await, None);
    assert!(heard > 0 && heard < 80_000, "{heard}");
    // It goes on where it was.
    let mut again = Listener::after(&scene.daemon, "", &listener.last_id).await;
    assert!(matches!(again.next().await.expect("an event").name.as_str(), "message" | "gap"));
}

#[tokio::test]
async fn wrong_wishes_are_refused_with_what_was_expected() {
    let token = "a token of the tests";
    let digest = sha256(token);
    let config = format!(
        "[server]\ntokens = [{{ name = \"t\", sha256 = \"{digest}\", scopes = [\"read\"] }}, {{ name = \"s\", sha256 = \"{}\", scopes = [\"send\"] }}]\n[queues.a.downstream]\ntype = \"null\"\n",
        sha256("other")
    );
    let redis = RedisServer::start().await;
    let daemon = Daemon::start(&redis, config).await;
    let ask = async |query: &str, token: &str, last_id: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Last-Event-ID", last_id)];
        let path = format!("/v1/events{query}");
        daemon.http().send(http::Method::GET, &path, &headers, bytes::Bytes::new()).await
    };
    for (query, last_id, status, words) in [
        ("?queue=b", "", 404, "b"),
        ("?queue=A", "", 400, "is not a valid queue name"),
        ("?queue=a~callbacks", "", 400, "is not a valid queue name"),
        ("?state=done", "", 400, "unknown state"),
        ("?states=dead", "", 400, "did you mean"),
        ("?after=x", "", 400, "no id of an event"),
        ("", "x-1", 400, "no id of an event"),
        ("", "99999999999999999999999999999", 400, "no id of an event"),
    ] {
        let reply = ask(query, token, last_id).await.expect(status);
        assert!(reply.text().contains(words), "{query} {last_id}: {}", reply.text());
    }
    assert_eq!(ask("", "nobody's", "").await.status, 401);
    assert_eq!(ask("", "other", "").await.status, 403);
    let bearer = format!("Bearer {token}");
    let mut listening = Vec::new();
    for _ in 0..100 {
        let headers = [("Authorization", bearer.as_str())];
        let response = daemon.http().open("/v1/events?queue=a", &headers).await;
        assert_eq!(response.status(), 200);
        listening.push(response);
    }
    let refused = ask("", token, "").await.expect(429);
    assert_eq!(refused.json()["code"], "too-many-listeners");
    assert_eq!(refused.header("retry-after"), "5");
    drop(listening);
    eventually("there is a place again", async || {
        let headers = [("Authorization", bearer.as_str())];
        daemon.http().open("/v1/events", &headers).await.status() == 200
    })
    .await;
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn the_command_follows_over_a_restart_and_ends_when_it_has_enough() {
    let mut scene = Scene::start("").await;
    let mut listener = Listener::start(&scene.daemon, "").await;
    let first = scene.send("first").await;
    let told = listener.take(3).await;
    drop(listener);
    let arguments = [
        "events",
        QUEUE,
        "--state",
        "delivered",
        "--after",
        &told[0].id,
        "--limit",
        "2",
        "--output",
        "json",
    ];
    scene.daemon.restart().await;
    let second = scene.send("second").await;

    let shown = scene.daemon.cli(&arguments).await;

    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let lines: Vec<serde_json::Value> =
        shown.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ids: Vec<_> = lines.iter().map(|line| line["data"]["id"].clone()).collect();
    assert_eq!(ids, [json!(first), json!(second)]);
    assert_eq!(lines[0]["event_id"], json!(told[2].id));
    assert!(!shown.stderr.contains("ready"), "{}", shown.stderr);
    let table = scene.daemon.cli(&["events", "--after", &told[1].id, "--limit", "1"]).await;
    assert!(table.stdout.ends_with(&format!("{first}  delivered\n")), "{}", table.stdout);
    let unknown = scene.daemon.cli(&["events", "nowhere"]).await;
    assert_eq!(unknown.code, 3, "{}", unknown.stderr);
}

#[tokio::test]
async fn a_stopping_node_says_so() {
    let mut scene = Scene::start("").await;
    let mut listener = Listener::start(&scene.daemon, "").await;
    assert_eq!(scene.daemon.sigterm().await, 0);
    let last = listener.next().await.expect("a last event");
    assert_eq!((last.name.as_str(), listener.next().await), ("end", None));
}
