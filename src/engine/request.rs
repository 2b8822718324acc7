//! From claimed messages to a call: what a downstream sees.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::domain::headers::origin_header;
use crate::domain::id::{MessageId, QueueName};
use crate::domain::message::{Details, PayloadKind};
use crate::domain::policy::QueuePolicy;
use crate::domain::request_template::{RenderedBody, RenderedRequest};
use crate::domain::time::rfc3339;
use crate::domain::trace_context::{TRACEPARENT, TraceParent};
use crate::store::Claimed;
use crate::transport::{Call, HttpParts};

const JSON: &str = "application/json";
/// Space for one item's result in the answer to a batch, beside what it may repeat of the request.
const RESULT_BYTES: usize = 4096;
/// Most bytes of an answer to a batch that are read.
const BATCH_ANSWER_BYTES_MAX: usize = 16 << 20;

/// The call of messages that leave together: of a single one, or, where the queue sends batches, of a batch. `rendered`:
/// what the queue's templates say of it.
pub(super) fn call_of(
    policy: &QueuePolicy,
    part: &[Claimed],
    times: (u64, Instant),
    rendered: Option<RenderedRequest>,
) -> Call {
    // What a template writes takes the place of the list of a batch, which is then not made.
    let writes_body = |it: &RenderedRequest| it.body != RenderedBody::Payload;
    let call = match (&policy.batch, part) {
        (None, [message]) => single_call(
            &MessageId { queue: policy.name.clone(), ulid: message.lease.ulid },
            &message.details,
            message.payload.clone(),
            message.attempt,
            message.due_ms,
            times,
            policy.read_response_bytes(),
        ),
        _ => batch_call(
            &policy.name,
            part,
            times,
            rendered.as_ref().is_none_or(|it| !writes_body(it)),
        ),
    };
    match rendered {
        None => call,
        Some(rendered) => with_rendered(call, rendered, part.len()),
    }
}

/// A call with what templates say in place of what it had.
#[must_use]
pub fn with_rendered(call: Call, rendered: RenderedRequest, messages: usize) -> Call {
    let RenderedRequest { url, headers, body } = rendered;
    let call = Call { http: HttpParts { url, headers }, ..call };
    match body {
        RenderedBody::Payload => call,
        RenderedBody::Empty => Call { content_type: String::new(), body: Bytes::new(), ..call },
        RenderedBody::Written { content_type, bytes } => {
            let read = batch_answer_bytes(messages, bytes.len());
            let response_bytes_max =
                call.response_bytes_max.max(if messages > 1 { read } else { 0 });
            Call { content_type, body: bytes, response_bytes_max, ..call }
        }
    }
}

/// The call with its span in its headers, for the downstream to go on from.
pub(super) fn below(span: Option<TraceParent>, mut call: Call) -> Call {
    call.message_headers.extend(span.map(|span| (TRACEPARENT.to_owned(), span.to_string())));
    call
}

/// How much of an answer to so many messages is read.
fn batch_answer_bytes(messages: usize, sent: usize) -> usize {
    ((messages + 16) * RESULT_BYTES + sent).min(BATCH_ANSWER_BYTES_MAX)
}

/// The call of one message. `deadline` bounds the whole exchange.
#[must_use]
pub fn single_call(
    id: &MessageId,
    details: &Details,
    payload: Bytes,
    attempt: u32,
    due_ms: u64,
    (now_ms, deadline): (u64, Instant),
    response_bytes_max: usize,
) -> Call {
    let mut facts = vec![
        ("tidegate-queue", id.queue.to_string()),
        ("tidegate-attempt", attempt.to_string()),
        ("tidegate-due-at", rfc3339(due_ms)),
    ];
    let origins = details.headers.iter().filter_map(|(n, v)| Some((origin_header(n)?, v.clone())));
    facts.extend(origins);
    Call {
        id: id.to_string(),
        content_type: content_type(details).to_owned(),
        message_headers: details.headers.clone(),
        facts,
        http: HttpParts::default(),
        body: payload,
        now_ms,
        deadline,
        response_bytes_max,
    }
}

fn content_type(details: &Details) -> &str {
    details.content_type.as_deref().unwrap_or(match details.kind {
        PayloadKind::Json => JSON,
        PayloadKind::Text => "text/plain; charset=utf-8",
        PayloadKind::Raw => "application/octet-stream",
    })
}

#[derive(Serialize)]
struct BatchItem<'a> {
    id: &'a str,
    attempt: u32,
    /// Left out where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    headers: std::collections::BTreeMap<&'a str, &'a str>,
}

/// The ids of a batch's messages, as the downstream sees them.
pub(super) fn item_ids(queue: &QueueName, messages: &[Claimed]) -> Vec<String> {
    let id = |message: &Claimed| MessageId { queue: queue.clone(), ulid: message.lease.ulid };
    messages.iter().map(|message| id(message).to_string()).collect()
}

/// The same for the same messages, in whatever order and however often they are sent, and another one
/// for any others: a downstream knows a repeated batch by it.
fn batch_id(queue: &QueueName, ids: &[String]) -> String {
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let digest = Sha256::digest(sorted.join(" "));
    let short = digest[..16].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    format!("{queue}_{short}")
}

/// The call of a batch: a JSON array, each payload's bytes as they came.
fn batch_call(
    queue: &QueueName,
    messages: &[Claimed],
    (now_ms, deadline): (u64, Instant),
    has_body: bool,
) -> Call {
    let ids = item_ids(queue, messages);
    let batch_id = batch_id(queue, &ids);
    let body = if has_body { batch_body(messages, &ids) } else { Vec::new() };
    Call {
        id: batch_id.clone(),
        content_type: JSON.to_owned(),
        message_headers: Vec::new(),
        facts: vec![("tidegate-queue", queue.to_string()), ("tidegate-batch-id", batch_id)],
        http: HttpParts::default(),
        now_ms,
        deadline,
        response_bytes_max: batch_answer_bytes(messages.len(), body.len()),
        body: Bytes::from(body),
    }
}

fn batch_body(messages: &[Claimed], ids: &[String]) -> Vec<u8> {
    let texts: Vec<Option<Box<RawValue>>> = messages.iter().map(json_payload).collect();
    let items: Vec<BatchItem<'_>> = messages
        .iter()
        .zip(&texts)
        .zip(ids)
        .map(|((message, text), id)| BatchItem {
            id,
            attempt: message.attempt,
            content_type: Some(content_type(&message.details)).filter(|named| !is_json(named)),
            payload: text.as_deref(),
            payload_base64: text.is_none().then(|| base64_of(&message.payload)),
            headers: message
                .details
                .headers
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect(),
        })
        .collect();
    serde_json::to_vec(&items).expect("strings and checked JSON always serialise")
}

/// The payload as a JSON value, unless it is raw bytes.
fn json_payload(message: &Claimed) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(&message.payload).ok()?;
    match message.details.kind {
        PayloadKind::Json => RawValue::from_string(text.to_owned()).ok(),
        PayloadKind::Text => RawValue::from_string(serde_json::to_string(text).ok()?).ok(),
        PayloadKind::Raw => None,
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(JSON)
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_known_by_its_messages() {
        let queue: QueueName = "erp".parse().unwrap();
        let of = |ids: &[&str]| {
            batch_id(&queue, &ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())
        };
        let id = of(&["erp_A", "erp_B"]);
        assert_eq!(of(&["erp_B", "erp_A"]), id);
        assert!(id.starts_with("erp_") && id.len() == 36, "{id}");
        for other in [&["erp_A"][..], &["erp_B"], &["erp_A", "erp_C"], &["erp_A", "erp_B", "erp_C"]]
        {
            assert_ne!(of(other), id, "{other:?}");
        }
    }

    #[test]
    fn json_is_known_by_its_type() {
        assert!(is_json("application/json") && is_json("Application/JSON ; charset=utf-8"));
        for other in ["text/plain", "application/cloudevents+json", "application/jsonx", ""] {
            assert!(!is_json(other), "{other}");
        }
    }
}
