//! What Redis forgot after it had confirmed it, as far as this node knows.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::Shared;
use super::auth::Caller;
use super::view::Moment;
use crate::domain::id::MessageId;

/// The rollbacks that this node has seen since it started, the newest last. Each node knows of its own
/// promises only: ask every node.
#[utoipa::path(
    get, path = "/v1/rollbacks", operation_id = "list_rollbacks", tag = "node",
    responses(
        (status = 200, description = "The rollbacks", body = ref("#/components/schemas/Rollbacks")),
    ),
)]
pub(super) async fn rollbacks(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
) -> Response {
    let ids = |ids: &[MessageId]| ids.iter().map(ToString::to_string).collect::<Value>();
    let views: Vec<_> = door
        .store()
        .servers.rollbacks()
        .iter()
        .filter(|rollback| caller.reaches(&rollback.queue))
        .map(|rollback| {
            json!({
                "at": Moment(rollback.at_ms), "cause": rollback.cause.as_str(), "queue": rollback.queue.as_str(), "shard": rollback.shard,
                "lost": ids(&rollback.lost), "sent_again": ids(&rollback.again),
            })
        })
        .collect();
    Json(json!({ "node": door.store().nodes.own_id().as_str(), "rollbacks": views }))
        .into_response()
}
