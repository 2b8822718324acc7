//! Queues whose messages bring their own urls: each goes where it says, as far as that is allowed, and what a host says of itself
//! holds for that host alone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Answer, Daemon, Downstream, QUEUE, RedisServer, Scene, eventually, queue_toml,
};

const PATH: &str = "/v1/queues/jobs/messages";

/// The name and port of a receiver, as a host is written.
fn host_of(downstream: &Downstream) -> String {
    downstream.url("").trim_start_matches("http://").trim_end_matches('/').to_owned()
}

/// The value of the key `host` of what goes there.
fn host_key(downstream: &Downstream) -> String {
    format!("http://{}", host_of(downstream))
}

/// A queue whose messages go to these hosts, with more lines of its own and of its downstream.
fn config(hosts: &[String], own: &str, of_downstream: &str) -> String {
    format!(
        "[queues.{QUEUE}]\n{own}\n[queues.{QUEUE}.downstream]\nurl = \"message\"\nhosts = {hosts:?}\n{of_downstream}\n[queues.{QUEUE}.retry]\ninitial = \"1h\"\n"
    )
}

async fn scene(own: &str, of_downstream: &str) -> (Scene, Downstream) {
    let (redis, downstream, other) =
        tokio::join!(RedisServer::start(), Downstream::start(), Downstream::start());
    let hosts = [host_of(&downstream), host_of(&other)];
    let daemon = Daemon::start(&redis, config(&hosts, own, of_downstream)).await;
    (Scene { daemon, downstream, redis }, other)
}

async fn send_to(scene: &Scene, url: &str) -> String {
    scene.daemon.send(QUEUE, &json!({ "payload": { "n": 1 }, "url": url })).await
}

/// Where the faults of a refusal point, and what they say.
fn faults(problem: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let errors = problem["errors"].as_array().into_iter().flatten();
    errors.map(|error| (text(&error["pointer"]), text(&error["detail"]))).collect()
}

#[tokio::test]
async fn each_message_goes_to_its_own_url_by_its_own_method() {
    let (scene, other) =
        scene("", "method = \"PUT\"\nheaders = { Authorization = \"Bearer t\" }").await;
    for (method, url) in [
        (None, scene.downstream.url("/paid?x=1&y=%20")),
        (Some("POST"), other.url("/b")),
        (Some("PATCH"), other.url("/c")),
        (Some("DELETE"), other.url("/d")),
        (Some("GET"), other.url("/e")),
        (Some("HEAD"), other.url("/f")),
    ] {
        let mut message = json!({ "payload": { "n": 1 }, "url": url });
        if let Some(method) = method {
            message["method"] = json!(method);
        }
        let id = scene.daemon.send(QUEUE, &message).await;
        let told = scene.daemon.wait_final(&id).await;
        assert_eq!(told["state"], "delivered", "{told}");
        assert_eq!(told["url"], url);
        assert_eq!(told.get("method"), message.get("method"));
    }
    let first = scene.downstream.requests().remove(0);
    assert_eq!((first.method.as_str(), first.path.as_str()), ("PUT", "/paid?x=1&y=%20"));
    assert_eq!(first.header("authorization"), Some("Bearer t"));
    assert_eq!(first.json(), json!({ "n": 1 }));
    let seen: Vec<_> = other
        .requests()
        .into_iter()
        .map(|it| {
            (it.method.clone(), it.path.clone(), it.body.len(), it.header("content-type").is_some())
        })
        .collect();
    let seen: Vec<_> = seen.iter().map(|(m, p, l, c)| (m.as_str(), p.as_str(), *l, *c)).collect();
    assert_eq!(
        seen,
        [
            ("POST", "/b", 7, true),
            ("PATCH", "/c", 7, true),
            ("DELETE", "/d", 7, true),
            ("GET", "/e", 0, false),
            ("HEAD", "/f", 0, false),
        ]
    );
}

#[tokio::test]
async fn what_may_not_go_or_does_not_say_where_is_refused_with_its_field() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let fixed = queue_toml("fixed", &downstream, "");
    let hosts = ["*.example.com".to_owned(), "*:8080".to_owned(), host_of(&downstream)];
    let daemon = Daemon::start(&redis, config(&hosts, "", "timeout = \"5s\"") + &fixed).await;
    let own = downstream.url("/x");
    for (message, pointer, part) in [
        (json!({}), "/url", "missing; each message of the queue \"jobs\" brings its own"),
        (
            json!({ "url": "https://evil.test/" }),
            "/url",
            "does not cover its host, https://evil.test:443",
        ),
        (json!({ "url": "https://a.example.com:444/" }), "/url", "downstream.hosts"),
        (json!({ "url": "http://127.0.0.1:8080/" }), "/url", "a loopback address"),
        (json!({ "url": "http://2130706433:8080/" }), "/url", "a loopback address"),
        (json!({ "url": "http://[::ffff:169.254.169.254]:8080/" }), "/url", "IPv6 form"),
        (json!({ "url": "ftp://a.example.com/" }), "/url", "expected http or https"),
        (json!({ "url": "https://u:p@a.example.com/" }), "/url", "user or password"),
        (json!({ "url": "nonsense" }), "/url", "is not a valid url"),
        (json!({ "url": own, "method": "BREW" }), "/method", "expected one of POST, PUT"),
        (json!({ "url": own, "method": "post" }), "/method", "expected one of POST, PUT"),
        (json!({ "method": "POST" }), "/method", "has no effect without url"),
        (json!({ "url": own, "timeout": "6s" }), "/timeout", "expected at most 5s"),
    ] {
        let mut message = message;
        message["payload"] = json!(1);
        let problem = daemon.post(PATH, &message).await.expect(400).json();
        let found = faults(&problem);
        let is_told = found.iter().any(|(at, why)| at == pointer && why.contains(part));
        assert!(is_told, "{message}: {problem}");
    }
    let elsewhere = json!({ "payload": 1, "url": own });
    let problem = daemon.post("/v1/queues/fixed/messages", &elsewhere).await.expect(400).json();
    assert!(faults(&problem)[0].1.contains("has no effect in the queue \"fixed\""), "{problem}");

    // In a list each is judged for itself.
    let list =
        json!([{ "payload": 1, "url": own }, { "payload": 2 }, { "payload": 3, "url": own }]);
    let batch = daemon.post("/v1/queues/jobs/messages/batch", &list).await.json();
    assert_eq!((&batch["accepted"], &batch["rejected"]), (&json!(2), &json!(1)), "{batch}");
    downstream.wait_for(2).await;
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_never_called() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let url = downstream.url("/x").replace("127.0.0.1", "localhost");
    let guarded = config(&["*".to_owned()], "", "");
    let daemon = Daemon::start(&redis, guarded.clone()).await;
    let id = daemon.send(QUEUE, &json!({ "payload": 1, "url": url })).await;
    let dead = daemon.wait_final(&id).await;
    assert_eq!((&dead["state"], &dead["attempts"]), (&json!("dead"), &json!(1)), "{dead}");
    let reason = dead["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("localhost may not be called"), "{dead}");
    assert!(reason.contains("a loopback address"), "{dead}");
    assert!(downstream.requests().is_empty(), "no byte left");
    drop(daemon);

    // What the operator allows is called.
    let allowed = "[server]\negress_allow = [\"127.0.0.0/8\", \"::1\"]\n".to_owned() + &guarded;
    let daemon = Daemon::start(&redis, allowed).await;
    let id = daemon.send(QUEUE, &json!({ "payload": 1, "url": url })).await;
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    assert_eq!(downstream.requests().len(), 1);
}

#[tokio::test]
async fn what_a_host_says_of_itself_holds_for_it_alone() {
    for answer in [Answer::status(429).header("Retry-After", "60"), Answer::status(401)] {
        let (scene, other) = scene("", "").await;
        other.always(answer);
        let refused = send_to(&scene, &other.url("/")).await;
        other.wait_for(1).await;
        for _ in 0..10 {
            send_to(&scene, &scene.downstream.url("/")).await;
        }
        scene.downstream.wait_for(10).await;
        eventually("it waits, and its attempt is not spent", async || {
            let message = scene.daemon.message(&refused).await;
            message["state"] == "scheduled" && message["attempts"] == 0 && message["throttles"] == 1
        })
        .await;
        let queue = scene.daemon.get("/v1/queues/jobs").await.expect(200).json();
        assert_eq!(queue["gate"]["open"], true, "{queue}");
        // Those behind it wait too, without a call.
        let behind = send_to(&scene, &other.url("/")).await;
        eventually("it is put off", async || {
            let message = scene.daemon.message(&behind).await;
            let reason = message["reason"].as_str().unwrap_or_default();
            message["state"] == "scheduled" && reason.contains("takes no messages")
        })
        .await;
        assert_eq!(other.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_hung_host_holds_up_itself_alone_and_is_left_alone() {
    let (scene, other) = scene("concurrency = 16", "timeout = \"1s\"").await;
    other.always(Answer::silence());
    let many = vec![json!({ "payload": 1, "url": other.url("/") }); 60];
    scene.send_all(&many).await;
    other.wait_for(1).await;
    let good = vec![json!({ "payload": 1, "url": scene.downstream.url("/") }); 40];
    scene.send_all(&good).await;
    scene.downstream.wait_for(40).await;
    eventually("the host is left alone", async || {
        scene.daemon.log().contains("calls to a host fail; its messages wait")
    })
    .await;
    let metrics = scene.daemon.get("/metrics").await.expect(200);
    let alone = "tidegate_hosts_left_alone{queue=\"jobs\"} 1";
    assert!(metrics.text().contains(alone), "{}", metrics.text());
    let doctor = scene.daemon.cli(&["doctor"]).await;
    assert!(doctor.stdout.contains("1 of their hosts gets no calls"), "{}", doctor.stdout);
    // Half of the places at once, and what the failures freed until the host was left alone.
    assert!(other.in_flight_max() <= 8, "{}", other.in_flight_max());
}

#[tokio::test]
async fn limits_and_shares_go_by_the_host() {
    let own = "fairness = \"host\"\nlimits = [{ quota = \"2/day\", per = \"host\" }, { concurrency = 1, per = \"host\" }]";
    let (scene, other) = scene(own, "").await;
    for _ in 0..4 {
        send_to(&scene, &other.url("/a")).await;
    }
    send_to(&scene, &scene.downstream.url("/")).await;
    scene.downstream.wait_for(1).await;
    other.wait_for(2).await;
    eventually("the others wait for the quota of their host", async || {
        let list =
            scene.daemon.get("/v1/queues/jobs/messages?state=ready").await.expect(200).json();
        let waiting = list["messages"].as_array().cloned().unwrap_or_default();
        waiting.len() == 2
            && waiting.iter().all(|it| {
                it["held_by"]
                    .as_array()
                    .is_some_and(|gates| gates.contains(&json!("limit:per_host_day")))
            })
    })
    .await;
    assert_eq!(other.requests().len(), 2);
    let given = scene.daemon.cli(&["key", QUEUE, &host_key(&other), "put", "--weight", "5"]).await;
    assert_eq!(given.code, 0, "{}{}", given.stdout, given.stderr);
}

#[tokio::test]
async fn the_rate_of_the_queue_holds_over_all_hosts() {
    let (scene, other) = scene("rate = \"20/s\"", "").await;
    for n in 0..16 {
        let to = if n % 2 == 0 { &scene.downstream } else { &other };
        send_to(&scene, &to.url("/")).await;
    }
    other.wait_for(8).await;
    scene.downstream.wait_for(8).await;
    let mut arrived: Vec<_> = scene.downstream.requests().iter().map(|it| it.arrived).collect();
    arrived.extend(other.requests().iter().map(|it| it.arrived));
    arrived.sort();
    let took = arrived[15] - arrived[0];
    assert!(took >= Duration::from_millis(15 * 50 - 30), "{took:?}");
}

#[tokio::test]
async fn the_command_line_sends_tries_and_shows_them() {
    let (scene, other) = scene("", "").await;
    let url = other.url("/hook");
    let sent = scene
        .daemon
        .cli(&[
            "send",
            QUEUE,
            "-d",
            "{}",
            "--to",
            &url,
            "--method",
            "PUT",
            "--timeout",
            "3s",
            "--wait",
            "10s",
        ])
        .await;
    assert_eq!(sent.code, 0, "{}{}", sent.stdout, sent.stderr);
    assert_eq!(other.wait_for(1).await[0].method, "PUT");
    let list =
        scene.daemon.get("/v1/queues/jobs/messages?state=delivered").await.expect(200).json();
    let id = list["messages"][0]["id"].as_str().expect("an id").to_owned();
    let shown = scene.daemon.cli(&["get", &id]).await;
    assert!(shown.stdout.contains(&url) && shown.stdout.contains("PUT"), "{}", shown.stdout);
    let tried = scene.daemon.cli(&["try", QUEUE, "-d", "{}", "--to", &url]).await;
    assert_eq!(tried.code, 0, "{}{}", tried.stdout, tried.stderr);
    assert!(tried.stdout.contains(&url), "{}", tried.stdout);
    let none = scene.daemon.cli(&["send", QUEUE, "-d", "{}"]).await;
    assert_eq!(none.code, 2, "{}", none.stderr);
    assert!(none.stderr.contains("--to URL"), "{}", none.stderr);
}

#[tokio::test]
async fn a_message_keeps_its_url_through_a_restart_an_export_and_a_requeue() {
    let (mut scene, other) = scene("", "").await;
    other.once(Answer::status(422));
    let dead = send_to(&scene, &other.url("/again")).await;
    assert_eq!(scene.daemon.wait_final(&dead).await["state"], "dead");
    scene.daemon.restart().await;
    let requeued = scene.daemon.cli(&["requeue", &dead]).await;
    assert_eq!(requeued.code, 0, "{}", requeued.stderr);
    assert_eq!(scene.daemon.wait_final(&dead).await["state"], "delivered");
    let paths: Vec<_> = other.requests().into_iter().map(|it| it.path).collect();
    assert_eq!(paths, ["/again", "/again"]);
    // The same key with another url is another message.
    let keyed = |url: String| json!({ "payload": 1, "url": url, "idempotency_key": "k" });
    scene.daemon.post(PATH, &keyed(other.url("/a"))).await.expect(201);
    scene.daemon.post(PATH, &keyed(other.url("/a"))).await.expect(200);
    scene.daemon.post(PATH, &keyed(other.url("/b"))).await.expect(422);
}

/// `hosts` may name fewer than before: what waits for one that is not named any more is dead, and says why.
#[tokio::test]
async fn a_reload_that_names_fewer_hosts_holds_for_what_waits() {
    let (scene, other) = scene("", "").await;
    let message = json!({ "payload": 1, "url": other.url("/"), "delay": "1h" });
    let id = scene.daemon.send(QUEUE, &message).await;
    scene.daemon.sighup(&config(&[host_of(&scene.downstream)], "", ""));
    eventually("the hosts are in force", async || {
        let queue = scene.daemon.get("/v1/queues/jobs").await.expect(200).json();
        queue["policy"]["downstream"]["hosts"].as_array().is_some_and(|hosts| hosts.len() == 1)
    })
    .await;
    scene.daemon.post(&format!("/v1/messages/{id}/run"), &json!({})).await;
    let dead = scene.daemon.wait_final(&id).await;
    let reason = dead["reason"].as_str().unwrap_or_default();
    assert!(dead["state"] == "dead" && reason.contains("downstream.hosts"), "{dead}");
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn schedules_and_topics_bring_urls_too() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let url = downstream.url("/tick");
    let more = format!(
        "[topics.paid]\nqueues = [{QUEUE:?}]\n[schedules.tick]\nqueue = {QUEUE:?}\nevery = \"1h\"\npayload = 1\nurl = {url:?}\nmethod = \"PUT\"\n"
    );
    let daemon = Daemon::start(&redis, config(&[host_of(&downstream)], "", "") + &more).await;
    daemon.post("/v1/schedules/tick/run", &json!({})).await;
    let requests = downstream.wait_for(1).await;
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("PUT", "/tick"));
    let event = json!({ "payload": 1, "url": downstream.url("/event") });
    daemon.post("/v1/topics/paid/messages", &event).await.expect(201);
    assert_eq!(downstream.wait_for(2).await[1].path, "/event");
    let nowhere = daemon.post("/v1/topics/paid/messages", &json!({ "payload": 1 })).await;
    assert_eq!(nowhere.status, 400, "{}", nowhere.text());
}
