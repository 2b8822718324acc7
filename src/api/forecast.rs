//! When the backlog of a queue leaves, and when a single message does.
//!
//! Owns what Redis is asked, which is bounded whatever the backlog. What follows from it says `domain::forecast`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};

use super::paths::InQueue;
use super::problem::Problem;
use super::query::Query;
use super::{Door, Shared};
use crate::domain::explain::{LaneId, Line};
use crate::domain::forecast::{
    DueMessages, ForecastFacts, HOURS_MAX, ReadyLine, forecast as foretold, leaves_ms, whole,
};
use crate::domain::gates::Snapshot;
use crate::domain::keys::LimitValue;
use crate::domain::limit::LimitName;
use crate::domain::overrides::{PolicyStage, later_stages};
use crate::domain::policy::QueuePolicy;
use crate::store::{BacklogProfile, Counts, Queue, TimeSteps};
use crate::wire::forecast::ForecastView;

/// What the values of the keys of a message were given at run time: by the limit, the value of its key and what it is allowed.
pub(super) type KeyValues = BTreeMap<LimitName, (String, LimitValue)>;

/// Hours of a forecast, unless asked otherwise.
pub(super) const HOURS_DEFAULT: u32 = 24;
const HOUR_MS: u64 = 3_600_000;
/// The steps in which what becomes due is counted, each for spans of time up to the one beside it; longer ones are counted by the
/// hour.
const STEPS_MS: [(u64, u64); 3] =
    [(60_000, 4 * HOUR_MS), (300_000, 24 * HOUR_MS), (600_000, 48 * HOUR_MS)];
/// What is due within a step is taken to come in so many parts.
const PARTS: u64 = 4;

/// What will become of a queue in the next hours, if nothing more arrives.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/forecast", operation_id = "forecast_queue", tag = "queues",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("hours" = Option<u32>, Query, description = "How many hours ahead, 1 to 8784; default 24"),
    ),
    responses((status = 200, description = "The forecast", body = ForecastView)),
)]
pub(super) async fn forecast(
    State(door): Shared,
    InQueue(queue): InQueue,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["hours"]);
    let hours = query.count("hours", HOURS_MAX).unwrap_or(HOURS_DEFAULT);
    query.finish()?;
    let now_ms = door.now_ms()?;
    let counts = door.store().queues.counts(&queue.policy.name).await?;
    let steps = steps(now_ms, now_ms + u64::from(hours) * HOUR_MS);
    let profile = door.store().queues.profile(&queue.policy.name, steps).await?;
    let snapshot = snapshot(&queue, &counts);
    let later = later_stages(&queue.policy, now_ms);
    let facts = facts((&queue, &queue.policy, &later), &snapshot, (&profile, steps), now_ms);
    Ok(Json(ForecastView::new(&foretold(&facts, hours))).into_response())
}

/// When a message leaves that stands in this line; `due_ms`: its due time; `given`: what limits by key allow its values. `None`:
/// nobody can know.
///
/// # Errors
/// When the store is not available.
pub(super) async fn expected_ms(
    door: &Door,
    (queue, given): (&Queue, &KeyValues),
    counts: &Counts,
    (line, due_ms): (&Line, u64),
) -> Result<Option<u64>, Problem> {
    if queue.retired {
        return Ok(None);
    }
    let now_ms = door.now_ms()?;
    // Only what is due before it stands before it.
    let steps = steps(now_ms, due_ms.max(now_ms));
    let profile = door.store().queues.profile(&queue.policy.name, steps).await?;
    let snapshot = snapshot(queue, counts);
    let of_key = |policy: &QueuePolicy| {
        let values = given.iter().map(|(limit, (_, value))| (limit, value));
        policy.with_values(values).into_owned()
    };
    let policy = of_key(&queue.policy);
    let mut later = later_stages(&queue.policy, now_ms);
    for stage in &mut later {
        stage.policy = Arc::new(of_key(&stage.policy));
    }
    let mut facts = facts((queue, &policy, &later), &snapshot, (&profile, steps), now_ms);
    // A step may reach beyond its due time, and what stands before it does not.
    for due in &mut facts.due {
        due.at_ms = due.at_ms.min(due_ms.max(now_ms));
    }
    let number = line_of(&mut facts, &profile, line);
    Ok(leaves_ms(&facts, number, line.position.ahead, due_ms.max(now_ms)))
}

/// A retired queue counts as paused: nobody sends what it keeps.
fn snapshot(queue: &Queue, counts: &Counts) -> Snapshot {
    let snapshot = counts.snapshot(&queue.policy);
    if !queue.retired {
        return snapshot;
    }
    Snapshot { pause: Some(crate::domain::gates::PauseEnd::Resume), ..snapshot }
}

/// Steps from now until this moment, which begin where the clock has a round time.
fn steps(now_ms: u64, until_ms: u64) -> TimeSteps {
    let span_ms = until_ms.saturating_sub(now_ms);
    let step = STEPS_MS.iter().find(|(_, most_ms)| span_ms <= *most_ms);
    let step_ms = step.map_or(HOUR_MS, |(step_ms, _)| *step_ms);
    let from_ms = now_ms / step_ms * step_ms;
    let count = if span_ms == 0 { 0 } else { (until_ms - from_ms).div_ceil(step_ms) };
    TimeSteps { from_ms, step_ms, count }
}

fn facts<'a>(
    (queue, policy, later): (&Queue, &'a QueuePolicy, &'a [PolicyStage]),
    snapshot: &'a Snapshot,
    (profile, steps): (&BacklogProfile, TimeSteps),
    now_ms: u64,
) -> ForecastFacts<'a> {
    let in_lanes: u64 = profile.lanes.iter().map(|lane| lane.messages).sum();
    let mut lanes_of_flow = std::collections::HashMap::new();
    for lane in &profile.lanes {
        *lanes_of_flow.entry(lane.flow).or_insert(0_u32) += 1;
    }
    let mut ready: Vec<ReadyLine> = profile
        .lanes
        .iter()
        .map(|lane| ReadyLine {
            messages: whole(lane.messages),
            share: lanes_of_flow.get(&lane.flow).map_or(1.0, |lanes| 1.0 / f64::from(*lanes)),
            is_of_key: true,
        })
        .collect();
    // What stands in no lane that was looked at, and what becomes due.
    let rest = whole(profile.ready.saturating_sub(in_lanes));
    ready.push(ReadyLine { messages: rest, share: 1.0, is_of_key: false });
    let line = ready.len() - 1;
    let due = profile.due.iter().zip(0..).filter(|(messages, _)| **messages > 0);
    let due = due.flat_map(|(messages, step)| {
        let from_ms = steps.from_ms + step * steps.step_ms;
        (0..PARTS).map(move |part| DueMessages {
            at_ms: (from_ms + (2 * part + 1) * steps.step_ms / (2 * PARTS)).max(now_ms),
            line,
            messages: whole(*messages) / whole(PARTS),
            expires_ms: None,
        })
    });
    ForecastFacts {
        policy,
        later,
        snapshot,
        ready,
        due: due.collect(),
        mean_call_ms: queue.calls.mean_ms(),
        mean_cost: 1.0,
        now_ms,
    }
}

/// The number of the line of a message; a lane that was not looked at becomes one of its own.
fn line_of(facts: &mut ForecastFacts<'_>, profile: &BacklogProfile, line: &Line) -> usize {
    let rest = facts.ready.len() - 1;
    let Some(lane) = line.lane else { return rest };
    let is_its = |id: &LaneId| *id == lane;
    if let Some(number) = profile.lanes.iter().position(|it| is_its(&it.lane)) {
        return number;
    }
    let messages = whole(line.position.ahead + 1);
    facts.ready[rest].messages = (facts.ready[rest].messages - messages).max(0.0);
    facts.ready.push(ReadyLine { messages, share: 1.0, is_of_key: true });
    rest + 1
}
