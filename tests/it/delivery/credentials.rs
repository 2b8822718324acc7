//! Proxies, tokens and secrets of a downstream, as an operator meets them.

use serde_json::{Value, json};

use super::failing::logged;
use crate::support::wait::poll_until;
use crate::support::{Answer, Daemon, Downstream, QUEUE, RedisServer, eventually, queue_toml};

const CERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transport/http/tests/certs");

/// What the environment says of proxies is meant for other programs.
#[tokio::test]
async fn no_proxy_is_taken_from_the_environment() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let mut daemon = Daemon::with(queue_toml(QUEUE, &downstream, "")).redis(&redis);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        daemon = daemon.environment(name, "http://127.0.0.1:1");
    }
    let daemon = daemon.start().await;
    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
}

fn token_answer(token: &str) -> Answer {
    let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": "3600" });
    Answer::ok().header("Content-Type", "application/json").body(body.to_string())
}

async fn view(daemon: &Daemon) -> Value {
    daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json()
}

#[tokio::test]
async fn a_token_endpoint_that_fails_holds_messages_without_an_attempt_and_is_reported_once() {
    let (redis, downstream, tokens) =
        tokio::join!(RedisServer::start(), Downstream::start(), Downstream::start());
    let refusal = json!({ "error": "invalid_client", "error_description": "unknown client" });
    tokens.always(Answer::status(401).body(refusal.to_string()));
    let url = tokens.url("/token");
    let oauth2 = format!(
        "downstream.oauth2 = {{ token_url = \"{url}\", client_id = \"tidegate\", client_secret = \"hunter2\" }}\nretry.max_attempts = 1"
    );
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, &oauth2)).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(daemon.send(QUEUE, &json!({ "payload": number })).await);
    }

    let queue = poll_until("it is failing", async || {
        Some(view(&daemon).await).filter(|queue| queue["failing"].is_object())
    })
    .await;
    let error = queue["failing"]["last_error"].as_str().expect("an error");
    let words = format!("no token from {url}: status 401: invalid_client (unknown client)");
    assert_eq!(error, words);
    let doctor = daemon.cli(&["doctor"]).await;
    assert!(doctor.stdout.replace('\n', " ").contains("invalid_client"), "{}", doctor.stdout);
    for id in &ids {
        assert_eq!(daemon.message(id).await["attempts"], 0, "nothing has left");
    }
    assert_eq!(downstream.requests().len(), 0);

    tokens.always(token_answer("t0k"));
    for id in &ids {
        let message = daemon.wait_final(id).await;
        assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(1)));
    }
    let bearers = downstream.requests();
    assert!(bearers.iter().all(|it| it.header("authorization") == Some("Bearer t0k")));
    eventually("it is not failing any more", async || view(&daemon).await["failing"].is_null())
        .await;
    let begins = logged(&daemon, "the downstream is failing");
    assert_eq!((begins, logged(&daemon, "the downstream answers again")), (1, 1));
    assert!(!daemon.log().contains("hunter2") && !daemon.log().contains("t0k"));
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_shuts_the_gate() {
    let (redis, downstream, tokens) =
        tokio::join!(RedisServer::start(), Downstream::start(), Downstream::start());
    tokens.always(token_answer("t0k"));
    downstream.always(Answer::status(401));
    let url = tokens.url("/token");
    let oauth2 = format!(
        "downstream.oauth2 = {{ token_url = \"{url}\", client_id = \"tidegate\", client_secret = \"hunter2\" }}"
    );
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, &oauth2)).await;
    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    eventually("the gate is shut", async || view(&daemon).await["sending"]["state"] == "shut")
        .await;
    assert_eq!(daemon.message(&id).await["attempts"], 0);
    assert_eq!((tokens.requests().len(), downstream.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_probe_carries_a_token_and_waits_for_one_uncounted() {
    let (redis, downstream, tokens) =
        tokio::join!(RedisServer::start(), Downstream::start(), Downstream::start());
    tokens.always(Answer::status(503).header("Retry-After", "1"));
    // The message is parked by a downstream that asks for no token yet.
    downstream.answer_with(|request| match request.method.as_str() {
        "GET" => Answer::ok(),
        _ => Answer::silence(),
    });
    let (url, orders) = (tokens.url("/token"), downstream.url("/orders/{id}"));
    let probing = format!(
        "downstream.timeout = \"300ms\"\non_uncertain = \"probe\"\nprobe = {{ url = \"{orders}\", after = \"50ms\", max_attempts = 1 }}"
    );
    let oauth2 = format!(
        "downstream.oauth2 = {{ token_url = \"{url}\", client_id = \"tidegate\", client_secret = \"hunter2\" }}"
    );
    let patient = probing.replace("50ms", "3s");
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, &patient)).await;
    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    eventually("it is uncertain", async || daemon.message(&id).await["state"] == "uncertain").await;
    daemon.sighup(&queue_toml(QUEUE, &downstream, &format!("{probing}\n{oauth2}")));
    eventually("a token was asked for", async || !tokens.requests().is_empty()).await;
    assert_eq!(downstream.requests().len(), 1, "nobody was asked without one");
    tokens.always(token_answer("t0k"));
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    let probe = downstream.requests().pop().expect("it was asked");
    assert_eq!((probe.method.as_str(), probe.header("authorization")), ("GET", Some("Bearer t0k")));
}

/// Each secret, and how it could show itself: as it is, in base64, or with its pair in base64.
const CANARIES: [(&str, &[&str]); 6] = [
    (
        "client_secret",
        &["canary-client-secret", "Y2FuYXJ5LWNsaWVudC1zZWNyZXQ", "dGlkZWdhdGU6Y2FuYXJ5"],
    ),
    ("proxy password", &["canary-proxy-password", "dXM6Y2FuYXJ5LXByb3h5"]),
    ("signing secrets", &["canary-signing-new", "canary-signing-old"]),
    ("token", &["canary-token"]),
    ("token_url", &["canary-in-query"]),
    ("private key", &["BEGIN PRIVATE KEY", "BEGIN EC PRIVATE KEY"]),
];

fn assert_unseen(place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let key = std::fs::read_to_string(format!("{CERTS}/client.key")).unwrap();
    let line = key.lines().nth(1).expect("the key has a line").to_owned();
    let known = CANARIES.iter().flat_map(|(name, forms)| forms.iter().map(move |it| (*name, *it)));
    for (name, form) in known.chain([("private key", line.as_str())]) {
        if let Some(at) = text.find(form) {
            let from = text[..at].char_indices().rev().nth(200).map_or(0, |(from, _)| from);
            panic!("{place} shows the {name}: {}", &text[from..at + form.len()]);
        }
    }
}

/// The downstream stands behind a proxy, which is the test's: it sees what leaves.
#[tokio::test]
async fn no_secret_is_anywhere_to_be_seen() {
    let (redis, proxy) = tokio::join!(RedisServer::start(), Downstream::start());
    proxy.answer_with(|request| match request.path.contains("/token") {
        true => token_answer("canary-token"),
        false => Answer::ok(),
    });
    let at = proxy.url("");
    let place = at.strip_prefix("http://").expect("plain http");
    let toml = format!(
        "[queues.{QUEUE}.downstream]\nurl = \"http://erp.invalid/hook\"\n\
         proxy = \"http://us:canary-proxy-password@{place}\"\n\
         signing_secrets = [\"canary-signing-new\", \"canary-signing-old\"]\n\
         tls = {{ ca = \"{CERTS}/authority.pem\", certificate = \"{CERTS}/client.pem\", key = \"{CERTS}/client.key\" }}\n\
         oauth2 = {{ token_url = \"http://auth.invalid/token?k=canary-in-query\", client_id = \"tidegate\", client_secret = \"${{CLIENT}}\" }}\n"
    );
    let daemon = Daemon::with(toml)
        .redis(&redis)
        .environment("CLIENT", "canary-client-secret")
        .environment("TIDEGATE_LOG", "trace")
        .start()
        .await;

    let id = daemon.send(QUEUE, &json!({ "payload": "delivered" })).await;
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    let seen = proxy.requests();
    assert_eq!(seen[0].path, "http://auth.invalid/token?k=canary-in-query");
    assert_eq!(seen[1].path, "http://erp.invalid/hook");
    assert_eq!(seen[1].header("authorization"), Some("Bearer canary-token"));
    assert!(seen.iter().all(|it| it.header("proxy-authorization").is_some()));

    // Everything that can go wrong, with a server that repeats what it was sent.
    let echo = |request: &crate::support::downstream::Request| {
        let said = format!("you said {:?}", request.header("authorization"));
        json!({ "error": "invalid_client", "error_description": said }).to_string()
    };
    let tried = daemon.cli(&["try", QUEUE, "-d", "1"]).await;
    proxy.answer_with(move |request| match request.path.contains("/token") {
        true => Answer::status(401).body(echo(request)),
        false => Answer::status(401),
    });
    let held = daemon.send(QUEUE, &json!({ "payload": "held" })).await;
    eventually("the gate is shut", async || view(&daemon).await["sending"]["state"] != "open")
        .await;

    let log = daemon.log();
    for words in ["a new token is in force", "\"level\":\"TRACE\""] {
        assert!(log.contains(words), "the log does not say much: no {words}");
    }
    assert_unseen("the log", log.as_bytes());
    assert_unseen("try", format!("{tried:?}").as_bytes());
    for path in [
        "/metrics".to_owned(),
        "/v1/doctor".to_owned(),
        format!("/v1/queues/{QUEUE}"),
        format!("/v1/messages/{id}"),
        format!("/v1/messages/{held}"),
        format!("/v1/messages/{held}/explain"),
        format!("/v1/queues/{QUEUE}/nowhere"),
    ] {
        assert_unseen(&path, daemon.get(&path).await.text().as_bytes());
    }
    let config = daemon.dir().join("tidegate.toml").display().to_string();
    let mut check = tokio::process::Command::new("tidegate");
    check.args(["check", &config]).env("CLIENT", "canary-client-secret");
    let check = daemon.run(check).await;
    assert!(check.stdout.contains("client_secret = \"***\""), "{check:?}");
    assert_unseen("check", format!("{check:?}").as_bytes());
    let keys: Vec<String> = redis.cli(&["KEYS", "*"]).await;
    assert!(!keys.is_empty());
    let folder: Vec<String> = redis.cli(&["CONFIG", "GET", "dir"]).await;
    let _compression: String = redis.cli(&["CONFIG", "SET", "rdbcompression", "no"]).await;
    let _saved: String = redis.cli(&["SAVE"]).await;
    let dump = std::fs::read(format!("{}/dump.rdb", folder[1])).expect("a dump");
    assert!(dump.windows(9).any(|it| it == b"delivered"), "the dump says something");
    assert_unseen("Redis", &dump);
}

/// The other queues go on, so that it is no error of the configuration; but somebody has to be told for as long as it lasts.
#[tokio::test]
async fn a_certificate_that_has_expired_is_a_finding_of_doctor() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let tls = format!(
        "downstream.tls = {{ certificate = \"{CERTS}/expired.pem\", key = \"{CERTS}/expired.key\" }}"
    );
    let toml = queue_toml(QUEUE, &downstream, &tls).replace("\"http://", "\"https://");
    let daemon = Daemon::start(&redis, toml).await;
    let told = daemon.get("/v1/doctor").await.expect(200).json();
    let findings = told["findings"].as_array().expect("a list");
    let found = findings.iter().find(|it| it["code"] == "certificate-out-of-date");
    let found = found.unwrap_or_else(|| panic!("{told:#}"));
    assert_eq!((found["about"].as_str(), found["queue"].as_str()), (Some(QUEUE), Some(QUEUE)));
    let detail = found["detail"].as_str().expect("a sentence");
    assert!(
        detail.starts_with(&format!(
            "queues.{QUEUE}.downstream.tls.certificate: the certificate in the file "
        )),
        "{detail}"
    );
    assert!(detail.contains(" expired at "), "{detail}");
    assert!(found["remedy"].as_str().expect("a sentence").contains("reload (SIGHUP)"), "{found}");
}
