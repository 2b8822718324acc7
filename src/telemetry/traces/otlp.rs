//! Spans as OTLP 1.x writes them (<https://opentelemetry.io/docs/specs/otlp/>).
//!
//! Owns the translation. The messages themselves are those of the crate `opentelemetry-proto`, which are made from OTLP's own
//! definition.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{self, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, status};
use prost::Message as _;

use super::span::{FinishedSpan, SpanKind, SpanValue};
use crate::domain::trace_context::TraceParent;

/// Who made the spans.
#[derive(Debug, Clone)]
pub struct TraceSource {
    /// The id of this node.
    pub node: String,
    /// The name of its machine.
    pub host: String,
}

/// The flag of a span whose trace is recorded, as in `traceparent`.
const SAMPLED: u32 = 1;

/// The body of an export request.
pub(super) fn request(source: &TraceSource, spans: &[FinishedSpan]) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = spans.iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource = Some(resource(source));
    let of_node = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![of_node] }.encode_to_vec()
}

/// How many spans of a request a collector has refused, by its answer, and why; an answer that cannot be read refuses none.
pub(super) fn refused(answer: &[u8]) -> Option<(u64, String)> {
    let answer = ExportTraceServiceResponse::decode(answer).ok()?.partial_success?;
    let count = u64::try_from(answer.rejected_spans).ok().filter(|count| *count > 0)?;
    Some((count, answer.error_message))
}

fn resource(source: &TraceSource) -> Resource {
    let attributes = vec![
        attribute("service.name", Value::StringValue(env!("CARGO_PKG_NAME").to_owned())),
        attribute("service.version", Value::StringValue(env!("CARGO_PKG_VERSION").to_owned())),
        attribute("service.instance.id", Value::StringValue(source.node.clone())),
        attribute("host.name", Value::StringValue(source.host.clone())),
    ];
    Resource { attributes, ..Resource::default() }
}

fn span(from: &FinishedSpan) -> Span {
    let attributes = from.attributes.iter();
    Span {
        trace_id: from.own.trace().to_vec(),
        span_id: from.own.span().to_vec(),
        parent_span_id: from.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        flags: SAMPLED,
        name: from.name.clone(),
        kind: match from.kind {
            SpanKind::Internal => span::SpanKind::Internal,
            SpanKind::Server => span::SpanKind::Server,
            SpanKind::Client => span::SpanKind::Client,
        }
        .into(),
        start_time_unix_nano: from.start_us.saturating_mul(1000),
        end_time_unix_nano: from.end_us.saturating_mul(1000),
        attributes: attributes.map(|(name, it)| attribute(name, value(it))).collect(),
        links: from.links.iter().map(link).collect(),
        status: from.failure.as_ref().map(|reason| Status {
            message: reason.clone(),
            code: status::StatusCode::Error.into(),
        }),
        ..Span::default()
    }
}

fn link(to: &TraceParent) -> Link {
    Link {
        trace_id: to.trace().to_vec(),
        span_id: to.span().to_vec(),
        flags: u32::from(to.is_sampled()),
        ..Link::default()
    }
}

fn value(from: &SpanValue) -> Value {
    match from {
        SpanValue::Text(text) => Value::StringValue(text.clone()),
        SpanValue::Count(count) => Value::IntValue(i64::try_from(*count).unwrap_or(i64::MAX)),
        SpanValue::Flag(flag) => Value::BoolValue(*flag),
    }
}

fn attribute(name: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: name.to_owned(), value, ..KeyValue::default() }
}
