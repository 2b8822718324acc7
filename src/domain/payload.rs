//! What the bytes of a payload are, where nobody said so in a field of their own.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::value::RawValue;

use super::headers::{charsets, is_ascii, is_json_type, is_utf8};
use super::message::PayloadKind;

/// The content type of raw bytes that came without one.
pub const RAW_CONTENT_TYPE: &str = "application/octet-stream";

/// Standard alphabet, padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes as `payload_base64` has them.
///
/// # Errors
/// When it is not standard base64, padded or not.
pub fn from_base64(text: &str) -> Result<Bytes, String> {
    let decoded = BASE64.decode(text);
    decoded.map(Bytes::from).map_err(|error| format!("this is not valid standard base64: {error}"))
}

/// Bytes as `payload_base64` has them: the other way round.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// What a payload is, and the content type that follows; the rule of the command line.
///
/// Without a content type it is JSON if it parses, else text, else bytes; with one, that decides. Bytes in
/// another charset than UTF-8 are not text here: they leave as they came.
///
/// # Errors
/// When it is not what it is said to be, or begins like JSON and cannot be read.
pub fn kind(
    payload: &[u8],
    content_type: Option<&str>,
) -> Result<(PayloadKind, Option<String>), String> {
    let json_error = || serde_json::from_slice::<&RawValue>(payload).err();
    let is_text = || std::str::from_utf8(payload).is_ok();
    let Some(content_type) = content_type else {
        return match json_error() {
            None => Ok((PayloadKind::Json, None)),
            Some(error) if begins_like_json(payload) => Err(format!(
                "payload: begins like JSON and cannot be read: {error}; mend it, or say content_type text/plain"
            )),
            Some(_) if is_text() => Ok((PayloadKind::Text, Some("text/plain".to_owned()))),
            Some(_) => Ok((PayloadKind::Raw, Some(RAW_CONTENT_TYPE.to_owned()))),
        };
    };
    let is_ours = |charset: &String| is_utf8(charset) || is_ascii(charset) && payload.is_ascii();
    if !charsets(content_type).iter().all(is_ours) {
        return Ok((PayloadKind::Raw, None));
    }
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        _ if is_json_type(content_type) => match json_error() {
            None => Ok((PayloadKind::Json, None)),
            Some(error) => {
                Err(format!("payload: is not valid JSON, as content_type {essence} says: {error}"))
            }
        },
        "text/plain" if is_text() => Ok((PayloadKind::Text, None)),
        _ => Ok((PayloadKind::Raw, None)),
    }
}

/// Whether these bytes are surely meant as JSON: an object or a list.
#[must_use]
pub fn begins_like_json(payload: &[u8]) -> bool {
    matches!(payload.trim_ascii_start().first(), Some(b'{' | b'['))
}
