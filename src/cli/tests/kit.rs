//! A daemon that answers from a script, and a way to run a command line against it.

use std::collections::VecDeque;
use std::io::{self, Cursor, Write};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use clap::Parser;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use parking_lot::Mutex;
use serde_json::Value;

use super::super::args::{Cli, Command};
use super::super::client::Client;
use super::super::exit::Exit;
use super::super::screen::Screen;
use super::super::times::zone_asked;
use super::super::{Session, execute, execute_local};
use super::answers;
use crate::shutdown::Tasks;

/// 2026-11-21T09:00:00Z, the time of all tests.
pub(crate) const NOW_MS: u64 = 1_795_251_600_000;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// For example `POST /v1/queues/sms/messages?x=y`.
    pub(crate) line: String,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body as text.
    pub(crate) body: String,
}

impl Seen {
    /// The body as JSON; null if there is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The lines of an NDJSON body.
    pub(crate) fn rows(&self) -> Vec<Value> {
        self.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// An answer of the script.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    retry_after: Option<&'static str>,
    body: String,
}

/// An answer with this status and body; of a problem, what is not said is filled in.
pub(crate) fn reply(status: u16, body: impl Into<Text>) -> Reply {
    let body = body.into().0;
    let problem = serde_json::from_str::<Value>(&body).ok().filter(|it| it["code"].is_string());
    let body = problem.map_or(body, |problem| answers::problem(status, &problem).to_string());
    Reply { status, retry_after: None, body }
}

/// The body of an answer: JSON, or any text.
pub(crate) struct Text(String);

impl From<Value> for Text {
    fn from(json: Value) -> Self {
        Self(json.to_string())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Reply {
    /// The same with `Retry-After`.
    pub(crate) fn retry_after(self, seconds: &'static str) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}

/// A daemon that gives its answers in order.
pub(crate) struct Daemon {
    url: String,
    script: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    tasks: Tasks,
}

type Shared = (Arc<Mutex<VecDeque<Reply>>>, Arc<Mutex<Vec<Seen>>>);

impl Daemon {
    /// A daemon on a free port of loopback.
    pub(crate) async fn with(script: impl IntoIterator<Item = Reply>) -> Self {
        let script = Arc::new(Mutex::new(script.into_iter().collect()));
        let seen = Arc::default();
        let shared: Shared = (Arc::clone(&script), Arc::clone(&seen));
        let app =
            Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tasks = Tasks::new();
        let stop = tasks.stop_token().clone();
        tasks.spawn("scripted daemon", async move {
            let serve = axum::serve(listener, app);
            tokio::select! { _ = serve => {}, () = stop.cancelled() => {} }
        });
        Self { url, script, seen, tasks }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs `tidegate <words>` against it.
    pub(crate) async fn run(&self, words: &[&str]) -> Done {
        run_at(&self.url, words, "").await
    }

    /// The same with something on standard input.
    pub(crate) async fn run_with_input(&self, words: &[&str], input: &str) -> Done {
        run_at(&self.url, words, input).await
    }

    /// What arrived; the script must have been used up.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let left = self.script.lock().len();
        assert_eq!(left, 0, "{left} answers of the script were not asked for");
        self.seen.lock().clone()
    }

    /// The request lines of what arrived.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

async fn answer(
    State((script, seen)): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8_lossy(&body).into_owned();
    let content_type = match uri.path() {
        path if path.ends_with("/audit") => "application/x-ndjson",
        "/v1/events" => "text/event-stream",
        _ => "application/json",
    };
    seen.lock().push(Seen { line: format!("{method} {uri}"), headers, body });
    let next = script.lock().pop_front();
    let reply = next.unwrap_or_else(|| reply(500, r#"{"detail":"the script is over"}"#));
    let mut response = (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
    response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    if let Some(seconds) = reply.retry_after {
        response.headers_mut().insert("retry-after", seconds.parse().unwrap());
    }
    response
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its exit code.
    pub(crate) exit: Exit,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

/// A stream that the test can read.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `tidegate <words>` against the daemon at `url`, with the token `secret`.
pub(crate) async fn run_at(url: &str, words: &[&str], input: &str) -> Done {
    let (out, err) = (Buffer::default(), Buffer::default());
    let exit = run_into(url, words, input, Box::new(out.clone()), Box::new(err.clone())).await;
    Done { exit, out: out.text(), err: err.text() }
}

/// The same into streams of the caller's.
pub(crate) async fn run_into(
    url: &str,
    words: &[&str],
    input: &str,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
) -> Exit {
    let cli = Cli::try_parse_from(["tidegate"].iter().chain(words)).expect("a good command line");
    let input = Box::new(Cursor::new(input.as_bytes().to_vec()));
    let (out_is_tty, err_is_tty) = (false, false);
    let format = cli.globals.output;
    let mut screen = Screen { out, err, input, format, out_is_tty, err_is_tty, in_is_tty: false };
    match cli.command {
        Command::Serve(_) | Command::Sink(_) => panic!("servers are not run from here"),
        Command::Local(command) => execute_local(&command, &mut screen),
        Command::Client(command) => {
            let client = Client::new(url, Some("secret")).unwrap();
            let zone = zone_asked(&cli.globals).expect("a good zone");
            let mut session = Session { client, screen, now_ms: || NOW_MS, zone };
            execute(*command, &mut session).await
        }
    }
}
