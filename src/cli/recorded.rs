//! An answer of a downstream from a file, head and body as `curl -i` prints them.
//!
//! Owns what of such a file is the answer. Refuses to know what the answer means.

use bytes::Bytes;

use crate::domain::outcome::Answer;
use crate::domain::protocol::Protocol;
use crate::domain::receipt::Pending;
use crate::domain::units::format_size;

const HINT: &str = "expected head and body as curl prints them with -i: curl -si https://sms.example/send -d ... > recorded.txt";

/// Reads the answer; of a body only so much as the daemon reads.
///
/// # Errors
/// A sentence with the remedy.
pub(super) fn read(file: &[u8], bytes_max: usize) -> Result<Answer, String> {
    let (mut head, mut rest) = head(file)?;
    // Before the answer may stand heads of interim answers, of a proxy and of redirects that were followed.
    while is_head(rest) {
        (head, rest) = self::head(rest)?;
    }
    let status = head.status.ok_or_else(|| format!("has no status; {HINT}"))?;
    let body = &rest[..rest.len().min(bytes_max)];
    let missing = (body.len() < rest.len())
        .then(|| format!("it is longer than the {} that are read", format_size(bytes_max as u64)));
    // curl undoes what it asked for itself, and prints the head as it came.
    let is_encoded = body.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace());
    Ok(Answer::Answered {
        protocol: Protocol::Http,
        status,
        retry_after_ms: head.value("retry-after").map(|asked| {
            let seconds: Result<f64, _> = asked.parse();
            seconds.map_or(0, |seconds| milliseconds(seconds.clamp(0.0, 1e12)))
        }),
        content_type: head.value("content-type"),
        encoding: head
            .value("content-encoding")
            .filter(|name| is_encoded && !name.eq_ignore_ascii_case("identity")),
        body: Bytes::copy_from_slice(body),
        pending: head
            .value("tidegate-receipt")
            .filter(|word| word.eq_ignore_ascii_case("pending"))
            .map(|_| Pending::of(head.value("tidegate-ref").as_deref())),
        missing,
    })
}

fn milliseconds(seconds: f64) -> u64 {
    let span = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A head: its status, if it has a valid one, and its headers.
#[derive(Debug, Default)]
struct RecordedHead {
    status: Option<u16>,
    headers: Vec<(String, String)>,
}

impl RecordedHead {
    fn value(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }
}

/// The head with which these bytes begin, and what follows it.
fn head(bytes: &[u8]) -> Result<(RecordedHead, &[u8]), String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    if !is_head(bytes) {
        return Err(format!(
            "does not begin with the line of a status, such as HTTP/1.1 200 OK; {HINT}"
        ));
    }
    let mut head = RecordedHead::default();
    let mut rest = bytes;
    let mut is_first = true;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        if is_first {
            head.status = status(&line);
            is_first = false;
        } else if line.is_empty() {
            return Ok((head, rest));
        } else if let Some((name, value)) = line.split_once(':') {
            head.headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        if rest.is_empty() {
            return Ok((head, rest));
        }
    }
}

fn is_head(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    status(&String::from_utf8_lossy(&bytes[..end])).is_some()
}

/// The status of a line such as `HTTP/1.1 200 OK` or `HTTP/2 200`.
fn status(line: &str) -> Option<u16> {
    let mut words = line.trim().strip_prefix("HTTP/")?.split_whitespace();
    let (_version, status) = (words.next()?, words.next()?);
    let status = status.parse().ok().filter(|status| (100..=999).contains(status));
    status.filter(|_| line.starts_with("HTTP/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(file: &str) -> (u16, Option<String>, String) {
        match read(file.as_bytes(), 1 << 20) {
            Ok(Answer::Answered { status, content_type, body, .. }) => {
                (status, content_type, String::from_utf8_lossy(&body).into_owned())
            }
            other => panic!("{file}: {other:?}"),
        }
    }

    #[test]
    fn an_answer_is_read_as_curl_prints_it() {
        let expected = (200, Some("text/plain".to_owned()), "ERR: 114\n".to_owned());
        let lines = "HTTP/1.1 200 OK\nContent-Type: text/plain\n\nERR: 114\n";
        assert_eq!(answer(lines), expected);
        let (head, body) = lines.split_at(lines.len() - "ERR: 114\n".len());
        let head = head.replace('\n', "\r\n");
        assert_eq!(answer(&format!("{head}{body}")), expected);
        assert_eq!(answer(&format!("\u{feff}\n{lines}")), expected);
        for before in [
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Type: text/html\r\n\r\n",
            "HTTP/1.1 200 Connection established\n\nHTTP/1.1 100 Continue\n\n",
        ] {
            assert_eq!(answer(&format!("{before}{head}{body}")), expected, "{before}");
        }
        assert_eq!(answer("HTTP/2 204 \r\ndate: now\r\n\r\n"), (204, None, String::new()));
        assert_eq!(answer("HTTP/1.1 500 Oops"), (500, None, String::new()));
    }

    #[test]
    fn what_is_no_recording_is_refused_with_the_remedy() {
        for file in
            ["", "{\"status\":\"busy\"}", "HTTP/1.1\n\n", "< HTTP/1.1 200 OK\n", "HTTP/1.1 20 x"]
        {
            assert!(read(file.as_bytes(), 10).unwrap_err().contains("curl -si"), "{file}");
        }
    }

    #[test]
    fn what_changes_the_body_counts_only_where_it_is_not_undone() {
        let of = |body: &[u8]| {
            let head = b"HTTP/1.1 200 OK\ncontent-encoding: gzip\nretry-after: 1.5\ntidegate-receipt: pending\ntidegate-ref: A1\n\n";
            let answer = read(&[head, body].concat(), 4).unwrap();
            let Answer::Answered { encoding, missing, pending, .. } = &answer else { panic!() };
            assert_eq!(answer.retry_after_ms(), Some(1500));
            assert_eq!(pending, &Some(Pending::of(Some("A1"))));
            (encoding.is_some(), missing.is_some())
        };
        assert_eq!(of(b"OK"), (false, false));
        assert_eq!(of(b"\x1f\x8b\x08"), (true, false));
        assert_eq!(of(b"longer"), (false, true));
    }
}
