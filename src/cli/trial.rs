//! `try`: one signed test call to a queue's downstream.
//!
//! Owns how the exchange is shown. The daemon makes the call, with the queue's own settings and
//! secrets; nothing is stored.

use http::Method;

use super::Session;
use super::args_messages::TryArgs;
use super::client::Target;
use super::exit::{Exit, Failure};
use super::payload;
use super::plain::plain;
use super::times::span;
use crate::wire::exchange::{DecisionView, ExchangeView};
use crate::wire::new_message::MessageRequest;

/// The payload of a test call that names none.
const TEST_CALL: &[u8] = br#"{"tidegate":"test call"}"#;

/// `try`.
pub(crate) async fn try_once(args: &TryArgs, session: &mut Session) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "queues", &args.queue, "try"]);
    let given = match payload::read(&args.payload, &mut session.screen)? {
        Some(given) => given,
        None => payload::from_bytes(TEST_CALL.to_vec(), None)?,
    };
    let message = MessageRequest {
        payload: given.payload,
        payload_base64: given.payload_base64,
        content_type: given.content_type,
        url: args.target.to.clone(),
        method: args.target.method.clone(),
        ..MessageRequest::default()
    };
    let answer = session.client.send(Method::POST, &target, &message).await?;
    let exchange: ExchangeView<'_> = answer.read()?;
    if session.screen.is_json() {
        session.screen.raw(&answer.body)?;
    } else {
        for line in lines(&exchange) {
            session.screen.line(&line)?;
        }
    }
    let is_taken = matches!(&*exchange.outcome, "delivered" | "accepted");
    Ok(if is_taken { Exit::Ok } else { Exit::Failure })
}

/// The exchange, as one would write it on paper.
fn lines(exchange: &ExchangeView<'_>) -> Vec<String> {
    let (request, answer) = (&exchange.request, &exchange.answer);
    let mut lines = vec![format!("{} {}", plain(&request.method), plain(&request.url))];
    let headers = request.headers.0.iter();
    lines.extend(headers.map(|(name, value)| format!("{}: {}", plain(name), plain(value))));
    lines.extend(body(request.body.as_ref().and_then(Option::as_deref)));
    lines.push(String::new());
    let took = span(exchange.duration_ms);
    lines.push(match (answer.status_code, answer.error.as_deref().map(plain)) {
        (None, error) => format!("no answer after {took}: {}", error.unwrap_or_default()),
        (Some(status), None) => format!("answer {status} after {took}"),
        (Some(status), Some(error)) => format!("answer {status} after {took}: {error}"),
    });
    let content_type = answer.content_type.as_deref().map(plain);
    lines.extend(content_type.map(|content_type| format!("content-type: {content_type}")));
    lines.extend(body(answer.body.as_ref().and_then(Option::as_deref)));
    lines.push(String::new());
    lines.push(format!("outcome: {}", plain(&exchange.outcome)));
    // Where nothing was answered, there was nothing to decide by.
    if answer.status_code.is_some() {
        lines.extend(decision(&exchange.decision));
    }
    lines
}

/// What decided, and what was found.
pub(super) fn decision(decision: &DecisionView<'_>) -> Vec<String> {
    let rule = decision.rule.as_deref().map(plain);
    let meaning = decision.meaning.as_deref().map(plain).unwrap_or_default();
    let mut lines = vec![match (rule, decision.unreadable.as_deref().map(plain)) {
        (None, None) => "decided by: the table of outcomes".to_owned(),
        (Some(rule), None) => format!("decided by: {rule}, as = \"{meaning}\""),
        (Some(rule), Some(why)) => {
            format!("decided by: nobody can tell whether {rule} holds: {why}")
        }
        (None, Some(why)) => format!("decided by: nobody can tell what it means: {why}"),
    }];
    lines.extend(decision.reference.as_deref().map(|text| format!("ref: {}", plain(text))));
    lines.extend(decision.detail.as_deref().map(|text| format!("detail: {}", plain(text))));
    lines
}

/// A body after its blank line; nothing for an empty one.
fn body(text: Option<&str>) -> Vec<String> {
    let lines: Vec<String> = text.unwrap_or_default().lines().map(plain).collect();
    if lines.is_empty() { lines } else { [vec![String::new()], lines].concat() }
}
