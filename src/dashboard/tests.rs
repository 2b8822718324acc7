//! Pages over an API that runs: who gets in, what protects forms, and that no text of others is code.

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode, header};
use sha2::{Digest as _, Sha256};
use tower_service::Service as _;

use super::{DashboardParts, with_dashboard};
use crate::api::PageGuard;
use crate::api::tests::support::{House, Plan, policy};
use crate::config::{Scope, Token};

const HARM: &str = "\"><script>harm()</script>";

/// What was answered.
struct Shown {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Shown {
    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What binds a form to its session.
    fn form_token(&self) -> String {
        let rest = self.text.split("name=\"form_token\" value=\"").nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    }
}

/// The pages over the API of a house.
struct Pages {
    house: House,
    router: Router,
}

impl Pages {
    async fn open(tokens: Vec<Token>, base: &str) -> Self {
        let queues = vec![policy("sms"), policy("erp")];
        let house = House::build(Plan { queues, tokens, ..Plan::default() }).await;
        let mut state = house.state();
        state.server.base_path = base.parse().unwrap();
        let guard = PageGuard::new(state.tokens.clone(), state.store.clone(), &[]);
        let server = state.server.clone();
        let draining = state.draining.clone();
        let api = crate::api::router(state);
        let parts = DashboardParts { api, guard, server: &server, draining };
        Self { router: with_dashboard(parts), house }
    }

    async fn ask(&self, request: http::request::Builder, body: String) -> Shown {
        let request = request.body(Body::from(body)).unwrap();
        let response = self.router.clone().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 24).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Shown { status: head.status, headers: head.headers, text }
    }

    async fn get(&self, path: &str, cookie: &str) -> Shown {
        let request = Request::get(path).header("host", "localhost").header("cookie", cookie);
        self.ask(request, String::new()).await
    }

    async fn post(&self, path: &str, cookie: &str, origin: &str, body: String) -> Shown {
        let request = Request::post(path).header("host", "localhost").header("cookie", cookie);
        self.ask(request.header("origin", origin), body).await
    }

    async fn login(&self, token: &str) -> String {
        let shown = self
            .post("/ui/login", "", "http://localhost", format!("token={token}&next=/ui/audit"))
            .await;
        assert_eq!(shown.status, StatusCode::SEE_OTHER, "{}", shown.text);
        assert_eq!(shown.header(header::LOCATION), "/ui/audit");
        let cookie = shown.header(header::SET_COOKIE).to_owned();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }
}

fn token(name: &str, text: &str, scopes: &[Scope], queues: Option<&[&str]>) -> Token {
    Token {
        name: name.to_owned(),
        sha256: Sha256::digest(text).into(),
        scopes: scopes.to_vec(),
        expires_ms: None,
        queues: queues.map(|all| all.iter().map(|queue| queue.parse().unwrap()).collect()),
    }
}

#[tokio::test]
async fn every_page_is_shown_and_no_text_is_code() {
    let pages = Pages::open(Vec::new(), "/").await;
    let harm = serde_json::json!({
        "payload": HARM, "content_type": "text/plain", "delay": "1h", "group": HARM,
        "labels": { "code": HARM }, "headers": { "X-Code": HARM }, "idempotency_key": HARM,
    });
    let sent = pages.house.post("/v1/queues/sms/messages", harm.to_string()).await.expect(201);
    let id = sent.json()["id"].as_str().unwrap().to_owned();
    let pause = serde_json::json!({ "reason": HARM }).to_string();
    pages.house.post("/v1/queues/erp/pause", pause).await.expect(200);
    let message = format!("/ui/messages/{id}");
    let dump = format!("/ui/messages/{id}?payload=hex");
    for path in [
        "/",
        "/?name=%22%3E%3Cscript%3Eharm()%3C/script%3E",
        "/ui/queues/sms",
        "/ui/queues/erp",
        "/ui/messages",
        "/ui/messages?queue=sms&state=scheduled&label=code%3D%22%3E%3Cscript%3Eharm()%3C/script%3E",
        &message,
        &dump,
        "/ui/dead",
        "/ui/operations",
        "/ui/schedules",
        "/ui/topics",
        "/ui/limits",
        "/ui/nodes",
        "/ui/audit",
        "/ui/health",
        "/docs",
    ] {
        let shown = pages.get(path, "").await;
        assert_eq!(shown.status, StatusCode::OK, "{path}: {}", shown.text);
        assert!(!shown.text.contains("<script>harm"), "{path}: {}", shown.text);
        assert!(shown.header(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"));
        assert_eq!(shown.header(header::CACHE_CONTROL), "no-store");
    }
    for path in ["/ui/nosuch", "/ui/%3Cscript%3Eharm()%3C/script%3E", "/ui/queues/sms/nosuch/page"]
    {
        let shown = pages.get(path, "").await;
        assert_eq!(shown.status, StatusCode::NOT_FOUND, "{path}");
        assert!(shown.text.contains("There is no page at") && !shown.text.contains("<script>harm"));
    }
    let shown = pages.get("/ui/queues/nosuch", "").await;
    assert_eq!(shown.status, StatusCode::NOT_FOUND);
    assert!(shown.text.contains("no queue"), "{}", shown.text);
}

#[tokio::test]
async fn a_page_needs_a_token_and_shows_what_it_reaches() {
    let all = [Scope::Read, Scope::Operate];
    let tokens = vec![
        token("ops", "tg_ops", &all, None),
        token("view", "tg_view", &[Scope::Read], Some(&["sms"])),
    ];
    let pages = Pages::open(tokens, "/").await;
    let shown = pages.get("/ui/queues/sms?x=1", "").await;
    assert_eq!(shown.status, StatusCode::SEE_OTHER);
    assert_eq!(shown.header(header::LOCATION), "/ui/login?next=%2Fui%2Fqueues%2Fsms%3Fx%3D1");
    let wrong = pages.post("/ui/login", "", "http://localhost", "token=tg_x".to_owned()).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let view = pages.login("tg_view").await;
    let shown = pages.get("/", &view).await;
    assert!(shown.text.contains(">sms</a>") && !shown.text.contains(">erp</a>"), "{}", shown.text);
    assert!(!shown.text.contains("tg_view"));
    assert_eq!(pages.get("/ui/queues/erp", &view).await.status, StatusCode::NOT_FOUND);
    let shown = pages.get("/ui/queues/sms", &view).await;
    assert!(!shown.text.contains("/ui/queues/sms/pause"), "{}", shown.text);
    let body = format!("form_token={}", shown.form_token());
    let refused = pages.post("/ui/queues/sms/pause", &view, "http://localhost", body).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("lacks the scope"), "{}", refused.text);
}

#[tokio::test]
async fn a_form_of_another_page_or_session_does_nothing() {
    let scopes = [Scope::Admin];
    let tokens = vec![token("a", "tg_a", &scopes, None), token("b", "tg_b", &scopes, None)];
    let pages = Pages::open(tokens, "/").await;
    let (a, b) = (pages.login("tg_a").await, pages.login("tg_b").await);
    let own =
        format!("form_token={}&reason=ours", pages.get("/ui/queues/sms", &a).await.form_token());
    let other = format!("form_token={}", pages.get("/ui/queues/sms", &b).await.form_token());
    let path = "/ui/queues/sms/pause";
    for (origin, body) in [
        ("http://localhost", String::new()),
        ("http://localhost", other),
        ("https://evil.example", own.clone()),
        ("null", own.clone()),
    ] {
        let shown = pages.post(path, &a, origin, body).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "{origin}");
    }
    let request = Request::post(path).header("host", "localhost").header("cookie", &a);
    let request = request.header("sec-fetch-site", "cross-site");
    assert_eq!(pages.ask(request, own.clone()).await.status, StatusCode::FORBIDDEN);
    let shown = pages.post(path, &a, "http://localhost", own).await;
    assert_eq!(shown.header(header::LOCATION), "/ui/queues/sms?note=paused");
    let shown = pages.get("/ui/queues/sms?note=paused", &a).await;
    assert!(shown.text.contains("paused: ours") || shown.text.contains("ours"), "{}", shown.text);
    assert!(shown.text.contains("The queue is paused."));
}

#[tokio::test]
async fn a_foreign_name_for_this_machine_is_refused() {
    let pages = Pages::open(Vec::new(), "/").await;
    for path in ["/", "/ui/login", "/ui/live?page=/", "/docs"] {
        let request = Request::get(path).header("host", "evil.example");
        let shown = pages.ask(request, String::new()).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn behind_a_proxy_everything_is_below_its_path() {
    let pages = Pages::open(Vec::new(), "/tide").await;
    assert_eq!(pages.get("/tide", "").await.header(header::LOCATION), "/tide/");
    for path in ["/", "/tide/", "/ui/health", "/tide/ui/health"] {
        let shown = pages.get(path, "").await;
        assert_eq!(shown.status, StatusCode::OK, "{path}");
        assert!(shown.text.contains("href=\"/tide/ui/health\""), "{path}");
        assert!(!shown.text.contains("href=\"/ui"), "{path}");
    }
    let own = format!("form_token={}", pages.get("/ui/queues/sms", "").await.form_token());
    let shown = pages.post("/tide/ui/queues/sms/resume", "", "http://localhost", own).await;
    assert_eq!(shown.header(header::LOCATION), "/tide/ui/queues/sms?note=resumed");
    assert_eq!(pages.get("/tide/v1/queues", "").await.status, StatusCode::OK);
}
