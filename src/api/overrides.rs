//! Overrides of a queue: what holds in place of its configuration for a time.
//!
//! Owns what is asked and answered. Which override fits a queue, and what is in force, says `domain::overrides`.

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::value::RawValue;

use super::auth::Caller;
use super::change::SMALL_BODY_BYTES_MAX;
use super::fields::{Fields, Shape, pointer};
use super::paths::InQueue;
use super::problem::{Fault, Problem};
use super::query::Query;
use super::values::{duration, moment, string, truth, whole, words};
use super::{Door, Shared};
use crate::config::Scope;
use crate::domain::keys::LimitValue;
use crate::domain::limit::{CALLS_MAX, LimitName, LimitRule};
use crate::domain::overrides::{
    Override, OverrideChange, OverrideKind, WindowChange, put_in_force,
};
use crate::domain::policy::QueuePolicy;
use crate::domain::units::format_duration;
use crate::store::{OVERRIDES_MAX, Overrides, Queue};
use crate::wire::Moment;
use crate::wire::overrides::{OverrideList, OverrideRequest, OverrideView};
use crate::wire::problem::ProblemState;

/// The longest time for which an override may hold.
pub(super) const LENGTH_MS_MAX: u64 = 31 * 86_400_000;

pub(super) static OVERRIDE: Shape = Shape {
    known: &["rate", "concurrency", "window", "limit", "until", "for", "reason", "above"],
    later: &[],
};
pub(super) static LIMIT: Shape =
    Shape { known: &["name", "rate", "quota", "concurrency"], later: &[] };
/// What an override may be about.
const CHANGES: [&str; 4] = ["rate", "concurrency", "window", "limit"];

/// The overrides of a queue that are in force.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/overrides", operation_id = "list_overrides", tag = "queues",
    params(("queue" = String, Path, description = "The queue's name")),
    responses((status = 200, description = "The overrides", body = OverrideList)),
)]
pub(super) async fn list(
    State(door): Shared,
    InQueue(queue): InQueue,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let mut overrides = holding(&door, &queue).await?;
    overrides.sort_by_key(|it| it.until_ms);
    let overrides = overrides.iter().map(|it| view(it, &queue.policy)).collect();
    Ok(Json(OverrideList { overrides }).into_response())
}

/// Puts something in place of a part of the configuration for a time.
///
/// It ends by itself, and before that with `DELETE`. It survives restarts, reloads and failovers, and resets no counter. In
/// force is the lesser of the configuration and the override, unless it says `above`. Of each kind there is one at most: a newer
/// one takes the place of the older.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/overrides", operation_id = "put_override", tag = "queues",
    params(("queue" = String, Path, description = "The queue's name")),
    request_body(content = OverrideRequest, content_type = "application/json"),
    responses(
        (status = 201, description = "The override", body = OverrideView),
        (status = 409, description = "As many overrides are in force as may be"),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(super) async fn put(
    State(door): Shared,
    InQueue(queue): InQueue,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let name = &queue.policy.name;
    if queue.retired || name.callbacks_of().is_some() {
        return Err(Problem::not_found(format!(
            "the queue \"{name}\" has no overrides: it is not in the configuration, or carries callbacks"
        )));
    }
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    let wish = read(&body, queue.policy.as_configured(), door.now_ms()?)?;
    if wish.above {
        caller.must_have(Scope::Admin, "\"above\": true")?;
    }
    let it = Override {
        id: Overrides::new_id(),
        queue: name.clone(),
        by: caller.name().to_owned(),
        ..wish
    };
    if !door.store().overrides.put(&it).await? {
        let detail = format!(
            "{OVERRIDES_MAX} overrides are in force over all queues, which is the most; end some that nobody needs any more"
        );
        return Err(Problem::wrong_state(ProblemState::FULL, detail));
    }
    tracing::info!(queue = %name, id = it.id, kind = %it.change.kind(), by = it.by, reason = it.reason, "an override begins");
    let location = format!("/v1/queues/{name}/overrides/{}", it.id);
    let view = Json(view(&it, &queue.policy));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], view).into_response())
}

/// Ends an override before its time: the configuration holds again.
#[utoipa::path(
    delete, path = "/v1/queues/{queue}/overrides/{id}", operation_id = "end_override", tag = "queues",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("id" = String, Path, description = "The override's id"),
    ),
    responses((status = 200, description = "The override, which has ended", body = OverrideView)),
)]
pub(super) async fn end(
    State(door): Shared,
    InQueue(queue): InQueue,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let found = holding(&door, &queue).await?.into_iter().find(|it| it.id == id);
    let none = || {
        let shown: String = id.chars().take(80).collect();
        Problem::not_found(format!(
            "no override \"{shown}\" of the queue \"{}\" is in force: it has ended, or there was none; GET /v1/queues/{}/overrides lists those that are",
            queue.policy.name, queue.policy.name
        ))
    };
    let it = found.ok_or_else(none)?;
    if !door.store().overrides.end(&it.id).await? {
        return Err(none());
    }
    Ok(Json(view(&it, &queue.policy)).into_response())
}

async fn holding(door: &Door, queue: &Queue) -> Result<Vec<Override>, Problem> {
    let now_ms = door.now_ms()?;
    let mut all = door.store().overrides.read().await?.all;
    all.retain(|it| it.queue == queue.policy.name && it.holds_at(now_ms));
    Ok(all)
}

/// What a body asks for; id, queue and name of the caller are still to be filled in.
fn read(body: &[u8], configured: &QueuePolicy, now_ms: u64) -> Result<Override, Problem> {
    let mut fields = Fields::of_body(body, &OVERRIDE)?;
    let given: Vec<_> = CHANGES.iter().filter(|name| fields.raw(name).is_some()).collect();
    if given.len() != 1 {
        let found = if given.is_empty() { "none of them" } else { "more than one of them" };
        fields.note(Fault::new("", format!(
            "found {found}, expected one of rate, concurrency, window and limit, for example {{\"rate\": \"5/s\", \"for\": \"1h\"}}"
        )));
    }
    let change = change(&mut fields);
    let above = fields.read_as("above", truth).unwrap_or(false);
    if let Some((place, change)) = &change
        && given.len() == 1
        && let Some(why) = change.why_unfit(above, configured)
    {
        fields.note(Fault::new(place, why));
    }
    let until_ms = until(&mut fields, now_ms);
    let reason = fields.read_as("reason", words).unwrap_or_default();
    fields.finish()?;
    let (Some((_, change)), Some(until_ms)) = (change, until_ms) else {
        return Err(Problem::fault("", "the override is not complete"));
    };
    Ok(Override {
        id: String::new(),
        queue: configured.name.clone(),
        change,
        above,
        from_ms: now_ms,
        until_ms,
        ended_ms: None,
        reason,
        by: String::new(),
    })
}

/// When it ends.
fn until(fields: &mut Fields<'_>, now_ms: u64) -> Option<u64> {
    match (fields.raw("until").is_some(), fields.raw("for").is_some()) {
        (true, true) => fields.fault("for", "give until or for, not both"),
        (false, false) => fields.fault(
            "for",
            "is missing: an override ends by itself; give for, such as \"1h\", or until, a moment such as \"2026-11-21T18:00:00Z\"",
        ),
        _ => {}
    }
    let until = fields.read_as("until", |raw| match moment(raw)? {
        at_ms if at_ms > now_ms && at_ms - now_ms <= LENGTH_MS_MAX => Ok(at_ms),
        at_ms if at_ms > now_ms => Err(format!(
            "found {}, expected a moment within {}: what is to last longer belongs in the configuration",
            raw.get(),
            format_duration(LENGTH_MS_MAX)
        )),
        _ => Err(format!("found {}, expected a moment to come", raw.get())),
    });
    let lasts = fields.read_as("for", |raw| duration(raw, 1000..=LENGTH_MS_MAX));
    until.or(lasts.map(|length_ms| now_ms + length_ms))
}

/// What it changes, and where that stands in the body.
fn change(fields: &mut Fields<'_>) -> Option<(String, OverrideChange)> {
    let rate = fields.read_as("rate", rate).map(|value| {
        let name = LimitRule::own_rate_name();
        ("/rate".to_owned(), OverrideChange::Limit { name, value })
    });
    let calls = fields.read_as("concurrency", calls);
    let calls = calls.map(|calls| ("/concurrency".to_owned(), OverrideChange::Concurrency(calls)));
    let window = fields.read_as("window", window);
    let window = window.map(|change| ("/window".to_owned(), OverrideChange::Window(change)));
    let limit = fields.read_as("limit", |raw| Ok(limit(raw)));
    let limit = match limit {
        None => None,
        Some(Ok((name, value))) => {
            Some(("/limit".to_owned(), OverrideChange::Limit { name, value }))
        }
        Some(Err(faults)) => {
            faults.into_iter().for_each(|fault| fields.note(fault));
            None
        }
    };
    rate.or(calls).or(window).or(limit)
}

fn rate(raw: &RawValue) -> Result<LimitValue, String> {
    string(raw)?.parse().map(LimitValue::Rate).map_err(|error| format!("{error}"))
}

fn quota(raw: &RawValue) -> Result<LimitValue, String> {
    string(raw)?.parse().map(LimitValue::Quota).map_err(|error| format!("{error}"))
}

fn calls(raw: &RawValue) -> Result<u32, String> {
    let calls = whole(raw, 1..=u64::from(CALLS_MAX))?;
    u32::try_from(calls).map_err(|error| error.to_string())
}

fn window(raw: &RawValue) -> Result<WindowChange, String> {
    match string(raw)?.as_str() {
        "open" => Ok(WindowChange::Open),
        "closed" => Ok(WindowChange::Closed),
        other => Err(format!("found \"{other}\", expected \"open\" or \"closed\"")),
    }
}

fn limit(raw: &RawValue) -> Result<(LimitName, LimitValue), Vec<Fault>> {
    let read = Fields::within(raw, &LIMIT, "/limit");
    let mut fields = read.map_err(|error| vec![Fault::new("/limit", error)])?;
    let name = fields.read_as("name", |raw| {
        string(raw)?.parse::<LimitName>().map_err(|error| error.to_string())
    });
    if fields.raw("name").is_none() {
        fields.fault("name", "is missing; expected the name of a limit of the queue");
    }
    let given = ["rate", "quota", "concurrency"].iter().filter(|name| fields.raw(name).is_some());
    if given.count() != 1 {
        fields.note(Fault::new(
            pointer("", "limit"),
            "expected one of rate, quota and concurrency, for example {\"name\": \"quota_day\", \"quota\": \"500/day\"}",
        ));
    }
    let rate = fields.read_as("rate", rate);
    let quota = fields.read_as("quota", quota);
    let calls = fields.read_as("concurrency", calls).map(LimitValue::Concurrency);
    let value = rate.or(quota).or(calls);
    let faults = fields.into_faults();
    match (name, value) {
        (Some(name), Some(value)) if faults.is_empty() => Ok((name, value)),
        _ => Err(faults),
    }
}

pub(super) fn view(it: &Override, policy: &QueuePolicy) -> OverrideView {
    let configured = policy.configured.clone().unwrap_or_else(|| policy.clone().into());
    let in_force = put_in_force(&configured, std::slice::from_ref(it), it.from_ms);
    let kind = it.change.kind();
    OverrideView {
        id: it.id.clone(),
        queue: it.queue.to_string(),
        value: match &it.change {
            OverrideChange::Limit { value: LimitValue::Rate(rate), .. } => rate.to_string(),
            OverrideChange::Limit { value: LimitValue::Quota(quota), .. } => quota.to_string(),
            OverrideChange::Limit { value: LimitValue::Concurrency(calls), .. }
            | OverrideChange::Concurrency(calls) => calls.to_string(),
            OverrideChange::Window(change) => change.as_str().to_owned(),
        },
        configured: said(&configured, &kind, it),
        in_force: said(&in_force, &kind, it),
        kind: match kind {
            OverrideKind::Limit(name) if name == LimitRule::own_rate_name() => "rate".to_owned(),
            kind => kind.to_string(),
        },
        above: it.above,
        since: Moment(it.from_ms),
        until: Moment(it.until_ms),
        reason: it.reason.clone(),
        by: it.by.clone(),
    }
}

/// What a policy says of the part that an override of this kind changes.
fn said(policy: &QueuePolicy, kind: &OverrideKind, it: &Override) -> Option<String> {
    match kind {
        OverrideKind::Limit(name) => {
            let rule = policy.limits.iter().find(|rule| rule.name == *name)?;
            Some(rule.kind.to_string())
        }
        OverrideKind::Concurrency => Some(policy.concurrency.to_string()),
        OverrideKind::Window => {
            let window = policy.window.as_ref()?;
            let is_open = window.openings(it.from_ms, it.from_ms + 1).is_empty();
            Some(if is_open { "closed" } else { "open" }.to_owned())
        }
    }
}
