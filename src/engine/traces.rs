//! The spans of waits, attempts and calls, for those messages whose trace is recorded.
//!
//! Owns when they begin and end, and what they say: no payload, no answer, no secret. Where no traces are made, each of these
//! functions ends at its first line. Refuses to know which traces are made and how spans travel (see `telemetry`).

use super::exchange::{Exchanges, Tried};
use super::wait_reports::waited;
use crate::domain::message::Details;
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::policy::QueuePolicy;
use crate::domain::settlement::Settlement;
use crate::domain::trace_context::{AttemptSpan, TraceParent};
use crate::domain::waited::{AttemptWait, WAITED_MS, WaitBefore};
use crate::store::Claimed;
use crate::telemetry::{FinishedSpan, SpanKind, Tracer, span_id};

impl Exchanges {
    fn tracer(&self) -> Option<&Tracer> {
        self.store.metrics().tracer.as_ref()
    }

    /// Begins the span of an attempt of each message whose trace is recorded: the downstream sees it in the message's headers.
    pub(super) fn begin_spans(&self, mut messages: Vec<Claimed>) -> Vec<Claimed> {
        if self.tracer().is_some() {
            for message in &mut messages {
                message.span = AttemptSpan::begin(&mut message.details.headers, span_id());
            }
        }
        messages
    }

    /// Begins the span of a call with a batch, in a trace of its own, if some message of it has a span. The call of a single
    /// message is its attempt.
    pub(super) fn begin_call(&self, part: &[Claimed]) -> Option<TraceParent> {
        self.tracer()?;
        let is_traced =
            self.queue.policy.batch.is_some() && part.iter().any(|it| it.span.is_some());
        is_traced.then(|| TraceParent::root(rand::random(), span_id())).flatten()
    }

    /// Records the call with a batch.
    pub(super) fn end_call(
        &self,
        span: Option<TraceParent>,
        part: &[Claimed],
        tried: Tried,
    ) -> Tried {
        let (Some(own), Some(tracer)) = (span, self.tracer()) else { return tried };
        let policy = &self.queue.policy;
        let times = (tried.started_at_ms * 1000, tried.ended_at_ms * 1000);
        let queue = policy.name.as_str();
        let recorded = FinishedSpan::new("call", SpanKind::Client, queue, (own, None), times)
            .with("messaging.batch.message_count", part.len() as u64)
            .linked(part.iter().filter_map(|message| Some(message.span?.own)));
        let recorded = called(recorded, policy, part.first().map(|it| &it.details));
        tracer.record(answered(recorded, &tried));
        Tried { call_span: Some(own), ..tried }
    }

    /// Records an attempt, and the wait before it.
    pub(super) fn report_attempt(
        &self,
        message: &Claimed,
        tried: &Tried,
        settlement: &Settlement,
        wait: &AttemptWait,
    ) {
        let (Some(AttemptSpan { parent, own }), Some(tracer)) = (message.span, self.tracer())
        else {
            return;
        };
        let policy = &self.queue.policy;
        let (queue, ulid) = (&policy.name, message.lease.ulid);
        self.report_wait(message, parent, tried.started_at_ms, wait);
        let of = (own, Some(parent.span()));
        let times = (tried.started_at_ms * 1000, tried.ended_at_ms * 1000);
        let retry_ms = match settlement {
            Settlement::Retry { delay_ms } => Some(*delay_ms),
            _ => None,
        };
        // The call of a batch has a span of its own.
        let is_call = policy.batch.is_none();
        let kind = if is_call { SpanKind::Client } else { SpanKind::Internal };
        let recorded = FinishedSpan::new("attempt", kind, queue.as_str(), of, times)
            .of_message(queue, ulid)
            .with("tidegate.attempt", u64::from(message.attempt))
            .with_some("tidegate.retry_delay_ms", retry_ms)
            .linked(tried.call_span);
        let recorded =
            if is_call { called(recorded, policy, Some(&message.details)) } else { recorded };
        tracer.record(answered(recorded, tried));
    }

    /// Records the wait for an attempt. What held the whole queue is asked for where it was long, and nobody waits for that.
    fn report_wait(&self, message: &Claimed, parent: TraceParent, to_ms: u64, known: &AttemptWait) {
        let (Some(tracer), Some(waits)) = (self.tracer(), &self.waits) else { return };
        let previous_end_ms = message.previous_end_ms;
        let is_first = message.attempt <= 1
            && message.throttles == 0
            && message.rescues == 0
            && previous_end_ms.is_none();
        let from_ms = if is_first {
            message.lease.ulid.timestamp_ms()
        } else {
            // A throttle leaves the due time as it is.
            previous_end_ms.unwrap_or(0).max(message.due_ms)
        };
        let wait = WaitBefore {
            is_first,
            from_ms: from_ms.min(to_ms),
            due_ms: message.due_ms,
            to_ms,
            hours_ms: known.hours_ms,
            stood: known.stood.clone(),
        };
        let name = &self.queue.policy.name;
        let of = (parent.child(span_id()), Some(parent.span()));
        let times = (wait.from_ms * 1000, to_ms * 1000);
        let span = FinishedSpan::new("wait", SpanKind::Internal, name.as_str(), of, times)
            .of_message(name, message.lease.ulid)
            .with("tidegate.attempt", u64::from(message.attempt));
        if to_ms < wait.from_ms.saturating_add(WAITED_MS) {
            // Nobody is asked for so little.
            return tracer.record(waited(span, &wait, None));
        }
        waits.report(tracer, span, wait, message.lease.shard);
    }
}

/// With who was called; never the whole url, which may hold a secret.
fn called(span: FinishedSpan, policy: &QueuePolicy, details: Option<&Details>) -> FinishedSpan {
    let downstream = &policy.downstream;
    // That of the message, or the queue's own; one that goes nowhere was not called.
    let Ok(target) = details.map_or(Ok(None), |details| downstream.target(details)) else {
        return span;
    };
    let Some(http) = target.as_ref().or_else(|| downstream.http()) else { return span };
    let (url, method) = (&http.url, &http.method);
    span.with("http.request.method", method.as_str())
        .with_some("server.address", url.host_str())
        .with_some("server.port", url.port_or_known_default().map(u64::from))
}

/// With what it came to. An answer's body, which may repeat the payload, is not shown.
fn answered(span: FinishedSpan, tried: &Tried) -> FinishedSpan {
    let word = tried.outcome.as_str();
    let status = match &tried.answer {
        Answer::Answered { status, .. } => Some(*status),
        _ => None,
    };
    let span = span
        .with("tidegate.outcome", word)
        .with_some("http.response.status_code", status.map(u64::from));
    if matches!(tried.outcome, Outcome::Delivered | Outcome::Accepted) {
        return span;
    }
    match &tried.answer {
        Answer::Answered { status, .. } if *status >= 400 => {
            span.failed(status.to_string(), format!("status {status}"))
        }
        Answer::Answered { .. } => span.failed(word, format!("the answer means {word}")),
        // What a template says of a message may repeat its payload.
        _ if tried.error.is_some() => span.failed(word, "no request was made".to_owned()),
        Answer::NotSent { .. }
        | Answer::NotAllowed { .. }
        | Answer::Withheld { .. }
        | Answer::Unknown { .. } => span.failed(word, tried.error()),
    }
}
