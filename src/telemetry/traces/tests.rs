//! Which traces are made, what goes over the wire, and what becomes of spans that nobody takes.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::*;
use crate::domain::message::Details;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn tracer(sample: f64) -> (Tracer, TraceExporter, Counter) {
    let otlp = Some("http://127.0.0.1:9".parse().unwrap());
    let lost = Counter::default();
    let (tracer, exporter) = Tracer::of(&TelemetrySettings { otlp, sample }, &lost).unwrap();
    (tracer, exporter, lost)
}

fn span() -> FinishedSpan {
    let own: TraceParent = PARENT.parse().unwrap();
    FinishedSpan::new("attempt", SpanKind::Client, "sms", (own, Some([7; 8])), (5, 3))
        .of_message(&"sms".parse().unwrap(), "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .with("tidegate.attempt", 2)
        .linked([own.child([9; 8])])
        .failed("503", "status 503".to_owned())
}

#[test]
fn without_a_collector_there_is_no_tracer() {
    assert!(Tracer::of(&TelemetrySettings::default(), &Counter::default()).is_none());
}

#[test]
fn a_share_of_the_traces_that_begin_here_is_made() {
    assert!((0..1000).all(|_| tracer(1.0).0.root().is_some()));
    let (none, _, _) = tracer(0.0);
    assert!((0..1000).all(|_| none.root().is_none()));
    let (some, _, _) = tracer(0.25);
    let made = (0..4000).filter(|_| some.root().is_some()).count();
    assert!((800..1200).contains(&made), "{made}");
}

#[test]
fn a_parent_decides_whether_its_trace_goes_on() {
    let with = |parent: &str| Details {
        headers: vec![("traceparent".to_owned(), parent.to_owned())],
        ..Details::default()
    };
    let (tracer, _, _) = tracer(0.0);
    let mut sampled = with(PARENT);
    assert!(tracer.begin_intake(SpanKind::Server, &mut sampled, 1).is_some());
    let own = TraceParent::of(&sampled.headers).unwrap();
    assert_eq!(own.trace(), PARENT.parse::<TraceParent>().unwrap().trace());
    assert_ne!(own.to_string(), PARENT, "what follows stands below the intake");
    for other in [format!("{}0", &PARENT[..54]), "mine".to_owned()] {
        let mut details = with(&other);
        assert!(tracer.begin_intake(SpanKind::Server, &mut details, 1).is_none());
        assert_eq!(details, with(&other), "it is passed on as it came");
    }
    let mut without = Details::default();
    assert!(tracer.begin_intake(SpanKind::Server, &mut without, 1).is_none());
    assert!(without.headers.is_empty());
}

#[test]
fn a_span_goes_over_the_wire_as_it_is() {
    let source = TraceSource { node: "n1".to_owned(), host: "gate1".to_owned() };
    let body = otlp::request(&source, &[span()]);
    let read = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    let of_node = &read.resource_spans[0];
    let resource = format!("{:?}", of_node.resource);
    assert!(resource.contains("service.name") && resource.contains("gate1"), "{resource}");
    let sent = &of_node.scope_spans[0].spans[0];
    assert_eq!((sent.name.as_str(), sent.kind), ("attempt sms", 3));
    assert_eq!(sent.parent_span_id, [7; 8]);
    assert_eq!((sent.start_time_unix_nano, sent.end_time_unix_nano), (5000, 5000), "never back");
    assert_eq!(sent.links[0].span_id, [9; 8]);
    assert_eq!(sent.status.as_ref().unwrap().code, 2);
    let said = format!("{:?}", sent.attributes);
    for part in ["sms_01ARZ3NDEKTSV4RRFFQ69G5FAV", "IntValue(2)", "error.type", "503"] {
        assert!(said.contains(part), "{part} not in {said}");
    }
}

#[test]
fn spans_beyond_the_bound_are_lost_and_counted() {
    let (tracer, exporter, lost) = tracer(1.0);
    for _ in 0..WAITING_MAX + 3 {
        tracer.record(span());
    }
    assert_eq!(lost.get(), 3);
    drop(exporter);
    tracer.record(span());
    assert_eq!(lost.get(), 4);
}

#[tokio::test]
async fn a_stop_waits_for_a_bounded_time() {
    let (tracer, exporter, lost) = tracer(1.0);
    tracer.record(span());
    let stop = tokio_util::sync::CancellationToken::new();
    stop.cancel();
    let source = TraceSource { node: String::new(), host: String::new() };
    exporter.run(source, stop).await;
    assert_eq!(lost.get(), 1, "nobody listens there");
}
