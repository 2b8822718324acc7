//! Reading what the downstream answered, within bounds.
//!
//! From here on the outcome is known: the status has arrived. Whatever befalls the body after it
//! (the cap, the deadline, a lost connection) only sets `truncated`.

use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::{Call, deadline};
use crate::domain::outcome::Answer;
use crate::domain::receipt::Pending;

/// Longest `Content-Type` that is kept; it goes into the record.
const CONTENT_TYPE_BYTES_MAX: usize = 256;
/// What a body may take on the wire for each of its bytes that is kept: chunks of one byte take six.
const WIRE_BYTES_PER_BYTE: usize = 8;
/// How much more of a body than its kept part is read, to save the connection for the next call.
const DRAIN_BYTES_MAX: u64 = 64 * 1024;
/// How long that may take: a new connection costs less than this.
const DRAIN_MS_MAX: u64 = 100;

/// How much of an answer to `call` is read at most, its framing included.
pub(super) const fn wire_bytes_max(call: &Call) -> usize {
    // What is drained, and twice what is read ahead.
    let beside = 4 * DRAIN_BYTES_MAX as usize;
    call.response_bytes_max.saturating_mul(WIRE_BYTES_PER_BYTE).saturating_add(beside)
}

/// Reads the answer up to the call's cap and deadline.
pub(super) async fn read(response: Response<Incoming>, call: &Call) -> Answer {
    let (head, body) = response.into_parts();
    let (body, truncated) = read_body(body, call.response_bytes_max, call.deadline).await;
    answered(head.status.as_u16(), &head.headers, call, body, truncated)
}

/// An answer of which nothing but the status and some headers can be read.
pub(super) fn without_body(status: u16, headers: &HeaderMap, call: &Call) -> Answer {
    answered(status, headers, call, Bytes::new(), true)
}

fn answered(status: u16, headers: &HeaderMap, call: &Call, body: Bytes, truncated: bool) -> Answer {
    Answer::Answered {
        status,
        retry_after_ms: retry_after_ms(headers, call.now_ms),
        content_type: content_type(headers),
        pending: pending(headers),
        body,
        truncated,
    }
}

/// The kept part of the body, and whether something is missing.
async fn read_body(mut body: Incoming, bytes_max: usize, deadline: Instant) -> (Bytes, bool) {
    let mut kept = BytesMut::new();
    if body.is_end_stream() {
        return (kept.freeze(), false);
    }
    loop {
        match deadline::by(deadline, body.frame()).await {
            Ok(None) => return (kept.freeze(), false),
            Ok(Some(Ok(frame))) => {
                // Trailers carry nothing for us.
                let Ok(data) = frame.into_data() else { continue };
                let room = bytes_max - kept.len();
                kept.extend_from_slice(&data[..data.len().min(room)]);
                if data.len() > room {
                    drain(body, deadline).await;
                    return (kept.freeze(), true);
                }
            }
            Ok(Some(Err(_))) | Err(_) => return (kept.freeze(), true),
        }
    }
}

/// Reads a little further, so that the connection stays usable; gives it up if that is not enough.
async fn drain(mut body: Incoming, deadline: Instant) {
    if body.size_hint().lower() > DRAIN_BYTES_MAX {
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

/// `Retry-After` from `now_ms` on: seconds or a date; what has passed is 0, nonsense is nothing.
fn retry_after_ms(headers: &HeaderMap, now_ms: u64) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        if digits.len() < text.len() {
            return Some(0);
        }
        // More digits than a u64 holds still mean "very long"; the caller caps it.
        return Some(digits.parse().unwrap_or(u64::MAX).saturating_mul(1000));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(u64::try_from(at.as_millis()).unwrap_or(u64::MAX).saturating_sub(now_ms))
}

/// `Tidegate-Receipt: pending`, and under which reference (`Tidegate-Ref`) the receipt will come.
fn pending(headers: &HeaderMap) -> Option<Pending> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let is_pending = text("tidegate-receipt")?.eq_ignore_ascii_case("pending");
    is_pending.then(|| Pending::of(text("tidegate-ref")))
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    (text.len() <= CONTENT_TYPE_BYTES_MAX).then(|| text.to_owned())
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
        for nonsense in ["", "-", "soon", "1.5", "+5", "2025-11-20T12:00:03Z"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
        assert_eq!(retry_after_ms(&HeaderMap::new(), 0), None);
    }
}
