//! Parsing a message on its way in.
//!
//! Owns the fields of the contract and their bounds; tells everything that is wrong at once. The hot
//! path: one pass over the body, the payload is neither parsed nor copied.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::fields::{Fields, Shape, pairs, pointer};
use super::fingerprint::{self, Sent};
use super::payload;
use super::problem::{FAULTS_MAX, Fault, Problem};
use super::values::{
    LONG_MS, check_name, delay, due_moment, duration, moment, name, string, whole,
};
use super::{callback_fields, retry_fields};
use crate::domain::callback::CallbackWish;
use crate::domain::details::check_room;
use crate::domain::headers::{check_content_type, check_header};
use crate::domain::message::{
    Details, HEADERS_MAX, LABEL_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, NewMessage, PRIORITY_MAX,
    PayloadKind, When,
};

pub(super) static SHAPE: Shape = Shape {
    known: &[
        "payload",
        "payload_base64",
        "content_type",
        "headers",
        "delay",
        "due_at",
        "ttl",
        "expires_at",
        "priority",
        "group",
        "idempotency_key",
        "labels",
        "retry",
        "callback",
    ],
    later: &["cost", "window", "time_zone", "must_dispatch_by"],
};

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
    let mut fields = Fields::of_body_up_to(body, &SHAPE, faults_max)?;
    let content_type = fields.read_as("content_type", content_type);
    let payload = payload::read(&mut fields, body, content_type);
    let headers = headers(&mut fields);
    let labels = labels(&mut fields);
    let due = due(&mut fields, now_ms);
    let expires = expires(&mut fields);
    let priority = priority(&mut fields);
    let group = fields.read_as("group", |raw| name(raw, NAME_BYTES_MAX));
    let idempotency_key = idempotency_key(&mut fields, header_key);
    let retry = retry(&mut fields);
    let callback = callback(&mut fields);
    check_order(&mut fields, due, expires, now_ms);
    fields.finish()?;
    let Some(payload) = payload else {
        return Err(Problem::fault("/payload", "missing; expected any JSON value"));
    };
    let details = Details {
        kind: payload.kind,
        content_type: payload.content_type,
        headers,
        group,
        labels,
        idempotency_key,
        retry,
        callback,
    };
    check_size(body, &payload.bytes, &details)?;
    // What is due already is due now: its lateness is counted from here, not from long ago.
    let due_now = due.filter(|due| due.at_ms(now_ms) > now_ms).unwrap_or(When::After(0));
    let message = NewMessage {
        payload: payload.bytes,
        details,
        due: due_now,
        expires,
        priority: priority.unwrap_or(0),
        fingerprint: [0; 16],
    };
    Ok((message, due))
}

/// `delay` or `due_at`.
pub(super) fn due(fields: &mut Fields<'_>, now_ms: u64) -> Option<When> {
    if fields.raw("delay").is_some() && fields.raw("due_at").is_some() {
        fields.fault("due_at", "give delay or due_at, not both");
    }
    let after = fields.read_as("delay", delay).map(When::After);
    let at = fields.read_as("due_at", |raw| due_moment(raw, now_ms)).map(When::At);
    after.or(at)
}

/// `ttl` or `expires_at`.
fn expires(fields: &mut Fields<'_>) -> Option<When> {
    if fields.raw("ttl").is_some() && fields.raw("expires_at").is_some() {
        fields.fault("expires_at", "give ttl or expires_at, not both");
    }
    let after = fields.read_as("ttl", |raw| duration(raw, 1..=LONG_MS)).map(When::After);
    let at = fields.read_as("expires_at", moment).map(When::At);
    after.or(at)
}

fn check_order(fields: &mut Fields<'_>, due: Option<When>, expires: Option<When>, now_ms: u64) {
    let Some(expires) = expires else { return };
    // What was due before now is due now.
    let due_ms = due.map_or(now_ms, |due| due.at_ms(now_ms).max(now_ms));
    if expires.at_ms(now_ms) <= due_ms {
        let name = if fields.raw("ttl").is_some() { "ttl" } else { "expires_at" };
        fields.fault(name, "it would expire before it is due; expected a moment after due_at");
    }
}

pub(super) fn priority(fields: &mut Fields<'_>) -> Option<u8> {
    let priority = fields.read_as("priority", |raw| whole(raw, 0..=u64::from(PRIORITY_MAX)))?;
    u8::try_from(priority).ok()
}

fn idempotency_key(fields: &mut Fields<'_>, header: Option<&str>) -> Option<String> {
    let key = fields.read_as("idempotency_key", |raw| name(raw, NAME_BYTES_MAX));
    match (key, header) {
        (Some(key), Some(header)) if key != header => {
            fields.fault(
                "idempotency_key",
                "differs from the header Idempotency-Key; give one of them, or the same twice",
            );
            None
        }
        (key, header) => key.or_else(|| header.map(str::to_owned)),
    }
}

pub(super) fn content_type(raw: &RawValue) -> Result<String, String> {
    let text = name(raw, NAME_BYTES_MAX)?;
    check_content_type(&text).map(|()| text)
}

pub(super) fn headers(fields: &mut Fields<'_>) -> Vec<(String, String)> {
    let given = fields.read_as("headers", |raw| limited(raw, HEADERS_MAX)).unwrap_or_default();
    let mut headers: Vec<(String, String)> = Vec::with_capacity(given.len());
    for (name, raw) in given {
        let lower = name.to_ascii_lowercase();
        let checked = string(raw).and_then(|value| {
            check_header(&name, &value)?;
            if headers.iter().any(|(known, _)| *known == lower) {
                return Err(format!("header \"{name}\" is given twice; give it once"));
            }
            Ok(value)
        });
        match checked {
            Ok(value) => headers.push((lower, value)),
            Err(detail) => fields.note(Fault::new(pointer("/headers", &name), detail)),
        }
    }
    headers
}

pub(super) fn labels(fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    let given = fields.read_as("labels", |raw| limited(raw, LABELS_MAX)).unwrap_or_default();
    let mut labels = BTreeMap::new();
    for (label, raw) in given {
        let checked = check_name(&label, LABEL_BYTES_MAX)
            .map_err(|why| format!("the label's name: {why}"))
            .and_then(|()| string(raw))
            .and_then(|value| match value.len() {
                0..=NAME_BYTES_MAX => Ok(value),
                bytes => Err(format!("found {bytes} bytes, expected up to {NAME_BYTES_MAX}")),
            });
        let noted = match checked {
            Ok(_) if labels.contains_key(&label) => Err("given twice; give it once".to_owned()),
            other => other,
        };
        match noted {
            Ok(value) => drop(labels.insert(label, value)),
            Err(detail) => fields.note(Fault::new(pointer("/labels", &label), detail)),
        }
    }
    labels
}

fn limited(raw: &RawValue, most: usize) -> Result<Vec<(String, &RawValue)>, String> {
    let given = pairs(raw)?;
    if given.len() > most {
        return Err(format!("found {} entries, expected up to {most}", given.len()));
    }
    Ok(given)
}

pub(super) fn retry(fields: &mut Fields<'_>) -> Option<crate::domain::message::RetryOverride> {
    match retry_fields::read(fields.raw("retry")?) {
        Ok(retry) => Some(retry),
        Err(faults) => {
            faults.into_iter().for_each(|fault| fields.note(fault));
            None
        }
    }
}

fn callback(fields: &mut Fields<'_>) -> Option<CallbackWish> {
    match callback_fields::read(fields.raw("callback")?) {
        Ok(callback) => Some(callback),
        Err(faults) => {
            faults.into_iter().for_each(|fault| fields.note(fault));
            None
        }
    }
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
                "idempotency_key": "k", "labels": {"shop": ""}, "retry": {"max_attempts": 2},
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
        assert_eq!(details.callback.unwrap().on.unwrap().words(), ["dead"]);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        assert_eq!(
            pointers(
                r#"{"priority": 10, "delay": "soon", "due_at": "2025-11-20T12:00:00Z", "group": "",
                    "headers": {"Host": "x", "ok": 1}, "labels": {"a": 1}, "cost": 1, "callback": {"on": [1]},
                    "retry": {"factor": 0}, "content_type": "plain", "idempotency_key": 7}"#
            ),
            [
                "/cost",
                "/content_type",
                "/payload",
                "/headers/Host",
                "/headers/ok",
                "/labels/a",
                "/due_at",
                "/delay",
                "/priority",
                "/group",
                "/idempotency_key",
                "/retry/factor",
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
