//! The traces of what a request hands over.
//!
//! Owns that a `traceparent` of the request goes into the headers of its messages, and the span of each message's way in. A
//! header that is not valid is ignored, as W3C Trace Context asks. Refuses to know what is recorded of a trace (see `telemetry`).

use axum::http::HeaderMap;

use super::Door;
use super::problem::Code;
use crate::domain::message::Details;
use crate::domain::trace_context::{self, TRACEPARENT, TRACESTATE, TraceHeaders};
use crate::store::{Accepted, NotAccepted, StoreError};
use crate::telemetry::{IntakeEnd, IntakeSpan, SpanKind, Tracer};
use crate::wire::Vocabulary as _;

/// The trace context of a request.
pub(super) struct RequestTrace<'a> {
    door: &'a Door,
    context: Option<TraceHeaders>,
    kind: SpanKind,
    /// When the request began, in microseconds by Redis; 0 where no traces are made.
    began_us: u64,
}

impl<'a> RequestTrace<'a> {
    /// Of a request that hands over one message, and that begins now.
    pub(super) fn of(door: &'a Door, headers: &HeaderMap) -> Self {
        Self { context: context_of(headers), ..Self::new(door, SpanKind::Server) }
    }

    /// Of a request that hands over many: what each came to is part of it.
    pub(super) fn of_many(door: &'a Door, headers: &HeaderMap) -> Self {
        Self { context: context_of(headers), ..Self::new(door, SpanKind::Internal) }
    }

    fn new(door: &'a Door, kind: SpanKind) -> Self {
        let began_us = door.tracer().and_then(|_| door.store().clock().now_us()).unwrap_or(0);
        Self { door, context: None, kind, began_us }
    }

    /// The next message of many comes in now.
    pub(super) fn next(&mut self) {
        if self.door.tracer().is_some() {
            self.began_us = self.door.store().clock().now_us().unwrap_or(self.began_us);
        }
    }

    /// Puts the context into the headers of a message, whose fingerprint was made before, and begins the span of its way in.
    pub(super) fn begin(&self, details: &mut Details) -> Option<IntakeSpan> {
        trace_context::drop_invalid(details);
        if let Some(context) = &self.context {
            context.carry(details);
        }
        self.door.tracer()?.begin_intake(self.kind, details, self.began_us)
    }

    /// Records what a message came to.
    pub(super) fn end(
        &self,
        span: Option<IntakeSpan>,
        queue: &str,
        answer: Option<&Result<Accepted, NotAccepted>>,
    ) {
        if span.is_none() {
            return;
        }
        let came = match answer {
            Some(Ok(taken)) => (Ok(taken.id.to_string()), taken.duplicate, taken.collapsed),
            Some(Err(why)) => (Err(code_of(why).word()), false, false),
            None => (Err(Code::Internal.word()), false, false),
        };
        self.ended(span, queue, came);
    }

    /// The same of what is not a message of one queue: its id or why it has none, whether it had been taken in before, and whether
    /// it took the place of another.
    pub(super) fn ended(
        &self,
        span: Option<IntakeSpan>,
        destination: &str,
        (id, is_duplicate, is_collapsed): (Result<String, &str>, bool, bool),
    ) {
        let (Some(span), Some(tracer)) = (span, self.door.tracer()) else { return };
        let at_us = self.door.store().clock().now_us().unwrap_or(self.began_us);
        tracer.end_intake(span, IntakeEnd { destination, id, is_duplicate, is_collapsed, at_us });
    }
}

impl Door {
    /// Takes the spans of traces; `None`: none are made.
    fn tracer(&self) -> Option<&Tracer> {
        self.store().metrics().tracer.as_ref()
    }
}

/// As whoever sent it is told.
const fn code_of(why: &NotAccepted) -> Code {
    match why {
        NotAccepted::Mismatch(_) => Code::IdempotencyMismatch,
        NotAccepted::Backlog(_) => Code::BacklogFull,
        NotAccepted::Store(StoreError::Full(_)) => Code::StoreFull,
        NotAccepted::Store(StoreError::TooLarge(_)) => Code::TooLarge,
        NotAccepted::Store(_) => Code::StoreUnavailable,
    }
}

fn context_of(headers: &HeaderMap) -> Option<TraceHeaders> {
    // Most requests have none, and then this is all.
    headers.get(TRACEPARENT)?;
    let texts = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    TraceHeaders::read(texts(TRACEPARENT), texts(TRACESTATE))
}
