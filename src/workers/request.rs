//! From claimed messages to a call: what a downstream sees.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::domain::headers::origin_header;
use crate::domain::id::{MessageId, QueueName};
use crate::domain::message::{Details, PayloadKind};
use crate::domain::time::rfc3339;
use crate::store::Claimed;
use crate::transport::Call;

/// Room for one item's result in the answer to a batch.
const RESULT_BYTES: usize = 4096;
/// Most bytes of an answer to a batch that are read.
const BATCH_ANSWER_BYTES_MAX: usize = 16 << 20;

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
    let content_type = details.content_type.clone().unwrap_or_else(|| match details.kind {
        PayloadKind::Json => "application/json".to_owned(),
        PayloadKind::Text => "text/plain; charset=utf-8".to_owned(),
        PayloadKind::Raw => "application/octet-stream".to_owned(),
    });
    let mut own_headers = vec![
        ("tidegate-queue", id.queue.to_string()),
        ("tidegate-attempt", attempt.to_string()),
        ("tidegate-due-at", rfc3339(due_ms)),
    ];
    let origins = details.headers.iter().filter_map(|(n, v)| Some((origin_header(n)?, v.clone())));
    own_headers.extend(origins);
    Call {
        url: None,
        id: id.to_string(),
        content_type,
        message_headers: details.headers.clone(),
        own_headers,
        body: payload,
        now_ms,
        deadline,
        response_bytes_max,
    }
}

#[derive(Serialize)]
struct Item<'a> {
    id: String,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    headers: std::collections::BTreeMap<&'a str, &'a str>,
}

/// The call of a batch: a JSON array, each payload's bytes as they came.
pub(super) fn batch_call(
    queue: &QueueName,
    batch_id: &str,
    messages: &[Claimed],
    (now_ms, deadline): (u64, Instant),
) -> Call {
    let texts: Vec<Option<Box<RawValue>>> = messages.iter().map(json_payload).collect();
    let items: Vec<Item<'_>> = messages
        .iter()
        .zip(&texts)
        .map(|(message, text)| Item {
            id: MessageId { queue: queue.clone(), ulid: message.lease.ulid }.to_string(),
            attempt: message.attempt,
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
    let body = serde_json::to_vec(&items).expect("strings and checked JSON always serialise");
    Call {
        url: None,
        id: batch_id.to_owned(),
        content_type: "application/json".to_owned(),
        message_headers: Vec::new(),
        own_headers: vec![
            ("tidegate-queue", queue.to_string()),
            ("tidegate-batch-id", batch_id.to_owned()),
        ],
        body: Bytes::from(body),
        now_ms,
        deadline,
        response_bytes_max: ((messages.len() + 16) * RESULT_BYTES).min(BATCH_ANSWER_BYTES_MAX),
    }
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

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
