//! The span of a message's way in.
//!
//! Owns which trace a message belongs to: that of its own header `traceparent`, else a new one. Whatever follows belongs below this
//! span, on whichever node, since the message's header names it from here on.

use super::Tracer;
use super::span::{FinishedSpan, SpanKind};
use crate::domain::message::Details;
use crate::domain::trace_context::{self, SpanId, TraceParent};

/// A message on its way in.
#[derive(Debug, Clone, Copy)]
pub struct IntakeSpan {
    own: TraceParent,
    parent: Option<SpanId>,
    kind: SpanKind,
    start_us: u64,
}

/// What a message on its way in came to.
#[derive(Debug)]
pub struct IntakeEnd<'a> {
    /// The queue or the topic.
    pub destination: &'a str,
    /// The id of the message or of the event; or why it was not taken in, as the code of a problem.
    pub id: Result<String, &'a str>,
    /// Whether it had been taken in before, by its idempotency key.
    pub is_duplicate: bool,
    /// Whether it took the place of a waiting one, by its collapse key.
    pub is_collapsed: bool,
    /// When, in microseconds since the Unix epoch by Redis.
    pub at_us: u64,
}

impl Tracer {
    /// Begins the span of a message that came in at a moment (microseconds since the Unix epoch by Redis), and names it in the
    /// message's headers. `None`: its trace is not recorded, or its own header is not valid, or there is no room for one.
    #[must_use]
    pub fn begin_intake(
        &self,
        kind: SpanKind,
        details: &mut Details,
        start_us: u64,
    ) -> Option<IntakeSpan> {
        let parent = TraceParent::of(&details.headers);
        let own = match parent {
            Some(parent) if parent.is_sampled() => parent.child(super::span_id()),
            Some(_) => return None,
            None if trace_context::is_named(&details.headers) => return None,
            None => self.root()?,
        };
        let span = IntakeSpan { own, parent: parent.map(|it| it.span()), kind, start_us };
        trace_context::name_span(details, own).then_some(span)
    }

    /// Records what became of it.
    pub fn end_intake(&self, span: IntakeSpan, end: IntakeEnd<'_>) {
        let IntakeSpan { own, parent, kind, start_us } = span;
        // In whole milliseconds, as the moments of the message are: nothing below it begins before it.
        let times = (start_us / 1000 * 1000, end.at_us);
        let (id, refused) = (end.id.as_ref().ok().cloned(), end.id.err());
        let recorded = FinishedSpan::new("intake", kind, end.destination, (own, parent), times)
            .with_some("messaging.message.id", id)
            .with_some("tidegate.duplicate", end.is_duplicate.then_some(true))
            .with_some("tidegate.collapsed", end.is_collapsed.then_some(true));
        self.record(match refused {
            Some(code) => recorded.failed(code, "it was not taken in".to_owned()),
            None => recorded,
        });
    }
}
