//! A listener to `GET /v1/events`, as any client of Server-Sent Events is one.
//!
//! Owns the cutting of a stream into events. Refuses to know what they mean.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::document;
use super::wait::within;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) name: String,
    /// Empty: it has none of its own.
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// A stream of events.
#[derive(Debug)]
pub(crate) struct Listener {
    body: Incoming,
    text: String,
    /// What a client would name when it comes back.
    pub(crate) last_id: String,
}

impl Listener {
    /// Listens from now on; `query` with its question mark, or empty.
    pub(crate) async fn start(daemon: &Daemon, query: &str) -> Self {
        Self::after(daemon, query, "").await
    }

    /// Goes on after this event; `ready` has come.
    pub(crate) async fn after(daemon: &Daemon, query: &str, last_id: &str) -> Self {
        let headers = [("Last-Event-ID", last_id)];
        let headers = if last_id.is_empty() { &[][..] } else { &headers };
        let response = daemon.http().open(&format!("/v1/events{query}"), headers).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut listener =
            Self { body: response.into_body(), text: String::new(), last_id: last_id.to_owned() };
        let ready = listener.next().await.expect("an event");
        assert_eq!((ready.name.as_str(), &ready.data), ("ready", &json!({})));
        // It moves nobody past changes that were not told yet.
        assert_eq!(ready.id, last_id);
        listener
    }

    /// The next event; `None`: the stream has ended, or broken off.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        within("an event", self.read()).await
    }

    /// Signs of life go on while nothing comes.
    async fn read(&mut self) -> Option<Told> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = block.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().to_owned()
                };
                let (name, id, data) = (field("event: "), field("id: "), field("data: "));
                self.text = rest.to_owned();
                if !id.is_empty() {
                    self.last_id.clone_from(&id);
                }
                if !name.is_empty() {
                    document::check_event(&name, &data);
                    let data = serde_json::from_str(&data).expect("data is JSON");
                    return Some(Told { name, id, data });
                }
                continue;
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(piece) = frame.into_data() {
                self.text.push_str(std::str::from_utf8(&piece).expect("events are text"));
            }
        }
    }

    /// So many events, which must come.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Told> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await.expect("the stream goes on"));
        }
        events
    }
}

impl Told {
    /// `<id> <state>` of a message, `<queue> <change>` of a queue.
    pub(crate) fn text(&self) -> String {
        let [what, how] =
            if self.name == "message" { ["id", "state"] } else { ["queue", "change"] };
        let word = |key: &str| self.data[key].as_str().unwrap_or("?");
        format!("{} {}", word(what), word(how))
    }
}
