//! When a backlog leaves, when a message does, and what would happen: said before, and compared with what then happens.

use std::process::Output;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::support::daemon::PROGRAM;
use crate::support::wait::poll_until;
use crate::support::{Clocks, Daemon, Downstream, QUEUE, RedisServer, Scene, queue_toml};

fn ms(moment: &Value) -> Option<u64> {
    let at: Timestamp = moment.as_str()?.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

fn moment(at_ms: u64) -> String {
    Timestamp::from_millisecond(at_ms.cast_signed()).expect("a moment").to_string()
}

async fn forecast(daemon: &Daemon, hours: u32) -> Value {
    let path = format!("/v1/queues/{QUEUE}/forecast?hours={hours}");
    daemon.get(&path).await.expect(200).json()
}

#[tokio::test]
async fn a_backlog_leaves_when_it_is_foretold() {
    let scene = Scene::start("rate = \"50/s\"").await;
    let clocks = Clocks::read();
    scene.queue_step("pause", &json!({ "reason": "line up" })).await;
    let ids = scene.send_numbers(300).await;
    scene.wait_count("ready", 300).await;
    let later = json!({ "payload": 1, "delay": "90m" });
    scene.daemon.send(QUEUE, &later).await;
    let paused = forecast(&scene.daemon, 3).await;
    assert_eq!((&paused["backlog"], &paused["binding_gate"]), (&json!(301), &json!("pause")));
    assert_eq!((&paused["rate_now"], &paused["empties_at"]), (&json!(0.0), &Value::Null));
    let hours = paused["by_hour"].as_array().expect("a list");
    let due: u64 = hours.iter().filter_map(|hour| hour["due"].as_u64()).sum();
    assert_eq!(due, 1, "{paused}");

    scene.queue_step("resume", &json!({})).await;
    scene.downstream.wait_for(5).await;
    let now = forecast(&scene.daemon, 1).await;
    let explained = scene.daemon.get(&format!("/v1/messages/{}/explain", ids[250])).await;
    let explained = explained.expect(200).json();
    assert_eq!((&now["rate_now"], &now["binding_gate"]), (&json!(50.0), &json!("limit:rate")));
    let requests = scene.downstream.wait_for(300).await;

    let empties_ms = ms(&now["empties_at"]).expect("it is known");
    let last_ms = clocks.wall_ms(requests[299].arrived);
    assert!(last_ms.abs_diff(empties_ms) <= 500, "{empties_ms}, and the last came at {last_ms}");
    // The rows of a request are written by several calls: a message knows its own place.
    let of_message = requests.iter().find(|request| request.id() == ids[250]).expect("it came");
    let arrived_ms = clocks.wall_ms(of_message.arrived);
    let expected_ms = ms(&explained["expected_at"]);
    let is_near = |expected_ms: u64| expected_ms.abs_diff(arrived_ms) <= 500;
    // It may have been sent while it was asked about.
    assert!(expected_ms.is_none_or(is_near), "{explained}, and it came at {arrived_ms}");
}

#[tokio::test]
async fn an_estimate_comes_with_the_answer_where_it_is_asked_for() {
    let scene = Scene::start("rate = \"1/min\"").await;
    let path = format!("/v1/queues/{QUEUE}/messages?estimate=true");
    let payload = json!({ "payload": 1 });
    let first = scene.daemon.post(&path, &payload).await.expect(201).json();
    scene.daemon.wait_final(first["id"].as_str().expect("an id")).await;
    let second = scene.daemon.post(&path, &payload).await.expect(201).json();
    let third = scene.daemon.post(&path, &payload).await.expect(201).json();
    let [second_ms, third_ms] = [&second, &third].map(|it| ms(&it["expected_at"]).expect("known"));
    assert!((third_ms - second_ms).abs_diff(60_000) <= 1500, "{second_ms} and {third_ms}");
    assert_eq!(second["earliest_at"], third["earliest_at"], "if nothing stood ahead");

    let path = format!("/v1/queues/{QUEUE}/messages/batch?estimate=true");
    let rows = json!([payload, payload, { "payload": 1, "priority": 99 }]);
    let batch = scene.daemon.post(&path, &rows).await.expect(200).json();
    let last_ms = ms(&batch["estimate"]["expected_at"]).expect("it is known");
    assert!((last_ms - third_ms).abs_diff(120_000) <= 3000, "{third_ms} and {last_ms}");
    let without = scene.daemon.post("/v1/queues/jobs/messages", &payload).await.expect(201).json();
    assert!(without.get("expected_at").is_none() && without.get("earliest_at").is_none());
    scene.daemon.post("/v1/queues/jobs/messages?estimate=soon", &payload).await.expect(400);
}

#[tokio::test]
async fn what_becomes_due_one_after_the_other_is_expected_then() {
    let scene = Scene::start("").await;
    let later = |delay: &str| json!({ "payload": 1, "delay": delay });
    for delay in ["20s", "25s", "70m"] {
        let id = scene.daemon.send(QUEUE, &later(delay)).await;
        let explained = scene.daemon.get(&format!("/v1/messages/{id}/explain")).await;
        let explained = explained.expect(200).json();
        let due = scene.daemon.message(&id).await["due_at"].clone();
        assert_eq!((&explained["earliest_at"], &explained["expected_at"]), (&due, &due));
    }
}

#[tokio::test]
async fn what_cannot_leave_in_time_is_refused_and_what_can_expires_then() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = queue_toml(QUEUE, &downstream, "") + "[inbox]\nenabled = true\n";
    let daemon = Daemon::start(&redis, config).await;
    let clocks = Clocks::read();
    let pause = json!({ "for": "1h", "reason": "they move" });
    daemon.post("/v1/queues/jobs/pause", &pause).await.expect(200);
    let now_ms = clocks.second_after(0) * 1000;
    let by = |after_ms: u64| moment(now_ms + after_ms);
    let path = "/v1/queues/jobs/messages";
    let early = json!({ "payload": 1, "must_dispatch_by": by(600_000), "idempotency_key": "k" });

    let refused = daemon.post(path, &early).await.expect(422).json();
    assert_eq!(refused["code"], "window-missed");
    assert!(
        refused["detail"].as_str().is_some_and(|it| it.contains("at the earliest")),
        "{refused}"
    );
    let late = json!({ "payload": 1, "must_dispatch_by": by(7_200_000) });
    let taken = daemon.post(path, &late).await.expect(201).json();
    assert_eq!(ms(&taken["expires_at"]), Some(now_ms + 7_200_000));
    let both =
        json!({ "payload": 1, "must_dispatch_by": by(7_200_000), "expires_at": by(5_400_000) });
    let taken = daemon.post(path, &both).await.expect(201).json();
    assert_eq!(ms(&taken["expires_at"]), Some(now_ms + 5_400_000), "the earlier of both");
    let over = json!({ "payload": 1, "delay": "2h", "must_dispatch_by": by(3_600_000) });
    let wrong = daemon.post(path, &over).await.expect(400).json();
    assert_eq!(wrong["errors"][0]["pointer"], "/must_dispatch_by");

    let rows = json!([early, late]);
    let batch = daemon.post("/v1/queues/jobs/messages/batch", &rows).await.expect(200).json();
    assert_eq!((&batch["accepted"], &batch["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(batch["results"][0]["problem"]["code"], "window-missed");
    let entry =
        ["XADD", "tidegate:inbox:jobs", "*", "payload", "1", "must_dispatch_by", &by(600_000)];
    redis.cli::<String>(&entry).await;
    poll_until("the entry is rejected", async || {
        let rejected: u64 = redis.cli(&["XLEN", "tidegate:inbox:rejected"]).await;
        (rejected == 1).then_some(())
    })
    .await;

    daemon.post("/v1/queues/jobs/resume", &json!({})).await.expect(200);
    let first = daemon.post(path, &early).await.expect(201).json();
    daemon.post("/v1/queues/jobs/pause", &pause).await.expect(200);
    let again = daemon.post(path, &early).await.expect(200).json();
    assert_eq!(again["id"], first["id"], "a repeat is answered with the first");
}

fn tidegate(words: &[&str]) -> Output {
    let mut command = std::process::Command::new(PROGRAM);
    command.args(words).env("TIDEGATE_URL", "http://127.0.0.1:9");
    command.output().expect("the program runs")
}

fn simulate(words: &[&str]) -> Value {
    let words: Vec<&str> = [&["simulate", "--output", "json"], words].concat();
    let done = tidegate(&words);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

const CAMPAIGN: &str = "[queues.sms]\nrate = \"20/s\"\nlimits = [{ quota = \"100000/day\", name = \"day\" }]\ndownstream.url = \"https://sms.example/\"\n";

#[test]
fn a_configuration_is_tried_without_a_daemon() {
    let folder = tempfile::tempdir().expect("a folder");
    let [config, trace] = ["new.toml", "trace.ndjson"].map(|name| folder.path().join(name));
    std::fs::write(&config, CAMPAIGN).expect("it is written");
    let config = config.to_str().expect("a path");
    let load = simulate(&[
        "--config",
        config,
        "--load",
        "60000 at 2026-12-01T12:00:00Z sms",
        "--hours",
        "744",
    ]);
    let sms = &load["queues"]["sms"];
    assert_eq!(
        (&sms["backlog"], &sms["empties_at"]),
        (&json!(60_000), &json!("2026-12-01T12:50:00.000Z"))
    );

    let row = |minute: u64, more: &str| {
        format!(
            "{{\"queue\":\"sms\",\"at\":\"2026-12-01T10:{minute:02}:00Z\",\"payload\":{{\"to\":1}}{more}}}\n"
        )
    };
    let ttl = ",\"ttl\":\"10s\"";
    let rows: String = (0..600).map(|_| row(0, ttl)).chain((0..60).map(|_| row(30, ""))).collect();
    std::fs::write(&trace, rows).expect("it is written");
    let trace_path = trace.to_str().expect("a path");
    let traced = simulate(&["--config", config, "--trace", trace_path, "--hours", "2"]);
    let sms = &traced["queues"]["sms"];
    assert_eq!(
        (&sms["backlog"], &sms["expired"]),
        (&json!(660), &json!(400)),
        "20/s for ten seconds"
    );
    assert_eq!(sms["empties_at"], "2026-12-01T10:30:03.000Z");
    assert_eq!(sms["by_hour"][0]["at"], "2026-12-01T10:00:00.000Z");

    std::fs::write(&trace, "{\"queue\":\"nope\",\"at\":\"2026-12-01T10:00:00Z\"}\n")
        .expect("written");
    let refused = tidegate(&["simulate", "--config", config, "--trace", trace_path]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        said.contains("line 1") && said.contains("has no queue \"nope\"; it has sms"),
        "{said}"
    );
    std::fs::write(&trace, "\n").expect("it is written");
    let empty = tidegate(&["simulate", "--config", config, "--trace", trace_path]);
    assert_eq!(empty.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&empty.stderr).contains("has no rows"));
    for load in ["0 at 12:00 sms", "many at 12:00 sms", "5 at noon sms", "5 sms", "5 at 12:00 nope"]
    {
        let refused = tidegate(&["simulate", "--config", config, "--load", load]);
        assert_eq!(refused.status.code(), Some(2), "{load}");
    }
}

#[tokio::test]
async fn the_backlog_of_a_daemon_is_tried_with_another_rate() {
    let scene =
        Scene::start("rate = \"1/s\"\nlimits = [{ quota = \"100/day\", name = \"day\" }]").await;
    scene.send_numbers(3).await;
    scene.wait_count("delivered", 3).await;
    scene.queue_step("pause", &json!({ "for": "1h", "reason": "line up" })).await;
    scene.send_numbers(97).await;
    scene.wait_count("ready", 97).await;
    let folder = tempfile::tempdir().expect("a folder");
    let new = folder.path().join("new.toml");
    let lines = "rate = \"10/s\"\nlimits = [{ quota = \"50/day\", name = \"day\" }]";
    std::fs::write(&new, queue_toml(QUEUE, &scene.downstream, lines)).expect("it is written");
    let words =
        ["simulate", "--config", new.to_str().expect("a path"), "--backlog", "--output", "json"];
    let done = scene.daemon.cli(&words).await;
    let simulated: Value = serde_json::from_str(&done.stdout).expect("JSON");
    let jobs = &simulated["queues"][QUEUE];
    assert_eq!((&jobs["backlog"], &jobs["binding_gate"]), (&json!(97), &json!("pause")));
    let sent: u64 = jobs["by_hour"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["sent"].as_u64())
        .sum();
    assert_eq!(sent, 97, "47 today and 50 tomorrow: {jobs}");
    assert_eq!(scene.downstream.requests().len(), 3, "it is only read");
}

/// Ten real minutes of windows that open for every other minute.
#[tokio::test]
#[ignore = "ten minutes"]
async fn the_simulator_foretells_ten_real_minutes() {
    let clocks = Clocks::read();
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let begins_s = clocks.second_after(0).div_ceil(60) * 60;
    let time = |at_s: u64| {
        let at = Timestamp::from_second(at_s.cast_signed()).expect("a moment");
        TimeZone::UTC.to_datetime(at).strftime("%H:%M").to_string()
    };
    let windows: Vec<String> = (0..5)
        .map(|n| begins_s + 120 * n)
        .map(|from_s| format!("{{ from = \"{}\", to = \"{}\" }}", time(from_s), time(from_s + 60)))
        .collect();
    let lines = format!(
        "rate = \"2/s\"\nlimits = [{{ rate = \"100/min\", burst = 5, name = \"minute\" }}]\n[queues.{QUEUE}.window]\ntime_zone = \"UTC\"\nmin_remaining = \"0s\"\nopen = [{}]",
        windows.join(", ")
    );
    let config = queue_toml(QUEUE, &downstream, &lines);
    let folder = tempfile::tempdir().expect("a folder");
    let new = folder.path().join("new.toml");
    std::fs::write(&new, &config).expect("it is written");
    let load = format!("460 at {} {QUEUE}", moment(begins_s * 1000));
    let said = simulate(&["--config", new.to_str().expect("a path"), "--load", &load]);
    let empties_ms = ms(&said["queues"][QUEUE]["empties_at"]).expect("it is known");

    let daemon = Daemon::start(&redis, config).await;
    let rows: Vec<_> = (0..460).map(|n| json!({ "payload": n })).collect();
    daemon.post("/v1/queues/jobs/messages/batch", &json!(rows)).await.expect(200);
    let patience = std::time::Duration::from_secs(660);
    crate::support::wait::poll_until_within(patience, "all have arrived", async || {
        (downstream.requests().len() == 460).then_some(())
    })
    .await;
    let last_ms = clocks.wall_ms(downstream.requests()[459].arrived);
    let (off_ms, waited_ms) = (last_ms.abs_diff(empties_ms), last_ms - begins_s * 1000);
    assert!(off_ms * 20 <= waited_ms, "{off_ms} ms off after {waited_ms} ms");
}
