//! What is asked of every request's head: size, id, content type.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};

use super::problem::{Code, Problem};
use crate::domain::id::base32;

/// The header that ties an answer to its request.
pub(super) const REQUEST_ID: &str = "x-request-id";
/// Longest request id that is taken over from the caller.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Largest address and headers together. The connection itself takes more (see `serve`), so that
/// whoever is over this limit still gets an answer that explains it.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// What a body claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// Nothing is said.
    Silent,
    /// JSON, in UTF-8.
    Json,
    /// One JSON value a line.
    Lines,
    /// Anything else.
    Foreign,
}

/// What `Content-Type` says.
pub(super) fn media(headers: &HeaderMap) -> Media {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Media::Silent };
    let Ok(text) = value.to_str() else { return Media::Foreign };
    if values.next().is_some() {
        return Media::Foreign;
    }
    if text == "application/json" {
        return Media::Json;
    }
    let text = text.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_utf8 = parts.all(|part| {
        part.strip_prefix("charset=")
            .is_none_or(|name| matches!(name.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"))
    });
    match essence {
        _ if !is_utf8 => Media::Foreign,
        "application/json" => Media::Json,
        "application/x-ndjson" | "application/ndjson" => Media::Lines,
        _ if essence.starts_with("application/") && essence.ends_with("+json") => Media::Json,
        _ => Media::Foreign,
    }
}

/// # Errors
/// 431 when address and headers are too large.
pub(super) fn check_size(head: &Parts) -> Result<(), Problem> {
    let address = head.uri.path_and_query().map_or(0, |address| address.as_str().len());
    let headers: usize =
        head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if address + headers <= HEAD_BYTES_MAX {
        return Ok(());
    }
    let detail = format!(
        "address and headers take {} bytes, more than {HEAD_BYTES_MAX}; send less of them",
        address + headers
    );
    Err(Problem::new(Code::HeadersTooLarge, detail))
}

/// Without tokens a request must say that its body is JSON: a web page cannot say so without asking
/// first. With tokens only a foreign type is refused. Lines are for batches alone.
///
/// # Errors
/// 415.
pub(super) fn check_media(
    head: &Parts,
    route: &str,
    has_body: bool,
    is_open: bool,
) -> Result<(), Problem> {
    if !matches!(head.method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        return Ok(());
    }
    let detail = match media(&head.headers) {
        Media::Json => return Ok(()),
        Media::Lines if route.ends_with("/batch") => return Ok(()),
        Media::Silent if !(has_body && is_open) => return Ok(()),
        Media::Silent => {
            "the request has a body and no Content-Type; send Content-Type: application/json"
        }
        Media::Lines | Media::Foreign => {
            "only JSON is taken; send Content-Type: application/json (a batch may be application/x-ndjson)"
        }
    };
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

/// The caller's request id, if it can be echoed; else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let id = base32(rand::random(), 20);
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str) -> Media {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        media(&headers)
    }

    #[test]
    fn content_types_as_people_send_them() {
        for json in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/cloudevents+json",
        ] {
            assert_eq!(of(json), Media::Json, "{json}");
        }
        assert_eq!(of("application/x-ndjson"), Media::Lines);
        for foreign in [
            "",
            "text/plain",
            "text/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/json; charset=utf-16",
            "application/jsonx",
            "json",
        ] {
            assert_eq!(of(foreign), Media::Foreign, "{foreign}");
        }
        assert_eq!(media(&HeaderMap::new()), Media::Silent);
    }

    #[test]
    fn odd_request_ids_are_replaced() {
        let ask = |id: &str| {
            let headers = [(http::HeaderName::from_static(REQUEST_ID), id.parse().unwrap())];
            request_id(&headers.into_iter().collect()).to_str().unwrap().to_owned()
        };
        assert_eq!(ask("abc-1"), "abc-1");
        for odd in ["", "a b", &"x".repeat(129)] {
            assert_eq!(ask(odd).len(), 20, "{odd}");
        }
    }
}
