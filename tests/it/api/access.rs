//! Who may come in: tokens and scopes; without tokens, this machine alone and no web page.

use http::Method;
use http_body_util::BodyExt as _;
use serde_json::json;

use crate::support::vocabulary::Output;
use crate::support::wait::within;
use crate::support::{Daemon, RedisServer, eventually};

const QUEUE: &str = "[queues.jobs.downstream]\ntype = \"null\"\n";

/// A token of these scopes by `tidegate token new`: the token, and the line for the config.
async fn new_token(daemon: &Daemon, name: &str, scopes: &[&str]) -> (String, String) {
    let mut words = vec!["token", "new", name];
    scopes.iter().for_each(|scope| words.extend(["--scope", scope]));
    let Output { code, stdout, stderr } = daemon.cli(&words).await;
    assert_eq!(code, 0, "{stderr}");
    let shown = format!("{stdout}\n{stderr}");
    let line =
        shown.lines().find(|line| line.contains("sha256 = ")).expect("the line for the config");
    let table = &line[line.find('{').expect("a table")..=line.rfind('}').expect("a table")];
    let token = stdout.lines().map(str::trim).find(|line| line.starts_with("tg_"));
    (token.expect("the token is on stdout").to_owned(), table.to_owned())
}

/// A daemon with three tokens, each of one scope; and the tokens.
async fn guarded(redis: &RedisServer) -> (Daemon, [String; 3]) {
    let open = Daemon::start(redis, QUEUE).await;
    let (send, first) = new_token(&open, "shop", &["send"]).await;
    let (read, second) = new_token(&open, "desk", &["read"]).await;
    let (operate, third) = new_token(&open, "night", &["operate"]).await;
    let config = format!("[server]\ntokens = [{first}, {second}, {third}]\n{QUEUE}");
    assert!([&send, &read, &operate].iter().all(|token| !config.contains(*token)), "hashes only");
    (Daemon::start(redis, config).await, [send, read, operate])
}

#[tokio::test]
async fn each_scope_opens_its_own_routes() {
    let redis = RedisServer::start().await;
    let (daemon, [send, read, operate]) = guarded(&redis).await;
    let body = json!({ "payload": 1, "delay": "1h" }).to_string();
    let ask = async |token: &str, method: Method, path: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Content-Type", "application/json")];
        if !token.is_empty() {
            headers.push(("Authorization", &*bearer));
        }
        daemon.http().send(method, path, &headers, body.to_owned()).await
    };
    let messages = "/v1/queues/jobs/messages";
    let sent = ask(&send, Method::POST, messages, &body).await.expect(201).json();
    let message = format!("/v1/messages/{}", sent["id"].as_str().unwrap());
    for (method, path, allowed) in [
        (Method::POST, messages, &send),
        (Method::GET, &*message, &read),
        (Method::GET, messages, &read),
        (Method::GET, "/v1/queues", &read),
        (Method::GET, "/v1/nodes", &read),
        (Method::GET, "/v1/doctor", &read),
        (Method::GET, "/metrics", &read),
        (Method::POST, "/v1/queues/jobs/pause", &operate),
        (Method::POST, "/v1/queues/jobs/resume", &operate),
        (Method::DELETE, &*message, &operate),
    ] {
        let body = if path == messages { &*body } else { "" };
        for token in [&send, &read, &operate] {
            let reply = ask(token, method.clone(), path, body).await;
            let is_in = (200..300).contains(&reply.status);
            assert_eq!(is_in, token == allowed, "{method} {path}: {}", reply.text());
            assert_eq!(reply.status == 403, token != allowed, "{method} {path}: {}", reply.text());
        }
        for nobody in ["", "tg_wrong", &send[..send.len() - 1], &format!("{send}x")] {
            let reply = ask(nobody, method.clone(), path, body).await.expect(401);
            assert!(reply.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
            assert!(!reply.text().contains(&send[..8]), "nothing of a token is told");
        }
    }
    for open in ["/livez", "/readyz"] {
        ask("", Method::GET, open, "").await.expect(200);
    }
}

#[tokio::test]
async fn the_command_line_takes_the_token_and_tells_what_is_missing() {
    let redis = RedisServer::start().await;
    let (daemon, [send, _, operate]) = guarded(&redis).await;
    let run = async |token: &str, line: &str| {
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", &format!("TIDEGATE_TOKEN='{token}' tidegate {line}")]);
        daemon.run(command).await
    };
    let sent = run(&send, "send jobs -d 1").await;
    assert_eq!(sent.code, 0, "{}", sent.stderr);
    for (token, line) in [("", "send jobs -d 1"), (&*send, "queues"), (&*send, "pause jobs")] {
        let refused = run(token, line).await;
        assert_eq!(refused.code, 4, "{}", refused.stderr);
        assert!(refused.stderr.contains("next: "), "{}", refused.stderr);
    }
    assert_eq!(run(&operate, "pause jobs --reason night").await.code, 0);
}

#[tokio::test]
async fn recipients_hours_are_ignored_only_by_whoever_may_operate() {
    let redis = RedisServer::start().await;
    let open = Daemon::start(&redis, QUEUE).await;
    let (send, first) = new_token(&open, "shop", &["send"]).await;
    let (both, second) = new_token(&open, "night", &["send", "operate"]).await;
    let config = format!("[server]\ntokens = [{first}, {second}]\n{QUEUE}");
    let daemon = Daemon::start(&redis, config).await;
    let body = json!({ "payload": 1, "recipient_hours": "ignore" }).to_string();
    let ask = async |token: &str, path: &str, body: String| {
        let bearer = format!("Bearer {token}");
        let headers = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
        daemon.http().send(Method::POST, path, &headers, body).await
    };
    let path = "/v1/queues/jobs/messages";
    assert_eq!(ask(&send, path, body.clone()).await.expect(403).json()["code"], "forbidden");
    ask(&both, path, body.clone()).await.expect(201);
    let batch = format!("{path}/batch");
    let results =
        ask(&send, &batch, format!("[{body}, {{\"payload\": 2}}]")).await.expect(200).json();
    assert_eq!((&results["accepted"], &results["rejected"]), (&json!(1), &json!(1)), "{results}");
    assert_eq!(results["results"][0]["problem"]["code"], "forbidden");
}

#[tokio::test]
async fn without_tokens_only_this_machine_and_no_web_page_comes_in() {
    let redis = RedisServer::start().await;
    let daemon = Daemon::start(&redis, QUEUE).await;
    let body = json!({ "payload": 1 }).to_string();
    let ask = async |headers: &[(&str, &str)]| {
        daemon.http().send(Method::POST, "/v1/queues/jobs/messages", headers, body.clone()).await
    };
    let json = ("Content-Type", "application/json");
    for host in ["localhost", "127.0.0.1:7411", "[::1]:80"] {
        ask(&[json, ("Host", host)]).await.expect(201);
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "0.0.0.0", "localhost.evil.example:80"] {
        assert_eq!(ask(&[json, ("Host", host)]).await.expect(403).json()["code"], "forbidden");
    }
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        ask(&[json, ("Origin", origin)]).await.expect(403);
    }
    ask(&[json, ("Origin", "http://localhost:3000")]).await.expect(201);
    // What a web page may send without asking first.
    for simple in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        ask(&[("Content-Type", simple)]).await.expect(415);
    }
    ask(&[]).await.expect(415);
    // Even without a body, a page's request tells its origin.
    let page = [("Origin", "https://evil.example")];
    daemon.http().send(Method::POST, "/v1/queues/jobs/pause", &page, "").await.expect(403);
}

#[tokio::test]
async fn tokens_change_by_a_reload_and_streams_of_those_that_went_end() {
    let redis = RedisServer::start().await;
    let (daemon, [send, read, _]) = guarded(&redis).await;
    let (fresh, line) = new_token(&daemon, "fresh", &["send"]).await;
    let (_, reader) = new_token(&daemon, "desk2", &["read"]).await;
    let ask = async |token: &str, method: Method, path: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Content-Type", "application/json"), ("Authorization", &*bearer)];
        let body = if method == Method::POST { r#"{"payload": 1}"# } else { "" };
        daemon.http().send(method, path, &headers, body).await.status
    };
    let messages = "/v1/queues/jobs/messages";
    assert_eq!(ask(&send, Method::POST, messages).await, 201);
    assert_eq!(ask(&fresh, Method::POST, messages).await, 401);
    let bearer = format!("Bearer {read}");
    let stream = daemon.http().open("/v1/events", &[("Authorization", &bearer)]).await;
    assert_eq!(stream.status(), 200);

    daemon.sighup(&format!("[server]\ntokens = [{line}, {reader}]\n{QUEUE}"));

    eventually("the new token holds", async || ask(&fresh, Method::POST, messages).await == 201)
        .await;
    assert_eq!(ask(&send, Method::POST, messages).await, 401);
    assert_eq!(ask(&read, Method::GET, "/v1/queues").await, 401);
    // The message that was just sent would be told to a listener who is still let in.
    let told = within("the stream ends", stream.into_body().collect()).await.unwrap().to_bytes();
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("not valid any more"), "{told}");
}

#[tokio::test]
async fn a_token_expires_at_its_time_and_listens_to_its_queues_alone() {
    let redis = RedisServer::start().await;
    let two = format!("{QUEUE}[queues.erp-eu.downstream]\ntype = \"null\"\n");
    let open = Daemon::start(&redis, two.clone()).await;
    let run = async |words: &[&str]| {
        let output = open.cli(words).await;
        assert_eq!(output.code, 0, "{}", output.stderr);
        let (token, line) = output
            .stdout
            .trim()
            .split_once('\n')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        (token, line)
    };
    let in_a_while = jiff::Timestamp::now() + std::time::Duration::from_secs(4);
    let (guest, first) =
        run(&["token", "new", "guest", "--scope", "read", "--expires", &in_a_while.to_string()])
            .await;
    let (erp, second) =
        run(&["token", "new", "erp", "--scope", "read", "--scope", "send", "--queue", "erp-*"])
            .await;
    let (boss, third) = run(&["token", "new", "boss", "--scope", "send"]).await;
    let config = format!("[server]\ntokens = [{first}, {second}, {third}]\n{two}");
    let daemon = Daemon::start(&redis, config).await;
    let ask = async |token: &str, method: Method, path: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Content-Type", "application/json"), ("Authorization", &*bearer)];
        let body = if method == Method::POST { r#"{"payload": 1}"# } else { "" };
        daemon.http().send(method, path, &headers, body).await.status
    };
    assert_eq!(ask(&guest, Method::GET, "/v1/queues").await, 200);

    let bearer = format!("Bearer {erp}");
    let stream = daemon.http().open("/v1/events", &[("Authorization", &bearer)]).await;
    let mut body = stream.into_body();
    assert_eq!(ask(&boss, Method::POST, "/v1/queues/jobs/messages").await, 201);
    assert_eq!(ask(&boss, Method::POST, "/v1/queues/erp-eu/messages").await, 201);
    assert_eq!(ask(&erp, Method::POST, "/v1/queues/jobs/messages").await, 404);
    let mut told = String::new();
    while !told.contains("delivered") {
        let frame = within("an event", body.frame()).await.unwrap().unwrap();
        told.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap_or_default()));
    }
    assert!(told.contains("erp-eu_") && !told.contains("jobs"), "{told}");

    eventually("it expires", async || ask(&guest, Method::GET, "/v1/queues").await == 401).await;
    assert!(jiff::Timestamp::now() + std::time::Duration::from_millis(200) >= in_a_while);
}
