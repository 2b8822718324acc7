//! `export`: messages as NDJSON that `send-batch` takes again.
//!
//! Owns which fields travel. Left out on purpose: the idempotency key (the old message would answer
//! for the new one) and due times that have passed.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::value::RawValue;

use super::Session;
use super::args_messages::ExportArgs;
use super::client::Target;
use super::describe::count;
use super::exit::{Exit, Failure};
use super::list::Page;
use crate::domain::headers::is_reserved_header;
use crate::domain::state::State;
use crate::domain::time::parse_rfc3339;

/// Messages asked for at once; the daemon ends a page sooner where payloads are large.
const PAGE: u64 = 100;

/// Fields that travel as they are.
const FIELDS: [&str; 11] = [
    "id",
    "payload",
    "payload_base64",
    "content_type",
    "headers",
    "priority",
    "group",
    "labels",
    "retry",
    "timeout",
    "cost",
];

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

fn row(message: &RawValue, state: State, now_ms: u64) -> Result<Row, Failure> {
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(message.get()).map_err(|error| {
            Failure::new(Exit::Failure, format!("a message makes no sense: {error}"))
        })?;
    let mut kept: Vec<&str> = FIELDS.to_vec();
    if state == State::Scheduled {
        kept.push("due_at");
    }
    let expires =
        fields.get("expires_at").and_then(|at| parse_rfc3339(at.get().trim_matches('"')).ok());
    if expires.is_some_and(|at_ms| at_ms > now_ms) {
        kept.push("expires_at");
    }
    let headers = fields.get("headers").map(|headers| producers_own(headers)).transpose()?;
    let value = |name: &str| match (name, &headers) {
        ("headers", Some(own)) => Some(own.as_str()),
        _ => fields.get(name).map(|value| value.get()),
    };
    let present = kept.into_iter().filter_map(|name| Some((name, value(name)?)));
    let mut present: Vec<_> = present.filter(|(name, value)| says_something(name, value)).collect();
    if present.iter().any(|(name, _)| *name == "payload_base64") {
        present.retain(|(name, _)| *name != "payload");
    }
    // Line breaks in valid JSON are blanks between its parts; a row must have none.
    let parts: Vec<_> = present
        .iter()
        .map(|(name, value)| format!("\"{name}\":{}", value.replace(['\n', '\r'], " ")))
        .collect();
    let has_payload = present.iter().any(|(name, _)| name.starts_with("payload"));
    Ok(Row { json: format!("{{{}}}", parts.join(",")), has_payload })
}

/// The headers without ours, which send-batch could not set: where the message came from.
fn producers_own(headers: &RawValue) -> Result<String, Failure> {
    let headers: Option<BTreeMap<String, String>> = serde_json::from_str(headers.get())
        .map_err(|error| Failure::new(Exit::Failure, format!("headers make no sense: {error}")))?;
    let mut headers = headers.unwrap_or_default();
    headers.retain(|name, _| !is_reserved_header(name));
    Ok(serde_json::json!(headers).to_string())
}

/// Any payload counts, be it `null` or `{}`; elsewhere these stand for nothing.
fn says_something(name: &str, value: &str) -> bool {
    name == "payload" || !matches!(value, "null" | "{}" | "[]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(message: &str, state: State) -> (String, bool) {
        let message: Box<RawValue> = serde_json::from_str(message).unwrap();
        let row = row(&message, state, 1_795_251_600_000).unwrap();
        (row.json, row.has_payload)
    }

    #[test]
    fn a_row_holds_what_can_be_sent_again_byte_for_byte() {
        let message = "{\"id\":\"q_1\",\"state\":\"dead\",\"payload\":{\"b\": 1.50,\r\n \"a\":[]},\"headers\":{},
            \"group\":null,\"priority\":3,\"idempotency_key\":\"k\",\"due_at\":\"2026-11-21T08:00:00.000Z\",
            \"expires_at\":\"2026-11-21T08:30:00.000Z\",\"labels\":{\"x\":\"y\"},\"timeout\":\"5s\",\"cost\":3}";
        assert_eq!(
            exported(message, State::Dead),
            (
                r#"{"id":"q_1","payload":{"b": 1.50,   "a":[]},"priority":3,"labels":{"x":"y"},"timeout":"5s","cost":3}"#
                    .into(),
                true
            )
        );
    }

    #[test]
    fn headers_that_we_set_stay_behind() {
        let message = r#"{"id":"q_1","payload":1,"headers":{"tidegate-event":"e_1","x-a":"1"}}"#;
        let (json, _) = exported(message, State::Dead);
        assert_eq!(json, r#"{"id":"q_1","payload":1,"headers":{"x-a":"1"}}"#);
        let (json, _) = exported(&message.replace(",\"x-a\":\"1\"", ""), State::Dead);
        assert_eq!(json, r#"{"id":"q_1","payload":1}"#);
    }

    #[test]
    fn times_travel_while_they_lie_ahead() {
        let message = r#"{"id":"q_1","payload":null,"due_at":"2026-11-22T08:00:00Z","expires_at":"2026-11-23T08:30:00Z"}"#;
        let (json, _) = exported(message, State::Scheduled);
        assert!(
            json.contains("\"due_at\":\"2026-11-22")
                && json.contains("\"expires_at\":\"2026-11-23")
        );
        let (json, has_payload) = exported(r#"{"id":"q_1"}"#, State::Delivered);
        assert_eq!((json.as_str(), has_payload), (r#"{"id":"q_1"}"#, false));
    }
}
