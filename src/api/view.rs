//! The message as callers see it; its shape is `wire::message`'s, which callbacks share.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::problem::{Code, Problem};
pub(super) use crate::wire::Moment;
pub(super) use crate::wire::attempt::{AttemptList, AttemptView};
pub(super) use crate::wire::message::{FailingView, MessageList, MessageView};

/// Room for a message as it is shown, so that its text is written once and not moved while it grows.
const VIEW_BYTES: usize = 1024;

/// A view as the body of an answer.
pub(super) fn json(view: &impl Serialize) -> Result<Response, Problem> {
    let mut text = Vec::with_capacity(VIEW_BYTES);
    serde_json::to_writer(&mut text, view).map_err(|_| {
        Problem::new(Code::Internal, "a view is not valid JSON; please report this")
    })?;
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((kind, text).into_response())
}
