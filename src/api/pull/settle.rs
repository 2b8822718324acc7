//! `POST /v1/queues/{queue}/settle`: what became of messages that workers hold.
//!
//! Owns what a worker may say, item by item. What follows from it, see `engine::pull`.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::value::RawValue;

use super::{LEASE_MS_MAX, LEASE_MS_MIN, pulled};
use crate::api::Shared;
use crate::api::fields::{Fields, Shape, list_of_body};
use crate::api::pace::Pace;
use crate::api::paths::InQueue;
use crate::api::problem::{FAULTS_IN_ALL_MAX, Problem};
use crate::api::values::{delay, duration, string, words};
use crate::domain::id::MessageId;
use crate::domain::message::NAME_BYTES_MAX;
use crate::engine::pull::{self, WorkerSays, WorkerToken, WorkerWord};
use crate::store::{Queue, Verdict};
use crate::wire::Vocabulary as _;
use crate::wire::pull::{
    MESSAGES_MAX, SettleAs, SettleVerdict, SettledList, SettledView, SettlementRequests,
};

/// Largest request, in bytes: as many results as are kept at most, and room around them.
const BODY_BYTES_MAX: usize = 8 << 20;

pub(in crate::api) static ITEM: Shape =
    Shape { known: &["id", "token", "as", "delay", "lease", "result", "detail"], later: &[] };

const fn said(word: SettleAs) -> WorkerSays {
    match word {
        SettleAs::Delivered => WorkerSays::Delivered,
        SettleAs::Retry => WorkerSays::Retry,
        SettleAs::Dead => WorkerSays::Dead,
        SettleAs::Release => WorkerSays::Release,
        SettleAs::Renew => WorkerSays::Renew,
    }
}

/// Settles messages that were claimed, each for itself: `delivered`, `retry` (after `delay`, or by the
/// queue's policy), `dead`, `release` (unsent, at the head), or `renew` (a later deadline).
#[utoipa::path(
    post, path = "/v1/queues/{queue}/settle", operation_id = "settle_messages", tag = "pull",
    params(("queue" = String, Path, description = "The queue's name")),
    request_body(content = SettlementRequests, content_type = "application/json"),
    responses(
        (status = 200, description = "The verdict on each, in order", body = SettledList),
        (status = 409, description = "The queue sends by itself"),
        (status = 413, description = "The body is larger than 8MiB"),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(in crate::api) async fn settle(
    State(door): Shared,
    queue: InQueue,
    body: Body,
) -> Result<Response, Problem> {
    let queue = pulled(queue)?;
    let body = door.bodies.read(body, BODY_BYTES_MAX).await?;
    let raws = list_of_body(&body, MESSAGES_MAX.into(), "a list of settlements")?;
    let (mut results, mut pace, mut faults_left) =
        (Vec::with_capacity(raws.len()), Pace::default(), FAULTS_IN_ALL_MAX);
    // Each item is judged for itself: a bad one keeps its place among the results, and no more.
    let (mut items, mut places) = (Vec::new(), Vec::new());
    for raw in raws {
        pace.step().await;
        match read_item(&queue, raw) {
            Ok(item) => {
                places.push(results.len());
                let (id, verdict) = (Some(item.id.to_string()), SettleVerdict::Gone.into());
                results.push(SettledView { id, verdict, problem: None });
                items.push(item);
            }
            Err(mut problem) => {
                problem.shorten(&mut faults_left);
                results.push(SettledView {
                    id: id_of(raw),
                    verdict: SettleVerdict::Invalid.into(),
                    problem: Some(problem.view()),
                });
            }
        }
    }
    let verdicts = pull::settle(door.store(), &queue, &items).await?;
    for (place, verdict) in places.into_iter().zip(verdicts) {
        results[place].verdict = told(verdict).into();
    }
    Ok(Json(SettledList { results }).into_response())
}

const fn told(verdict: Verdict) -> SettleVerdict {
    match verdict {
        Verdict::Ok | Verdict::Late => SettleVerdict::Ok,
        Verdict::Already => SettleVerdict::Already,
        Verdict::Stale => SettleVerdict::Stale,
        Verdict::Gone => SettleVerdict::Gone,
    }
}

/// The id that an item names, whatever else is wrong with it: its sender finds the item by it.
fn id_of(raw: &RawValue) -> Option<String> {
    let fields = Fields::within(raw, &ITEM, "").ok()?;
    string(fields.raw("id")?).ok().filter(|id| id.len() <= NAME_BYTES_MAX)
}

fn read_item(queue: &Queue, raw: &RawValue) -> Result<WorkerWord, Problem> {
    let mut fields = Fields::within(raw, &ITEM, "").map_err(|detail| Problem::fault("", detail))?;
    let name = &queue.policy.name;
    let id = fields.read_as("id", |raw| {
        let id: MessageId = string(raw)?.parse().map_err(|e| format!("{e}"))?;
        if id.queue == *name {
            Ok(id)
        } else {
            Err(format!("found a message of \"{}\", expected one of \"{name}\"", id.queue))
        }
    });
    let token = fields.read_as("token", |raw| string(raw)?.parse::<WorkerToken>());
    let said = fields.read_as("as", |raw| {
        let text = string(raw)?;
        let known = SettleAs::ALL.iter().find(|known| known.word() == text);
        known.map(|known| said(*known)).ok_or_else(|| {
            format!("found \"{text}\", expected delivered, retry, dead, release or renew")
        })
    });
    let delay_ms = fields.read_as("delay", delay);
    let lease_ms = fields.read_as("lease", |raw| duration(raw, LEASE_MS_MIN..=LEASE_MS_MAX));
    let detail = fields.read_as("detail", words);
    let result = fields.raw("result").map(|raw| Bytes::copy_from_slice(raw.get().as_bytes()));
    for needed in ["id", "token", "as"] {
        if fields.raw(needed).is_none() {
            fields.fault(needed, "missing");
        }
    }
    for (field, with, words) in [
        ("delay", &[WorkerSays::Retry][..], "retry"),
        ("lease", &[WorkerSays::Renew], "renew"),
        ("result", &[WorkerSays::Delivered, WorkerSays::Dead], "delivered or dead"),
        ("detail", &[WorkerSays::Retry, WorkerSays::Dead], "retry or dead"),
    ] {
        if fields.raw(field).is_some() && said.is_some_and(|said| !with.contains(&said)) {
            fields.fault(field, format!("has no meaning here; it goes with as: {words}"));
        }
    }
    match (fields.into_faults(), id, token, said) {
        (faults, Some(id), Some(token), Some(said)) if faults.is_empty() => {
            Ok(WorkerWord { id, token, said, delay_ms, lease_ms, result, detail })
        }
        (faults, ..) => Err(Problem::invalid(faults)),
    }
}
