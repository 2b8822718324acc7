//! What a scripted downstream answers.
//!
//! Owns the answers a test can ask for, good and bad. Refuses to know when they are given.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::downstream::Request;

/// One answer, or none.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(super) act: Act,
    pub(super) gate: Option<Gate>,
    pub(super) after: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Act {
    /// A well-formed answer.
    Reply { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// These bytes as they are, then the connection closes.
    Raw(Vec<u8>),
    /// These writes, some milliseconds apart, and the connection stays.
    Writes(Vec<Vec<u8>>),
    /// These bytes again and again, until the other side has had enough.
    Endless(Vec<u8>),
    /// The connection breaks with a TCP reset.
    Reset,
    /// The request is read and never answered.
    Silence,
}

impl Answer {
    /// An answer with this status and an empty body.
    pub(crate) fn status(status: u16) -> Self {
        Self::of(Act::Reply { status, headers: Vec::new(), body: Vec::new() })
    }

    /// 200.
    pub(crate) fn ok() -> Self {
        Self::status(200)
    }

    /// These bytes instead of a well-formed answer, then the connection closes.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(Act::Raw(bytes.into()))
    }

    /// These bytes in several writes instead of a well-formed answer; the connection stays.
    pub(crate) fn writes(writes: &[&str]) -> Self {
        Self::of(Act::Writes(writes.iter().map(|bytes| bytes.as_bytes().to_vec()).collect()))
    }

    /// These bytes without end.
    pub(crate) fn endless(bytes: &str) -> Self {
        Self::of(Act::Endless(bytes.repeat(1 + (64 << 10) / bytes.len()).into_bytes()))
    }

    /// The request is read, then the connection breaks.
    pub(crate) fn reset() -> Self {
        Self::of(Act::Reset)
    }

    /// The request is read and never answered.
    pub(crate) fn silence() -> Self {
        Self::of(Act::Silence)
    }

    /// With one more header.
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let Act::Reply { headers, .. } = &mut self.act {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// With this body.
    #[must_use]
    pub(crate) fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        if let Act::Reply { body, .. } = &mut self.act {
            *body = bytes.into();
        }
        self
    }

    /// With this JSON body.
    #[must_use]
    pub(crate) fn json(self, value: &Value) -> Self {
        self.header("Content-Type", "application/json").body(value.to_string())
    }

    /// Held back until the gate is released; whatever the answer is.
    #[must_use]
    pub(crate) fn held_by(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Given so much later; whatever the answer is.
    #[must_use]
    pub(crate) fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    fn of(act: Act) -> Self {
        Self { act, gate: None, after: Duration::ZERO }
    }
}

/// Holds answers back until the test says so; clones are the same gate.
#[derive(Debug, Clone)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    /// A shut gate.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everything through that waits now or comes later.
    pub(crate) fn release(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn passed(&self) {
        let mut released = self.0.subscribe();
        released.wait_for(|released| *released).await.expect("we hold the sender ourselves");
    }
}

/// The answer to a batch that settles each item by itself: `verdict` gives the status word of an
/// item of the request (`delivered`, `retry`, `dead`), or `None` to leave it out.
pub(crate) fn batch_results(
    request: &Request,
    mut verdict: impl FnMut(&Value) -> Option<&'static str>,
) -> Answer {
    let mut results = Vec::new();
    for item in request.items() {
        if let Some(status) = verdict(&item) {
            results.push(json!({ "id": item["id"], "status": status, "detail": "scripted" }));
        }
    }
    Answer::ok().json(&json!({ "results": results }))
}
