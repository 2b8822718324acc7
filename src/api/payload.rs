//! Payloads: as JSON, as text, or as bytes in base64.
//!
//! Owns how a payload comes in (how it is shown again is in `domain::shown`). JSON stays byte for byte
//! as it came.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::values::string;
use crate::domain::depth::{DEPTH_MAX, is_too_deep};
use crate::domain::draft::Payload;
use crate::domain::headers::{check_charset, is_json_type};
use crate::domain::message::{Details, PayloadKind};
use crate::domain::payload::{RAW_CONTENT_TYPE, from_base64};

/// The payload of a new message; faults are noted. `body` is what `fields` was read from: a JSON
/// payload is a part of it, not a copy.
pub(super) fn read(
    fields: &mut Fields<'_>,
    body: &Bytes,
    content_type: Option<String>,
) -> Option<Payload> {
    match (given(fields), fields.raw("payload_base64")) {
        (Some(_), Some(_)) => {
            fields.fault("payload_base64", "give payload or payload_base64, not both");
            None
        }
        (None, None) => {
            fields.fault(
                "payload",
                "missing; expected any JSON value, or payload_base64 in its place",
            );
            None
        }
        (Some(_), None) if content_type.as_deref().is_some_and(|kind| !is_json_type(kind)) => {
            read_as(fields, body, PayloadKind::Text, content_type)
        }
        (Some(_), None) => read_as(fields, body, PayloadKind::Json, content_type),
        (None, Some(_)) => {
            let content_type = content_type.or_else(|| Some(RAW_CONTENT_TYPE.to_owned()));
            read_as(fields, body, PayloadKind::Raw, content_type)
        }
    }
}

fn read_as(
    fields: &mut Fields<'_>,
    body: &Bytes,
    kind: PayloadKind,
    content_type: Option<String>,
) -> Option<Payload> {
    let (bytes, kind) = match kind {
        PayloadKind::Raw => (fields.read_as("payload_base64", base64_bytes)?, kind),
        // Only a string is sent as its text; anything else under a foreign content type stays JSON.
        PayloadKind::Text if given(fields)?.get().starts_with('"') => {
            (fields.read_as("payload", string)?.into(), kind)
        }
        PayloadKind::Text | PayloadKind::Json => (json(fields, body)?, PayloadKind::Json),
    };
    Some(Payload { bytes, kind, content_type })
}

/// A new payload for a message that is there: of the same kind, since its content type stays.
pub(super) fn replace(fields: &mut Fields<'_>, body: &Bytes, details: &Details) -> Option<Bytes> {
    let kind = details.kind;
    let bytes = replacement(fields, body, kind)?;
    if kind != PayloadKind::Raw
        && let Some(content_type) = &details.content_type
        && let Err(why) = check_charset(content_type, &bytes)
    {
        let remedy = "the content type of a message stays; send a new message with payload_base64";
        fields.fault("payload", format!("{why}; {remedy}"));
        return None;
    }
    Some(bytes)
}

fn replacement(fields: &mut Fields<'_>, body: &Bytes, kind: PayloadKind) -> Option<Bytes> {
    let (payload, base64) = (given(fields), fields.raw("payload_base64"));
    match (kind, payload, base64) {
        (_, None, None) => None,
        (_, Some(_), Some(_)) => {
            fields.fault("payload_base64", "give payload or payload_base64, not both");
            None
        }
        (PayloadKind::Raw, None, Some(_)) => fields.read_as("payload_base64", base64_bytes),
        (PayloadKind::Raw, Some(_), None) => {
            fields.fault("payload", "this message came as payload_base64; give payload_base64");
            None
        }
        (PayloadKind::Json | PayloadKind::Text, None, Some(_)) => {
            fields.fault("payload_base64", "this message came as payload; give payload");
            None
        }
        (PayloadKind::Text, Some(_), None) => fields
            .read_as("payload", |raw| {
                string(raw).map_err(|why| format!("this message is sent as text: {why}"))
            })
            .map(Bytes::from),
        (PayloadKind::Json, Some(raw), None) if is_too_deep(raw.get()) => {
            let why = format!("nested deeper than {DEPTH_MAX} levels; send it as payload_base64");
            fields.fault("payload", why);
            None
        }
        (PayloadKind::Json, Some(_), None) => json(fields, body),
    }
}

/// Whether a patch names a payload at all.
pub(super) fn is_given(fields: &Fields<'_>) -> bool {
    given(fields).is_some() || fields.raw("payload_base64").is_some()
}

/// `null` is a JSON value like any other, unless `payload_base64` shows that it means "absent".
fn given<'a>(fields: &Fields<'a>) -> Option<&'a RawValue> {
    let or_null = fields.raw_or_null("payload");
    if fields.raw("payload_base64").is_some() { fields.raw("payload") } else { or_null }
}

fn json(fields: &Fields<'_>, body: &Bytes) -> Option<Bytes> {
    Some(body.slice_ref(given(fields)?.get().as_bytes()))
}

fn base64_bytes(raw: &RawValue) -> Result<Bytes, String> {
    from_base64(&string(raw)?)
}

#[cfg(test)]
mod tests {
    use super::super::fields::Shape;
    use super::super::message_body::MessageBody;
    use super::*;
    use crate::domain::draft;

    static SHAPE: Shape =
        Shape { known: &["payload", "payload_base64", "content_type"], later: &[] };

    fn read(body: &str, content_type: Option<&str>) -> Result<(String, PayloadKind), String> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let mut source = MessageBody::of(&body, &SHAPE, 10).unwrap();
        let payload = draft::payload(&mut source, content_type.map(str::to_owned));
        let faults = source.fields.into_faults();
        match payload {
            Some(payload) if faults.is_empty() => {
                Ok((String::from_utf8(payload.bytes.to_vec()).unwrap(), payload.kind))
            }
            _ => Err(faults[0].detail.clone()),
        }
    }

    #[test]
    fn json_goes_out_byte_for_byte() {
        for json in
            ["{ \"b\" : 1.0,\n \"a\":1e2 }", "null", "\"\\u00e9\"", "12345678901234567890123"]
        {
            let body = format!("{{\"payload\": {json} }}");
            assert_eq!(read(&body, None), Ok((json.to_owned(), PayloadKind::Json)), "{json}");
        }
    }

    #[test]
    fn a_string_under_a_text_type_is_sent_as_its_text() {
        let text = |kind| read(r#"{"payload": "h\u00e9\n\"x\""}"#, Some(kind));
        assert_eq!(
            text("text/plain; charset=utf-8"),
            Ok(("hé\n\"x\"".to_owned(), PayloadKind::Text))
        );
        assert_eq!(text("application/xml").unwrap().1, PayloadKind::Text);
        for json in ["application/json", "application/cloudevents+JSON; a=b"] {
            assert_eq!(text(json).unwrap().1, PayloadKind::Json, "{json}");
        }
        let object = read(r#"{"payload": {"a": 1}}"#, Some("text/plain"));
        assert_eq!(object, Ok(("{\"a\": 1}".to_owned(), PayloadKind::Json)));
        assert!(read(r#"{"payload": "\ud800"}"#, Some("text/plain")).is_err());
    }

    #[test]
    fn text_in_another_charset_is_refused_with_the_remedy() {
        for kind in ["text/plain; charset=iso-8859-1", "application/json; charset=\"UTF-16\""] {
            let why = read(r#"{"payload": "Grüße"}"#, Some(kind)).unwrap_err();
            assert!(why.contains("payload_base64"), "{kind}: {why}");
            let bytes = read(r#"{"payload_base64": "R3I="}"#, Some(kind));
            assert_eq!(bytes, Ok(("Gr".to_owned(), PayloadKind::Raw)), "{kind}");
        }
        let ascii = "text/plain; charset=us-ascii";
        assert!(read(r#"{"payload": "Gruss"}"#, Some(ascii)).is_ok());
        assert!(read(r#"{"payload": "Gru\u00df"}"#, Some(ascii)).is_err());
    }

    #[test]
    fn base64_with_or_without_padding() {
        for text in ["aGk=", "aGk"] {
            let body = format!("{{\"payload_base64\": \"{text}\", \"payload\": null}}");
            assert_eq!(read(&body, None), Ok(("hi".to_owned(), PayloadKind::Raw)));
        }
        for bad in ["\"a b\"", "\"-_\"", "5", "\"aGk==\""] {
            assert!(read(&format!("{{\"payload_base64\": {bad}}}"), None).is_err(), "{bad}");
        }
    }

    #[test]
    fn exactly_one_payload() {
        assert!(read("{}", None).unwrap_err().contains("missing"));
        let both = read(r#"{"payload": 1, "payload_base64": "aGk="}"#, None);
        assert!(both.unwrap_err().contains("not both"));
        let deep = format!("{{\"payload\": {}{}}}", "[".repeat(101), "]".repeat(101));
        assert!(read(&deep, None).unwrap_err().contains("100 levels"));
    }
}
