//! The heads of an answer as they pass by on their way to the client library.
//!
//! Owns what has to be known beside the library's own reading: how many interim answers (1xx) have come,
//! the status of a head that the library cannot read, and whether a head had to be read leniently.
//! Refuses to know connections and bodies. The library skips interim answers in a loop of its own, and
//! drops everything it had read when one line of a head displeases it.

use std::ops::RangeInclusive;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::transport::http::handover::{INTERIM_ANSWERS_MAX, WireError};

/// Bytes of all interim answers together.
const INTERIM_BYTES_MAX: usize = 64 * 1024;
/// A buffer that grew beyond this is not kept for the next answer.
const KEPT_BYTES_MAX: usize = 4 * 1024;
/// Every valid status.
const STATUSES: RangeInclusive<u16> = 100..=999;

/// What has come of the heads of one answer.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// The head that is under way, or the final one.
    head: Vec<u8>,
    /// Where the last line of it begins.
    line_at: usize,
    /// Whether the final head is complete: what follows is the body.
    is_over: bool,
    /// Whether the head under way says HTTP/1.0.
    is_old: bool,
    interim_answers: usize,
    interim_bytes: usize,
}

impl Heads {
    /// Expects the next answer.
    pub(super) fn clear(&mut self) {
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        if head.capacity() > KEPT_BYTES_MAX {
            head = Vec::new();
        }
        *self = Self { head, ..Self::default() };
    }

    /// Takes note of bytes that have come. HTTP/1.0 becomes HTTP/1.1 in them: the library refuses a chunked
    /// body from an older server, though such servers exist; see [`Self::is_old`].
    ///
    /// # Errors
    /// When nothing but interim answers comes.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> Result<(), WireError> {
        let mut rest = bytes;
        while !self.is_over && !rest.is_empty() {
            let line_len =
                rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let (line, later) = rest.split_at_mut(line_len);
            self.rejuvenate(line);
            self.head.extend_from_slice(line);
            if line.ends_with(b"\n") {
                self.end_line()?;
            }
            rest = later;
        }
        Ok(())
    }

    /// Turns the minor version of a status line from 0 to 1.
    fn rejuvenate(&mut self, line: &mut [u8]) {
        const BEFORE: &[u8] = b"HTTP/1.";
        let Some(at) = BEFORE.len().checked_sub(self.head.len()) else { return };
        let (read, missing) = BEFORE.split_at(self.head.len());
        if self.head == read && line.starts_with(missing) && line.get(at) == Some(&b'0') {
            line[at] = b'1';
            self.is_old = true;
        }
    }

    fn end_line(&mut self) -> Result<(), WireError> {
        let is_blank = matches!(&self.head[self.line_at..], b"\n" | b"\r\n");
        if !is_blank {
            self.line_at = self.head.len();
            return Ok(());
        }
        if self.line_at == 0 {
            // Blank lines before a head count for nothing, but not without end.
            return self.skip();
        }
        if matches!(self.status(), Some(100 | 102..=199)) {
            self.interim_answers += 1;
            return self.skip();
        }
        self.is_over = true;
        Ok(())
    }

    fn skip(&mut self) -> Result<(), WireError> {
        self.interim_bytes += self.head.len();
        self.head.clear();
        self.line_at = 0;
        self.is_old = false;
        let is_endless =
            self.interim_answers > INTERIM_ANSWERS_MAX || self.interim_bytes > INTERIM_BYTES_MAX;
        if is_endless { Err(WireError::Endless) } else { Ok(()) }
    }

    /// Whether the final head came from a server of HTTP/1.0.
    pub(super) const fn is_old(&self) -> bool {
        self.is_old
    }

    /// Whether interim answers came, which we never ask for.
    pub(super) const fn has_interim(&self) -> bool {
        self.interim_answers > 0
    }

    /// Whether the final head has lines that only a lenient reader takes, or skips. Where the body ends is
    /// then not certain.
    pub(super) fn is_odd(&self) -> bool {
        let is_plain = |line| {
            name_and_value(line).is_some_and(|(name, value)| {
                !name.is_empty()
                    && name.iter().all(|b| is_token(*b))
                    && !value.iter().any(is_control)
            })
        };
        !self.lines().skip(1).all(is_plain)
    }

    /// The status and the headers of a final head of which at least the status line came, as far as they
    /// can be read.
    pub(super) fn salvage(&self) -> Option<(u16, HeaderMap)> {
        let status = self.status().filter(|status| *status == 101 || *status >= 200)?;
        let mut headers = HeaderMap::new();
        for line in self.lines().skip(1) {
            let Some((name, value)) = name_and_value(line) else { continue };
            let name = HeaderName::from_bytes(name.trim_ascii());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                // A later one of the same name does not replace it, as where the library reads.
                headers.try_append(name, value).ok()?;
            }
        }
        Some((status, headers))
    }

    /// The status that the head under way names, once its first line is complete.
    fn status(&self) -> Option<u16> {
        if self.line_at == 0 {
            return None;
        }
        let line = self.lines().next()?.strip_prefix(b"HTTP/")?;
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let version = words.next()?;
        let is_version = version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        let status = words.next().filter(|status| is_version && status.len() == 3)?;
        let status = str::from_utf8(status).ok()?.parse().ok()?;
        STATUSES.contains(&status).then_some(status)
    }

    /// The complete lines of the head, without their ends.
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let complete = &self.head[..self.line_at];
        complete.split_inclusive(|byte| *byte == b'\n').map(|line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            line.strip_suffix(b"\r").unwrap_or(line)
        })
    }
}

fn name_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon_at = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..colon_at], line[colon_at + 1..].trim_ascii()))
}

/// Whether a byte may stand in a header's name.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

const fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && *byte != b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of an answer, whole and byte for byte.
    fn passed(text: &str) -> (Heads, String) {
        let mut whole = (Heads::default(), text.as_bytes().to_vec());
        whole.0.pass(&mut whole.1).unwrap();
        let mut bytewise = (Heads::default(), text.as_bytes().to_vec());
        for byte in bytewise.1.chunks_mut(1) {
            bytewise.0.pass(byte).unwrap();
        }
        assert_eq!(whole.1, bytewise.1, "{text}");
        assert_eq!(format!("{:?}", whole.0), format!("{:?}", bytewise.0), "{text}");
        (whole.0, String::from_utf8(whole.1).unwrap())
    }

    #[test]
    fn an_old_version_is_replaced_in_status_lines_alone() {
        let (heads, text) = passed("HTTP/1.0 200 OK\r\nX: HTTP/1.0\r\n\r\nHTTP/1.0 200 OK\r\n");
        assert_eq!(text, "HTTP/1.1 200 OK\r\nX: HTTP/1.0\r\n\r\nHTTP/1.0 200 OK\r\n");
        assert!(heads.is_old() && heads.is_over);
        let (heads, text) = passed("HTTP/1.0 100 Go on\r\n\r\nHTTP/1.1 200 OK\n\n");
        assert_eq!(text, "HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\n\n");
        assert!(!heads.is_old() && heads.has_interim() && heads.is_over);
    }

    #[test]
    fn a_status_is_salvaged_from_a_head_that_is_otherwise_unreadable() {
        let salvage = |text: &str| passed(text).0.salvage();
        let read = |text: &str| salvage(text).map(|(status, _)| status);
        assert_eq!(read("HTTP/1.1 200 OK\r\n\0\r\n\r\n"), Some(200));
        assert_eq!(read("\r\nHTTP/1.1  401\nX"), Some(401));
        assert_eq!(read("HTTP/2 422 No\r\n"), Some(422));
        for nothing in [
            "HTTP/1.1 200 OK",
            "HTTP/1.1 2000 OK\r\n",
            "HTTP/1.1 +20 OK\r\n",
            "HTTP/1.1 099 OK\r\n",
            "HTTP/x 200 OK\r\n",
            "HTTP/1.1 103 Hints\r\nX",
            "ICY 200 OK\r\n",
            "200 OK\r\n",
            "",
        ] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
        let (_, headers) =
            salvage("HTTP/1.1 429 No\r\nno colon\r\nRetry-After : 7\r\nContent-Length: x\r\n")
                .unwrap();
        assert_eq!(headers["retry-after"], "7");
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn odd_lines_are_noticed() {
        let is_odd = |lines: &str| passed(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).0.is_odd();
        assert!(!is_odd(""));
        assert!(!is_odd("Content-Length: 0\r\nX-Empty:\r\nx_under: a:b\r\n"));
        for lines in ["X: a\r\n b\r\n", "Server : old\r\n", "no colon\r\n", "X: \0\r\n", "Ä: 1\r\n"]
        {
            assert!(is_odd(lines), "{lines}");
        }
    }

    #[test]
    fn interim_answers_come_to_an_end() {
        let endless = |text: &str, count: usize| {
            let mut heads = Heads::default();
            (0..count).any(|_| heads.pass(&mut text.as_bytes().to_vec()).is_err())
        };
        let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        assert!(!endless(hint, INTERIM_ANSWERS_MAX));
        assert!(endless(hint, INTERIM_ANSWERS_MAX + 1));
        let large = format!("HTTP/1.1 102 Processing\r\nX: {}\r\n\r\n", "x".repeat(10_000));
        assert!(!endless(&large, 6) && endless(&large, 7));
        assert!(endless("\r\n", INTERIM_BYTES_MAX));
        assert!(!endless("HTTP/1.1 200 OK\r\n\r\n", INTERIM_BYTES_MAX), "the rest is the body");
    }
}
