//! The body of a downstream's answer as text: read liberally, since downstreams are what they are.
//!
//! Owns character sets and byte order marks, and what is no text. Refuses to know what a text says.

use std::borrow::Cow;

use encoding_rs::{Encoding, WINDOWS_1252};

/// What stands where bytes could not be read in an encoding.
const UNREAD: char = char::REPLACEMENT_CHARACTER;

/// The body of an answer, and what its head says of it.
#[derive(Debug, Clone, Copy)]
pub struct AnswerBody<'a> {
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Content-Encoding`, where it changes the body's bytes.
    pub encoding: Option<&'a str>,
    /// Its bytes, as far as they came.
    pub body: &'a [u8],
    /// Why the body did not come to its end, if it did not.
    pub missing: Option<&'a str>,
}

impl<'a> AnswerBody<'a> {
    /// Whether it may hold an object or a list of JSON.
    #[must_use]
    pub fn holds_json(&self) -> bool {
        self.body.iter().any(|byte| matches!(byte, b'{' | b'['))
    }

    /// Whether it has bytes that no text has, as compressed bodies do that their head says nothing of.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.body.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
    }

    /// Whether it begins with a byte order mark.
    #[must_use]
    pub fn has_mark(&self) -> bool {
        Encoding::for_bom(self.body).is_some()
    }

    /// Whether its type says that it is JSON.
    #[must_use]
    pub fn says_json(&self) -> bool {
        let essence = self.content_type.unwrap_or_default().split(';').next().unwrap_or_default();
        let Some((_, subtype)) = essence.trim().split_once('/') else { return false };
        let subtype = subtype.to_ascii_lowercase();
        subtype == "json" || subtype.ends_with("+json")
    }

    /// The body as text, in each encoding in which it may be meant, the likeliest first.
    #[must_use]
    pub fn texts(&self) -> Vec<Cow<'a, str>> {
        let body = self.body;
        let in_encoding =
            |encoding: &'static Encoding| encoding.decode_without_bom_handling(body).0;
        if let Some((encoding, mark_bytes)) = Encoding::for_bom(body) {
            return vec![encoding.decode_without_bom_handling(&body[mark_bytes..]).0];
        }
        let declared = self.content_type.and_then(charset);
        // JSON begins with an ASCII character, so that a zero byte beside it shows UTF-16.
        let guessed = match body {
            [0, letter, ..] if letter.is_ascii() => encoding_rs::UTF_16BE,
            [letter, 0, ..] if letter.is_ascii() => encoding_rs::UTF_16LE,
            _ => encoding_rs::UTF_8,
        };
        let mut texts: Vec<_> = declared.map(in_encoding).into_iter().collect();
        if declared != Some(guessed) {
            texts.push(in_encoding(guessed));
        }
        texts
    }

    /// The one of these [`texts`](Self::texts) that is read best. Bytes that fit no encoding in which the body may be
    /// meant are read as HTTP once read all text, in Latin-1.
    ///
    /// # Errors
    /// Why it is no text, or not all of it.
    pub fn text<'t>(&self, texts: &'t [Cow<'a, str>]) -> Result<Cow<'t, str>, String> {
        if let Some(missing) = self.missing {
            return Err(not_whole(missing));
        }
        if let (Some(encoding), false) = (self.encoding, self.body.is_empty()) {
            return Err(encoded(encoding));
        }
        let exact = texts.iter().find(|text| is_text(text) && !text.contains(UNREAD));
        if let Some(exact) = exact {
            return Ok(Cow::Borrowed(exact));
        }
        let latin = WINDOWS_1252.decode_without_bom_handling(self.body).0;
        if !self.has_mark() && is_text(&latin) {
            return Ok(Cow::Owned(latin.into_owned()));
        }
        let readable = texts.iter().find(|text| is_text(text));
        readable.map(|text| Cow::Borrowed(&**text)).ok_or_else(|| NO_TEXT.to_owned())
    }
}

/// Why a body that is binary says nothing.
pub const NO_TEXT: &str =
    "the answer's body is not text: it may be compressed, which was not asked for";

/// Why a body that did not come to its end says nothing.
#[must_use]
pub fn not_whole(missing: &str) -> String {
    format!("the answer's body is not whole: {missing}")
}

/// Why a body that is encoded says nothing.
#[must_use]
pub fn encoded(encoding: &str) -> String {
    format!("the answer's body is encoded ({encoding}), which was not asked for")
}

/// Whether a text begins as an object or a list of JSON does.
#[must_use]
pub fn begins_like_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// Whether it has no character that only stands in what is no text. Some servers end their answer with a zero byte.
fn is_text(text: &str) -> bool {
    let text = text.trim_end_matches('\0');
    !text.chars().any(|letter| letter.is_control() && !letter.is_whitespace())
}

fn charset(content_type: &str) -> Option<&'static Encoding> {
    let named = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })?;
    Encoding::for_label(named.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content_type: Option<&'static str>, body: &[u8]) -> Result<String, String> {
        let body = AnswerBody { content_type, encoding: None, body, missing: None };
        body.text(&body.texts()).map(Cow::into_owned)
    }

    #[test]
    fn text_is_read_in_whatever_character_set_it_comes() {
        let expected = Ok("für".to_owned());
        assert_eq!(text(None, "für".as_bytes()), expected);
        assert_eq!(text(None, b"f\xfcr"), expected, "Latin-1, and nobody says so");
        assert_eq!(text(Some("text/plain; charset=iso-8859-1"), b"f\xfcr"), expected);
        assert_eq!(text(Some("text/plain; charset=\"UTF-8\""), b"f\xfcr"), expected);
        assert_eq!(text(Some("text/plain; charset=nonsense"), "für".as_bytes()), expected);
        assert_eq!(text(None, b"\xef\xbb\xbff\xc3\xbcr"), expected, "a mark of UTF-8");
        assert_eq!(text(None, b"\xff\xfef\0\xfc\0r\0"), expected, "a mark of UTF-16");
        assert_eq!(text(None, b"f\0\xfc\0r\0"), expected, "UTF-16 without one");
        assert_eq!(text(None, b"OK\0"), Ok("OK\0".to_owned()), "a zero byte at its end");
        assert_eq!(text(None, b""), Ok(String::new()));
    }

    #[test]
    fn what_is_no_text_is_not_read() {
        for body in [&b"\x1f\x8b\x08\0\0\0\0\0"[..], b"ab\0c", b"\x01", b"\xff\x00\x81\x1b"] {
            assert_eq!(text(None, body), Err(NO_TEXT.to_owned()), "{body:?}");
        }
        let body =
            AnswerBody { content_type: None, encoding: None, body: b"O", missing: Some("x") };
        assert_eq!(body.text(&body.texts()), Err("the answer's body is not whole: x".to_owned()));
        let body = AnswerBody { encoding: Some("br"), missing: None, ..body };
        assert!(body.text(&body.texts()).unwrap_err().contains("encoded (br)"));
    }
}
