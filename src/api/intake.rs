//! Parsing a message on its way in.
//!
//! What a message may say is in `domain::draft`. Everything that is wrong is told at once. The hot path: one
//! pass over the body, the payload is neither parsed nor copied.

use bytes::Bytes;

use super::fingerprint::{self, Sent};
use super::message_body::MessageBody;
use super::problem::{FAULTS_MAX, Problem};
use crate::domain::details::check_room;
use crate::domain::draft::{self, Content, Draft};
use crate::domain::message::{Details, NewMessage, PayloadKind, When};

/// Up to so many bytes beside the payload, details surely fit into a record.
const SURELY_FITS_BYTES: usize = 8 * 1024;

/// A message, checked. `now_ms` is Redis' time, `header_key` came as `Idempotency-Key`.
///
/// # Errors
/// A problem with everything that is wrong.
pub(super) fn message(
    body: &Bytes,
    now_ms: u64,
    header_key: Option<&str>,
) -> Result<NewMessage, Problem> {
    message_up_to(body, now_ms, header_key, FAULTS_MAX)
}

/// The same, judged until so many faults were found.
///
/// # Errors
/// As [`message`].
pub(super) fn message_up_to(
    body: &Bytes,
    now_ms: u64,
    header_key: Option<&str>,
    faults_max: usize,
) -> Result<NewMessage, Problem> {
    let (mut message, due) = read(body, now_ms, header_key, faults_max)?;
    // Asked for only where a key says that two messages may be the same.
    if message.details.idempotency_key.is_some() {
        message.fingerprint = fingerprint::of(&sent(&message, &message.details, due));
    }
    Ok(message)
}

/// What was sent, from what was read: `due` is as it was given.
pub(super) fn sent<'a>(
    message: &'a NewMessage,
    details: &'a Details,
    due: Option<When>,
) -> Sent<'a> {
    let NewMessage { payload, expires, priority, .. } = message;
    Sent { payload, details, due, expires: *expires, priority: *priority }
}

/// A message, checked, without its fingerprint; and when it is due, as it was given.
///
/// # Errors
/// As [`message`].
pub(super) fn read(
    body: &Bytes,
    now_ms: u64,
    header_key: Option<&str>,
    faults_max: usize,
) -> Result<(NewMessage, Option<When>), Problem> {
    let mut source = MessageBody::of(body, &draft::MESSAGE, faults_max)?;
    let draft = draft::message(&mut source, now_ms, header_key);
    source.fields.finish()?;
    let Some(Draft { content, due, expires }) = draft else {
        return Err(Problem::fault("/payload", "missing; expected any JSON value"));
    };
    let Content { payload, details, priority, .. } = content;
    check_size(body, &payload, &details)?;
    // What is due already is due now: its lateness is counted from here, not from long ago.
    let due_now = due.filter(|due| due.at_ms(now_ms) > now_ms).unwrap_or(When::After(0));
    let message =
        NewMessage { payload, details, due: due_now, expires, priority, fingerprint: [0; 16] };
    Ok((message, due))
}

/// Headers, labels and the like share one bounded place in the record.
pub(super) fn check_size(body: &Bytes, payload: &Bytes, details: &Details) -> Result<(), Problem> {
    // The other kinds of payload are shorter than what they came as.
    if details.kind == PayloadKind::Json
        && body.len().saturating_sub(payload.len()) < SURELY_FITS_BYTES
    {
        return Ok(());
    }
    check_room(details).map_err(Problem::too_large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_MS: u64 = 1_763_640_000_000;

    fn parse(body: &str) -> Result<NewMessage, Problem> {
        message(&Bytes::copy_from_slice(body.as_bytes()), NOW_MS, None)
    }

    fn pointers(body: &str) -> Vec<String> {
        let problem = parse(body).expect_err(body);
        problem.faults().iter().map(|fault| fault.pointer.clone()).collect()
    }

    #[test]
    fn every_field_is_read() {
        let parsed = parse(
            r#"{"payload": [1], "content_type": "application/json", "headers": {"X-Tenant": "eu"},
                "delay": 90, "ttl": "1h", "priority": 9, "group": "order-42",
                "idempotency_key": "k", "labels": {"shop": ""}, "retry": {"max_attempts": 2}, "cost": 7,
                "callback": {"on": ["dead"]}}"#,
        );
        let message = parsed.unwrap();
        assert_eq!(message.payload, "[1]");
        assert_eq!(message.due, When::After(90_000));
        assert_eq!(message.expires, Some(When::After(3_600_000)));
        assert_eq!(message.priority, 9);
        let details = message.details;
        assert_eq!(details.headers, [("x-tenant".to_owned(), "eu".to_owned())]);
        assert_eq!(details.group.as_deref(), Some("order-42"));
        assert_eq!(details.idempotency_key.as_deref(), Some("k"));
        assert_eq!(details.labels["shop"], "");
        assert_eq!(details.retry.unwrap().max_attempts, Some(2));
        assert_eq!(details.cost.units(), 7);
        assert_eq!(details.callback.unwrap().on.unwrap().words(), ["dead"]);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        assert_eq!(
            pointers(
                r#"{"priority": 10, "delay": "soon", "due_at": "2025-11-20T12:00:00Z", "group": "",
                    "headers": {"Host": "x", "ok": 1}, "labels": {"a": 1}, "window": 1, "callback": {"on": [1]},
                    "retry": {"factor": 0}, "content_type": "plain", "idempotency_key": 7}"#
            ),
            [
                "/window",
                "/content_type",
                "/payload",
                "/headers/Host",
                "/headers/ok",
                "/labels/a",
                "/group",
                "/priority",
                "/retry/factor",
                "/delay",
                "/due_at",
                "/idempotency_key",
                "/callback/on",
            ]
        );
    }

    #[test]
    fn null_means_absent() {
        let parsed = parse(r#"{"payload": 1, "delay": null, "headers": null, "priority": null}"#);
        assert_eq!(parsed.unwrap().due, When::After(0));
    }

    #[test]
    fn due_and_expiry_hold_together() {
        for bad in [
            r#""ttl": "1s", "delay": "1s""#,
            r#""ttl": 0"#,
            r#""expires_at": "2025-11-20T12:00:00Z""#,
            r#""expires_at": "2025-11-20T13:00:00Z", "due_at": "2025-11-20T13:00:00Z""#,
            r#""expires_at": "2025-11-20T13:00:00Z", "ttl": "1h""#,
            r#""delay": "366d1s""#,
            r#""due_at": "2026-11-22T12:00:00Z""#,
        ] {
            assert_eq!(pointers(&format!("{{\"payload\": 1, {bad}}}")).len(), 1, "{bad}");
        }
        let past = parse(r#"{"payload": 1, "due_at": "1999-01-01T00:00:00Z", "ttl": 1}"#).unwrap();
        assert_eq!(past.due, When::After(0));
        let edge = parse(r#"{"payload": 1, "due_at": "2026-11-21T12:00:00Z"}"#).unwrap();
        assert_eq!(edge.due, When::At(NOW_MS + 366 * 86_400_000));
    }

    #[test]
    fn headers_are_checked_and_counted_in_any_case() {
        let body = |headers: &str| format!("{{\"payload\": 1, \"headers\": {headers}}}");
        assert_eq!(pointers(&body(r#"{"X-A": "1", "x-a": "2"}"#)), ["/headers/x-a"]);
        assert_eq!(pointers(&body(r#"{"a b": "1"}"#)), ["/headers/a b"]);
        assert_eq!(pointers(&body(r#"{"a": "x\r\ny"}"#)), ["/headers/a"]);
        assert_eq!(pointers(&body("[]")), ["/headers"]);
        let many: Vec<_> = (0..33).map(|n| format!("\"x-{n}\": \"1\"")).collect();
        assert_eq!(pointers(&body(&format!("{{{}}}", many.join(",")))), ["/headers"]);
        let large: Vec<_> =
            (0..9).map(|n| format!("\"x-{n}\": \"{}\"", "v".repeat(8192))).collect();
        let problem = parse(&body(&format!("{{{}}}", large.join(",")))).unwrap_err();
        assert_eq!(problem.code(), super::super::problem::Code::TooLarge);
    }

    #[test]
    fn the_key_comes_by_body_or_header() {
        let with =
            |body: &str, header| message(&Bytes::copy_from_slice(body.as_bytes()), NOW_MS, header);
        let key = |message: NewMessage| message.details.idempotency_key;
        assert_eq!(key(with(r#"{"payload": 1}"#, Some("k")).unwrap()).as_deref(), Some("k"));
        let same = with(r#"{"payload": 1, "idempotency_key": "k"}"#, Some("k"));
        assert_eq!(key(same.unwrap()).as_deref(), Some("k"));
        assert!(with(r#"{"payload": 1, "idempotency_key": "j"}"#, Some("k")).is_err());
    }

    proptest! {
        #[test]
        fn no_body_panics(body: String) {
            drop(parse(&body));
            drop(parse(&format!("{{\"payload\": {body}}}")));
        }
    }
}
