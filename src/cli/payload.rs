//! From bytes on the command line to a payload.
//!
//! Owns the rule: JSON if it parses, else text, else raw bytes. Refuses to re-serialise JSON: it
//! leaves as it was written.

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::args_messages::PayloadArgs;
use super::exit::Failure;
use super::screen::Screen;

/// A payload as the API takes it.
#[derive(Debug, Serialize)]
pub(crate) struct Payload {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
}

/// The payload that the arguments name; `None` if they name none.
pub(crate) fn read(args: &PayloadArgs, screen: &mut Screen) -> Result<Option<Payload>, Failure> {
    let bytes = match (&args.data, &args.file, &args.stdin) {
        (Some(text), _, _) => text.clone().into_bytes(),
        (None, Some(path), _) if path != Path::new("-") => std::fs::read(path)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?,
        (None, None, None) => return Ok(None),
        _ => {
            let mut bytes = Vec::new();
            screen
                .input
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
            bytes
        }
    };
    from_bytes(bytes, args.content_type.clone()).map(Some)
}

/// Like [`read`], where a payload is needed.
pub(crate) fn required(args: &PayloadArgs, screen: &mut Screen) -> Result<Payload, Failure> {
    read(args, screen)?.ok_or_else(|| {
        Failure::usage("there is no payload").next("give -d BODY, -f FILE, or - for standard input")
    })
}

/// The rule. Without a content type the bytes decide; with one, it does.
pub(crate) fn from_bytes(bytes: Vec<u8>, content_type: Option<String>) -> Result<Payload, Failure> {
    let kind = content_type.as_deref().map(essence);
    match kind.as_deref() {
        Some(kind) if is_json(kind) => match as_json(&bytes) {
            Some(json) => Ok(json_payload(json, content_type)),
            None => Err(Failure::usage(format!("the payload is declared {kind} and is no JSON"))
                .next("mend the payload, or name another --content-type")),
        },
        Some("text/plain") => Ok(text_or_raw(bytes, content_type)),
        // Other types leave as they are: the API tells text from JSON for text/plain alone.
        Some(_) => Ok(raw_payload(&bytes, content_type)),
        None => match as_json(&bytes) {
            Some(json) => Ok(json_payload(json, None)),
            None => Ok(text_or_raw(bytes, None)),
        },
    }
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(essence: &str) -> bool {
    essence == "application/json" || essence.ends_with("+json")
}

fn as_json(bytes: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(bytes).ok()
}

fn json_payload(json: Box<RawValue>, content_type: Option<String>) -> Payload {
    Payload { payload: Some(json), payload_base64: None, content_type }
}

fn text_or_raw(bytes: Vec<u8>, content_type: Option<String>) -> Payload {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let content_type = content_type.or(Some("application/octet-stream".to_owned()));
            return raw_payload(error.as_bytes(), content_type);
        }
    };
    let quoted = serde_json::value::to_raw_value(&text).expect("a string is always JSON");
    json_payload(quoted, content_type.or(Some("text/plain".to_owned())))
}

fn raw_payload(bytes: &[u8], content_type: Option<String>) -> Payload {
    Payload { payload: None, payload_base64: Some(STANDARD.encode(bytes)), content_type }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8], content_type: Option<&str>) -> String {
        let payload = from_bytes(bytes.to_vec(), content_type.map(ToOwned::to_owned)).unwrap();
        serde_json::to_string(&payload).unwrap()
    }

    #[test]
    fn json_leaves_as_it_was_written() {
        assert_eq!(
            shown(b" {\"b\": 1.50, \"a\":12345678901234567890123}\n", None),
            r#"{"payload":{"b": 1.50, "a":12345678901234567890123}}"#
        );
        assert_eq!(shown(b"42", None), r#"{"payload":42}"#);
    }

    #[test]
    fn text_is_a_string_with_its_type() {
        assert_eq!(
            shown("grüße".as_bytes(), None),
            r#"{"payload":"grüße","content_type":"text/plain"}"#
        );
        assert_eq!(
            shown(b"42", Some("text/plain; charset=utf-8")),
            r#"{"payload":"42","content_type":"text/plain; charset=utf-8"}"#
        );
    }

    #[test]
    fn other_bytes_go_in_base64() {
        assert_eq!(
            shown(&[0xff, 0], None),
            r#"{"payload_base64":"/wA=","content_type":"application/octet-stream"}"#
        );
        assert_eq!(
            shown(b"<a/>", Some("application/xml")),
            r#"{"payload_base64":"PGEvPg==","content_type":"application/xml"}"#
        );
    }

    #[test]
    fn declared_json_must_be_json() {
        assert!(from_bytes(b"nope".to_vec(), Some("application/json".into())).is_err());
        assert_eq!(
            shown(b"{}", Some("application/cloudevents+json")),
            r#"{"payload":{},"content_type":"application/cloudevents+json"}"#
        );
    }
}
