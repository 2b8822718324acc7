//! For how long a connection may be kept after an answer.
//!
//! Owns the rule that a connection is only used again where it is certain that the answer has ended, and as
//! long as the other side says that it keeps it. Refuses to know connections.

use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode};

use super::head::Heads;
use crate::transport::http::handover::IDLE;

/// How much sooner than the other side says a connection is given up.
const AHEAD: Duration = Duration::from_secs(1);

/// For how long the connection may be kept unused; `None`: it must not be used again.
///
/// Servers and what stands before them disagree about answers that have no body by their status: some send
/// one all the same, a moment later, and it would be taken for the answer to the next request.
pub(super) fn idle_time(
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
    heads: &Heads,
) -> Option<Duration> {
    let has_no_body = method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let has_two_ends =
        headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING);
    let is_old =
        heads.is_old() && (!says_keep_alive(headers) || headers.contains_key(TRANSFER_ENCODING));
    if has_no_body || has_two_ends || is_old || heads.has_interim() || heads.is_odd() {
        return None;
    }
    let asked = asked_time(headers).unwrap_or(Duration::MAX).saturating_sub(AHEAD);
    (!asked.is_zero()).then(|| asked.min(IDLE))
}

/// Servers of HTTP/1.0 close, unless they say otherwise.
fn says_keep_alive(headers: &HeaderMap) -> bool {
    words(headers, CONNECTION.as_str()).any(|word| word.eq_ignore_ascii_case("keep-alive"))
}

/// The shortest time that the other side says it keeps an unused connection: `Keep-Alive: timeout=5`.
fn asked_time(headers: &HeaderMap) -> Option<Duration> {
    let seconds = |word: &str| {
        let (name, value) = word.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.parse().ok()).flatten()
    };
    words(headers, "keep-alive").filter_map(seconds).min().map(Duration::from_secs)
}

/// The words of a header that is a list.
fn words<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lists = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time after an answer to `method` that begins so.
    fn time(method: &Method, head: &str) -> Option<Duration> {
        let mut heads = Heads::default();
        heads.pass(&mut head.as_bytes().to_vec()).unwrap();
        let (status, headers) = heads.salvage().unwrap();
        idle_time(method, StatusCode::from_u16(status).unwrap(), &headers, &heads)
    }

    fn after(lines: &str) -> Option<Duration> {
        time(&Method::POST, &format!("HTTP/1.1 200 OK\r\n{lines}\r\n"))
    }

    #[test]
    fn the_other_side_says_how_long_it_keeps_a_connection() {
        let seconds = |n| Some(Duration::from_secs(n));
        for (lines, expected) in [
            ("", seconds(4)),
            ("Keep-Alive: timeout=60\r\n", seconds(4)),
            ("Keep-Alive: timeout=5, max=100\r\n", seconds(4)),
            ("keep-alive: max=7, Timeout = \"3\"\r\n", seconds(2)),
            ("Keep-Alive: timeout=9\r\nKeep-Alive: timeout=2\r\n", seconds(1)),
            ("Keep-Alive: timeout=1\r\n", None),
            ("Keep-Alive: timeout=0\r\n", None),
            ("Keep-Alive: timeout=soon\r\n", seconds(4)),
            ("Keep-Alive: 3\r\n", seconds(4)),
        ] {
            assert_eq!(after(lines), expected, "{lines}");
        }
    }

    #[test]
    fn a_connection_whose_answer_may_go_on_is_not_kept() {
        let post = |head: &str| time(&Method::POST, head);
        assert_eq!(post("HTTP/1.1 204 No Content\r\n\r\n"), None);
        assert_eq!(post("HTTP/1.1 304 Not Modified\r\n\r\n"), None);
        assert_eq!(time(&Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), None);
        assert_eq!(post("HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), None);
        assert_eq!(after("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"), None);
        assert_eq!(after("X-Folded: one\r\n two\r\n"), None);
        assert_eq!(post("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), None);
        let old = "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n";
        assert_eq!(post(&format!("{old}\r\n")), Some(IDLE));
        assert_eq!(post(&format!("{old}Transfer-Encoding: chunked\r\n\r\n")), None);
    }
}
