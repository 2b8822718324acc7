//! Which header names belong to us on the way to a downstream.
//!
//! Owns the list, so that the door, the configuration and the wire refuse the same names in the
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
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    let starts_with = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
        || RESERVED_PREFIXES.iter().any(|prefix| starts_with(prefix))
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
            "\"{name}\" is no header name; expected up to {NAME_BYTES_MAX} letters, digits and -"
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
        Err(format!("\"{text}\" is no content type; expected for example text/plain"))
    }
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
        ] {
            assert!(is_reserved_header(name), "{name}");
        }
        for name in ["authorization", "x-host", "accept", "tidegat", "webhooks", "proxy", "tea"] {
            assert!(!is_reserved_header(name), "{name}");
        }
        assert!(!is_reserved_header("tidegat\u{e9}-x"), "cut inside a character");
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
