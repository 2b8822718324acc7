//! Limits that several queues share: how they stand, and what others used of them.
//!
//! Owns who sees a limit: whoever reaches all queues that name it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::auth::Caller;
use super::change::SMALL_BODY_BYTES_MAX;
use super::fields::{Fields, Shape};
use super::problem::{Code, Problem};
use super::query::Query;
use super::values::{signed, words};
use super::{Door, Shared, idempotency};
use crate::domain::id::QueueName;
use crate::domain::limit::{LimitRule, LimitStanding, UNITS_MAX};
use crate::domain::suggest::did_you_mean;
use crate::store::{Charged, SharedLimit};
use crate::wire::Moment;
use crate::wire::shared_limit::{ChargeRequest, LimitUseView, SharedLimitList, SharedLimitView};

/// Limits read at once.
const READ_AT_ONCE: usize = 16;

static CHARGE: Shape = Shape { known: &["units", "reason"], later: &[] };

/// The limits that queues share, by name.
#[utoipa::path(
    get, path = "/v1/limits", operation_id = "list_limits", tag = "limits",
    responses((status = 200, description = "The limits", body = SharedLimitList)),
)]
pub(super) async fn limits(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let reached = reached(&door, &caller);
    let limits: Vec<SharedLimitView> = futures_util::stream::iter(reached)
        .map(|rule| view(&door, rule))
        .buffered(READ_AT_ONCE)
        .try_collect()
        .await?;
    Ok(Json(SharedLimitList { limits }).into_response())
}

/// A shared limit: how much of it is used, and by which queues.
#[utoipa::path(
    get, path = "/v1/limits/{name}", operation_id = "get_limit", tag = "limits",
    params(("name" = String, Path, description = "The limit's name")),
    responses((status = 200, description = "The limit", body = SharedLimitView)),
)]
pub(super) async fn limit(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let rule = named(&door, &caller, &name)?;
    Ok(Json(view(&door, rule).await?).into_response())
}

/// Charges a shared quota with what others used of it, or, below zero, gave back.
///
/// What is used never falls below zero, and may be more than the quota. A repeat with the same idempotency key changes nothing.
#[utoipa::path(
    post, path = "/v1/limits/{name}/charge", operation_id = "charge_limit", tag = "limits",
    params(
        ("name" = String, Path, description = "The limit's name"),
        ("Idempotency-Key" = Option<String>, Header, description = "Quoted or bare; recognised for a day at least"),
    ),
    request_body(content = ChargeRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The limit", body = SharedLimitView),
        (status = 415, description = "The body is not JSON"),
        (status = 422, description = "Something else was charged under this idempotency key"),
    ),
)]
pub(super) async fn charge(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let rule = named(&door, &caller, &name)?;
    let key = idempotency::from_header(&headers)?.unwrap_or_default();
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    let mut fields = Fields::of_body(&body, &CHARGE)?;
    let most = UNITS_MAX.cast_signed();
    let units = fields.read_as("units", |raw| signed(raw, -most..=most));
    if fields.raw("units").is_none() {
        fields.fault("units", "is missing; expected how many units others used, for example 1500, or -200 for units that they gave back");
    }
    let reason = fields.read_as("reason", words).unwrap_or_default();
    fields.finish()?;
    let units = units.unwrap_or_default();
    if rule.quota().is_none() {
        let detail = format!(
            "the limit \"{}\" is a rate ({}), which nothing can be charged to; only a quota counts what is used",
            rule.name, rule.kind
        );
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let fingerprint = format!("{units} {reason}");
    match door.store().limits.charge(&rule, units, (&key, &fingerprint)).await? {
        Charged::Done => tracing::info!(
            limit = %rule.name, units, by = caller.name(), reason, "charged"
        ),
        Charged::Already => {}
        Charged::OtherContent => {
            return Err(Problem::new(
                Code::IdempotencyMismatch,
                "something else was charged under this idempotency key; use another key",
            ));
        }
    }
    Ok(Json(view(&door, rule).await?).into_response())
}

/// The queues that name a limit.
fn queues_of(door: &Door, rule: &LimitRule) -> Vec<QueueName> {
    let names = |limit: &LimitRule| limit.shared && limit.name == rule.name;
    let queues = door.store().queues.all().into_iter().filter(|queue| !queue.retired);
    let queues = queues.filter(|queue| queue.policy.limits.iter().any(names));
    queues.map(|queue| queue.policy.name.clone()).collect()
}

/// The limits that the caller sees.
fn reached(door: &Door, caller: &Caller) -> Vec<Arc<LimitRule>> {
    let mut rules = door.store().limits.all();
    if !caller.reaches_all() {
        rules.retain(|rule| {
            let queues = queues_of(door, rule);
            !queues.is_empty() && queues.iter().all(|queue| caller.reaches(queue))
        });
    }
    rules
}

/// # Errors
/// 404 with the known names: the same for a limit that is not there and for one that the caller does not reach.
fn named(door: &Door, caller: &Caller, name: &str) -> Result<Arc<LimitRule>, Problem> {
    let reached = reached(door, caller);
    if let Some(rule) = reached.iter().find(|rule| rule.name.as_str() == name) {
        return Ok(Arc::clone(rule));
    }
    let shown: String = name.chars().take(80).collect();
    let names: Vec<&str> = reached.iter().map(|rule| rule.name.as_str()).collect();
    let meant = did_you_mean(name, names.iter().copied());
    let known = match names.as_slice() {
        [] => "there are no shared limits; add [limits.NAME] to the configuration".to_owned(),
        names => format!("there are {}", names.join(", ")),
    };
    let meant = if meant.is_empty() { format!("; {known}") } else { meant };
    Err(Problem::not_found(format!("there is no shared limit \"{shown}\"{meant}")))
}

async fn view(door: &Door, rule: Arc<LimitRule>) -> Result<SharedLimitView, Problem> {
    let queues = queues_of(door, &rule);
    let SharedLimit { rule, standing, by_queue, charged } =
        door.store().limits.standing(rule).await?;
    let mut used: BTreeMap<String, u64> =
        queues.into_iter().map(|queue| (queue.to_string(), 0)).collect();
    used.extend(by_queue);
    let by_queue = used.into_iter().map(|(queue, used)| LimitUseView { queue, used }).collect();
    let mut view = SharedLimitView {
        name: rule.name.to_string(),
        kind: rule.kind.name().into(),
        value: rule.kind.to_string(),
        time_zone: rule.quota().map(|quota| quota.zone().to_string()),
        used: None,
        left: None,
        resets_at: None,
        next_at: None,
        charged: None,
        by_queue,
    };
    match &standing {
        LimitStanding::Rate { .. } => {
            view.next_at = Some(Moment(standing.next_ms(door.now_ms()?)));
        }
        LimitStanding::Quota { units, from_ms, used } => {
            view.used = Some(used[0]);
            view.left = Some(units.saturating_sub(used[0]));
            view.resets_at = Some(Moment(from_ms[1]));
            view.charged = Some(charged);
        }
    }
    Ok(view)
}
