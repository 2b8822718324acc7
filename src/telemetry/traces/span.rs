//! A span that is over, in plain values.
//!
//! Owns what a span says. Nothing of a payload and no secret may be among it. Refuses to know the wire (see `otlp`).

use std::borrow::Cow;

use crate::domain::id::QueueName;
use crate::domain::trace_context::{SpanId, TraceParent};

/// What an attribute says.
#[derive(Debug, Clone, PartialEq)]
pub enum SpanValue {
    /// A text.
    Text(String),
    /// A whole number.
    Count(u64),
    /// Yes or no.
    Flag(bool),
}

impl From<u64> for SpanValue {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<bool> for SpanValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for SpanValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// What a span stands for, by the words of OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Work within this program.
    Internal,
    /// A request that was answered here.
    Server,
    /// A request that was made from here.
    Client,
}

/// A span that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedSpan {
    pub(super) own: TraceParent,
    pub(super) parent: Option<SpanId>,
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) start_us: u64,
    pub(super) end_us: u64,
    pub(super) attributes: Vec<(Cow<'static, str>, SpanValue)>,
    pub(super) links: Vec<TraceParent>,
    /// `Some`: it failed, for this reason where there is one that may be shown.
    pub(super) failure: Option<String>,
}

impl FinishedSpan {
    /// What `operation` did for a queue, from one moment to another, in microseconds since the Unix epoch by Redis.
    #[must_use]
    pub fn new(
        operation: &'static str,
        kind: SpanKind,
        queue: &str,
        (own, parent): (TraceParent, Option<SpanId>),
        (start_us, end_us): (u64, u64),
    ) -> Self {
        let name = format!("{operation} {queue}");
        let span = Self {
            own,
            parent,
            name,
            kind,
            start_us,
            end_us: end_us.max(start_us),
            attributes: Vec::with_capacity(10),
            links: Vec::new(),
            failure: None,
        };
        span.with("messaging.system", "tidegate")
            .with("messaging.operation.name", operation)
            .with("messaging.destination.name", queue)
    }

    /// With this attribute.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<SpanValue>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// With this attribute, where there is one.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Into<SpanValue>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With the id of its message.
    #[must_use]
    pub fn of_message(self, queue: &QueueName, ulid: impl std::fmt::Display) -> Self {
        self.with("messaging.message.id", format!("{queue}_{ulid}"))
    }

    /// With links to these spans of other traces.
    #[must_use]
    pub fn linked(mut self, spans: impl IntoIterator<Item = TraceParent>) -> Self {
        self.links.extend(spans);
        self
    }

    /// As one that failed: `kind` is the word or the status, `reason` what may be shown of it.
    #[must_use]
    pub fn failed(mut self, kind: impl Into<SpanValue>, reason: String) -> Self {
        self.failure = Some(reason);
        self.with("error.type", kind)
    }
}
