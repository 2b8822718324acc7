//! `try`: one signed test call to a queue's downstream.
//!
//! Owns how the exchange is shown. The daemon makes the call, with the queue's own settings and
//! secrets; nothing is stored.

use http::Method;
use serde_json::{Value, json};

use super::Session;
use super::args_messages::TryArgs;
use super::client::Target;
use super::describe::word;
use super::exit::{Exit, Failure};
use super::payload;
use super::times::span;

/// `try`.
pub(crate) async fn try_once(args: &TryArgs, session: &mut Session) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "queues", &args.queue, "try"]);
    let answer = match payload::read(&args.payload, &mut session.screen)? {
        Some(payload) => session.client.send(Method::POST, &target, &payload).await?,
        None => {
            let body = json!({ "payload": { "tidegate": "test call" } });
            session.client.send(Method::POST, &target, &body).await?
        }
    };
    let exchange: Value = answer.read()?;
    if session.screen.is_json() {
        session.screen.raw(&answer.body)?;
    } else {
        for line in lines(&exchange) {
            session.screen.line(&line)?;
        }
    }
    Ok(if exchange["outcome"] == "delivered" { Exit::Ok } else { Exit::Failure })
}

/// The exchange, as one would write it on paper.
fn lines(exchange: &Value) -> Vec<String> {
    let (request, answer) = (&exchange["request"], &exchange["answer"]);
    let mut lines = vec![format!("{} {}", word(&request["method"]), word(&request["url"]))];
    lines.extend(headers(&request["headers"]));
    lines.extend(body(&request["body"]));
    lines.push(String::new());
    let took =
        exchange["duration_ms"].as_u64().map_or(String::new(), |ms| format!(" after {}", span(ms)));
    lines.push(match (word(&answer["status_code"]), word(&answer["error"])) {
        (status, error) if status.is_empty() => format!("no answer{took}: {error}"),
        (status, error) if error.is_empty() => format!("answer {status}{took}"),
        (status, error) => format!("answer {status}{took}: {error}"),
    });
    match headers(&answer["headers"]) {
        given if given.is_empty() => {
            let content_type = word(&answer["content_type"]);
            lines.extend(
                (!content_type.is_empty()).then(|| format!("content-type: {content_type}")),
            );
        }
        given => lines.extend(given),
    }
    lines.extend(body(&answer["body"]));
    lines.push(String::new());
    lines.push(format!("outcome: {}", word(&exchange["outcome"])));
    lines
}

/// Headers, given as an object or as a list of pairs.
fn headers(headers: &Value) -> Vec<String> {
    if let Some(fields) = headers.as_object() {
        return fields.iter().map(|(name, value)| format!("{name}: {}", word(value))).collect();
    }
    let pairs = headers.as_array().map(Vec::as_slice).unwrap_or_default();
    pairs.iter().map(|pair| format!("{}: {}", word(&pair[0]), word(&pair[1]))).collect()
}

/// A body after its blank line; nothing for an empty one.
fn body(body: &Value) -> Vec<String> {
    let text = match body {
        Value::String(text) => text.lines().map(super::plain::plain).collect::<Vec<_>>(),
        Value::Null => Vec::new(),
        other => vec![other.to_string()],
    };
    if text.is_empty() { text } else { [vec![String::new()], text].concat() }
}
