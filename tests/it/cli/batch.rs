//! `send-batch` and `export`: each row once, whatever happens on the way.

use std::process::Stdio;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::support::daemon::PROGRAM;
use crate::support::{Answer, Daemon, Downstream, QUEUE, Scene, eventually, queue_toml, within};

#[tokio::test]
async fn bad_rows_go_to_a_file_with_the_reason_and_their_neighbours_are_sent() {
    let scene = Scene::start("").await;
    let rows =
        "{\"payload\":1}\nnot json\n{\"payload\":2,\"priority\":99}\n\n[3]\n{\"payload\":4}\n";
    std::fs::write(scene.daemon.dir().join("orders.ndjson"), rows).unwrap();

    let output = scene.daemon.cli(&["send-batch", QUEUE, "orders.ndjson"]).await;

    assert_eq!(output.code, 1, "{}", output.stderr);
    for word in ["accepted", "2", "rejected", "3", "orders.rejects.ndjson"] {
        assert!(output.stdout.contains(word), "{word} in {}", output.stdout);
    }
    let rejects =
        std::fs::read_to_string(scene.daemon.dir().join("orders.rejects.ndjson")).unwrap();
    let rejects: Vec<Value> =
        rejects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut lines: Vec<_> = rejects.iter().map(|row| row["line"].as_u64().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, [2, 3, 5]);
    assert!(rejects.iter().all(|row| row["problem"]["detail"].is_string()), "{rejects:?}");
    scene.wait_count("delivered", 2).await;

    // Mended, the file goes through: what was accepted before is known, and the rejects are gone.
    std::fs::write(scene.daemon.dir().join("orders.ndjson"), "{\"payload\":1}\n").unwrap();
    let again = scene.daemon.cli(&["--output", "json", "send-batch", QUEUE, "orders.ndjson"]).await;
    assert_eq!(again.code, 0, "{}", again.stderr);
    let summary: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&summary["accepted"], &summary["duplicates"]), (&json!(0), &json!(1)));
    assert!(!scene.daemon.dir().join("orders.rejects.ndjson").exists());
}

#[tokio::test]
async fn rows_that_became_one_message_are_counted() {
    let scene = Scene::start("collapse = { wait = \"1h\", max_wait = \"2h\" }").await;
    let row = |n: u8| format!("{{\"payload\":{n},\"collapse_key\":\"stock-7\"}}\n");
    let rows: String = (0..3).map(row).collect();
    std::fs::write(scene.daemon.dir().join("stock.ndjson"), rows).unwrap();

    let output = scene.daemon.cli(&["send-batch", QUEUE, "stock.ndjson"]).await;

    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        output.stdout.contains("3, 2 of them in the place of a waiting message"),
        "{}",
        output.stdout
    );
    scene.wait_count("scheduled", 1).await;
}

#[tokio::test]
async fn what_keeps_all_rows_out_is_said_once() {
    let downstream = Downstream::start().await;
    let mut daemon = Daemon::with(queue_toml(QUEUE, &downstream, ""))
        .environment("TIDEGATE__REDIS__DISK_RESERVE", "1000000GiB")
        .launch();
    eventually("intake is refused for want of room", async || {
        let ready = daemon.http().try_send(Method::GET, "/readyz", &[], Bytes::new()).await;
        ready.is_ok_and(|ready| ready.text().contains("store-full"))
    })
    .await;
    let rows: String = (0..50).map(|n| format!("{{\"payload\":{n}}}\n")).collect();
    std::fs::write(daemon.dir().join("orders.ndjson"), rows).unwrap();
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", "timeout 4 tidegate send-batch jobs orders.ndjson"]);
    let output = daemon.run(command).await;
    assert_eq!(output.stderr.lines().count(), 1, "several tries, one reason: {}", output.stderr);
    assert!(output.stderr.starts_with("waiting, and trying again"), "{}", output.stderr);
    assert!(output.stderr.contains("redis.disk_reserve"), "{}", output.stderr);
    daemon.sigterm().await;
}

#[tokio::test]
async fn an_interrupted_run_is_repeated_without_doubles() {
    const ROWS: usize = 20_000;
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    let rows: String = (0..ROWS).map(|n| format!("{{\"payload\":{n}}}\n")).collect();
    std::fs::write(scene.daemon.dir().join("flood.ndjson"), rows).unwrap();
    let mut first = tokio::process::Command::new(PROGRAM)
        .args(["send-batch", QUEUE, "flood.ndjson"])
        .env("TIDEGATE_URL", scene.daemon.url())
        .current_dir(scene.daemon.dir())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    within("some rows have arrived", async {
        while scene.daemon.counts(QUEUE).await["ready"] == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    first.kill().await.unwrap();
    let before = scene.daemon.counts(QUEUE).await["ready"].as_u64().unwrap();
    assert!(before > 0 && before < ROWS as u64, "killed in the middle: {before}");

    let second = scene.daemon.cli(&["--output", "json", "send-batch", QUEUE, "flood.ndjson"]).await;

    assert_eq!(second.code, 0, "{}", second.stderr);
    let summary: Value = serde_json::from_str(&second.stdout).unwrap();
    let count = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!(count("accepted") + count("duplicates"), ROWS as u64);
    assert!(count("duplicates") >= before, "{summary}");
    assert_eq!(scene.daemon.counts(QUEUE).await["ready"], ROWS);
}

#[tokio::test]
async fn a_run_outlasts_a_daemon_that_restarts() {
    const ROWS: usize = 20_000;
    let mut scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    let rows: String = (0..ROWS).map(|n| format!("{{\"payload\":{n}}}\n")).collect();
    std::fs::write(scene.daemon.dir().join("flood.ndjson"), rows).unwrap();
    let run = tokio::process::Command::new(PROGRAM)
        .args(["--output", "json", "send-batch", QUEUE, "flood.ndjson"])
        .env("TIDEGATE_URL", scene.daemon.url())
        .current_dir(scene.daemon.dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    within("some rows have arrived", async {
        while scene.daemon.counts(QUEUE).await["ready"] == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    scene.daemon.restart().await;

    let output = within("the rest is sent", run.wait_with_output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(scene.daemon.counts(QUEUE).await["ready"], ROWS);
}

#[tokio::test]
async fn an_export_goes_back_in_as_it_came_out() {
    let scene = Scene::start("").await;
    scene.downstream.always(Answer::status(422));
    let message = json!({
        "payload": { "to": 1 }, "headers": { "X-Tenant": "eu" }, "labels": { "shop": "7" },
        "group": "g", "priority": 5, "idempotency_key": "k"
    });
    scene.daemon.send(QUEUE, &message).await;
    let raw = json!({ "payload_base64": "AAH/", "content_type": "application/x-bytes" });
    scene.daemon.send(QUEUE, &raw).await;
    scene.send_numbers(250).await;
    scene.wait_count("dead", 252).await;
    let mut export = tokio::process::Command::new("sh");
    export.args(["-c", "tidegate export jobs --state dead > dead.ndjson"]);
    assert_eq!(scene.daemon.run(export).await.code, 0);
    let text = std::fs::read_to_string(scene.daemon.dir().join("dead.ndjson")).unwrap();
    assert_eq!(text.lines().count(), 252);
    let seen = scene.downstream.requests();
    scene.downstream.always(Answer::ok());

    let output = scene.daemon.cli(&["send-batch", QUEUE, "dead.ndjson"]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(scene.daemon.cli(&["purge", QUEUE, "--state", "dead", "--yes"]).await.code, 0);

    scene.wait_count("delivered", 252).await;
    let again = &scene.downstream.requests()[seen.len()..];
    let bodies = |requests: &[crate::support::downstream::Request]| {
        let mut bodies: Vec<_> = requests
            .iter()
            .map(|request| {
                let header = |name: &str| request.header(name).map(str::to_owned);
                (request.body.clone(), header("content-type"), header("x-tenant"))
            })
            .collect();
        bodies.sort();
        bodies
    };
    assert_eq!(bodies(again), bodies(&seen));
    assert_eq!(scene.daemon.counts(QUEUE).await["dead"], 0);
}
