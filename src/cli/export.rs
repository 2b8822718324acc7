//! `export`: messages as NDJSON that `send-batch` takes again.
//!
//! Owns which fields travel. Left out on purpose: the idempotency key (the old message would answer
//! for the new one) and due times that have passed.

use std::borrow::Cow;
use std::io::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Session;
use super::args_messages::ExportArgs;
use super::client::Target;
use super::describe::count;
use super::exit::{Exit, Failure};
use super::expected::unexpected;
use super::list::Page;
use crate::domain::headers::is_reserved_header;
use crate::domain::state::State;
use crate::wire::message::{CallbackView, MessageView};
use crate::wire::new_message::{CallbackRequest, MessageRequest};
use crate::wire::{self, Pairs, Payload};

/// Messages asked for at once; the daemon ends a page sooner where payloads are large.
const PAGE: u64 = 100;

/// `export`.
pub(crate) async fn export(args: &ExportArgs, session: &mut Session) -> Result<Exit, Failure> {
    let mut cursor: Option<String> = None;
    let mut without_payload = 0;
    loop {
        let mut target = Target::new(&["v1", "queues", &args.queue, "messages"])
            .with("state", args.state.as_str())
            .with("view", "full")
            .with("limit", PAGE.to_string());
        if let Some(cursor) = &cursor {
            target = target.with("cursor", cursor);
        }
        let page: Page = session.client.get(&target).await?.read()?;
        for message in &page.messages {
            let row = row(message, args.state, (session.now_ms)())?;
            without_payload += u64::from(!row.has_payload);
            session.screen.out.write_all(row.json.as_bytes())?;
            session.screen.out.write_all(b"\n")?;
        }
        match page.next_cursor {
            Some(next) if !page.messages.is_empty() => cursor = Some(next),
            _ => break,
        }
    }
    if without_payload > 0 {
        let rows = count(without_payload, "row");
        session.screen.note(&format!(
            "note: {rows} without a payload, which is not kept; send-batch will reject them"
        ))?;
    }
    Ok(Exit::Ok)
}

struct Row {
    json: String,
    has_payload: bool,
}

/// A row: the message as it would be handed over, and which one it was.
#[derive(Serialize)]
struct Line {
    id: String,
    #[serde(flatten)]
    message: MessageRequest,
}

fn row(message: &RawValue, state: State, now_ms: u64) -> Result<Row, Failure> {
    let message: MessageView<'_> =
        serde_json::from_str(message.get()).map_err(|error| unexpected(&error.to_string()))?;
    let id = message.id.clone();
    let message = again(message, state, now_ms);
    let has_payload = message.payload.is_some() || message.payload_base64.is_some();
    let json = serde_json::to_string(&Line { id, message })
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot write JSON: {error}")))?;
    // Line breaks in valid JSON are blanks between its parts; a row must have none.
    Ok(Row { json: json.replace(['\n', '\r'], " "), has_payload })
}

/// The message as it can be handed over again.
fn again(message: MessageView<'_>, state: State, now_ms: u64) -> MessageRequest {
    // Our own headers say where the message came from: send-batch could not set them.
    let mut headers = message.headers.map(Pairs::into_map).unwrap_or_default();
    headers.retain(|name, _| !is_reserved_header(name));
    let labels = message.labels.into_owned();
    MessageRequest {
        payload: message
            .payload
            .filter(|_| message.payload_base64.is_none())
            .map(Payload::into_owned),
        payload_base64: message.payload_base64,
        content_type: Some(message.content_type.into_owned()),
        headers: (!headers.is_empty()).then_some(headers),
        due_at: Some(message.due_at).filter(|_| state == State::Scheduled),
        expires_at: message.expires_at.filter(|at| at.0 > now_ms),
        priority: Some(message.priority),
        group: message.group.map(Cow::into_owned),
        labels: (!labels.is_empty()).then_some(labels),
        retry: message.retry.map(Into::into),
        callback: message.callback.and_then(own_callback),
        timeout: message.timeout.map(Into::into),
        url: message.url.map(Cow::into_owned),
        method: message.method.map(Cow::into_owned),
        collapse_key: message.collapse_key.map(Cow::into_owned),
        time_zone: message.time_zone.map(Cow::into_owned),
        recipient_hours: message.recipient_hours.map(Cow::into_owned),
        cost: Some(message.cost).filter(|cost| *cost != wire::usual_cost()),
        ..MessageRequest::default()
    }
}

/// What the message itself said of its callback. Where it named no address, its queue says where callbacks go and when.
fn own_callback(callback: CallbackView<'_>) -> Option<CallbackRequest> {
    let url = callback.url?.into_owned();
    Some(CallbackRequest { url: Some(url), on: Some(callback.on) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::tests::answers;

    fn exported(given: &Value, payload: Option<&str>, state: State) -> (String, bool) {
        let message = answers::message(given).to_string();
        let message = match payload {
            Some(payload) => message.replacen('{', &format!("{{\"payload\":{payload},"), 1),
            None => message,
        };
        let message: Box<RawValue> = serde_json::from_str(&message).unwrap();
        let row = row(&message, state, 1_795_251_600_000).unwrap();
        (row.json, row.has_payload)
    }

    #[test]
    fn a_row_holds_what_can_be_sent_again_byte_for_byte() {
        let given = json!({"id": "q_1", "state": "dead", "headers": {}, "priority": 3,
            "idempotency_key": "k", "expires_at": "2026-11-21T08:30:00.000Z", "labels": {"x": "y"}});
        assert_eq!(
            exported(&given, Some("{\"b\": 1.50,\r\n \"a\":[]}"), State::Dead),
            (
                r#"{"id":"q_1","payload":{"b": 1.50,   "a":[]},"content_type":"application/json","priority":3,"labels":{"x":"y"}}"#
                    .into(),
                true
            )
        );
    }

    #[test]
    fn what_a_message_brought_for_its_sending_travels() {
        let given = json!({"timeout": "3s", "cost": 3, "retry": {"schedule": ["5s", "1m"], "max_attempts": 4},
            "callback": {"url": "https://shop.example/h", "on": ["dead"]}});
        let (json, _) = exported(&given, Some("1"), State::Dead);
        for part in [
            r#""timeout":"3s""#,
            r#""cost":3"#,
            r#""retry":{"max_attempts":4,"schedule":["5s","1m"]}"#,
            r#""callback":{"url":"https://shop.example/h","on":["dead"]}"#,
        ] {
            assert!(json.contains(part), "{part}: {json}");
        }
        // The queue that takes it says where its callbacks go.
        let given = json!({"callback": {"on": ["dead"]}});
        assert!(!exported(&given, Some("1"), State::Dead).0.contains("callback"));
    }

    #[test]
    fn headers_that_we_set_stay_behind() {
        let given = |headers: Value| json!({"id": "q_1", "state": "dead", "headers": headers});
        let both = given(json!({"tidegate-event": "e_1", "x-a": "1"}));
        let (json, _) = exported(&both, Some("1"), State::Dead);
        assert!(json.contains(r#""headers":{"x-a":"1"}"#), "{json}");
        let (json, _) = exported(&given(json!({"tidegate-event": "e_1"})), Some("1"), State::Dead);
        assert!(!json.contains("headers"), "{json}");
    }

    #[test]
    fn times_travel_while_they_lie_ahead() {
        let given =
            json!({"due_at": "2026-11-22T08:00:00.000Z", "expires_at": "2026-11-23T08:30:00.000Z"});
        let (json, _) = exported(&given, Some("null"), State::Scheduled);
        assert!(
            json.contains("\"due_at\":\"2026-11-22")
                && json.contains("\"expires_at\":\"2026-11-23")
                && json.contains("\"payload\":null")
        );
        let (json, has_payload) = exported(&given, None, State::Delivered);
        assert!(!has_payload && !json.contains("due_at"), "{json}");
    }
}
