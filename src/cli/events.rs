//! `events`: changes of state as they happen, followed over restarts of the daemon.
//!
//! Owns the reading of Server-Sent Events and when to go on. Refuses to know what a change means.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Session;
use super::args_admin::EventsArgs;
use super::client::Target;
use super::exit::{Exit, Failure};
use super::plain::plain;
use super::times::stamp;
use crate::wire::change::{EventName, MessageChangeView, QueueChangeView, StreamNoteView};

/// A daemon shows every quarter of a minute that it is there.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Before asking again, after the stream ended.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest event that makes sense.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// `events`.
pub(crate) async fn events(args: &EventsArgs, session: &mut Session) -> Result<Exit, Failure> {
    let mut following = Following { last_id: args.after.clone(), left: args.limit };
    let mut was_there = false;
    loop {
        match session.client.open(Method::GET, &target(args, &following)).await {
            Ok(body) => {
                was_there = true;
                if following.read(body, session).await? {
                    return Ok(Exit::Ok);
                }
            }
            // The daemon starts anew, or its store does: it comes back.
            Err(failure) if was_there && failure.exit == Exit::Unreachable => {
                session.screen.note(&format!("note: {}; trying again", failure.what))?;
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn target(args: &EventsArgs, following: &Following) -> Target {
    let mut target = Target::new(&["v1", "events"]);
    let states: Vec<&str> = args.states.iter().map(|state| state.as_str()).collect();
    let filters = [
        ("queue", args.queues.join(",")),
        ("state", states.join(",")),
        ("after", following.last_id.clone().unwrap_or_default()),
    ];
    for (name, value) in filters {
        if !value.is_empty() {
            target = target.with(name, value);
        }
    }
    target
}

/// How far the following has come.
struct Following {
    last_id: Option<String>,
    /// Changes to show still; `None`: all that come.
    left: Option<u64>,
}

impl Following {
    /// Reads a stream to its end; whether enough was shown.
    async fn read(&mut self, mut body: Incoming, session: &mut Session) -> Result<bool, Failure> {
        let mut text = Vec::new();
        while let Some(piece) = more(&mut body).await {
            text.extend_from_slice(&piece);
            let mut at = 0;
            while let Some(length) = text[at..].windows(2).position(|two| two == b"\n\n") {
                let block = String::from_utf8_lossy(&text[at..at + length]).into_owned();
                at += length + 2;
                if self.take(&block, session)? {
                    return Ok(true);
                }
            }
            text.drain(..at);
            if text.len() > EVENT_BYTES_MAX {
                return Err(Failure::new(Exit::Failure, "an event is longer than makes sense")
                    .next("check that --url names a tidegate daemon"));
            }
            session.screen.flush()?;
        }
        Ok(false)
    }

    /// One event; whether enough was shown.
    fn take(&mut self, block: &str, session: &mut Session) -> Result<bool, Failure> {
        let field =
            |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if let Some(id) = field("id") {
            self.last_id = Some(id.to_owned());
        }
        let (Some(name), Some(data)) = (field("event"), field("data")) else { return Ok(false) };
        let (at, what, how) = match EventName::of(name) {
            Some(EventName::Message) => {
                let change: MessageChangeView = read(data)?;
                (change.at, change.id, change.state.to_string())
            }
            Some(EventName::Queue) => {
                let change: QueueChangeView = read(data)?;
                (change.at, change.queue, change.change.to_string())
            }
            Some(EventName::Gap | EventName::Dropped | EventName::End) => {
                let note: StreamNoteView = read(data)?;
                session.screen.note(&format!("note: {name}: {}", plain(&note.detail)))?;
                return Ok(false);
            }
            // The stream is open, and nothing has changed; or only a newer command knows what has.
            Some(EventName::Ready) | None => return Ok(false),
        };
        if session.screen.is_json() {
            let data: Value = read(data)?;
            session.screen.json(&json!({
                "event": name, "event_id": self.last_id, "data": data,
            }))?;
        } else {
            let at = stamp(&session.times(), at.0);
            session.screen.line(&format!("{at}  {}  {}", plain(&what), plain(&how)))?;
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(self.left == Some(0))
    }
}

fn read<T: DeserializeOwned>(data: &str) -> Result<T, Failure> {
    serde_json::from_str(data)
        .map_err(|error| Failure::new(Exit::Failure, format!("an event makes no sense: {error}")))
}

/// The next piece; `None`: the stream has ended, or nobody is there any more.
async fn more(body: &mut Incoming) -> Option<Bytes> {
    loop {
        let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await.ok()??.ok()?;
        if let Ok(data) = frame.into_data() {
            return Some(data);
        }
    }
}
