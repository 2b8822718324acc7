//! From bytes on the command line to a payload.
//!
//! Owns the rule: JSON if it parses, refused if it begins like JSON and does not, else text, else raw
//! bytes. Refuses to re-serialise JSON: it
//! leaves as it was written.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::value::RawValue;

use super::args_messages::{BodyArgs, PayloadArgs};
use super::exit::Failure;
use super::screen::Screen;
use crate::domain::headers::{charsets, is_utf8};
use crate::domain::payload::begins_like_json;
use crate::wire::Payload;
use crate::wire::message::MessageView;

/// A payload as the API takes it.
#[derive(Debug)]
pub(crate) struct PayloadFields {
    /// JSON, or a text.
    pub(crate) payload: Option<Payload<'static>>,
    /// Bytes that are neither.
    pub(crate) payload_base64: Option<String>,
    /// What they are.
    pub(crate) content_type: Option<String>,
}

/// The payload that the arguments name; `None` if they name none.
pub(crate) fn read(
    args: &PayloadArgs,
    screen: &mut Screen,
) -> Result<Option<PayloadFields>, Failure> {
    let Some(bytes) = bytes(&args.body, screen)? else { return Ok(None) };
    from_bytes(bytes, args.content_type.clone()).map(Some)
}

fn bytes(args: &BodyArgs, screen: &mut Screen) -> Result<Option<Vec<u8>>, Failure> {
    match (&args.data, &args.file, &args.stdin) {
        (Some(text), _, _) => Ok(Some(text.clone().into_bytes())),
        (None, Some(path), _) if path != Path::new("-") => {
            let unreadable =
                |error| Failure::usage(format!("cannot read {}: {error}", path.display()));
            std::fs::read(path).map(Some).map_err(unreadable)
        }
        (None, None, None) => Ok(None),
        _ => {
            let mut bytes = Vec::new();
            screen
                .input
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
            Ok(Some(bytes))
        }
    }
}

/// A whole JSON document, as it was written.
pub(crate) fn json_document(
    args: &BodyArgs,
    screen: &mut Screen,
) -> Result<Box<RawValue>, Failure> {
    let bytes = bytes(args, screen)?
        .ok_or_else(|| Failure::usage("nothing to put").next("give it with -d, -f FILE or -"))?;
    as_json(&bytes).map_err(|failure| failure.because("this is not valid JSON"))
}

/// Like [`read`], where a payload is needed.
pub(crate) fn required(args: &PayloadArgs, screen: &mut Screen) -> Result<PayloadFields, Failure> {
    read(args, screen)?.ok_or_else(missing)
}

/// The bytes that the arguments name, where they are needed.
pub(crate) fn required_bytes(args: &BodyArgs, screen: &mut Screen) -> Result<Vec<u8>, Failure> {
    bytes(args, screen)?.ok_or_else(missing)
}

fn missing() -> Failure {
    Failure::usage("there is no payload").next("give -d BODY, -f FILE, or - for standard input")
}

/// These bytes in place of the payload of `message` (shown in full), whose type stays: JSON for
/// JSON, text for text, bytes for bytes.
pub(crate) fn in_place_of(
    message: &MessageView<'_>,
    bytes: Vec<u8>,
) -> Result<PayloadFields, Failure> {
    if message.payload_base64.is_some() {
        return Ok(raw_payload(&bytes, None));
    }
    let content_type = message.content_type.as_ref();
    if message.payload.as_ref().is_some_and(Payload::is_text) && !is_json(&essence(content_type)) {
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::usage(format!("this message is {content_type}; the new payload is not text"))
        })?;
        return Ok(text_payload(text, None));
    }
    let json = as_json(&bytes)
        .map_err(|failure| failure.because("this message is JSON, and the new payload is not"))?;
    Ok(json_payload(json, None))
}

/// The rule. Without a content type the bytes decide; with one, it does.
pub(crate) fn from_bytes(
    bytes: Vec<u8>,
    content_type: Option<String>,
) -> Result<PayloadFields, Failure> {
    let kind = content_type.as_deref().map(essence);
    match kind.as_deref() {
        Some(kind) if is_json(kind) => {
            let why = format!("the payload is declared {kind} and is not valid JSON");
            let json = as_json(&bytes).map_err(|failure| failure.because(&why))?;
            Ok(json_payload(json, content_type))
        }
        Some("text/plain") if !is_foreign(content_type.as_deref().unwrap_or_default()) => {
            Ok(text_or_raw(bytes, content_type))
        }
        // Other types leave as they are: the API tells text from JSON for text/plain alone.
        Some(_) => Ok(raw_payload(&bytes, content_type)),
        None => match as_json(&bytes) {
            Ok(json) => Ok(json_payload(json, None)),
            // Whoever means text says so: sent as text, a slip of the finger would only be noticed by
            // whoever receives it.
            Err(failure) if begins_like_json(json_of(&bytes)) => {
                let step = failure.next.clone().unwrap_or_default();
                Err(failure
                    .because("the payload begins like JSON and cannot be read")
                    .next(format!("{step}; --content-type text/plain sends it as it is")))
            }
            Err(_) => Ok(text_or_raw(bytes, None)),
        },
    }
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(essence: &str) -> bool {
    essence == "application/json" || essence.ends_with("+json")
}

/// Whether a content type names another charset than UTF-8: such bytes leave as they are.
fn is_foreign(content_type: &str) -> bool {
    !charsets(content_type).iter().all(|charset| is_utf8(charset))
}

/// The bytes as JSON, as they were written; else where and why they are not, and how it is written.
fn as_json(bytes: &[u8]) -> Result<Box<RawValue>, Failure> {
    let json = json_of(bytes);
    serde_json::from_slice(json).map_err(|error| {
        // Reading the values too finds the cause, for example a comma before a closing bracket.
        let error = serde_json::from_slice::<Value>(json).err().unwrap_or(error);
        Failure::usage(error.to_string()).next(json_step(&error.to_string(), json))
    })
}

/// How to write what the error is about.
fn json_step(error: &str, json: &[u8]) -> &'static str {
    if error.starts_with("trailing comma") {
        return "remove the comma before the closing bracket";
    }
    if error.starts_with("EOF") {
        return "it ends too early: a closing bracket or quote is missing, or the shell has cut it at a space; put the \
                whole JSON in single quotes";
    }
    if error.starts_with("key must be a string") || !begins_like_json(json) {
        return "names and texts in JSON take double quotes; put the whole JSON in single quotes: -d '{\"to\": \"x\"}'";
    }
    "correct it; put the whole JSON in single quotes, so that the shell changes nothing in it"
}

/// Without the byte order mark that some editors write before it.
fn json_of(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn json_payload(json: Box<RawValue>, content_type: Option<String>) -> PayloadFields {
    let payload = Some(Payload::Json(Cow::Owned(json)));
    PayloadFields { payload, payload_base64: None, content_type }
}

fn text_or_raw(bytes: Vec<u8>, content_type: Option<String>) -> PayloadFields {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let content_type = content_type.or(Some("application/octet-stream".to_owned()));
            return raw_payload(error.as_bytes(), content_type);
        }
    };
    text_payload(text, content_type.or(Some("text/plain".to_owned())))
}

fn text_payload(text: String, content_type: Option<String>) -> PayloadFields {
    let payload = Some(Payload::Text(text.into()));
    PayloadFields { payload, payload_base64: None, content_type }
}

fn raw_payload(bytes: &[u8], content_type: Option<String>) -> PayloadFields {
    PayloadFields { payload: None, payload_base64: Some(STANDARD.encode(bytes)), content_type }
}

#[cfg(test)]
mod tests {
    use super::super::exit::Exit;
    use super::super::tests::answers::message_view;
    use super::*;
    use crate::wire::new_message::MessageRequest;
    use serde_json::json;

    fn shown(bytes: &[u8], content_type: Option<&str>) -> String {
        let fields = from_bytes(bytes.to_vec(), content_type.map(ToOwned::to_owned)).unwrap();
        text(fields)
    }

    /// As it is sent.
    fn text(fields: PayloadFields) -> String {
        let PayloadFields { payload, payload_base64, content_type } = fields;
        let message =
            MessageRequest { payload, payload_base64, content_type, ..MessageRequest::default() };
        serde_json::to_string(&message).unwrap()
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
    fn what_begins_like_json_is_not_sent_as_text_by_mistake() {
        for broken in ["{\"to\":1,}", "  [1, 2", "{", "[2026-11-20] started"] {
            let failure = from_bytes(broken.into(), None).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.what.contains("begins like JSON"), "{}", failure.what);
            assert!(failure.what.contains(" at line 1 column "), "{}", failure.what);
            let text = shown(broken.as_bytes(), Some("text/plain"));
            assert!(text.contains(r#""content_type":"text/plain""#), "{text}");
        }
        assert_eq!(shown(b"\xef\xbb\xbf{\"a\":1}", None), r#"{"payload":{"a":1}}"#);
    }

    #[test]
    fn what_is_wrong_in_json_is_said_with_its_remedy() {
        for (broken, what, step) in [
            ("{\"a\": 1,}", "trailing comma at line 1 column 9", "remove the comma"),
            ("[1,\n]", "trailing comma at line 2 column 1", "remove the comma"),
            ("{to: x}", "key must be a string at line 1 column 2", "take double quotes"),
            ("{to:", "key must be a string", "single quotes"),
            ("{\"to\": \"x\"", "at line 1 column 10", "a closing bracket or quote is missing"),
        ] {
            for content_type in [None, Some("application/json".to_owned())] {
                let failure = from_bytes(broken.into(), content_type).unwrap_err();
                let text = failure.text().unwrap();
                assert!(text.contains(what) && text.contains(step), "{broken}: {text}");
            }
        }
    }

    #[test]
    fn text_in_another_charset_goes_as_its_bytes() {
        assert_eq!(
            shown(b"Gr\xfc\xdfe", Some("text/plain; charset=iso-8859-1")),
            r#"{"payload_base64":"R3L832U=","content_type":"text/plain; charset=iso-8859-1"}"#
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
    fn an_edit_keeps_the_kind() {
        let edited = |message: Value, bytes: &[u8]| {
            in_place_of(&message_view(&message), bytes.to_vec()).map(text)
        };
        let json = json!({"payload": {"a": 1}, "content_type": "application/json"});
        assert_eq!(edited(json.clone(), b"{ }").unwrap(), r#"{"payload":{ }}"#);
        assert!(edited(json, b"words").unwrap_err().what.contains("is JSON"));
        let json = json!({"payload": 1, "content_type": "application/json"});
        let cut = edited(json, b"{\"to\": \"x\"").unwrap_err();
        assert!(cut.what.ends_with("at line 1 column 10"), "{}", cut.what);
        let words = json!({"payload": "old", "content_type": "text/plain"});
        assert_eq!(edited(words.clone(), b"42").unwrap(), r#"{"payload":"42"}"#);
        assert!(edited(words, b"\xff").is_err());
        let raw = json!({"payload_base64": "AA==", "content_type": "text/plain"});
        assert_eq!(edited(raw, b"\xff\0").unwrap(), r#"{"payload_base64":"/wA="}"#);
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
