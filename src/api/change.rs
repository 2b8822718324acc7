//! Changing one message: edit, cancel, run, requeue, resolve.
//!
//! Owns what an operator may wish and what is answered. Which state allows what is decided by the
//! store's scripts, in the same step that does it.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::value::RawValue;

use super::fields::{Fields, Shape};
use super::message_body::MessageBody;
use super::paths::{OfMessage, no_message};
use super::problem::{FAULTS_MAX, Problem};
use super::values::{moment, string, words};
use super::{Door, Shared, messages, payload};
use crate::domain::draft;
use crate::domain::id::MessageId;
use crate::domain::message::{Details, Message, When};
use crate::domain::state::State as MessageState;
use crate::store::{Changed, Decision, Edit, Part};
use crate::wire::message::MessageView;
use crate::wire::new_message::{MessagePatchRequest, ResolveRequest};

/// Largest body of a step that carries words at most.
pub(super) const SMALL_BODY_BYTES_MAX: usize = 16 * 1024;

static NOTHING: Shape = Shape { known: &[], later: &[] };
pub(super) static PATCH: Shape = Shape {
    known: &["due_at", "delay", "priority", "expires_at", "payload", "payload_base64"],
    later: &[],
};
pub(super) static RESOLVE: Shape = Shape { known: &["as", "reason"], later: &[] };

/// Changes a message that waits; its payload also while it is dead or uncertain.
#[utoipa::path(
    patch, path = "/v1/messages/{id}", operation_id = "edit_message", tag = "messages",
    params(("id" = String, Path, description = "The message's id")),
    request_body(content = MessagePatchRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The message as it stands now", body = MessageView<'static>),
        (status = 204, description = "Done, and its queue keeps nothing of it"),
        (status = 409, description = "Its state forbids this"),
        (status = 413, description = "The body is larger than server.body_limit"),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(super) async fn patch(
    State(door): Shared,
    OfMessage(id): OfMessage,
    body: Body,
) -> Result<Response, Problem> {
    let body = door.bodies.read(body, door.state.server.body_limit_bytes).await?;
    let before = existing(&door, &id).await?;
    let edit = read_edit(&body, &before.details, door.now_ms()?)?;
    if edit.payload.is_some() && id.queue.callbacks_of().is_some() {
        let detail = "a callback's payload is written by Tidegate and tells what happened";
        return Err(Problem::fault("/payload", detail));
    }
    let changed = door.store().messages.reschedule(&id, &edit).await?;
    let allows = if edit.payload.is_some() {
        "a payload can be changed while scheduled, dead or uncertain, the rest while scheduled or ready"
    } else {
        "it can be changed while scheduled or ready"
    };
    answer(&door, &id, changed, allows).await
}

fn read_edit(body: &Bytes, details: &Details, now_ms: u64) -> Result<Edit, Problem> {
    let mut source = MessageBody::of(body, &PATCH, FAULTS_MAX)?;
    let (due, priority) = (draft::due(&mut source, now_ms), draft::priority(&mut source));
    let mut fields = source.fields;
    let expires = match fields.raw_or_null("expires_at").map(RawValue::get) {
        None => None,
        Some("null") => Some(None),
        Some(_) => fields
            .read_as("expires_at", |raw| match moment(raw)? {
                at_ms if at_ms > now_ms => Ok(at_ms),
                _ => Err(format!("found {}, expected a moment to come, or null: never", raw.get())),
            })
            .map(|at_ms| Some(When::At(at_ms))),
    };
    let edit =
        Edit { due, priority, expires, payload: payload::replace(&mut fields, body, details) };
    let is_empty = edit.due.is_none()
        && edit.priority.is_none()
        && edit.expires.is_none()
        && !payload::is_given(&fields);
    fields.finish()?;
    if is_empty {
        return Err(Problem::fault(
            "",
            "nothing is to be changed; expected due_at or delay, priority, expires_at or payload",
        ));
    }
    Ok(edit)
}

/// Cancels a message that is scheduled, ready or uncertain; a repeat is answered alike.
#[utoipa::path(
    delete, path = "/v1/messages/{id}", operation_id = "cancel_message", tag = "messages",
    params(("id" = String, Path, description = "The message's id")),
    responses(
        (status = 200, description = "The cancelled message", body = MessageView<'static>),
        (status = 204, description = "Done, and its queue keeps nothing of it"),
        (status = 409, description = "Its state forbids this"),
    ),
)]
pub(super) async fn cancel(
    State(door): Shared,
    OfMessage(id): OfMessage,
    body: Body,
) -> Result<Response, Problem> {
    nothing(&door, body).await?;
    let changed = door.store().messages.cancel(&id).await;
    answer(&door, &id, known(changed)?, "it can be cancelled while scheduled, ready or uncertain")
        .await
}

/// Makes a message due now; limits and windows hold.
#[utoipa::path(
    post, path = "/v1/messages/{id}/run", operation_id = "run_message", tag = "messages",
    params(("id" = String, Path, description = "The message's id")),
    responses(
        (status = 200, description = "The message as it stands now", body = MessageView<'static>),
        (status = 204, description = "Done, and its queue keeps nothing of it"),
        (status = 409, description = "Its state forbids this"),
    ),
)]
pub(super) async fn run(
    State(door): Shared,
    OfMessage(id): OfMessage,
    body: Body,
) -> Result<Response, Problem> {
    nothing(&door, body).await?;
    let now = Edit { due: Some(When::After(0)), ..Edit::default() };
    let changed = match known(door.store().messages.reschedule(&id, &now).await)? {
        // Its time is over, and the sweep that says so has not come by yet.
        Changed::ExpiresBeforeDue => Changed::WrongState(MessageState::Expired),
        other => other,
    };
    answer(
        &door,
        &id,
        changed,
        "it can be run while scheduled or ready; requeue brings finals back",
    )
    .await
}

/// Sends a message again that is dead, uncertain, expired or cancelled; its attempts start over.
#[utoipa::path(
    post, path = "/v1/messages/{id}/requeue", operation_id = "requeue_message", tag = "messages",
    params(("id" = String, Path, description = "The message's id")),
    responses(
        (status = 200, description = "The message as it stands now", body = MessageView<'static>),
        (status = 204, description = "Done, and its queue keeps nothing of it"),
        (status = 409, description = "Its state forbids this"),
    ),
)]
pub(super) async fn requeue(
    State(door): Shared,
    OfMessage(id): OfMessage,
    body: Body,
) -> Result<Response, Problem> {
    nothing(&door, body).await?;
    let changed = known(door.store().messages.requeue(&id).await)?;
    answer(&door, &id, changed, "it can be requeued while dead, uncertain, expired or cancelled")
        .await
}

/// Decides on an uncertain message.
#[utoipa::path(
    post, path = "/v1/messages/{id}/resolve", operation_id = "resolve_message", tag = "messages",
    params(("id" = String, Path, description = "The message's id")),
    request_body(content = ResolveRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The message as it stands now", body = MessageView<'static>),
        (status = 204, description = "Done, and its queue keeps nothing of it"),
        (status = 409, description = "It is not uncertain"),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(super) async fn resolve(
    State(door): Shared,
    OfMessage(id): OfMessage,
    body: Body,
) -> Result<Response, Problem> {
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    let mut fields = Fields::of_body(&body, &RESOLVE)?;
    let decision = fields.read_as("as", |raw| match string(raw)?.as_str() {
        "delivered" => Ok(Decision::Delivered),
        "resend" => Ok(Decision::Resend),
        "dead" => Ok(Decision::Dead),
        other => Err(format!("found \"{other}\", expected delivered, resend or dead")),
    });
    let reason = fields.read_as("reason", words);
    if fields.raw("as").is_none() {
        fields.fault("as", "missing; expected delivered, resend or dead");
    }
    fields.finish()?;
    let Some(decision) = decision else {
        return Err(Problem::fault("/as", "missing; expected delivered, resend or dead"));
    };
    let changed = known(door.store().messages.resolve(&id, decision, reason.as_deref()).await)?;
    answer(&door, &id, changed, "a decision is asked for only while it is uncertain").await
}

/// A step without words of its own: no body, or an empty object.
async fn nothing(door: &Door, body: Body) -> Result<(), Problem> {
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    Fields::of_body(&body, &NOTHING)?.finish()
}

/// A message of a queue that nobody knows is a message that is not there.
fn known(changed: Result<Changed, crate::store::StoreError>) -> Result<Changed, Problem> {
    match changed {
        Err(crate::store::StoreError::UnknownQueue(_)) => Ok(Changed::NotFound),
        other => Ok(other?),
    }
}

async fn existing(door: &Door, id: &MessageId) -> Result<Message, Problem> {
    door.store().messages.get_part(id, Part::Head).await?.ok_or_else(|| no_message(&id.to_string()))
}

/// The message after the step, or why there was none.
async fn answer(
    door: &Door,
    id: &MessageId,
    changed: Changed,
    allows: &str,
) -> Result<Response, Problem> {
    match changed {
        Changed::Done | Changed::Already => {
            match door.store().messages.get_part(id, Part::Head).await? {
                Some(message) => messages::answer(door, &message, false).await,
                // Done, and the queue keeps nothing of it.
                None => Ok(StatusCode::NO_CONTENT.into_response()),
            }
        }
        Changed::NotFound => Err(no_message(&id.to_string())),
        Changed::ExpiresBeforeDue => Err(Problem::fault(
            "/expires_at",
            "it would expire before it is due; expected expires_at after due_at",
        )),
        Changed::Superseded => {
            let state = existing(door, id).await?.state;
            Err(Problem::wrong_state(
                state.as_str(),
                "a newer message of its collapse_key waits or is on its way, and takes its place; send its payload once more if it is the one that counts".to_owned(),
            ))
        }
        // Only a prober comes late.
        Changed::Late => {
            Err(Problem::wrong_state("uncertain", format!("the message changes; {allows}")))
        }
        Changed::WrongState(state) => {
            let state = waiting_state(door, id, state).await?;
            Err(Problem::wrong_state(state.as_str(), format!("the message is {state}; {allows}")))
        }
    }
}

/// The scripts call both waiting states "waiting"; a reading tells which.
async fn waiting_state(
    door: &Door,
    id: &MessageId,
    state: MessageState,
) -> Result<MessageState, Problem> {
    let waits = |state| matches!(state, MessageState::Scheduled | MessageState::Ready);
    if !waits(state) {
        return Ok(state);
    }
    let now = door.store().messages.get_part(id, Part::Head).await?.map(|message| message.state);
    Ok(now.filter(|state| waits(*state)).unwrap_or(state))
}
