//! A collector of traces: a real HTTP server that reads OTLP.
//!
//! Owns the reading of what arrived, and looking for spans. Refuses to know what a trace is to say.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use super::downstream::{Downstream, Request};
use super::wait::poll_until;

/// A span, as it arrived; ids in hexadecimal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SeenSpan {
    pub(crate) trace: String,
    pub(crate) span: String,
    /// "" where it has none.
    pub(crate) parent: String,
    pub(crate) name: String,
    /// As OTLP numbers them: 1 internal, 2 server, 3 client.
    pub(crate) kind: i32,
    pub(crate) start_us: u64,
    pub(crate) end_us: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// `trace-span` of each.
    pub(crate) links: Vec<String>,
    /// Whether it failed, and what it says of that.
    pub(crate) failure: Option<String>,
}

impl SeenSpan {
    fn of(span: &Span) -> Self {
        let attributes = span.attributes.iter().map(|pair| {
            let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
            let text = match value.expect("an attribute has a value") {
                AnyValue::StringValue(text) => text.clone(),
                AnyValue::IntValue(number) => number.to_string(),
                AnyValue::BoolValue(flag) => flag.to_string(),
                other => panic!("{other:?} is no value of ours"),
            };
            (pair.key.clone(), text)
        });
        let links = span.links.iter();
        Self {
            trace: hex(&span.trace_id),
            span: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name.clone(),
            kind: span.kind,
            start_us: span.start_time_unix_nano / 1000,
            end_us: span.end_time_unix_nano / 1000,
            attributes: attributes.collect(),
            links: links.map(|it| format!("{}-{}", hex(&it.trace_id), hex(&it.span_id))).collect(),
            failure: span.status.as_ref().filter(|it| it.code == 2).map(|it| it.message.clone()),
        }
    }

    /// What an attribute says; "" where there is none.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// As a downstream is told of it.
    pub(crate) fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.span)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The collector; it takes everything until it is told otherwise.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) server: Downstream,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self { server: Downstream::start().await }
    }

    /// At a port that was chosen before.
    pub(crate) async fn start_at(port: u16) -> Self {
        Self { server: Downstream::start_at(port).await }
    }

    /// Lines of TOML that name it, with this `sample`.
    pub(crate) fn toml(&self, sample: f64) -> String {
        format!("[telemetry]\notlp = \"{}\"\nsample = {sample:?}\n", self.server.url(""))
    }

    /// Every span that it has taken.
    pub(crate) fn spans(&self) -> Vec<SeenSpan> {
        let taken = |request: &Request| request.status == Some(200);
        self.server.requests().iter().filter(|it| taken(it)).flat_map(spans_of).collect()
    }

    /// The spans of a trace once there are so many of them, by their begin.
    pub(crate) async fn trace(&self, trace: &str, count: usize) -> Vec<SeenSpan> {
        let what = format!("{count} spans of the trace {trace}");
        let mut spans = poll_until(&what, async || {
            let mut spans = self.spans();
            spans.retain(|span| span.trace == trace);
            (spans.len() >= count).then_some(spans)
        })
        .await;
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans.sort_by_key(|span| (span.start_us, span.end_us));
        spans
    }
}

fn spans_of(request: &Request) -> Vec<SeenSpan> {
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/traces"));
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    let sent = ExportTraceServiceRequest::decode(request.body.as_slice()).expect("it is OTLP");
    let nodes = sent.resource_spans.iter().flat_map(|node| &node.scope_spans);
    nodes.flat_map(|scope| &scope.spans).map(SeenSpan::of).collect()
}
