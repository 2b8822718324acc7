//! What a queue's templates make of its messages, before a call.
//!
//! Owns that a message of which they make nothing is refused alone, without a call, and does not hold up those beside
//! it. A queue without templates passes by here at once.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use rand::Rng as _;

use super::batch::BatchParts;
use super::exchange::{Began, Exchanges, Outcomes, Tried};
use crate::domain::answer_rules::RulesSaid;
use crate::domain::id::MessageId;
use crate::domain::message::Details;
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::request_template::{
    RENDERED_HERE_BYTES_MAX, RenderedRequest, RequestTemplate, TemplateError, TemplateMessage,
};
use crate::store::Claimed;

/// What templates made of messages.
struct Rendering {
    /// For each message what is wrong with it alone.
    faults: Vec<Option<TemplateError>>,
    /// The request of the others.
    request: Result<RenderedRequest, TemplateError>,
}

/// A message as templates see it.
#[must_use]
pub fn template_message(
    id: &MessageId,
    details: &Details,
    payload: bytes::Bytes,
    attempt: u32,
) -> TemplateMessage {
    TemplateMessage { id: id.to_string(), attempt, payload, details: details.clone() }
}

/// The part that can leave, and its request, where the queue has templates. `None`: nothing of it leaves now.
pub(super) async fn rendered(
    exchanges: &Exchanges,
    part: Vec<Claimed>,
    began: Began,
    parts: &mut BatchParts,
    outcomes: &Outcomes,
) -> Option<(Vec<Claimed>, Option<RenderedRequest>)> {
    let http = exchanges.queue.policy.downstream.http();
    let Some(template) = http.and_then(|http| http.request.as_ref()) else {
        return Some((part, None));
    };
    let Rendering { faults, request } = render_aside(exchanges, template, &part).await;
    let (mut left, mut endings) = (Vec::with_capacity(part.len()), Vec::new());
    for (message, fault) in part.into_iter().zip(faults) {
        match fault {
            None => left.push(message),
            Some(fault) => {
                let tried = refused(began, &fault);
                let settlement =
                    exchanges.settlement_of(&message, &tried, Outcome::Refused, outcomes.paused_ms);
                let attempt = exchanges.attempt_of(&message, &tried, &settlement);
                endings.push(outcomes.of(&message, settlement, Some(attempt)));
            }
        }
    }
    if !endings.is_empty() {
        outcomes.settle(endings, left.is_empty() && parts.is_last()).await;
    }
    if left.is_empty() {
        return None;
    }
    match request {
        Ok(request) => Some((left, Some(request))),
        // They are wrong together only, as too large a batch is: they leave in halves.
        Err(_) => {
            parts.answered(left, Outcome::Refused);
            None
        }
    }
}

/// A long rendering is done aside: meanwhile this thread has other exchanges to serve.
async fn render_aside(
    exchanges: &Exchanges,
    template: &Arc<RequestTemplate>,
    part: &[Claimed],
) -> Rendering {
    let queue = &exchanges.queue.policy.name;
    let message = |message: &Claimed| {
        let id = MessageId { queue: queue.clone(), ulid: message.lease.ulid };
        template_message(&id, &message.details, message.payload.clone(), message.attempt)
    };
    let messages: Vec<TemplateMessage> = part.iter().map(message).collect();
    let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
    let count = messages.len();
    if count == 1 && bytes <= RENDERED_HERE_BYTES_MAX {
        return caught(template, &messages);
    }
    let template = Arc::clone(template);
    let aside = tokio::task::spawn_blocking(move || caught(&template, &messages));
    aside.await.unwrap_or_else(|error| {
        // A node that stops gives a rendering up: nothing is wrong with its messages, whose leases end.
        let fault = TemplateError::of_all(format!("could not be rendered: {error}"));
        Rendering { faults: vec![None; count], request: Err(fault) }
    })
}

/// The library that renders may have a fault: then it is as if the messages did not fit, and the exchange goes on.
fn caught(template: &RequestTemplate, messages: &[TemplateMessage]) -> Rendering {
    std::panic::catch_unwind(AssertUnwindSafe(|| render(template, messages))).unwrap_or_else(|_| {
        let fault = TemplateError::of_all("could not be rendered; please report this".to_owned());
        Rendering { faults: vec![Some(fault.clone()); messages.len()], request: Err(fault) }
    })
}

/// The request of all, or, where that cannot be made, of those of which one alone could be made.
fn render(template: &RequestTemplate, messages: &[TemplateMessage]) -> Rendering {
    let request = template.render(messages);
    let Err(error) = &request else {
        return Rendering { faults: vec![None; messages.len()], request };
    };
    if messages.len() == 1 {
        return Rendering { faults: vec![Some(error.clone())], request };
    }
    let fault = |message: &TemplateMessage| template.render(std::slice::from_ref(message)).err();
    let faults: Vec<Option<TemplateError>> = messages.iter().map(fault).collect();
    let good = messages.iter().zip(&faults).filter(|(_, fault)| fault.is_none());
    let good: Vec<TemplateMessage> = good.map(|(message, _)| message.clone()).collect();
    let is_changed = good.len() < messages.len() && !good.is_empty();
    let request = if is_changed { template.render(&good) } else { request };
    Rendering { faults, request }
}

/// The try of a message of which no request could be made: nothing of it left.
fn refused(began: Began, fault: &TemplateError) -> Tried {
    let error = fault.to_string();
    Tried {
        started_at_ms: began.at_ms,
        ended_at_ms: began.at_ms,
        answer: Answer::NotSent { error: error.clone(), is_local: false },
        outcome: Outcome::Refused,
        said: RulesSaid::Nothing,
        elements: None,
        error: Some(error),
        call_span: None,
        random: rand::rng().random(),
    }
}
