//! Receipts as a form or with a query, and tokens in a url.

use http::Method;
use serde_json::json;

use crate::support::vocabulary::Output;
use crate::support::{Answer, Daemon, Downstream, QUEUE, RedisServer, Scene, queue_toml};

const FORM: [(&str, &str); 1] = [("Content-Type", "application/x-www-form-urlencoded")];

fn pending(name: &str) -> Answer {
    Answer::status(202).header("Tidegate-Receipt", "pending").header("Tidegate-Ref", name)
}

async fn accepted(scene: &Scene, name: &str) -> String {
    scene.downstream.once(pending(name));
    let id = scene.send("x").await;
    scene.wait_state(&id, "accepted").await;
    id
}

#[tokio::test]
async fn a_form_and_a_query_have_the_names_of_the_api_without_others() {
    let scene = Scene::start("").await;
    let path = format!("/v1/queues/{QUEUE}/receipts");
    let http = scene.daemon.http();
    let id = accepted(&scene, "a").await;
    let reply = http.send(Method::POST, &path, &FORM, "ref=a&status=delivered&extra=1").await;
    assert_eq!(
        reply.expect(200).json(),
        json!({ "verdict": "ok", "id": id, "state": "delivered" })
    );
    let id = accepted(&scene, "b").await;
    let query = format!("{path}?id={id}&status=dead&detail=off%0Aline");
    // A HEAD changes nothing.
    assert_eq!(http.send(Method::HEAD, &query, &[], "").await.status, 405);
    assert_eq!(scene.daemon.message(&id).await["state"], "accepted");
    // A web page that has a browser fetch it changes nothing either.
    let page = [("Sec-Fetch-Site", "cross-site")];
    http.send(Method::GET, &query, &page, "").await.expect(403);
    assert_eq!(scene.daemon.message(&id).await["state"], "accepted");
    http.send(Method::GET, &query, &[], "").await.expect(200);
    assert_eq!(scene.daemon.wait_final(&id).await["reason"], "off line");
    for (query, pointer) in [
        ("", "/ref"),
        ("?ref=a", "/status"),
        ("?ref=a&status=ENROUTE", "/status"),
        ("?ref=a&ref=b&status=dead", "/ref"),
        ("?id=nonsense&status=dead", "/id"),
    ] {
        let reply = http.send(Method::GET, &format!("{path}{query}"), &[], "").await.expect(400);
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{query}: {}", reply.text());
    }
    http.send(
        Method::GET,
        &format!("{path}?id=jobs_01ARZ3NDEKTSV4RRFFQ69G5FAV&status=dead"),
        &[],
        "",
    )
    .await
    .expect(404);
}

#[tokio::test]
async fn the_command_speaks_the_words_of_the_api_whatever_those_of_the_downstream_are() {
    let parse = "receipts.parse = { ref = \"ref\", status = \"status\", delivered = [\"read\"], dead = [\"lost\"] }";
    let scene = Scene::start(parse).await;
    let id = accepted(&scene, "a").await;
    let path = format!("/v1/queues/{QUEUE}/receipts");
    let receipt = json!({ "ref": "a", "status": "delivered" });
    let reply = scene.daemon.post(&path, &receipt).await.expect(200);
    assert_eq!(reply.json(), json!({ "verdict": "ignored" }), "it has not been read yet");
    assert_eq!(scene.daemon.message(&id).await["state"], "accepted");
    let Output { code, stdout, stderr } =
        scene.daemon.cli(&["receipt", QUEUE, "--ref", "a", "--as", "delivered"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    let metrics = scene.daemon.get("/metrics").await.expect(200);
    assert!(metrics.text().contains("event=\"receipt_ignored\"} 1"), "{}", metrics.text());
}

#[tokio::test]
async fn a_token_in_a_url_allows_receipts_and_stands_in_no_log() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let queue = queue_toml(QUEUE, &downstream, "");
    let open = Daemon::start(&redis, queue.clone()).await;
    let mut tokens = Vec::new();
    for (name, scopes) in
        [("gateway", &["receipt"][..]), ("both", &["receipt", "read"]), ("ops", &["admin"])]
    {
        let mut words = vec!["token", "new", name];
        scopes.iter().for_each(|scope| words.extend(["--scope", scope]));
        let Output { stdout, stderr, .. } = open.cli(&words).await;
        let shown = format!("{stdout}\n{stderr}");
        let line = shown.lines().find(|line| line.contains("sha256 = ")).expect("the line");
        let table = line[line.find('{').unwrap()..=line.rfind('}').unwrap()].to_owned();
        let token = stdout.lines().map(str::trim).find(|line| line.starts_with("tg_")).unwrap();
        tokens.push((token.to_owned(), table));
    }
    let tables: Vec<_> = tokens.iter().map(|(_, table)| table.as_str()).collect();
    let config = format!("[server]\ntokens = [{}]\n{queue}", tables.join(", "));
    let daemon = Daemon::with(config).redis(&redis).environment("RUST_LOG", "trace").start().await;
    let [gateway, both, ops] = [0, 1, 2].map(|at| tokens[at].0.clone());
    let bearer = format!("Bearer {ops}");
    let ask =
        async |method: Method, path: &str| daemon.http().send(method, path, &FORM, "").await.status;
    let receipts = format!("/v1/queues/{QUEUE}/receipts?ref=none&status=dead");
    for (method, path, status) in [
        (Method::GET, format!("{receipts}&token={gateway}"), 202),
        (Method::POST, format!("/v1/queues/{QUEUE}/receipts?token={gateway}"), 400),
        (Method::GET, receipts.clone(), 401),
        (Method::GET, format!("{receipts}&token=wrong"), 401),
        (Method::GET, format!("{receipts}&token={gateway}&token={gateway}"), 401),
        (Method::GET, format!("{receipts}&token={both}"), 403),
        (Method::GET, format!("{receipts}&token={ops}"), 403),
        (Method::GET, format!("/v1/queues?token={gateway}"), 401),
        (Method::PUT, format!("/v1/queues/{QUEUE}/receipts?token={gateway}"), 401),
    ] {
        assert_eq!(ask(method.clone(), &path).await, status, "{method} {path}");
    }
    let headers = [("Authorization", &*bearer)];
    let reply = daemon.http().send(Method::GET, &receipts, &headers, "").await;
    assert_eq!(reply.status, 202, "a header does as ever");
    let log = daemon.log();
    for (token, _) in &tokens {
        assert!(!log.contains(token.as_str()), "{log}");
    }
}
