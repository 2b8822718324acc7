//! `POST /v1/queues/{queue}/settle`: what became of messages that workers hold.
//!
//! Owns what a worker may say and the verdict on it. When to try again is the queue's retry policy's
//! business; whether the lease is still the worker's, the scripts'.

use std::borrow::Cow;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::token::WorkerToken;
use super::{LEASE_MS_MAX, LEASE_MS_MIN, pulled};
use crate::api::fields::{Fields, Shape, list_of_body};
use crate::api::pace::Pace;
use crate::api::paths::InQueue;
use crate::api::problem::{FAULTS_IN_ALL_MAX, Problem};
use crate::api::values::{delay, duration, string, words};
use crate::api::{Door, Shared};
use crate::domain::id::MessageId;
use crate::domain::message::{Attempt, NAME_BYTES_MAX};
use crate::domain::retry::Next;
use crate::store::{Lease, Part, Queue, Settled, StoreError, Verdict};
use crate::telemetry::{Kind, OutcomeLabel, ReasonLabel, VerdictLabel};

/// Most messages in one request.
const ITEMS_MAX: usize = 1000;
/// Largest request, in bytes: as many results as are kept at most, and room around them.
const BODY_BYTES_MAX: usize = 8 << 20;

static ITEM: Shape =
    Shape { known: &["id", "token", "as", "delay", "lease", "result", "detail"], later: &[] };

/// What a worker says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Delivered,
    Retry,
    Dead,
    Release,
    Renew,
}

const WORDS: [(&str, As); 5] = [
    ("delivered", As::Delivered),
    ("retry", As::Retry),
    ("dead", As::Dead),
    ("release", As::Release),
    ("renew", As::Renew),
];

/// One message and what is said of it.
#[derive(Debug)]
struct Item {
    id: MessageId,
    token: WorkerToken,
    said: As,
    delay_ms: Option<u64>,
    lease_ms: Option<u64>,
    result: Option<Bytes>,
    detail: Option<String>,
}

/// The step that follows, as one call takes it for many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Ack,
    Retry,
    Bury(&'static str),
    Release,
    Renew(u64),
}

/// Items that go the same way in the same shard, each with its place in the request.
#[derive(Debug)]
struct Together {
    way: (u16, Step),
    indexes: Vec<usize>,
    settled: Vec<Settled>,
}

/// Settles messages that were claimed, each for itself: `delivered`, `retry` (after `delay`, or by the
/// queue's policy), `dead`, `release` (unsent, at the head), or `renew` (a later deadline).
#[utoipa::path(
    post, path = "/v1/queues/{queue}/settle", operation_id = "settle_messages", tag = "pull",
    params(("queue" = String, Path, description = "The queue's name")),
    request_body(content = ref("#/components/schemas/Settlements"), content_type = "application/json"),
    responses(
        (status = 200, description = "The verdict on each, in order", body = ref("#/components/schemas/Verdicts")),
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
    let raws = list_of_body(&body, ITEMS_MAX, "a list of settlements")?;
    let (mut results, mut pace, mut faults_left) =
        (Vec::with_capacity(raws.len()), Pace::default(), FAULTS_IN_ALL_MAX);
    // Each item is judged for itself: a bad one keeps its place among the results, and no more.
    let (mut items, mut places) = (Vec::new(), Vec::new());
    for raw in raws {
        pace.step().await;
        match read_item(&queue, raw) {
            Ok(item) => {
                places.push(results.len());
                results.push(Value::Null);
                items.push(item);
            }
            Err(mut problem) => {
                problem.shorten(&mut faults_left);
                let id = id_of(raw);
                results.push(json!({ "id": id, "verdict": "invalid", "problem": problem }));
            }
        }
    }
    let verdicts = carry_out(&door, &queue, &items).await?;
    for ((place, item), verdict) in places.into_iter().zip(&items).zip(verdicts) {
        results[place] = json!({ "id": item.id.to_string(), "verdict": word(verdict) });
    }
    Ok(Json(json!({ "results": results })).into_response())
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok | Verdict::Late => "ok",
        Verdict::Already => "already",
        Verdict::Stale => "stale",
        Verdict::Gone => "gone",
    }
}

/// The id that an item names, whatever else is wrong with it: its sender finds the item by it.
fn id_of(raw: &RawValue) -> Option<String> {
    let fields = Fields::within(raw, &ITEM, "").ok()?;
    string(fields.raw("id")?).ok().filter(|id| id.len() <= NAME_BYTES_MAX)
}

fn read_item(queue: &Queue, raw: &RawValue) -> Result<Item, Problem> {
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
        let known = WORDS.iter().find(|(word, _)| *word == text).map(|(_, said)| *said);
        known.ok_or_else(|| {
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
        ("delay", &[As::Retry][..], "retry"),
        ("lease", &[As::Renew], "renew"),
        ("result", &[As::Delivered, As::Dead], "delivered or dead"),
        ("detail", &[As::Retry, As::Dead], "retry or dead"),
    ] {
        if fields.raw(field).is_some() && said.is_some_and(|said| !with.contains(&said)) {
            fields.fault(field, format!("has no meaning here; it goes with as: {words}"));
        }
    }
    match (fields.into_faults(), id, token, said) {
        (faults, Some(id), Some(token), Some(said)) if faults.is_empty() => {
            Ok(Item { id, token, said, delay_ms, lease_ms, result, detail })
        }
        (faults, ..) => Err(Problem::invalid(faults)),
    }
}

/// One call for all that go the same way; the verdicts in the order of the items.
async fn carry_out(door: &Door, queue: &Queue, items: &[Item]) -> Result<Vec<Verdict>, Problem> {
    let mut verdicts = vec![Verdict::Gone; items.len()];
    let mut calls: Vec<Together> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let (step, settled) = step_of(door, queue, item).await?;
        let way = (settled.lease.shard, step);
        match calls.iter_mut().find(|together| together.way == way) {
            Some(together) => {
                together.indexes.push(index);
                together.settled.push(settled);
            }
            None => calls.push(Together { way, indexes: vec![index], settled: vec![settled] }),
        }
    }
    for Together { way: (shard, step), indexes, settled } in calls {
        let said = call(door, queue, shard, step, &settled).await?;
        for ((index, verdict), settled) in indexes.into_iter().zip(said).zip(&settled) {
            note(door, queue, step, verdict, settled);
            verdicts[index] = verdict;
        }
    }
    Ok(verdicts)
}

async fn step_of(door: &Door, queue: &Queue, item: &Item) -> Result<(Step, Settled), Problem> {
    let policy = &queue.policy;
    let shard = queue.shard_of(&item.id).number;
    let lease = Lease { ulid: item.id.ulid, shard, token: item.token.lease.clone() };
    let settled = Settled::of(lease);
    let error = || item.detail.clone().unwrap_or_else(|| "the worker said no more".to_owned());
    Ok(match item.said {
        As::Renew => (Step::Renew(item.lease_ms.unwrap_or(policy.lease_ms)), settled),
        As::Release => (Step::Release, settled),
        As::Delivered => {
            let attempt = Some(attempt(door, queue, item, "delivered", None)?);
            (Step::Ack, Settled { attempt, ..settled })
        }
        As::Dead => {
            let attempt = Some(attempt(door, queue, item, "refused", Some(error()))?);
            (Step::Bury("refused"), Settled { attempt, reason: Some(error()), ..settled })
        }
        As::Retry => {
            let attempt = Some(attempt(door, queue, item, "retry", Some(error()))?);
            match next(door, queue, item).await? {
                Next::RetryAfter(delay_ms) => {
                    let delay_ms = item.delay_ms.unwrap_or(delay_ms);
                    (Step::Retry, Settled { attempt, delay_ms, ..settled })
                }
                Next::GiveUp(why) => {
                    let reason = Some(why.reason(item.token.attempt, &error()));
                    (Step::Bury(why.word()), Settled { attempt, reason, ..settled })
                }
            }
        }
    })
}

/// When the message is tried again, by its own wishes and the queue's policy.
async fn next(door: &Door, queue: &Queue, item: &Item) -> Result<Next, Problem> {
    let policy = &queue.policy;
    // One that is gone gets that verdict from the call.
    let retry = match door.store().get_part(&item.id, Part::Head).await? {
        Some(message) => message.details.retry_policy(&policy.retry),
        None => Cow::Borrowed(&policy.retry),
    };
    let token = &item.token;
    let age_ms = match door.store().clock_alarm() {
        None => policy.age_ms(token.first_attempt_ms, door.now_ms()?, token.paused_since_first_ms),
        // By a clock in doubt nothing is too old.
        Some(_) => 0,
    };
    Ok(retry.next(token.attempt, age_ms, rand::random()))
}

/// What is kept of the try.
fn attempt(
    door: &Door,
    queue: &Queue,
    item: &Item,
    outcome: &'static str,
    error: Option<String>,
) -> Result<Attempt, Problem> {
    let ended_at_ms = door.now_ms()?;
    let started_at_ms = item.token.started_at_ms.min(ended_at_ms);
    let label = OutcomeLabel { queue: queue.policy.name.to_string(), outcome };
    let took = std::time::Duration::from_millis(ended_at_ms - started_at_ms);
    door.store()
        .metrics()
        .queue
        .attempt_duration_seconds
        .get_or_create(&label)
        .observe(took.as_secs_f64());
    let kept = |body: &Bytes| body.slice(..body.len().min(queue.policy.keep_response_bytes));
    let response = item.result.as_ref().map(kept).filter(|body| !body.is_empty());
    Ok(Attempt {
        attempt: item.token.attempt,
        started_at_ms,
        ended_at_ms,
        outcome: outcome.to_owned(),
        status_code: None,
        error,
        response: response.map(|body| (Some("application/json".to_owned()), body)),
    })
}

async fn call(
    door: &Door,
    queue: &Queue,
    shard: u16,
    step: Step,
    settled: &[Settled],
) -> Result<Vec<Verdict>, StoreError> {
    let store = door.store();
    let shard = &queue.shards[usize::from(shard)];
    match step {
        Step::Ack => store.ack(queue, shard, &[], settled).await,
        Step::Retry => store.retry(queue, shard, &[], settled).await,
        Step::Bury(_) => store.bury(queue, shard, &[], false, settled).await,
        Step::Release => store.release(queue, shard, &[], settled).await,
        Step::Renew(lease_ms) => {
            let leases: Vec<Lease> = settled.iter().map(|item| item.lease.clone()).collect();
            store.renew(shard, lease_ms, &[], &leases).await
        }
    }
}

/// Counts what is counted for other downstreams too.
fn note(door: &Door, queue: &Queue, step: Step, verdict: Verdict, settled: &Settled) {
    let metrics = door.store().metrics();
    let name = queue.policy.name.to_string();
    let late = match (verdict, step) {
        (Verdict::Ok, Step::Bury(word)) => {
            let label = ReasonLabel { queue: name.clone(), reason: word };
            metrics.queue.dead.get_or_create(&label).inc();
            let reason = settled.reason.as_deref().unwrap_or_default();
            let ulid = settled.lease.ulid;
            let id = || MessageId { queue: queue.policy.name.clone(), ulid }.to_string();
            metrics.digest.note(Kind::Dead, &name, reason, id);
            None
        }
        (Verdict::Late, _) => Some("late"),
        (Verdict::Stale | Verdict::Gone, _) => Some("stale"),
        (Verdict::Ok | Verdict::Already, _) => None,
    };
    if let Some(verdict) = late {
        metrics.queue.late_results.get_or_create(&VerdictLabel { queue: name, verdict }).inc();
    }
}
