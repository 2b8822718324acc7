//! What a daemon answers to each request: the one check that the answer of another server is never taken for it.
//!
//! Owns, for each request, what a 2xx answer must have. Refuses to know what the answer says.

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use serde::de::IgnoredAny;

use super::exit::{Exit, Failure};

/// What a 2xx answer must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// An object with these fields.
    Fields(&'static [&'static str]),
    /// The same, or 204 without a body where nothing is kept of it.
    FieldsOrNothing(&'static [&'static str]),
    /// Pieces of this content type, while the daemon works.
    Stream(&'static str),
}

/// The header that every answer of a daemon has.
const REQUEST_ID: &str = "x-request-id";

fn shape(method: &Method, path: &[&str]) -> Shape {
    use Shape::{Fields, FieldsOrNothing, Stream};
    match (method.as_str(), path) {
        (_, ["readyz"]) => Fields(&["status", "node"]),
        (_, ["v1", "events"]) => Stream("text/event-stream"),
        (_, ["v1", "queues", _, "audit"]) => Stream("application/x-ndjson"),
        (_, ["v1", "queues"]) => Fields(&["queues"]),
        ("GET", ["v1", "queues", _, "messages"]) => Fields(&["messages"]),
        (_, ["v1", "queues", _, "messages"]) => Fields(&["id", "queue", "state"]),
        (_, ["v1", "queues", _, "messages", "batch"]) => Fields(&["results"]),
        (_, ["v1", "queues", _, "receipts"]) => Fields(&["verdict"]),
        (_, ["v1", "queues", _, "windows"]) => Fields(&["time_zone", "windows"]),
        (_, ["v1", "queues", _, "try"]) => Fields(&["request", "answer", "outcome"]),
        (_, ["v1", "queues", _, "purge"]) => Fields(&["purged", "remaining"]),
        (_, ["v1", "queues", _, "requeue-all"]) => Fields(&["requeued", "remaining"]),
        (_, ["v1", "queues", ..]) => Fields(&["name", "counts", "sending"]),
        ("GET", ["v1", "messages", ..]) => Fields(&["id", "state"]),
        (_, ["v1", "messages", ..]) => FieldsOrNothing(&["id", "state"]),
        (_, ["v1", "topics"]) => Fields(&["topics"]),
        (_, ["v1", "topics", ..]) => Fields(&["id", "messages"]),
        (_, ["v1", "schedules"]) => Fields(&["schedules"]),
        (_, ["v1", "schedules", _, "run"]) => Fields(&["id", "schedule"]),
        ("DELETE", ["v1", "schedules", _]) => FieldsOrNothing(&["name", "queue"]),
        (_, ["v1", "schedules", ..]) => Fields(&["name", "queue"]),
        ("GET", ["v1", "operations"]) => Fields(&["operations"]),
        (_, ["v1", "operations", ..]) => Fields(&["id", "state"]),
        (_, ["v1", "actions"]) => Fields(&["actions"]),
        (_, ["v1", "nodes"]) => Fields(&["nodes"]),
        (_, ["v1", "doctor"]) => Fields(&["findings"]),
        (_, ["v1", "clock", ..]) => Fields(&["now", "alarm"]),
        // A request that is not in this list: at least an object.
        _ => Fields(&[]),
    }
}

/// Whether this 2xx answer is one of a daemon to this request.
pub(super) fn check(
    method: &Method,
    path: &[String],
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), Failure> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match shape(method, &path) {
        Shape::FieldsOrNothing(_) if status == StatusCode::NO_CONTENT => has_id(headers),
        Shape::Fields(fields) | Shape::FieldsOrNothing(fields) => has_fields(body, fields),
        Shape::Stream(content_type) => is_of(headers, content_type),
    }
}

/// An answer without a body has nothing else to be recognised by.
fn has_id(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.contains_key(REQUEST_ID) {
        return Ok(());
    }
    Err(unexpected(&format!("it has no body and no header {REQUEST_ID}")))
}

fn has_fields(body: &[u8], fields: &[&str]) -> Result<(), Failure> {
    let found: BTreeMap<String, IgnoredAny> =
        serde_json::from_slice(body).map_err(|error| unexpected(&error.to_string()))?;
    match fields.iter().find(|field| !found.contains_key(**field)) {
        Some(missing) => Err(unexpected(&format!("it has no field \"{missing}\""))),
        None => Ok(()),
    }
}

/// Whether an answer has this content type.
fn is_of(headers: &HeaderMap, content_type: &str) -> Result<(), Failure> {
    let found = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if found.split(';').next().unwrap_or_default().trim() == content_type {
        return Ok(());
    }
    Err(unexpected(&format!("its content type is \"{found}\", not {content_type}")))
}

/// The failure for an answer that no daemon gives.
pub(super) fn unexpected(why: &str) -> Failure {
    Failure::new(Exit::Failure, format!("the answer is not what was expected: {why}"))
        .next("check that --url names a tidegate daemon of a fitting version")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn is_fine(
        method: &Method,
        path: &[&str],
        status: u16,
        headers: &HeaderMap,
        body: &str,
    ) -> bool {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        let status = StatusCode::from_u16(status).unwrap();
        check(method, &path, status, headers, body.as_bytes()).is_ok()
    }

    #[test]
    fn nothing_is_an_answer_only_of_a_daemon_and_only_where_it_may_be_one() {
        let message = ["v1", "messages", "sms_1"];
        let none = HeaderMap::new();
        let of_daemon =
            HeaderMap::from_iter([(REQUEST_ID.parse().unwrap(), HeaderValue::from_static("01J"))]);
        assert!(is_fine(&Method::DELETE, &message, 204, &of_daemon, ""));
        assert!(!is_fine(&Method::DELETE, &message, 204, &none, ""));
        assert!(!is_fine(&Method::DELETE, &message, 200, &of_daemon, ""));
        assert!(!is_fine(&Method::GET, &message, 204, &of_daemon, ""));
        assert!(is_fine(
            &Method::GET,
            &message,
            200,
            &none,
            "{\"id\":\"a\",\"state\":\"dead\",\"x\":1}"
        ));
    }
}
