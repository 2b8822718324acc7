//! Schedules: what they are, how they stand, and the operator's steps on them.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use super::auth::Caller;
use super::change::SMALL_BODY_BYTES_MAX;
use super::fields::{Fields, Shape};
use super::page::{LIMIT_DEFAULT, LIMIT_MAX};
use super::paths::{OfSchedule, no_schedule};
use super::problem::{Code, Problem};
use super::query::Query;
use super::values::words;
use super::{Door, Shared, cursor, idempotency, schedule_fields, schedule_view, send};
use crate::domain::message::Origin;
use crate::domain::schedule::{Schedule, ScheduleName, Source};
use crate::store::{
    Accepted, Kept, NotAccepted, PutSchedule, SchedulePage, Store, StoreError, Touched,
};
use crate::wire::problem::ProblemState;
use crate::wire::schedule::{
    ScheduleList, SchedulePauseRequest, ScheduleRequest, ScheduleRunAnswer, WholeScheduleView,
};

/// What its cursors belong to.
const LIST: &str = "schedules";

pub(super) static PAUSE: Shape = Shape { known: &["reason"], later: &[] };
static NOTHING: Shape = Shape { known: &[], later: &[] };

/// Schedules in the order of their names, each with its next times.
#[utoipa::path(
    get, path = "/v1/schedules", operation_id = "list_schedules", tag = "schedules",
    params(
        ("limit" = Option<u32>, Query, description = "How many, 1 to 1000; default 100"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "The schedules", body = ScheduleList)),
)]
pub(super) async fn schedules(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["limit", "cursor"]);
    let limit = query.count("limit", LIMIT_MAX).unwrap_or(LIMIT_DEFAULT);
    let after = query.read_as("cursor", |text| cursor::open(LIST, text)).unwrap_or_default();
    query.finish()?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = reached_page(&door, &caller, &after, most).await?;
    let now_ms = door.now_ms()?;
    let last = page.schedules.last().filter(|_| page.more);
    let next_cursor = last.map(|kept| cursor::seal(LIST, kept.schedule.name.as_str()));
    let schedules = page.schedules.iter().map(|kept| schedule_view::view(kept, now_ms)).collect();
    Ok(Json(ScheduleList { schedules, next_cursor }).into_response())
}

/// The next schedules that the caller reaches. Its last one becomes the cursor, which anybody can read: it is
/// never one that the caller does not reach.
async fn reached_page(
    door: &Door,
    caller: &Caller,
    after: &str,
    most: usize,
) -> Result<SchedulePage, Problem> {
    if caller.reaches_all() {
        return Ok(door.store().schedules.list(after, most).await?);
    }
    let step = usize::try_from(LIMIT_MAX).unwrap_or(usize::MAX);
    let (mut schedules, mut after) = (Vec::new(), after.to_owned());
    loop {
        let page = door.store().schedules.list(&after, step).await?;
        if let Some(last) = page.schedules.last() {
            after = last.schedule.name.to_string();
        }
        let reached = |kept: &Kept| caller.reaches(&kept.schedule.queue);
        schedules.extend(page.schedules.into_iter().filter(reached));
        if schedules.len() > most || !page.more {
            let more = schedules.len() > most;
            schedules.truncate(most);
            return Ok(SchedulePage { schedules, more });
        }
    }
}

/// A schedule: what it sends, how it stands, and its next five times.
#[utoipa::path(
    get, path = "/v1/schedules/{name}", operation_id = "get_schedule", tag = "schedules",
    params(("name" = String, Path, description = "The schedule's name")),
    responses((status = 200, description = "The schedule", body = WholeScheduleView)),
)]
pub(super) async fn schedule(
    State(door): Shared,
    OfSchedule(name): OfSchedule,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    Ok(Json(shown(&door, &caller, &name).await?).into_response())
}

async fn found(door: &Door, caller: &Caller, name: &ScheduleName) -> Result<Kept, Problem> {
    match door.store().schedules.get(name).await? {
        Some(kept) => Ok(kept),
        None => Err(no_schedule(door, caller, name.as_str()).await),
    }
}

async fn shown(
    door: &Door,
    caller: &Caller,
    name: &ScheduleName,
) -> Result<WholeScheduleView, Problem> {
    let kept = found(door, caller, name).await?;
    Ok(schedule_view::whole(&kept, door.now_ms()?))
}

/// Makes a schedule, or gives it another definition.
///
/// Under another cadence it ticks from now on; with the same one, what is overdue is still caught up.
#[utoipa::path(
    put, path = "/v1/schedules/{name}", operation_id = "put_schedule", tag = "schedules",
    params(("name" = String, Path, description = "Its name: 1 to 63 of a-z, 0-9, _ and -")),
    request_body(content = ScheduleRequest, content_type = "application/json"),
    responses(
        (status = 201, description = "Made", body = WholeScheduleView, headers(("Location" = String, description = "The schedule's address"))),
        (status = 200, description = "Changed, or so already", body = WholeScheduleView),
        (status = 409, description = "A schedule of this name is in the configuration file, and is changed there"),
        (status = 413, description = "The body is larger than server.body_limit"),
        (status = 415, description = "The body is not JSON"),
        (status = 422, description = "The cost of its messages is above a quota of the queue"),
    ),
)]
pub(super) async fn put(
    State(door): Shared,
    OfSchedule(name): OfSchedule,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    door.open_for_intake()?;
    let body = door.bodies.read(body, door.state.server.body_limit_bytes).await?;
    let schedule = schedule_fields::schedule(&door, &caller, name.clone(), &body)?;
    let put = door.store().schedules.put(&schedule).await?;
    let status = match put {
        PutSchedule::Created => StatusCode::CREATED,
        PutSchedule::Replaced | PutSchedule::Same => StatusCode::OK,
        PutSchedule::Configured => return Err(of_the_file(&name)),
        PutSchedule::TooMany => {
            let detail = "there are too many schedules; delete some that nobody needs any more";
            return Err(Problem::wrong_state(ProblemState::FULL, detail));
        }
    };
    if put != PutSchedule::Same {
        tracing::info!(schedule = %name, by = caller.name(), cadence = %schedule.cadence, "schedule created or replaced");
    }
    let view = Json(shown(&door, &caller, &name).await?);
    if status != StatusCode::CREATED {
        return Ok((status, view).into_response());
    }
    let location = HeaderValue::try_from(format!("/v1/schedules/{name}"));
    let location = location.map_err(|_| {
        Problem::new(Code::Internal, "a name is not a valid header value; please report this")
    })?;
    Ok((status, [(header::LOCATION, location)], view).into_response())
}

/// Takes a schedule away. A tick that is under way still comes.
#[utoipa::path(
    delete, path = "/v1/schedules/{name}", operation_id = "delete_schedule", tag = "schedules",
    params(("name" = String, Path, description = "The schedule's name")),
    responses(
        (status = 200, description = "What it was", body = WholeScheduleView),
        (status = 409, description = "It is in the configuration file, and is taken out there"),
    ),
)]
pub(super) async fn delete(
    State(door): Shared,
    OfSchedule(name): OfSchedule,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    nothing_in(&door, body).await?;
    let was = found(&door, &caller, &name).await?;
    if was.source == Source::Config {
        return Err(of_the_file(&name));
    }
    done(&door, &caller, door.store().schedules.delete(&name).await?, &name).await?;
    tracing::info!(schedule = %name, by = caller.name(), "schedule deleted");
    Ok(Json(schedule_view::whole(&was, door.now_ms()?)).into_response())
}

/// Stops a schedule until it is resumed, through restarts and reloads. Nothing of it is caught up then.
#[utoipa::path(
    post, path = "/v1/schedules/{name}/pause", operation_id = "pause_schedule", tag = "schedules",
    params(("name" = String, Path, description = "The schedule's name")),
    request_body(content = SchedulePauseRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The schedule", body = WholeScheduleView),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(super) async fn pause(
    State(door): Shared,
    OfSchedule(name): OfSchedule,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    let mut fields = Fields::of_body(&body, &PAUSE)?;
    let reason = fields.read_as("reason", words).unwrap_or_default();
    fields.finish()?;
    done(&door, &caller, door.store().schedules.pause(&name, &reason, caller.name()).await?, &name)
        .await?;
    tracing::info!(schedule = %name, by = caller.name(), reason, "schedule paused");
    Ok(Json(shown(&door, &caller, &name).await?).into_response())
}

/// Lets a paused schedule tick again, from now on.
#[utoipa::path(
    post, path = "/v1/schedules/{name}/resume", operation_id = "resume_schedule", tag = "schedules",
    params(("name" = String, Path, description = "The schedule's name")),
    responses((status = 200, description = "The schedule", body = WholeScheduleView)),
)]
pub(super) async fn resume(
    State(door): Shared,
    OfSchedule(name): OfSchedule,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    nothing_in(&door, body).await?;
    done(&door, &caller, door.store().schedules.resume(&name).await?, &name).await?;
    tracing::info!(schedule = %name, by = caller.name(), "schedule resumed");
    Ok(Json(shown(&door, &caller, &name).await?).into_response())
}

/// Sends a schedule's message now, paused or not; its cadence stays as it is.
#[utoipa::path(
    post, path = "/v1/schedules/{name}/run", operation_id = "run_schedule", tag = "schedules",
    params(
        ("name" = String, Path, description = "The schedule's name"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key is the same run"),
    ),
    responses(
        (status = 201, description = "The message is in its queue", body = ScheduleRunAnswer, headers(("Location" = String, description = "The message's address"))),
        (status = 200, description = "It was, by this key", body = ScheduleRunAnswer),
    ),
)]
pub(super) async fn run(
    State(door): Shared,
    OfSchedule(name): OfSchedule,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    door.open_for_intake()?;
    let key = idempotency::from_header(&headers)?;
    nothing_in(&door, body).await?;
    let kept = found(&door, &caller, &name).await?;
    let ran = send_now(door.store(), &kept.schedule, key.as_deref()).await;
    let queue = door.store().queues.get(&kept.schedule.queue)?;
    let accepted = match ran {
        Ok(accepted) => accepted,
        Err(refused) => return Err(send::refusal(&door, &queue, refused).await),
    };
    tracing::info!(schedule = %name, by = caller.name(), id = %accepted.id, "schedule run");
    let status = if accepted.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    let location = [(header::LOCATION, send::location(&accepted.id)?)];
    let view = ScheduleRunAnswer {
        schedule: name.to_string(),
        id: accepted.id.to_string(),
        queue: accepted.id.queue.to_string(),
        duplicate: accepted.duplicate,
    };
    Ok((status, location, Json(view)).into_response())
}

/// Takes a message of a schedule in, beside its cadence.
async fn send_now(
    store: &Store,
    schedule: &Schedule,
    key: Option<&str>,
) -> Result<Accepted, NotAccepted> {
    let message = store.schedules.message_now(schedule, key).await?;
    let mut answers =
        store.messages.schedule_of(&schedule.queue, vec![message], Origin::Schedule).await?;
    let nothing = || StoreError::Reply("schedule gave no answer".to_owned());
    answers.pop().ok_or_else(nothing)?
}

/// Whoever sends fields where none are known means something that will not happen.
async fn nothing_in(door: &Door, body: Body) -> Result<(), Problem> {
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    Fields::of_body(&body, &NOTHING)?.finish()
}

async fn done(
    door: &Door,
    caller: &Caller,
    touched: Touched,
    name: &ScheduleName,
) -> Result<(), Problem> {
    match touched {
        Touched::Done => Ok(()),
        Touched::NotFound => Err(no_schedule(door, caller, name.as_str()).await),
        Touched::Configured => Err(of_the_file(name)),
    }
}

fn of_the_file(name: &ScheduleName) -> Problem {
    let detail = format!(
        "the schedule \"{name}\" is in the configuration file: change [schedules.{name}] there and reload (SIGHUP); pause, resume and run work here"
    );
    Problem::wrong_state(Source::Config.as_str(), detail)
}
