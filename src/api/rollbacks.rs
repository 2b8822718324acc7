//! What Redis forgot after it had confirmed it, as far as this node knows.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use super::Shared;
use super::auth::Caller;
use crate::domain::id::MessageId;
use crate::store::Rollback;
use crate::wire::Moment;
use crate::wire::node::{RollbackList, RollbackView};

/// The rollbacks that this node has seen since it started, the newest last. Each node knows of its own
/// promises only: ask every node.
#[utoipa::path(
    get, path = "/v1/rollbacks", operation_id = "list_rollbacks", tag = "node",
    responses(
        (status = 200, description = "The rollbacks", body = RollbackList),
    ),
)]
pub(super) async fn rollbacks(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
) -> Response {
    let seen = door.store().servers.rollbacks();
    let reached = seen.iter().filter(|rollback| caller.reaches(&rollback.queue));
    let answer = RollbackList {
        node: door.store().nodes.own_id().as_str().to_owned(),
        rollbacks: reached.map(view).collect(),
    };
    Json(answer).into_response()
}

fn view(rollback: &Rollback) -> RollbackView {
    let ids = |ids: &[MessageId]| ids.iter().map(ToString::to_string).collect();
    RollbackView {
        at: Moment(rollback.at_ms),
        cause: rollback.cause.kind().into(),
        queue: rollback.queue.to_string(),
        shard: rollback.shard,
        lost: ids(&rollback.lost),
        sent_again: ids(&rollback.again),
    }
}
