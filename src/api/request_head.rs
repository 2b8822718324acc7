//! What is asked of every request's head: size, id, content type.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};

use super::auth;
use super::problem::{Code, Problem};
use crate::domain::headers::{charsets, is_ascii, is_utf8};
use crate::domain::id::base32;

/// The header that ties an answer to its request.
pub(super) const REQUEST_ID: &str = "x-request-id";
/// Longest request id that is taken over from the caller.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Largest address and headers together. The connection itself takes more (see `serve`), so that
/// whoever is over this limit still gets an answer that explains it.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Most headers of a request.
const HEADERS_MAX: usize = 100;

/// What a body claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// Nothing is said.
    Silent,
    /// JSON, in UTF-8.
    Json,
    /// One JSON value a line.
    Lines,
    /// Pairs as a web page sends them.
    Form,
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
    let is_ours = |charset: &String| is_utf8(charset) || is_ascii(charset);
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        _ if !charsets(text).iter().all(is_ours) => Media::Foreign,
        "application/json" => Media::Json,
        "application/x-www-form-urlencoded" => Media::Form,
        "application/x-ndjson" | "application/ndjson" => Media::Lines,
        essence if essence.starts_with("application/") && essence.ends_with("+json") => Media::Json,
        _ => Media::Foreign,
    }
}

/// # Errors
/// 431 when address and headers are too large, or too many.
pub(super) fn check_size(head: &Parts) -> Result<(), Problem> {
    let address = head.uri.path_and_query().map_or(0, |address| address.as_str().len());
    let headers: usize =
        head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if head.headers.len() > HEADERS_MAX {
        let found = head.headers.len();
        let detail = format!("found {found} headers, more than {HEADERS_MAX}; send fewer of them");
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    if address + headers <= HEAD_BYTES_MAX {
        return Ok(());
    }
    let detail = format!(
        "address and headers take {} bytes, more than {HEAD_BYTES_MAX}; send less of them",
        address + headers
    );
    Err(Problem::new(Code::HeadersTooLarge, detail))
}

/// A body must come as it is: nothing here unpacks one, and a packed one would be taken for garbage.
///
/// # Errors
/// 415 for a compressed body, 400 for a transfer coding other than chunked; each names the coding.
pub(super) fn check_codings(headers: &HeaderMap) -> Result<(), Problem> {
    let foreign = codings(headers, &header::CONTENT_ENCODING).find(|coding| coding != "identity");
    if let Some(coding) = foreign {
        let detail = format!(
            "the body is compressed (Content-Encoding: {coding}), which is not understood here; send it as it is"
        );
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let mut codings = codings(headers, &header::TRANSFER_ENCODING);
    match (codings.next().as_deref(), codings.next()) {
        (None | Some("chunked"), None) => Ok(()),
        (first, second) => {
            let coding = first.filter(|coding| *coding != "chunked").map(str::to_owned).or(second);
            let coding = coding.unwrap_or_default();
            let detail = format!(
                "the transfer coding \"{coding}\" is not understood here; send Transfer-Encoding: chunked alone, or Content-Length"
            );
            Err(Problem::fault("", detail))
        }
    }
}

/// The codings that a header lists, in lower case.
fn codings(headers: &HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = String> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        let shown = |coding: &str| coding.trim().chars().take(60).collect::<String>();
        text.split(',').map(shown).filter(|coding| !coding.is_empty()).collect::<Vec<_>>()
    })
}

/// Without tokens a request must say that its body is JSON: a web page cannot say so without asking
/// first. With tokens only a foreign type is refused. Lines are for batches alone, and forms for receipts: a page that
/// sends one names its origin.
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
        Media::Form if route == auth::RECEIPTS => return Ok(()),
        Media::Silent if !(has_body && is_open) => return Ok(()),
        Media::Silent => {
            "the request has a body and no Content-Type; send Content-Type: application/json"
        }
        Media::Lines | Media::Form | Media::Foreign => {
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
        assert_eq!(of("application/x-www-form-urlencoded; charset=utf-8"), Media::Form);
        for foreign in [
            "",
            "text/plain",
            "text/json",
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
    fn packed_bodies_are_refused_by_the_name_of_their_coding() {
        let check = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            check_codings(&headers).map_err(|problem| (problem.code(), problem.detail_text()))
        };
        for good in [
            &[][..],
            &[("content-encoding", "identity")],
            &[("content-encoding", "")],
            &[("transfer-encoding", "Chunked")],
        ] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for coding in ["gzip", "br", "deflate", "zstd"] {
            for lines in [
                &[("content-encoding", coding)][..],
                &[("content-encoding", "identity"), ("content-encoding", coding)],
            ] {
                let (code, detail) = check(lines).unwrap_err();
                assert_eq!(code, Code::UnsupportedMediaType);
                assert!(detail.contains(coding), "{detail}");
            }
        }
        for (lines, named) in [
            (&[("transfer-encoding", "gzip, chunked")][..], "\"gzip\""),
            (&[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")], "\"gzip\""),
            (&[("transfer-encoding", "chunked, chunked")], "\"chunked\""),
            (&[("transfer-encoding", "chunked, gzip")], "\"gzip\""),
        ] {
            let (code, detail) = check(lines).unwrap_err();
            assert_eq!(code, Code::InvalidRequest, "{lines:?}");
            assert!(detail.contains(named), "{detail}");
        }
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
