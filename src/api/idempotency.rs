//! The idempotency key: in the body, or in the header `Idempotency-Key`.
//!
//! Owns the header's two forms, quoted (an RFC 8941 string) and bare.

use axum::http::HeaderMap;

use super::problem::Problem;
use super::values::check_name;
use crate::domain::message::NAME_BYTES_MAX;

/// The header's name.
pub(super) const HEADER: &str = "idempotency-key";

/// What the header may say, as far as a pattern can tell.
pub(super) fn pattern() -> String {
    format!(r#"^[!#-~]{{1,{NAME_BYTES_MAX}}}$|^"[ !#-\[\]-~]{{1,{NAME_BYTES_MAX}}}"$"#)
}

/// The key in the header.
///
/// # Errors
/// When it is given twice, or cannot be read.
pub(super) fn from_header(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = |why: String| Problem::fault("", format!("the header Idempotency-Key: {why}"));
    if values.next().is_some() {
        return Err(wrong("given twice; give it once".to_owned()));
    }
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| wrong("found bytes that are not valid UTF-8, expected text".to_owned()))?;
    let key = unquoted(text.trim()).ok_or_else(|| {
        wrong("found a quote without its end, expected \"key\" or a bare key".to_owned())
    })?;
    check_name(&key, NAME_BYTES_MAX).map_err(wrong)?;
    Ok(Some(key))
}

/// The text of an RFC 8941 string, or a bare text as it is.
fn unquoted(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let mut key = String::with_capacity(rest.len());
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            '"' => return letters.next().is_none().then_some(key),
            '\\' => key.push(letters.next().filter(|c| matches!(c, '"' | '\\'))?),
            letter => key.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, ()> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, value.parse().unwrap());
        }
        from_header(&headers).map_err(|_| ())
    }

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        assert_eq!(read(&[]), Ok(None));
        for text in ["order-42", "\"order-42\"", " order-42 "] {
            assert_eq!(read(&[text]), Ok(Some("order-42".to_owned())), "{text}");
        }
        assert_eq!(read(&[r#""a\"b\\c""#]), Ok(Some("a\"b\\c".to_owned())));
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        for bad in ["", "\"", "\"a", "\"a\" ", "\"a\"b", "\"a\\n\"", "\"\""] {
            // A trailing space is trimmed by the rules of HTTP and is no fault.
            if bad != "\"a\" " {
                assert_eq!(read(&[bad]), Err(()), "{bad}");
            }
        }
        assert_eq!(read(&["a", "a"]), Err(()));
        assert_eq!(read(&[&"k".repeat(257)]), Err(()));
        assert_eq!(read(&[&"k".repeat(256)]), Ok(Some("k".repeat(256))));
    }
}
