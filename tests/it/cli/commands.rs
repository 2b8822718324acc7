//! The command line against a real daemon: every command, its exit codes, what it writes.
//!
//! `send-batch` and `export` are in `cli_batch`; tokens in `doors`.

use http::Method;
use serde_json::{Value, json};

use crate::support::daemon::PROGRAM;
use crate::support::ports::free_port;
use crate::support::vocabulary::Output;
use crate::support::{Answer, Daemon, Gate, QUEUE, Scene, eventually};

/// Runs a line of shell beside the daemon, `tidegate` on PATH and pointed at it.
async fn shell(daemon: &Daemon, line: &str) -> Output {
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", line]);
    daemon.run(command).await
}

/// The same, which must end with this code; what it wrote.
pub(crate) async fn ends(daemon: &Daemon, line: &str, code: i32) -> Output {
    let output = shell(daemon, line).await;
    assert_eq!(output.code, code, "{line}\n{}\n{}", output.stdout, output.stderr);
    output
}

/// Sends by the command line; the id, which is all it may write.
pub(crate) async fn sent(daemon: &Daemon, line: &str) -> String {
    let output = ends(daemon, line, 0).await;
    let id = output.stdout.strip_suffix('\n').expect("one line").to_owned();
    assert!(id.starts_with("jobs_") && id.len() == 31, "an id alone: {id:?}");
    assert_eq!(output.stderr, "");
    id
}

#[tokio::test]
async fn each_way_to_end_has_its_code() {
    let scene = Scene::start("").await;
    let daemon = &scene.daemon;
    scene.downstream.once(Answer::status(422));
    let dead = sent(daemon, "tidegate send jobs -d 1").await;
    daemon.wait_final(&dead).await;
    for (line, code) in [
        ("tidegate queues", 0),
        ("tidegate --version", 0),
        ("tidegate help send", 0),
        ("tidegate doctor", 1), // a dead message
        ("tidegate", 2),
        ("tidegate sned jobs", 2),
        ("tidegate send jobs", 2),
        ("tidegate send jobs -d 1 --priority 10", 2),
        ("tidegate send jobs -d 1 --delay soon", 2),
        ("tidegate send jobs -d 1 --delay 1h --due 2098-01-01", 2),
        ("tidegate send jobs -d 1 --delay 400d", 2),
        ("tidegate send jobs -f none.json", 2),
        ("tidegate purge jobs --yes", 2),
        ("tidegate purge jobs --state dead", 2),
        ("tidegate check --config none.toml", 2),
        ("tidegate serve --config none.toml", 2),
        ("tidegate send none -d 1", 3),
        ("tidegate queue none", 3),
        ("tidegate get jobs_01M7XS0TGQSYCW0XD01MYK4MGE", 3),
        ("tidegate cancel nonsense", 3),
        (&format!("tidegate cancel {dead}"), 4),
        (&format!("tidegate reschedule {dead} --delay 1h"), 4),
        ("tidegate purge jobs --state leased --yes", 4),
        ("tidegate --url http://127.0.0.1:1 queues", 5),
        ("tidegate --url nonsense queues", 2),
    ] {
        let output = ends(daemon, line, code).await;
        assert_eq!(output.stderr.is_empty(), code == 0 || line == "tidegate doctor", "{line}");
    }
    ends(daemon, "tidegate send jobs -d 1 --key k && ! tidegate send jobs -d 2 --key k", 0).await;
    ends(daemon, "tidegate send jobs -d 3 --key k", 4).await;
}

#[tokio::test]
async fn a_store_that_is_away_is_five() {
    let mut scene = Scene::start("").await;
    scene.redis.kill9().await;
    let output = ends(&scene.daemon, "tidegate send jobs -d 1", 5).await;
    assert!(output.stderr.contains("store-unavailable"), "{}", output.stderr);
    // It was tried for a while under a key of its own, which is said for whoever goes on.
    let key = output.stderr.split("--key ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(key.is_some_and(|key| key.starts_with("cli-")), "{}", output.stderr);
    let doctor = ends(&scene.daemon, "tidegate doctor", 5).await;
    assert!(doctor.stdout.contains("1 problem found"), "{}", doctor.stdout);
}

#[tokio::test]
async fn waiting_ends_by_what_became_of_it() {
    let scene = Scene::start("").await;
    let gate = Gate::new();
    let delivered = ends(&scene.daemon, "tidegate send jobs -d '{\"a\":1}' --wait 20s", 0).await;
    assert!(delivered.stdout.contains("Delivered"), "{}", delivered.stdout);
    scene.downstream.once(Answer::status(422));
    let dead = ends(&scene.daemon, "tidegate send jobs -d 1 --wait 20s", 1).await;
    assert!(dead.stdout.contains("Dead"), "{}", dead.stdout);
    scene.downstream.always(Answer::ok().held_by(&gate));
    let late = ends(&scene.daemon, "tidegate send jobs -d 1 --wait 300ms", 6).await;
    assert!(late.stdout.contains("Being sent"), "{}", late.stdout);
    gate.release();
    let json = "tidegate --output json send jobs -d 1 --wait 20s";
    let message: Value = serde_json::from_str(&ends(&scene.daemon, json, 0).await.stdout).unwrap();
    assert_eq!(message["state"], "delivered");
}

#[tokio::test]
async fn payloads_come_from_anywhere_and_leave_as_they_were() {
    let scene = Scene::start("").await;
    std::fs::write(scene.daemon.dir().join("row.json"), "{ \"n\" : 1.50 }\n").unwrap();
    std::fs::write(scene.daemon.dir().join("raw"), b"\xff\x00").unwrap();
    for (n, line) in [
        "tidegate send jobs -d '{ \"n\" : 1.50 }'",
        "tidegate send jobs -f row.json",
        "echo '[1, 2]' | tidegate send jobs -",
        "tidegate send jobs -d 'grüße'",
        "tidegate send jobs -d -5",
        "tidegate send jobs -d 42 --content-type text/plain",
        "tidegate send jobs -f raw",
        "tidegate send jobs -d '<a/>' --content-type application/xml",
    ]
    .into_iter()
    .enumerate()
    {
        sent(&scene.daemon, line).await;
        scene.downstream.wait_for(n + 1).await;
    }
    let requests = scene.downstream.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|request| (request.header("content-type").unwrap(), request.body.as_slice()))
        .collect();
    assert_eq!(
        seen,
        [
            ("application/json", &b"{ \"n\" : 1.50 }"[..]),
            ("application/json", b"{ \"n\" : 1.50 }"),
            ("application/json", b"[1, 2]"),
            ("text/plain", "grüße".as_bytes()),
            ("application/json", b"-5"),
            ("text/plain", b"42"),
            ("application/octet-stream", b"\xff\x00"),
            ("application/xml", b"<a/>"),
        ]
    );
}

#[tokio::test]
async fn flags_of_send_arrive_in_the_message() {
    let scene = Scene::start("priority_levels = 10").await;
    let id = sent(
        &scene.daemon,
        "tidegate send jobs -d 1 --due '2027-07-01 09:00' --tz Asia/Shanghai --ttl 300d --key k \
         --group g --priority 7 --label shop=7 --header 'X-Tenant: eu'",
    )
    .await;

    let path = format!("/v1/messages/{id}?view=full");
    let message = scene.daemon.get(&path).await.expect(200).json();

    for (name, value) in [
        ("due_at", json!("2027-07-01T01:00:00.000Z")),
        ("idempotency_key", json!("k")),
        ("group", json!("g")),
        ("priority", json!(7)),
        ("labels", json!({ "shop": "7" })),
        ("headers", json!({ "x-tenant": "eu" })),
        ("state", json!("scheduled")),
    ] {
        assert_eq!(message[name], value, "{name}");
    }
    let soon = sent(&scene.daemon, "tidegate send jobs -d 1 --delay 90s").await;
    let message = scene.daemon.message(&soon).await;
    let at = |name: &str| message[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let ahead_ms = at("due_at").as_millisecond() - at("created_at").as_millisecond();
    assert!((90_000..90_050).contains(&ahead_ms), "{ahead_ms}");
}

#[tokio::test]
async fn ids_come_by_standard_input_and_each_is_answered_for() {
    let scene = Scene::start("").await;
    let daemon = &scene.daemon;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(sent(daemon, "tidegate send jobs -d 1 --delay 1h").await);
    }
    std::fs::write(daemon.dir().join("ids"), format!("{}\n\n{}\n", ids[0], ids[1])).unwrap();

    ends(daemon, "tidegate reschedule - --delay 2h < ids", 0).await;
    ends(daemon, "tidegate cancel - < ids", 0).await;
    ends(daemon, "tidegate cancel - < ids", 0).await;
    ends(daemon, "tidegate run - < ids", 4).await;
    ends(daemon, "tidegate requeue - < ids", 0).await;
    for id in &ids[..2] {
        assert_eq!(daemon.wait_final(id).await["state"], "delivered");
    }
    ends(daemon, &format!("tidegate edit {} -d '{{\"new\":true}}'", ids[2]), 0).await;
    ends(daemon, &format!("tidegate run {}", ids[2]), 0).await;
    assert_eq!(daemon.wait_final(&ids[2]).await["state"], "delivered");
    assert_eq!(scene.downstream.requests().last().unwrap().json(), json!({ "new": true }));
    let text = sent(daemon, "tidegate send jobs -d 'old words' --delay 1h").await;
    ends(daemon, &format!("tidegate edit {text} -d 'new words' && tidegate run {text}"), 0).await;
    daemon.wait_final(&text).await;
    assert_eq!(scene.downstream.requests().last().unwrap().body, b"new words");
    let mixed = format!("tidegate cancel nonsense {} nonsense", ids[0]);
    let output = ends(daemon, &mixed, 3).await;
    assert!(output.stderr.contains("delivered"), "the second is answered too: {}", output.stderr);
}

#[tokio::test]
async fn queues_are_paused_shown_and_resumed() {
    let scene = Scene::start("rate = \"1/s\"").await;
    let daemon = &scene.daemon;
    ends(daemon, "tidegate pause jobs --for 1h --reason 'gateway maintenance'", 0).await;
    let id = sent(daemon, "tidegate send jobs -d 1").await;

    let queues = ends(daemon, "tidegate queues", 0).await.stdout;
    for word in ["QUEUE", "jobs", "paused", "DURABILITY", "disk"] {
        assert!(queues.contains(word), "{word} in\n{queues}");
    }
    let queue = ends(daemon, "tidegate queue jobs", 0).await.stdout;
    for word in ["gateway maintenance", "1/s", "ready", "durability", "policy.downstream.url"] {
        assert!(queue.contains(word), "{word} in\n{queue}");
    }
    let get = ends(daemon, &format!("tidegate get {id}"), 0).await.stdout;
    assert!(
        get.lines().next().unwrap().contains("resumed"),
        "a sentence says what holds it: {get}"
    );
    let list = ends(daemon, "tidegate list jobs --state ready", 0).await.stdout;
    assert!(list.contains(&id), "{list}");
    let doctor = ends(daemon, "tidegate doctor", 1).await.stdout;
    assert!(doctor.contains("gateway maintenance") && doctor.contains("tidegate resume jobs"));
    ends(daemon, "tidegate windows jobs --days 3", 0).await;
    let nodes = ends(daemon, "tidegate nodes", 0).await.stdout;
    assert!(nodes.contains(daemon.url().trim_start_matches("http://")), "{nodes}");

    ends(daemon, "tidegate resume jobs", 0).await;
    daemon.wait_final(&id).await;
    ends(daemon, "tidegate pause jobs --until '2098-01-01 09:00' --tz Asia/Shanghai", 0).await;
    let queue = daemon.get("/v1/queues/jobs").await.expect(200).json();
    assert_eq!(queue["paused"]["until"], "2098-01-01T01:00:00.000Z");
}

#[tokio::test]
async fn json_output_is_the_answer_of_the_api() {
    let scene = Scene::start("").await;
    let daemon = &scene.daemon;
    let id = sent(daemon, "tidegate send jobs -d 1 --delay 1h").await;
    for (line, member) in [
        ("queues".to_owned(), "/queues/0/name"),
        ("queue jobs".to_owned(), "/counts/scheduled"),
        (format!("get {id}"), "/id"),
        ("list jobs".to_owned(), "/messages/0/id"),
        ("windows jobs".to_owned(), "/windows"),
        ("nodes".to_owned(), "/nodes/0/id"),
        (format!("reschedule {id} --delay 2h"), "/due_at"),
        (format!("cancel {id}"), "/state"),
        ("pause jobs".to_owned(), "/paused"),
        ("resume jobs".to_owned(), "/name"),
        ("purge jobs --state cancelled --yes".to_owned(), "/purged"),
        ("requeue-all jobs --state dead --yes".to_owned(), "/requeued"),
        ("try jobs -d 1".to_owned(), "/outcome"),
        ("token new shop".to_owned(), "/token"),
    ] {
        let line = format!("tidegate --output json {line}");
        let output = ends(daemon, &line, 0).await.stdout;
        let answer: Value =
            serde_json::from_str(&output).unwrap_or_else(|e| panic!("{line}: {e}\n{output}"));
        assert!(answer.pointer(member).is_some(), "{line}: no {member} in {answer}");
    }
}

#[tokio::test]
async fn all_of_a_state_is_only_destroyed_with_yes() {
    let scene = Scene::start("").await;
    let daemon = &scene.daemon;
    scene.downstream.always(Answer::status(422));
    scene.send_numbers(30).await;
    scene.wait_count("dead", 30).await;
    scene.downstream.always(Answer::ok());

    let rehearsed = ends(daemon, "tidegate purge jobs --state dead", 2).await;
    assert!(rehearsed.stderr.contains("30 dead messages"), "{}", rehearsed.stderr);
    assert_eq!(daemon.counts(QUEUE).await["dead"], 30);
    ends(daemon, "tidegate requeue-all jobs --state dead --yes", 0).await;
    scene.wait_count("delivered", 30).await;
    ends(daemon, "tidegate purge jobs --state delivered --yes", 0).await;
    assert_eq!(daemon.counts(QUEUE).await["delivered"], 0);
    ends(
        daemon,
        "tidegate send jobs -d 1 --delay 1h && tidegate purge jobs --state scheduled --yes",
        0,
    )
    .await;
    assert_eq!(daemon.counts(QUEUE).await["cancelled"], 1, "what waits is cancelled");
}

#[tokio::test]
async fn a_test_call_is_signed_shown_and_not_stored() {
    let scene = Scene::start("downstream.signing_secret = \"a secret of ours\"").await;
    scene.downstream.once(Answer::status(201).body("booked"));
    let output = ends(&scene.daemon, "tidegate try jobs -d '{\"to\": 1}'", 0).await;
    for word in ["201", "booked", "{\"to\": 1}"] {
        assert!(output.stdout.contains(word), "{word} in {}", output.stdout);
    }
    assert!(!output.stdout.contains("a secret of ours"));
    let request = scene.downstream.requests().remove(0);
    assert!(request.header("webhook-signature").unwrap().starts_with("v1,"));
    let counts = scene.daemon.counts(QUEUE).await;
    assert!(counts.as_object().unwrap().values().all(|count| count == 0), "{counts}");
    scene.downstream.once(Answer::status(422));
    ends(&scene.daemon, "tidegate try jobs -d 1", 1).await;
}

#[tokio::test]
async fn completion_and_check_need_no_daemon() {
    let scene = Scene::start("").await;
    for shell_name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ends(&scene.daemon, &format!("tidegate completion {shell_name}"), 0).await;
        assert!(script.stdout.contains("COMPLETE"), "{shell_name}: {}", script.stdout);
    }
    ends(&scene.daemon, "tidegate completion bash > c.bash && bash -n c.bash", 0).await;
    // As a shell asks: the words so far, the last one begun. Queues are those of the daemon.
    for (words, completed) in [
        ("send-b", "send-batch"),
        ("list jobs --state dea", "dead"),
        ("queue jo", "jobs"),
        ("send jo", "jobs"),
    ] {
        let count = words.split(' ').count();
        let last = words.rsplit(' ').next().unwrap();
        let line = format!(
            "bash -c 'source ./c.bash; COMP_WORDS=(tidegate {words}); COMP_CWORD={count}; COMP_TYPE=9; \
             _clap_complete_tidegate tidegate {last}; echo ${{COMPREPLY[@]}}'"
        );
        let shown = ends(&scene.daemon, &line, 0).await;
        assert_eq!(shown.stdout.trim(), completed, "{words}: {}", shown.stderr);
    }
    let bad = "[server]\nlisten = \"nowhere\"\nbody_limit = \"big\"\n[redis]\ndurability = \"maybe\"\n\
        [queues.sms]\nrate = \"fast\"\nconcurency = 2\nconcurrency = 0\n[queues.A__B]\n";
    std::fs::write(scene.daemon.dir().join("bad.toml"), bad).unwrap();
    let output = ends(&scene.daemon, "tidegate check --config bad.toml", 2).await;
    for word in [
        "server.listen",
        "server.body_limit",
        "redis.durability",
        "queues.sms.rate",
        "queues.sms.concurency",
        "queues.sms.concurrency",
        "queues.sms.downstream",
        "A__B",
        "bad.toml",
        "found",
        "expected",
    ] {
        assert!(output.stderr.contains(word), "{word} in\n{}", output.stderr);
    }
}

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn a_redis_that_never_answers_is_given_up_with_a_sentence() {
    let mut command = tokio::process::Command::new(PROGRAM);
    let (api, redis) = (free_port(), free_port());
    command.args(["serve", "--listen", &format!("127.0.0.1:{api}")]);
    command.args(["--redis", &format!("redis://127.0.0.1:{redis}")]);
    command.kill_on_drop(true);
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), command.output()).await;
    let output = output.expect("its patience ends").expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(
        said.contains("waiting for Redis")
            && said
                .contains(&format!("The configuration names Redis at redis://127.0.0.1:{redis}."))
    );
}

#[tokio::test]
async fn an_interrupted_reader_is_no_failure() {
    let scene = Scene::start("").await;
    scene.send_numbers(2_000).await;
    let line = "tidegate list jobs --limit 2000 | head -n 1; tidegate completion bash | head -c 1";
    assert_eq!(ends(&scene.daemon, line, 0).await.stderr, "");
    let reply = scene.daemon.http().send(Method::GET, "/livez", &[], "").await;
    assert_eq!(reply.status, 200);
    eventually("all are delivered", async || {
        scene.daemon.counts(QUEUE).await["delivered"] == 2_000
    })
    .await;
}
