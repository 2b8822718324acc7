//! What a queue's templates make of its messages, before a call.
//!
//! Owns that a message of which they make nothing is refused alone, without a call, and does not hold up those beside
//! it. A queue without templates passes by here at once.

use std::pin::Pin;
use std::sync::Arc;

use rand::Rng as _;

use super::batch::BatchParts;
use super::exchange::{Began, Exchanges, Outcomes, Tried};
use super::settle::Ending;
use crate::domain::answer_rules::RulesSaid;
use crate::domain::id::MessageId;
use crate::domain::message::Details;
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::request_template::{
    RENDERED_HERE_BYTES_MAX, RenderedRequest, RequestTemplate, TemplateError, TemplateMessage,
};
use crate::domain::settlement::Settlement;
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

/// What of a part can leave, and its request. `None`: nothing of it leaves now.
pub(super) type Leaving = Option<(Vec<Claimed>, Option<RenderedRequest>)>;

/// The templates of the queue, if it has any.
pub(super) fn templates_of(exchanges: &Exchanges) -> Option<&Arc<RequestTemplate>> {
    exchanges.queue.policy.downstream.http()?.request.as_ref()
}

/// The part that can leave, and its request. Boxed: the exchanges of other queues need not carry its size.
pub(super) fn rendered<'a>(
    exchanges: &'a Exchanges,
    template: &'a Arc<RequestTemplate>,
    (part, began): (Vec<Claimed>, Began),
    parts: &'a mut BatchParts,
    outcomes: &'a Outcomes,
) -> Pin<Box<dyn Future<Output = Leaving> + Send + 'a>> {
    Box::pin(render_part(exchanges, template, (part, began), parts, outcomes))
}

async fn render_part(
    exchanges: &Exchanges,
    template: &Arc<RequestTemplate>,
    (part, began): (Vec<Claimed>, Began),
    parts: &mut BatchParts,
    outcomes: &Outcomes,
) -> Leaving {
    let Some(rendering) = render_aside(exchanges, template, &part).await else {
        // The node stops: nothing has been found wrong with them.
        let back = part.iter().map(|message| outcomes.of(message, Settlement::Release, None));
        outcomes.settle(back.collect(), parts.is_last()).await;
        return None;
    };
    let Rendering { faults, request } = rendering;
    let (mut left, mut endings) = (Vec::with_capacity(part.len()), Vec::new());
    for (message, fault) in part.into_iter().zip(faults) {
        match fault {
            None => left.push(message),
            Some(fault) => endings.push(refusal(exchanges, &message, began, &fault, outcomes)),
        }
    }
    if !endings.is_empty() {
        outcomes.settle(endings, left.is_empty() && parts.is_last()).await;
    }
    let error = match request {
        _ if left.is_empty() => return None,
        Ok(request) => return Some((left, Some(request))),
        Err(error) => error,
    };
    // They are wrong together only, as too large a batch is: they leave in halves.
    if let Some(single) = parts.answered(left, Outcome::Refused) {
        let ending = |message| refusal(exchanges, message, began, &error, outcomes);
        outcomes.settle(single.iter().map(ending).collect(), parts.is_last()).await;
    }
    None
}

/// How a message ends of which no request could be made.
fn refusal(
    exchanges: &Exchanges,
    message: &Claimed,
    began: Began,
    fault: &TemplateError,
    outcomes: &Outcomes,
) -> Ending {
    let tried = refused(began, fault);
    let paused_ms = outcomes.paused_ms;
    let settlement = exchanges.settlement_of(message, &tried, Outcome::Refused, paused_ms);
    let attempt = exchanges.attempt_of(message, &tried, &settlement);
    outcomes.of(message, settlement, Some(attempt))
}

/// A long rendering is done aside: meanwhile this thread has other exchanges to serve. `None`: it was given up because
/// the node stops.
async fn render_aside(
    exchanges: &Exchanges,
    template: &Arc<RequestTemplate>,
    part: &[Claimed],
) -> Option<Rendering> {
    let queue = &exchanges.queue.policy.name;
    let message = |message: &Claimed| {
        let id = MessageId { queue: queue.clone(), ulid: message.lease.ulid };
        template_message(&id, &message.details, message.payload.clone(), message.attempt)
    };
    let messages: Vec<TemplateMessage> = part.iter().map(message).collect();
    let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
    if messages.len() == 1 && bytes <= RENDERED_HERE_BYTES_MAX {
        return Some(render(template, &messages));
    }
    let (template, count) = (Arc::clone(template), messages.len());
    let aside = tokio::task::spawn_blocking(move || render(&template, &messages));
    match aside.await {
        Ok(rendering) => Some(rendering),
        Err(error) if error.is_panic() => {
            let fault = TemplateError::of_all("made the template engine fail".to_owned());
            Some(Rendering { faults: vec![Some(fault.clone()); count], request: Err(fault) })
        }
        Err(_) => None,
    }
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
        random: rand::rng().random(),
    }
}
