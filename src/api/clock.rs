//! Redis' clock: what it says, the alarm after a step, and the operator's end of it.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use super::auth::Caller;
use super::change::SMALL_BODY_BYTES_MAX;
use super::fields::{Fields, Shape};
use super::problem::Problem;
use super::{Door, Shared};
use crate::wire::Moment;
use crate::wire::node::{ClockAlarmView, ClockAnswer};

static RESUME: Shape = Shape { known: &[], later: &[] };

/// What Redis' clock says, and whether what goes by time waits because it stepped.
#[utoipa::path(
    get, path = "/v1/clock", operation_id = "get_clock", tag = "node",
    responses((status = 200, description = "The clock", body = ClockAnswer)),
)]
pub(super) async fn clock(State(door): Shared) -> Result<Response, Problem> {
    Ok(Json(view(&door)?).into_response())
}

/// Ends the alarm after a step of Redis' clock, for all nodes: the time is right now.
///
/// Repeated, or without an alarm, it changes nothing.
#[utoipa::path(
    post, path = "/v1/clock/resume", operation_id = "resume_clock", tag = "node",
    responses((status = 200, description = "The clock", body = ClockAnswer)),
)]
pub(super) async fn resume(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    caller.must_reach_all()?;
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    Fields::of_body(&body, &RESUME)?.finish()?;
    if door.store().clock_alarms.end(caller.name()).await? {
        tracing::info!(by = caller.name(), "the clock alarm was ended");
    }
    Ok(Json(view(&door)?).into_response())
}

fn view(door: &Door) -> Result<ClockAnswer, Problem> {
    let now_ms = door.now_ms()?;
    let store = door.store();
    let alarm = store.clock_alarms.standing().map(|alarm| {
        let left = store.clock_alarms.settle().saturating_sub(alarm.steady_since.elapsed());
        ClockAlarmView { step_ms: alarm.step_ms, ends_at: Moment(now_ms + millis(left)) }
    });
    Ok(ClockAnswer { now: Moment(now_ms), alarm })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}
