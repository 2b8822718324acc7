//! A Redis in a folder of its own, a door on a free port, a small client.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::super::{
    ApiState, Entrance, LastReload, Tokens, TryCall, TryFuture, TryReport, TryRequest, router,
    serve,
};
use crate::config::{Settings, Token, testing};
use crate::domain::answer_rules::RulesSaid;
use crate::domain::classify::Classified;
use crate::domain::message::NewMessage;
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::policy::QueuePolicy;
use crate::domain::protocol::Protocol;
use crate::domain::topic::{TopicName, TopicPolicy};
use crate::shutdown::Tasks;
use crate::store::{Queue, Store};
use crate::telemetry::Metrics;

/// Nothing here takes nearly as long.
const DEADLINE: Duration = Duration::from_secs(30);

/// A queue without rate, window and batch, whose downstream takes everything.
pub(crate) fn policy(name: &str) -> QueuePolicy {
    testing::policy(name, "")
}

fn topic((name, queues): (&str, Vec<&str>)) -> (TopicName, Arc<TopicPolicy>) {
    let name: TopicName = name.parse().unwrap();
    let queues = queues.into_iter().map(|queue| queue.parse().unwrap()).collect();
    (name.clone(), Arc::new(TopicPolicy { name, queues }))
}

/// A Redis that dies with its test.
struct Redis {
    child: Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Redis {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("redis.sock");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Self { child, url: format!("unix://{}", socket.display()), _dir: dir }
    }

    fn stop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Answers every test call by an echo.
struct Echo;

impl TryCall for Echo {
    fn call(&self, queue: Arc<Queue>, message: NewMessage, _now_ms: u64) -> TryFuture {
        Box::pin(async move {
            if queue.policy.name.as_str() == "broken" {
                return Err("the downstream has no address".to_owned());
            }
            Ok(TryReport {
                request: TryRequest {
                    method: "POST".to_owned(),
                    url: "https://sms.example/send".to_owned(),
                    headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                    body: message.payload.clone(),
                },
                answer: Answer::Answered {
                    protocol: Protocol::Http,
                    status: 200,
                    retry_after_ms: None,
                    content_type: Some("text/plain".to_owned()),
                    encoding: None,
                    body: message.payload,
                    pending: None,
                    missing: None,
                },
                classified: Classified { outcome: Outcome::Delivered, said: RulesSaid::Nothing },
                duration_ms: 7,
            })
        })
    }
}

/// How a door is to be built.
pub(crate) struct Plan {
    pub(crate) queues: Vec<QueuePolicy>,
    pub(crate) tokens: Vec<Token>,
    /// Each with its queues.
    pub(crate) topics: Vec<(&'static str, Vec<&'static str>)>,
    pub(crate) body_limit_bytes: usize,
    pub(crate) batch_body_limit_bytes: usize,
    /// Redis is never reached.
    pub(crate) is_redis_away: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            queues: vec![policy("sms")],
            tokens: Vec::new(),
            topics: Vec::new(),
            body_limit_bytes: 256 * 1024,
            batch_body_limit_bytes: 8 * 1024 * 1024,
            is_redis_away: false,
        }
    }
}

/// A running door.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) address: SocketAddr,
    pub(crate) draining: CancellationToken,
    pub(crate) tasks: Tasks,
    settings: Settings,
    redis: Redis,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::build(Plan::default()).await
    }

    pub(crate) async fn build(plan: Plan) -> Self {
        let mut redis = Redis::start();
        if plan.is_redis_away {
            redis.stop();
        }
        let mut settings = testing::settings_of(&format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ndrain_timeout = \"5s\"\n\
             [redis]\nurl = {:?}\nnamespace = \"test\"\ndurability = \"memory\"\ndata_dir = \"/nonexistent\"",
            redis.url
        ));
        settings.server.tokens = plan.tokens;
        settings.server.body_limit_bytes = plan.body_limit_bytes;
        settings.server.batch_body_limit_bytes = plan.batch_body_limit_bytes;
        let shared = plan.queues.iter().flat_map(|queue| &queue.limits).filter(|it| it.shared);
        settings.limits = shared.map(|it| (it.name.clone(), Arc::new(it.clone()))).collect();
        settings.queues = plan.queues.into_iter().map(|q| (q.name.clone(), Arc::new(q))).collect();
        settings.topics = plan.topics.into_iter().map(topic).collect();
        let server = settings.server.clone();
        let tasks = Tasks::new();
        let store = Store::new(&settings, None, Metrics::new(), tasks.clone());
        within(async {
            while !plan.is_redis_away
                && let Err(error) = store.servers.check().await
            {
                assert!(!matches!(error, crate::store::StartRefused::Unfit(_)), "{error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let listening = store.clone();
        let stop = tasks.stop_token().clone();
        tasks.spawn("wake", async move { listening.wake_ups.listen(&stop).await });
        let draining = CancellationToken::new();
        let state = ApiState {
            store: store.clone(),
            tokens: Tokens::new(&server.tokens),
            reload: LastReload::new(Metrics::new()),
            server,
            draining: draining.clone(),
            try_call: Arc::new(Echo),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tasks.clone();
        tasks.spawn("door", async move {
            let entrance = Entrance::new(router(state));
            serve(listener, 1000, entrance, &serving, Duration::from_secs(1)).await;
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { store, address, draining, tasks, settings, redis, client }
    }

    /// What another door on the same store is built from.
    pub(crate) fn state(&self) -> ApiState {
        ApiState {
            store: self.store.clone(),
            server: self.settings.server.clone(),
            tokens: Tokens::new(&self.settings.server.tokens),
            reload: LastReload::new(Metrics::new()),
            draining: self.draining.clone(),
            try_call: Arc::new(Echo),
        }
    }

    /// Takes the queues of the configuration away.
    pub(crate) fn retire_all(&mut self) {
        self.settings.queues.clear();
        self.store.queues.set(&self.settings);
    }

    pub(crate) fn kill_redis(&mut self) {
        self.redis.stop();
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let response = within(self.client.request(request)).await.unwrap();
        let (head, body) = response.into_parts();
        let body = within(body.collect()).await.unwrap().to_bytes();
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(Method::POST, path, &[("content-type", "application/json")], body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &'static str) -> Reply {
        self.send(Method::PATCH, path, &[("content-type", "application/json")], body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], "").await
    }

    /// Seeds a message into `sms`; its id.
    pub(crate) async fn seed(&self, body: &'static str) -> String {
        let reply = self.post("/v1/queues/sms/messages", body).await.expect(201);
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    /// Returns once somebody waits for a message: the wait has been marked in Redis.
    pub(crate) async fn until_watched(&self) {
        let is_counted = |line: &str| {
            line.strip_prefix("tidegate_script_duration_seconds_count{verb=\"watch\"} ")
                .is_some_and(|count| count != "0")
        };
        within(async {
            while !self.store.metrics().render().lines().any(is_counted) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    pub(crate) async fn message(&self, id: &str) -> Value {
        self.get(&format!("/v1/messages/{id}")).await.expect(200).json()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// What the door answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The problem's code, checked for its form.
    #[track_caller]
    pub(crate) fn problem(self, status: u16) -> Value {
        let reply = self.expect(status);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        let json = reply.json();
        let code = json["code"].as_str().unwrap();
        assert_eq!(json["type"], format!("urn:tidegate:problem:{code}"));
        assert_eq!(json["status"], status);
        assert!(json["title"].is_string() && !json["detail"].as_str().unwrap().is_empty());
        assert!(!reply.header("x-request-id").is_empty());
        if status == 503 {
            assert!(reply.header("retry-after").parse::<u32>().unwrap() > 0);
        }
        json
    }

    /// The code of a problem.
    #[track_caller]
    pub(crate) fn code(self, status: u16) -> String {
        self.problem(status)["code"].as_str().unwrap().to_owned()
    }
}

/// A moment so many milliseconds from now, as RFC 3339.
pub(crate) fn from_now(ms: u64) -> String {
    let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    crate::domain::time::rfc3339(now_ms + ms)
}

/// A future that must end.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("it ends in time")
}
