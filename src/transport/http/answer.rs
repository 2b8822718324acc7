//! Reading what the downstream answered, within bounds.
//!
//! The status has arrived. What befalls the body after it (the cap, the deadline, a lost connection)
//! is told beside what came of it: whether that is enough, its reader knows.

use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::failure;
use super::line::AnswerBody;
use crate::domain::outcome::Answer;
use crate::domain::protocol::Protocol;
use crate::domain::receipt::Pending;
use crate::domain::time::parse_rfc3339;
use crate::domain::units::format_size;
use crate::transport::{Call, deadline};

/// Longest `Content-Type` that is kept, in characters.
const HEADER_CHARS_MAX: usize = 256;
/// What a body may take on the wire for each of its bytes that is kept: chunks of one byte take six.
const WIRE_BYTES_PER_BYTE: usize = 8;
/// What is read beside it at most: what is drained, and what the client library reads ahead.
const WIRE_BYTES_BESIDE: usize = 256 * 1024;
/// How much more of a body than its kept part is read, to save the connection for the next call.
const DRAIN_BYTES_MAX: u64 = 64 * 1024;
/// How long that may take: a new connection costs less than this.
const DRAIN_MS_MAX: u64 = 100;

/// How much of an answer to `call` is read at most, its framing included.
pub(super) const fn wire_bytes_max(call: &Call) -> usize {
    call.response_bytes_max.saturating_mul(WIRE_BYTES_PER_BYTE).saturating_add(WIRE_BYTES_BESIDE)
}

/// Reads the answer up to the call's cap and deadline.
pub(super) async fn read(response: Response<AnswerBody>, call: &Call) -> Answer {
    let (head, body) = response.into_parts();
    let (body, missing) = read_body(body, call.response_bytes_max, call.deadline).await;
    answered(head.status.as_u16(), &head.headers, call, body, missing)
}

/// An answer of which nothing but the status and some headers can be read, for this reason.
pub(super) fn without_body(status: u16, headers: &HeaderMap, call: &Call, reason: &str) -> Answer {
    answered(status, headers, call, Bytes::new(), Some(reason.to_owned()))
}

fn answered(
    status: u16,
    headers: &HeaderMap,
    call: &Call,
    body: Bytes,
    missing: Option<String>,
) -> Answer {
    Answer::Answered {
        protocol: Protocol::Http,
        status,
        retry_after_ms: retry_after_ms(headers, call.now_ms),
        content_type: text(headers, &CONTENT_TYPE).map(|t| shortened(&t)),
        encoding: encoding(headers),
        pending: pending(headers),
        body,
        missing,
    }
}

/// The kept part of the body, and why something is missing.
async fn read_body(
    mut body: AnswerBody,
    bytes_max: usize,
    deadline: Instant,
) -> (Bytes, Option<String>) {
    let mut kept = BytesMut::new();
    if body.is_end_stream() {
        return (kept.freeze(), None);
    }
    let missing = loop {
        match deadline::by(deadline, body.frame()).await {
            Ok(None) => break None,
            Ok(Some(Ok(frame))) => {
                // Trailers carry nothing for us.
                let Ok(data) = frame.into_data() else { continue };
                let room = bytes_max - kept.len();
                kept.extend_from_slice(&data[..data.len().min(room)]);
                if data.len() > room {
                    drain(body, deadline).await;
                    let most = format_size(bytes_max as u64);
                    break Some(format!("it is longer than the {most} that are read"));
                }
            }
            Ok(Some(Err(error))) => {
                break Some(format!("it broke off: {}", failure::sentence(&*error)));
            }
            Err(_) => break Some("it had not come to its end when the time was over".to_owned()),
        }
    };
    (kept.freeze(), missing)
}

/// Reads a little further, so that the connection stays usable; gives it up if that is not enough.
async fn drain(mut body: AnswerBody, deadline: Instant) {
    if !body.is_in_the_way() || body.size_hint().lower() > DRAIN_BYTES_MAX {
        return;
    }
    let until = deadline.min(Instant::now() + Duration::from_millis(DRAIN_MS_MAX));
    let mut drained: u64 = 0;
    while let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await {
        drained += frame.data_ref().map_or(0, |data| data.len() as u64);
        if drained > DRAIN_BYTES_MAX {
            return;
        }
    }
}

/// `Retry-After` from `now_ms` on: seconds or a date. What has passed is 0, and so is what cannot be
/// read: the downstream asks to be left alone, for a time that it does not name.
fn retry_after_ms(headers: &HeaderMap, now_ms: u64) -> Option<u64> {
    let text = text(headers, &RETRY_AFTER)?;
    let from_now = |at_ms: u64| at_ms.saturating_sub(now_ms);
    // Two headers that a proxy joined stand with a comma between them; so does a date's weekday.
    let first = || text.split(',').next().and_then(seconds_ms);
    let asked_ms = seconds_ms(&text).or_else(|| date_ms(&text).map(from_now)).or_else(first);
    Some(asked_ms.unwrap_or(0))
}

/// Seconds, perhaps with a fraction. More of them than a u64 holds still mean "very long"; the
/// caller caps it.
fn seconds_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let seconds: f64 = digits.parse().ok()?;
    if digits.len() < text.len() {
        return Some(0);
    }
    let span = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Some(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// A date as HTTP writes it, or as RFC 3339 does.
fn date_ms(text: &str) -> Option<u64> {
    if let Ok(at_ms) = parse_rfc3339(text) {
        return Some(at_ms);
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(u64::try_from(at.as_millis()).unwrap_or(u64::MAX))
}

/// `Tidegate-Receipt: pending`, and under which reference (`Tidegate-Ref`) the receipt will come.
fn pending(headers: &HeaderMap) -> Option<Pending> {
    let all = headers.get_all(HeaderName::from_static("tidegate-receipt"));
    let is_pending = all.iter().any(|value| {
        let text = readable(value);
        let word = text.split(';').next().unwrap_or_default().trim().trim_matches('"').trim();
        word.eq_ignore_ascii_case("pending")
    });
    let reference = text(headers, &HeaderName::from_static("tidegate-ref"));
    is_pending.then(|| Pending::of(reference.as_deref()))
}

/// What changes the body's bytes, as far as the answer says.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(CONTENT_ENCODING).iter().map(readable);
    let named: Vec<_> =
        all.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity")).collect();
    (!named.is_empty()).then(|| shortened(&named.join(", ")))
}

/// A header's text, whatever bytes stand in it.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(readable)
}

/// Bytes that are not UTF-8 are read as Latin-1, which headers were once written in.
fn readable(value: &HeaderValue) -> String {
    let bytes = value.as_bytes().trim_ascii();
    str::from_utf8(bytes)
        .map_or_else(|_| bytes.iter().map(|byte| char::from(*byte)).collect(), str::to_owned)
}

/// As much of a header as is kept: it goes into the record.
fn shortened(text: &str) -> String {
    text.chars().take(HEADER_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_all_its_forms() {
        // 2025-11-20T12:00:00.500Z
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after_ms(&headers, 1_763_640_000_500)
        };
        assert_eq!(read("120"), Some(120_000));
        assert_eq!(read(" 0 "), Some(0));
        assert_eq!(read("-5"), Some(0));
        assert_eq!(read("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(read("Thu, 20 Nov 2025 12:00:03 GMT"), Some(2500));
        assert_eq!(read("Thursday, 20-Nov-25 12:00:03 GMT"), Some(2500));
        assert_eq!(read("Thu, 20 Nov 2025 11:00:00 GMT"), Some(0));
        assert_eq!(read("2025-11-20T12:00:03Z"), Some(2500));
        assert_eq!(read("1.5"), Some(1500));
        assert_eq!(read("120, 120"), Some(120_000), "a proxy joined two headers");
        assert_eq!(read("Thu, 01 Jan 1960 00:00:00 GMT"), Some(0));
        for nonsense in ["", "-", "soon", "+5", "1.5.2", ".", "inf", "Thu, 20 Nov"] {
            assert_eq!(read(nonsense), Some(0), "{nonsense}: asked, but for no time that is known");
        }
        assert_eq!(retry_after_ms(&HeaderMap::new(), 0), None);
    }

    #[test]
    fn bytes_that_are_not_ascii_hide_no_header() {
        let headers = |name: HeaderName, bytes: &[u8]| {
            HeaderMap::from_iter([(name, HeaderValue::from_bytes(bytes).unwrap())])
        };
        let mut told = headers(HeaderName::from_static("tidegate-receipt"), b" Pending ");
        told.insert("tidegate-ref", HeaderValue::from_bytes("Auftrag-\u{fc}".as_bytes()).unwrap());
        let reference = |told: &HeaderMap| pending(told).unwrap().reference.unwrap();
        assert_eq!(reference(&told), "Auftrag-\u{fc}");
        told.insert("tidegate-ref", HeaderValue::from_bytes(b"Auftrag-\xfc").unwrap());
        assert_eq!(reference(&told), "Auftrag-\u{fc}");
        let typed = headers(CONTENT_TYPE, b"application/json; title=\xfc");
        assert_eq!(text(&typed, &CONTENT_TYPE).unwrap(), "application/json; title=\u{fc}");
        let encoded = |bytes: &[u8]| encoding(&headers(CONTENT_ENCODING, bytes));
        assert_eq!(encoded(b"gzip, br").as_deref(), Some("gzip, br"));
        assert_eq!((encoded(b"identity"), encoded(b"")), (None, None));
    }
}
