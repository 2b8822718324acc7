//! What is handed in: read exactly, judged item by item, and never at the cost of everybody else.
//!
//! Bad fields and bodies are in `hostile`; what a list of settlements says in `pull`.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::daemon::PROGRAM;
use crate::support::http::Reply;
use crate::support::{Daemon, QUEUE, Scene, within};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");
/// How long anybody else may wait for an answer meanwhile, on a busy machine and unoptimised.
const BESIDE_MAX: Duration = Duration::from_millis(1500);

async fn post(scene: &Scene, path: &str, headers: &[(&str, &str)], body: Bytes) -> Reply {
    scene.daemon.http().send(Method::POST, path, headers, body).await
}

async fn batch(scene: &Scene, body: impl Into<Bytes>) -> Reply {
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    post(scene, &path, &[NDJSON], body.into()).await
}

/// The slowest answer to others while this request is under way, and how many they got.
async fn beside(scene: &Scene, busy: impl Future<Output = Reply>) -> (Reply, Duration, usize) {
    let (mut slowest, mut answers) = (Duration::ZERO, 0);
    let mut busy = std::pin::pin!(busy);
    loop {
        let asking = async {
            let asked = Instant::now();
            scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200);
            tokio::time::sleep(Duration::from_millis(5)).await;
            asked.elapsed()
        };
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            reply = &mut busy => {
                slowest = slowest.max(asking.await);
                return (reply, slowest, answers + 1);
            }
            took = &mut asking => {
                (slowest, answers) = (slowest.max(took), answers + 1);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_thousands_of_unknown_fields_hold_nobody_up() {
    let scene = Scene::start("").await;
    let fields: Vec<String> = (0..19_000).map(|n| format!("\"payl{n}\":1")).collect();
    let line = format!("{{{}}}\n", fields.join(","));
    let body = Bytes::from(line.repeat(200));
    let started = Instant::now();

    let (reply, slowest, answers) = beside(&scene, batch(&scene, body)).await;

    let took = started.elapsed();
    let reply = reply.expect(200);
    assert_eq!((&reply.json()["accepted"], &reply.json()["rejected"]), (&json!(0), &json!(200)));
    let listed: usize = reply.json()["results"].as_array().unwrap().iter().map(faults).sum();
    assert!((1000..1300).contains(&listed), "{listed} faults are listed in all");
    assert!(reply.body.len() < 1 << 20, "{} bytes", reply.body.len());
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(slowest < BESIDE_MAX && answers > 3, "{slowest:?}, {answers} answers in {took:?}");
}

fn faults(result: &Value) -> usize {
    result["problem"]["errors"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blank_lines_and_long_arrays_hold_nobody_up() {
    let scene = Scene::start("").await;
    let mut blank = vec![b'\n'; 60 << 20];
    blank.extend(b"{\"payload\":1}");
    let (reply, slowest, _) = beside(&scene, batch(&scene, blank)).await;
    assert_eq!(reply.expect(200).json()["accepted"], 1);
    assert!(slowest < BESIDE_MAX, "{slowest:?}");

    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    let array = Bytes::from(format!("[{}0]", "0,".repeat(16 << 20)));
    let (reply, slowest, _) = beside(&scene, post(&scene, &path, &[JSON], array)).await;
    reply.expect(413);
    assert!(slowest < BESIDE_MAX, "{slowest:?}");
    let item = format!("{{\"payload\":\"{}\"}}", "x".repeat(200 << 10));
    let array = Bytes::from(format!("[{}]", vec![item; 150].join(",")));
    let (reply, slowest, _) = beside(&scene, post(&scene, &path, &[JSON], array)).await;
    assert_eq!(reply.expect(200).json()["accepted"], 150);
    assert!(slowest < BESIDE_MAX, "{slowest:?}");
}

#[tokio::test]
async fn a_byte_order_mark_is_no_part_of_a_body() {
    let scene = Scene::start("").await;
    let rows = "\u{feff}{\"payload\":1}\n{\"payload\":2}\n";
    assert_eq!(batch(&scene, rows).await.expect(200).json()["accepted"], 2);
    let path = format!("/v1/queues/{QUEUE}/messages");
    post(&scene, &path, &[JSON], "\u{feff}{\"payload\":1}".into()).await.expect(201);
    let array = "\u{feff}[{\"payload\":1}]";
    let reply = post(&scene, &format!("{path}/batch"), &[JSON], array.into()).await;
    assert_eq!(reply.expect(200).json()["accepted"], 1);
}

#[tokio::test]
async fn text_in_another_charset_is_refused_at_every_way_in() {
    let scene = Scene::start("").await;
    let message = r#"{"payload":"Grüße","content_type":"text/plain; charset=iso-8859-1"}"#;
    let is_told = |problem: &Value| {
        assert_eq!(problem["errors"][0]["pointer"], "/content_type", "{problem}");
        assert!(problem["errors"][0]["detail"].to_string().contains("payload_base64"));
    };
    let path = format!("/v1/queues/{QUEUE}/messages");
    is_told(&post(&scene, &path, &[JSON], message.into()).await.expect(400).json());
    let rows = batch(&scene, format!("{message}\n{{\"payload\":1}}")).await.expect(200).json();
    assert_eq!(rows["accepted"], 1);
    is_told(&rows["results"][0]["problem"]);
    let schedule = format!("{{\"queue\":\"{QUEUE}\",\"every\":\"1h\",{}", &message[1..]);
    let put = scene.daemon.http().send(Method::PUT, "/v1/schedules/s", &[JSON], schedule).await;
    is_told(&put.expect(400).json());

    let bytes = r#"{"payload_base64":"R3L832U","content_type":"text/plain; charset=iso-8859-1"}"#;
    post(&scene, &path, &[JSON], bytes.into()).await.expect(201);
    let sent = scene.downstream.wait_for(2).await;
    let latin = sent.iter().find(|request| {
        request.header("content-type").is_some_and(|kind| kind.contains("iso-8859-1"))
    });
    assert_eq!(latin.expect("it was sent").body, b"Gr\xfc\xdfe"[..]);
}

#[tokio::test]
async fn a_repeat_that_names_a_default_is_the_same_message() {
    let scene = Scene::start("").await;
    let path = format!("/v1/queues/{QUEUE}/messages");
    let bare = r#"{"payload":1,"delay":"1h","idempotency_key":"k"}"#;
    let named =
        r#"{"payload":1,"delay":"1h","content_type":"application/json","idempotency_key":"k"}"#;
    let first = post(&scene, &path, &[JSON], bare.into()).await.expect(201).json();
    let again = post(&scene, &path, &[JSON], named.into()).await.expect(200).json();
    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));
    let rows = batch(&scene, format!("{named}\n{bare}")).await.expect(200).json();
    for row in rows["results"].as_array().unwrap() {
        assert_eq!((&row["id"], &row["duplicate"]), (&first["id"], &json!(true)), "{rows}");
    }
    let other = named.replace("application/json", "application/cloudevents+json");
    post(&scene, &path, &[JSON], other.into()).await.expect(422);

    // The other way round, and in one request.
    let [named, bare] = [named, bare].map(|body| body.replace("\"k\"", "\"j\""));
    let rows = batch(&scene, format!("{named}\n{bare}")).await.expect(200).json();
    assert_eq!(rows["results"][0]["id"], rows["results"][1]["id"], "{rows}");
}

/// Writes these bytes, closes the sending side and reads to the end.
async fn half_closed(daemon: &Daemon, request: String) -> String {
    let address = daemon.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.expect("the daemon listens");
    stream.write_all(request.as_bytes()).await.expect("the daemon reads");
    stream.shutdown().await.expect("the other side stays open");
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.expect("it is text");
    answer
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let bytes = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n{headers}\r\n{body}"
    )
}

#[tokio::test]
async fn a_client_that_closes_its_sending_side_gets_its_answer() {
    let scene = Scene::start("").await;
    let path = format!("/v1/queues/{QUEUE}/messages");
    for _ in 0..20 {
        let answer =
            half_closed(&scene.daemon, request("POST", &path, "", "{\"payload\":1}")).await;
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
    // It waits for nothing, but is told how things stand.
    let body = json!({ "payload": 1, "delay": "1h" });
    let later = scene.daemon.send(QUEUE, &body).await;
    let asked = Instant::now();
    let wait = request("GET", &format!("/v1/messages/{later}?wait=30s"), "", "");
    let answer = half_closed(&scene.daemon, wait).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("scheduled"), "{answer}");
    assert!(asked.elapsed() < Duration::from_secs(10));
    let events = half_closed(&scene.daemon, request("GET", "/v1/events", "", "")).await;
    assert!(events.starts_with("HTTP/1.1 200") && events.contains("event: end"), "{events}");
}

#[tokio::test]
async fn heads_that_go_beyond_what_is_taken_are_told_so() {
    let scene = Scene::start("").await;
    let path = format!("/v1/queues/{QUEUE}/messages");
    for (count, status) in [(90, "201"), (150, "431"), (250, "431")] {
        let many: String = (0..count).map(|n| format!("X-{n}: 1\r\n")).collect();
        let request = request("POST", &path, &many, "{\"payload\":1}");
        let answer = half_closed(&scene.daemon, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{count}: {answer}");
        assert_eq!(answer.contains("headers-too-large"), status == "431", "{count}: {answer}");
    }
    for coding in ["gzip", "br", "deflate", "zstd"] {
        for path in [path.clone(), format!("{path}/batch")] {
            let headers = [JSON, ("Content-Encoding", coding)];
            let problem = post(&scene, &path, &headers, "\x1f\x08".into()).await.expect(415).json();
            assert!(problem["detail"].as_str().unwrap().contains(coding), "{problem}");
        }
    }
    post(&scene, &path, &[JSON, ("Content-Encoding", "identity")], "{\"payload\":1}".into())
        .await
        .expect(201);
    let chunks = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\nd\r\n{{\"payload\":1}}\r\n0\r\n\r\n"
    );
    let answer = half_closed(&scene.daemon, chunks).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("gzip"), "{answer}");
    assert_eq!(scene.daemon.counts(QUEUE).await["dead"], 0);
}

/// A cursor with another letter in its middle.
fn tampered(cursor: &Value) -> String {
    let mut cursor = cursor.as_str().expect("there is a next page").to_owned();
    let at = cursor.len() / 2;
    let other = if &cursor[at..=at] == "a" { "b" } else { "a" };
    cursor.replace_range(at..=at, other);
    cursor
}

#[tokio::test]
async fn a_tampered_cursor_is_refused_by_every_list() {
    let scene = Scene::start("").await;
    let later = json!({ "payload": 1, "delay": "1h" });
    scene.send_all(&vec![later; 3]).await;
    for name in ["a", "b", "c"] {
        let schedule = json!({ "queue": QUEUE, "every": "1h", "payload": 1 }).to_string();
        let path = format!("/v1/schedules/{name}");
        scene.daemon.http().send(Method::PUT, &path, &[JSON], schedule).await.expect(201);
    }
    for path in [&*format!("/v1/queues/{QUEUE}/messages"), "/v1/schedules", "/v1/actions"] {
        let page = scene.daemon.get(&format!("{path}?limit=2")).await.expect(200).json();
        let cursor = &page["next_cursor"];
        let good = format!("{path}?limit=2&cursor={}", cursor.as_str().expect("a next page"));
        scene.daemon.get(&good).await.expect(200);
        let bad = format!("{path}?limit=2&cursor={}", tampered(cursor));
        let problem = scene.daemon.get(&bad).await.expect(400).json();
        assert_eq!(problem["errors"][0]["pointer"], "?cursor", "{path}: {problem}");
    }
    let bad = "/v1/events?after=1-2-3";
    scene.daemon.get(bad).await.expect(400);
}

#[tokio::test]
async fn the_command_line_guesses_nothing() {
    let scene = Scene::start("").await;
    let daemon = &scene.daemon;
    for body in ["{\"to\":1,}", "[1", " {"] {
        let refused = daemon.cli(&["send", QUEUE, "-d", body]).await;
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("--content-type text/plain"), "{}", refused.stderr);
        let text = ["send", QUEUE, "-d", body, "--content-type", "text/plain"];
        assert_eq!(daemon.cli(&text).await.code, 0, "{body}");
    }
    let twice = ["send", QUEUE, "-d", "1", "--label", "a=1", "--label", "a=2"];
    assert_eq!(daemon.cli(&twice).await.code, 2);
    let rows = "{\"payload\":\"first\",\"payload\":\"second\"}\n{\"payload\":1}\n";
    let file = daemon.dir().join("rows.ndjson");
    std::fs::write(&file, rows).expect("the folder is ours");
    let sent = daemon.cli(&["send-batch", QUEUE, file.to_str().expect("a path")]).await;
    assert_eq!(sent.code, 1, "{}", sent.stderr);
    assert!(sent.stdout.contains("rejected"), "{}", sent.stdout);
    let rejects = std::fs::read_to_string(daemon.dir().join("rows.rejects.ndjson"));
    assert!(rejects.expect("there are rejects").contains("duplicate field"));
    let bodies = scene.downstream.wait_for(4).await;
    assert!(bodies.iter().all(|request| request.body != b"second"[..]));
}

/// What `tidegate check` says of a file, and its exit code.
async fn check(config: &str) -> (i32, String) {
    let dir = tempfile::tempdir().expect("temp dir");
    let file = dir.path().join("tidegate.toml");
    std::fs::write(&file, config).expect("temp dir is ours");
    let output = tokio::process::Command::new(PROGRAM)
        .args(["check", "--config", file.to_str().expect("a path")])
        .output()
        .await
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().expect("it ends by itself"), said)
}

#[tokio::test]
async fn check_refuses_what_would_fail_later() {
    let headers: Vec<_> = (0..9).map(|n| format!("x-{n} = \"{}\"", "v".repeat(8 << 10))).collect();
    let schedule = format!(
        "[queues.q]\ndownstream.type = \"null\"\n[schedules.s]\nqueue = \"q\"\nevery = \"1h\"\npayload = 1\nheaders = {{ {} }}",
        headers.join(", ")
    );
    for (config, part) in [
        (&*schedule, "schedules.s.headers: everything beside the payload"),
        ("[redis]\nurl = \"redis://h/abc\"", "redis.url: names \"abc\" as its database"),
        ("[server]\ncallback_hosts = [\"shop.example:080\"]", "server.callback_hosts[0]"),
    ] {
        let (code, said) = check(config).await;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(part), "{part} not in {said}");
    }
}
