//! Which header names belong to us on the way to a downstream.
//!
//! Owns the list, so that the server, the configuration and the wire refuse the same names in the
//! same words. Refuses to know who sets the reserved ones (see `transport`).

use http::{HeaderName, HeaderValue};

use super::message::NAME_BYTES_MAX;

/// Longest header value, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 8192;

/// Names that only we, or the connection itself, may set.
const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The topic that a message came from.
pub const TOPIC_HEADER: &str = "tidegate-topic";
/// The event that a message came from.
pub const EVENT_HEADER: &str = "tidegate-event";
/// The nominal time of the tick that a message of a schedule is.
pub const NOMINAL_HEADER: &str = "tidegate-nominal-at";
/// What a message carries of where it came from: among its headers, set by us alone.
const ORIGINS: [&str; 3] = [TOPIC_HEADER, EVENT_HEADER, NOMINAL_HEADER];

/// First parts of names that only we, or the connection itself, may set.
const RESERVED_PREFIXES: [&str; 3] = ["proxy-", "tidegate-", "webhook-"];

/// Whether `name` (in any case) may be set neither by a producer nor by the configuration.
///
/// An underscore counts as a hyphen: many servers (CGI, WSGI) give an application both under one name, so
/// that `Webhook_Id` would stand in for `webhook-id`.
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    let is_alike = |name: &[u8], ours: &str| {
        name.len() == ours.len() && name.iter().zip(ours.bytes()).all(|(a, b)| alike(*a) == b)
    };
    let starts_with = |prefix: &str| {
        name.as_bytes().get(..prefix.len()).is_some_and(|start| is_alike(start, prefix))
    };
    RESERVED.iter().any(|reserved| is_alike(name.as_bytes(), reserved))
        || RESERVED_PREFIXES.iter().any(|prefix| starts_with(prefix))
}

/// Whether an application may take two names (in any case) for the same header, as an underscore counts as a hyphen.
#[must_use]
pub fn is_same_header(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).all(|(a, b)| alike(a) == alike(b))
}

/// A letter of a header's name as it counts for the reserved names.
const fn alike(letter: u8) -> u8 {
    match letter {
        b'_' => b'-',
        letter => letter.to_ascii_lowercase(),
    }
}

/// The name of a header that tells where a message came from, if this is one.
#[must_use]
pub fn origin_header(name: &str) -> Option<&'static str> {
    ORIGINS.into_iter().find(|origin| *origin == name)
}

/// Checks a header that a producer or the configuration wants to send along.
///
/// # Errors
/// A sentence that names the header and what is wrong; never the value, which may be secret.
pub fn check_header(name: &str, value: &str) -> Result<(), String> {
    if name.len() > NAME_BYTES_MAX || HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!(
            "\"{name}\" is not a valid header name; expected up to {NAME_BYTES_MAX} letters, digits and -"
        ));
    }
    if is_reserved_header(name) {
        return Err(format!(
            "header \"{name}\" is set by Tidegate itself; leave it out (the content type has a field of its own)"
        ));
    }
    if value.len() > HEADER_VALUE_BYTES_MAX {
        return Err(format!(
            "the value of header \"{name}\" is longer than {HEADER_VALUE_BYTES_MAX} bytes"
        ));
    }
    if HeaderValue::from_bytes(value.as_bytes()).is_err() {
        return Err(format!(
            "the value of header \"{name}\" has a line break or another control character; expected plain text"
        ));
    }
    Ok(())
}

/// Checks what a message says its payload is.
///
/// # Errors
/// A sentence that names what was found and what is expected.
pub fn check_content_type(text: &str) -> Result<(), String> {
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&b))
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    let well_formed = essence.split_once('/').is_some_and(|(a, b)| is_token(a) && is_token(b));
    let is_plain =
        text.len() <= NAME_BYTES_MAX && text.is_ascii() && !text.contains(char::is_control);
    if well_formed && is_plain {
        Ok(())
    } else {
        Err(format!("\"{text}\" is not a valid content type; expected for example text/plain"))
    }
}

/// The charsets that a content type names, in lower case and without quotes; usually one or none.
#[must_use]
pub fn charsets(content_type: &str) -> Vec<String> {
    let mut found = Vec::new();
    for parameter in parameters(content_type) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.trim().eq_ignore_ascii_case("charset") {
            found.push(value.trim().trim_matches('"').to_ascii_lowercase());
        }
    }
    found
}

/// What stands between semicolons after the type itself; a semicolon in quotes separates nothing.
fn parameters(content_type: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let pieces = content_type.split(move |letter| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match letter {
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            '"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        letter == ';' && !is_quoted
    });
    pieces.skip(1)
}

/// Whether a charset is UTF-8 by one of its names.
#[must_use]
pub fn is_utf8(charset: &str) -> bool {
    matches!(charset, "utf-8" | "utf8")
}

/// Whether a charset is ASCII, which is UTF-8 as far as it goes.
#[must_use]
pub fn is_ascii(charset: &str) -> bool {
    matches!(charset, "us-ascii" | "ascii")
}

/// Checks that a payload, which leaves as UTF-8, is what its content type says.
///
/// # Errors
/// A sentence that names the charset and what is expected.
pub fn check_charset(content_type: &str, payload: &[u8]) -> Result<(), String> {
    for charset in charsets(content_type) {
        if is_utf8(&charset) || is_ascii(&charset) && payload.is_ascii() {
            continue;
        }
        return Err(if is_ascii(&charset) {
            format!(
                "found the charset \"{charset}\", and the payload has characters that are not ASCII; expected charset=utf-8"
            )
        } else {
            format!(
                "found the charset \"{charset}\", but the payload would leave as UTF-8; expected charset=utf-8, or none"
            )
        });
    }
    Ok(())
}

/// Whether a content type means JSON, so that a string goes out in its quotes.
#[must_use]
pub fn is_json_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some((_, subtype)) = essence.split_once('/') else { return true };
    let subtype = subtype.to_ascii_lowercase();
    subtype == "json" || subtype.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_are_reserved_in_any_case() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "CONNECTION",
            "keep-alive",
            "TE",
            "Trailer",
            "upgrade",
            "Proxy-Authorization",
            "Content-Type",
            "Idempotency-Key",
            "Webhook-Id",
            "tidegate-attempt",
            "Tidegate-",
            "expect",
            "Content_Length",
            "transfer_encoding",
            "Webhook_Id",
            "tidegate_attempt",
            "proxy_authorization",
            "Idempotency_Key",
        ] {
            assert!(is_reserved_header(name), "{name}");
        }
        for name in [
            "authorization",
            "x-host",
            "accept",
            "tidegat",
            "webhooks",
            "proxy",
            "tea",
            "x_tenant",
            "ho_st",
        ] {
            assert!(!is_reserved_header(name), "{name}");
        }
        assert!(!is_reserved_header("tidegat\u{e9}-x"), "cut inside a character");
    }

    #[test]
    fn charsets_are_found_wherever_they_stand() {
        for (content_type, expected) in [
            ("text/plain", vec![]),
            ("text/plain; charset=utf-8", vec!["utf-8"]),
            ("text/plain;CHARSET=\"ISO-8859-1\"", vec!["iso-8859-1"]),
            ("text/plain; format=flowed; charset = latin1", vec!["latin1"]),
            ("text/plain; charset=utf-8; charset=utf-16", vec!["utf-8", "utf-16"]),
            ("text/plain; charset", vec![""]),
            ("multipart/mixed; boundary=\"a;charset=x\\\";charset=y\"", vec![]),
        ] {
            assert_eq!(charsets(content_type), expected, "{content_type}");
        }
    }

    #[test]
    fn a_payload_is_what_its_charset_says_or_is_refused() {
        for good in ["text/plain", "text/plain; charset=UTF-8", "application/xml;charset=utf8"] {
            assert_eq!(check_charset(good, "Grüße".as_bytes()), Ok(()), "{good}");
        }
        assert_eq!(check_charset("text/plain; charset=us-ascii", b"hello"), Ok(()));
        for (bad, part) in [
            ("text/plain; charset=us-ascii", "not ASCII"),
            ("text/plain; charset=iso-8859-1", "\"iso-8859-1\""),
            ("application/json; charset=utf-16", "\"utf-16\""),
            ("text/plain; charset=utf-8; charset=latin1", "\"latin1\""),
            ("text/plain; charset", "\"\""),
        ] {
            let why = check_charset(bad, "Grüße".as_bytes()).unwrap_err();
            assert!(why.contains(part) && why.contains("charset=utf-8"), "{bad}: {why}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_showing_the_value() {
        assert_eq!(check_header("X-Tenant", "köln"), Ok(()));
        assert!(check_header("", "a").is_err());
        assert!(check_header("a b", "a").is_err());
        assert!(check_header(&"x".repeat(257), "a").is_err());
        assert!(check_header("webhook-id", "a").is_err());
        assert!(check_header("x", &"v".repeat(8193)).is_err());
        let error = check_header("x", "secret\r\nhost: evil").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
