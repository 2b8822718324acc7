//! What a daemon answers to each request: the one check that the answer of another server is never taken for it.
//!
//! Owns, for each request, what a 2xx answer must have. Refuses to know what the answer says.

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};

use super::exit::{Exit, Failure};
use crate::wire::action::ActionList;
use crate::wire::attempt::AttemptList;
use crate::wire::doctor::DoctorAnswer;
use crate::wire::exchange::ExchangeView;
use crate::wire::explain::ExplanationView;
use crate::wire::forecast::ForecastView;
use crate::wire::history::HistoryAnswer;
use crate::wire::key::{KeyAnswer, KeyView};
use crate::wire::message::{MessageList, MessageView};
use crate::wire::node::{ClockAnswer, NodeList, ReadyAnswer};
use crate::wire::operation::{OperationList, OperationView};
use crate::wire::overrides::{OverrideList, OverrideView};
use crate::wire::problem::BatchAnswer;
use crate::wire::queue::{PurgedAnswer, QueueList, QueueView, RequeuedAnswer};
use crate::wire::receipt::ReceiptView;
use crate::wire::schedule::{ScheduleList, ScheduleRunAnswer, WholeScheduleView};
use crate::wire::shared_limit::{SharedLimitList, SharedLimitView};
use crate::wire::topic::{EventAnswer, TopicList};
use crate::wire::window::WindowsAnswer;

/// What a 2xx answer must be.
#[derive(Clone, Copy)]
enum Shape {
    /// What this reads.
    Body(fn(&[u8]) -> serde_json::Result<()>),
    /// The same, or 204 without a body where nothing is kept of it.
    BodyOrNothing(fn(&[u8]) -> serde_json::Result<()>),
    /// Pieces of this content type, while the daemon works.
    Stream(&'static str),
}

/// The answer that is written by this struct.
const fn body<T: DeserializeOwned>() -> Shape {
    Shape::Body(reads::<T>)
}

fn reads<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<()> {
    serde_json::from_slice::<T>(body).map(drop)
}

/// What a receipt came to; of a list, no command asks.
fn reads_verdict(body: &[u8]) -> serde_json::Result<()> {
    match serde_json::from_slice::<ReceiptView>(body)?.verdict {
        Some(_) => Ok(()),
        None => Err(serde_json::Error::custom("it has no verdict")),
    }
}

/// The header that every answer of a daemon has.
const REQUEST_ID: &str = "x-request-id";

fn shape(method: &Method, path: &[&str]) -> Shape {
    use Shape::{Body, BodyOrNothing, Stream};
    match (method.as_str(), path) {
        (_, ["readyz"]) => body::<ReadyAnswer>(),
        (_, ["v1", "events"]) => Stream("text/event-stream"),
        (_, ["v1", "queues", _, "audit"]) => Stream("application/x-ndjson"),
        (_, ["v1", "queues"]) => body::<QueueList>(),
        ("GET", ["v1", "queues", _, "messages"]) => body::<MessageList<'static>>(),
        (_, ["v1", "queues", _, "messages"]) => body::<MessageView<'static>>(),
        (_, ["v1", "queues", _, "messages", "batch"]) => body::<BatchAnswer>(),
        (_, ["v1", "queues", _, "receipts"]) => Body(reads_verdict),
        ("GET", ["v1", "queues", _, "keys"]) => body::<KeyAnswer>(),
        (_, ["v1", "queues", _, "keys"]) => body::<KeyView>(),
        ("GET", ["v1", "queues", _, "overrides"]) => body::<OverrideList>(),
        (_, ["v1", "queues", _, "overrides", ..]) => body::<OverrideView>(),
        (_, ["v1", "queues", _, "forecast"]) => body::<ForecastView>(),
        (_, ["v1", "queues", _, "history"]) => body::<HistoryAnswer>(),
        (_, ["v1", "queues", _, "windows"]) => body::<WindowsAnswer>(),
        (_, ["v1", "queues", _, "try"]) => body::<ExchangeView<'static>>(),
        (_, ["v1", "queues", _, "purge"]) => body::<PurgedAnswer>(),
        (_, ["v1", "queues", _, "requeue-all"]) => body::<RequeuedAnswer>(),
        (_, ["v1", "queues", ..]) => body::<QueueView>(),
        ("GET", ["v1", "messages", _, "attempts"]) => body::<AttemptList<'static>>(),
        ("GET", ["v1", "messages", _, "explain"]) => body::<ExplanationView>(),
        ("GET", ["v1", "messages", ..]) => body::<MessageView<'static>>(),
        (_, ["v1", "messages", ..]) => BodyOrNothing(reads::<MessageView<'static>>),
        (_, ["v1", "limits"]) => body::<SharedLimitList>(),
        (_, ["v1", "limits", ..]) => body::<SharedLimitView>(),
        (_, ["v1", "topics"]) => body::<TopicList>(),
        (_, ["v1", "topics", ..]) => body::<EventAnswer>(),
        (_, ["v1", "schedules"]) => body::<ScheduleList>(),
        (_, ["v1", "schedules", _, "run"]) => body::<ScheduleRunAnswer>(),
        (_, ["v1", "schedules", ..]) => body::<WholeScheduleView>(),
        ("GET", ["v1", "operations"]) => body::<OperationList>(),
        (_, ["v1", "operations", ..]) => body::<OperationView>(),
        (_, ["v1", "actions"]) => body::<ActionList>(),
        (_, ["v1", "nodes"]) => body::<NodeList>(),
        (_, ["v1", "doctor"]) => body::<DoctorAnswer>(),
        (_, ["v1", "clock", ..]) => body::<ClockAnswer>(),
        // A request that is not in this list: at least an object.
        _ => body::<BTreeMap<String, IgnoredAny>>(),
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
        Shape::BodyOrNothing(_) if status == StatusCode::NO_CONTENT => has_id(headers),
        Shape::Body(read) | Shape::BodyOrNothing(read) => {
            read(body).map_err(|error| unexpected(&error.to_string()))
        }
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
    use serde_json::json;

    use super::*;
    use crate::cli::tests::answers;

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
        let answer = answers::message(&json!({"state": "dead"})).to_string();
        assert!(is_fine(&Method::GET, &message, 200, &none, &answer));
        let of_another = "{\"id\":\"a\",\"state\":\"dead\",\"x\":1}";
        assert!(!is_fine(&Method::GET, &message, 200, &none, of_another));
    }
}
