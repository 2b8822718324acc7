//! An operation and its progress as they lie in Redis: JSON with the words of the design.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::Progress;
use crate::domain::filter::{Filter, Span};
use crate::domain::id::QueueName;
use crate::domain::operation::{Action, Operation, Stage};
use crate::store::StoreError;

#[derive(Debug, Serialize, Deserialize)]
struct PackedOperation {
    action: String,
    queue: String,
    state: String,
    #[serde(default)]
    labels: Vec<(String, String)>,
    group: Option<String>,
    error_contains: Option<String>,
    #[serde(default)]
    created: (Option<u64>, Option<u64>),
    #[serde(default)]
    due: (Option<u64>, Option<u64>),
    #[serde(default)]
    ended: (Option<u64>, Option<u64>),
    rate: Option<String>,
    dry: bool,
    reason: String,
    due_ms: Option<u64>,
    to: Option<String>,
    by: String,
    started_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct PackedProgress {
    stage: String,
    expected: u64,
    seen: u64,
    matched: u64,
    done: u64,
    skipped: u64,
    shard: u16,
    cursor: String,
    hand: Vec<String>,
    next_us: u64,
    sample: Vec<String>,
    ended_ms: Option<u64>,
    trouble: Option<String>,
    stopped_by: Option<String>,
}

fn pair(span: Span) -> (Option<u64>, Option<u64>) {
    (span.after_ms, span.before_ms)
}

fn span((after_ms, before_ms): (Option<u64>, Option<u64>)) -> Span {
    Span { after_ms, before_ms }
}

pub(super) fn write_operation(operation: &Operation) -> Vec<u8> {
    let Operation { filter, .. } = operation;
    let packed = PackedOperation {
        action: operation.action.as_str().to_owned(),
        queue: operation.queue.to_string(),
        state: operation.state.to_string(),
        labels: filter.labels.clone(),
        group: filter.group.clone(),
        error_contains: filter.error_contains.clone(),
        created: pair(filter.created),
        due: pair(filter.due),
        ended: pair(filter.ended),
        rate: operation.rate.map(|rate| rate.to_string()),
        dry: operation.is_dry,
        reason: operation.reason.clone(),
        due_ms: operation.due_ms,
        to: operation.to.as_ref().map(ToString::to_string),
        by: operation.by.clone(),
        started_ms: operation.started_ms,
    };
    serde_json::to_vec(&packed).unwrap_or_default()
}

pub(super) fn read_operation(id: &str, raw: &[u8]) -> Result<Operation, StoreError> {
    let packed: PackedOperation = serde_json::from_slice(raw).map_err(|error| bad(id, &error))?;
    Ok(Operation {
        id: id.to_owned(),
        action: Action::of_word(&packed.action).ok_or_else(|| bad(id, &packed.action))?,
        queue: QueueName::any(&packed.queue).map_err(|error| bad(id, &error))?,
        state: packed.state.parse().map_err(|error| bad(id, &error))?,
        filter: Filter {
            labels: packed.labels,
            group: packed.group,
            error_contains: packed.error_contains,
            created: span(packed.created),
            due: span(packed.due),
            ended: span(packed.ended),
        },
        rate: packed.rate.map(|rate| rate.parse().map_err(|error| bad(id, &error))).transpose()?,
        is_dry: packed.dry,
        reason: packed.reason,
        due_ms: packed.due_ms,
        to: packed.to.map(|to| to.parse().map_err(|error| bad(id, &error))).transpose()?,
        by: packed.by,
        started_ms: packed.started_ms,
    })
}

pub(super) fn write_progress(progress: &Progress) -> Vec<u8> {
    let ids = |ids: &[Ulid]| ids.iter().map(ToString::to_string).collect();
    let packed = PackedProgress {
        stage: progress.stage.as_str().to_owned(),
        expected: progress.expected,
        seen: progress.seen,
        matched: progress.matched,
        done: progress.done,
        skipped: progress.skipped,
        shard: progress.shard,
        cursor: progress.cursor.clone(),
        hand: ids(&progress.hand),
        next_us: progress.next_us,
        sample: ids(&progress.sample),
        ended_ms: progress.ended_ms,
        trouble: progress.trouble.clone(),
        stopped_by: progress.stopped_by.clone(),
    };
    serde_json::to_vec(&packed).unwrap_or_default()
}

pub(super) fn read_progress(id: &str, raw: &[u8]) -> Result<Progress, StoreError> {
    let packed: PackedProgress = serde_json::from_slice(raw).map_err(|error| bad(id, &error))?;
    let ids = |texts: &[String]| -> Result<Vec<Ulid>, StoreError> {
        texts.iter().map(|text| Ulid::from_string(text).map_err(|e| bad(id, &e))).collect()
    };
    Ok(Progress {
        stage: Stage::of_word(&packed.stage).ok_or_else(|| bad(id, &packed.stage))?,
        expected: packed.expected,
        seen: packed.seen,
        matched: packed.matched,
        done: packed.done,
        skipped: packed.skipped,
        shard: packed.shard,
        cursor: packed.cursor,
        hand: ids(&packed.hand)?,
        next_us: packed.next_us,
        sample: ids(&packed.sample)?,
        ended_ms: packed.ended_ms,
        trouble: packed.trouble,
        stopped_by: packed.stopped_by,
    })
}

fn bad(id: &str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Reply(format!("operation {id}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::state::State;

    #[test]
    fn both_halves_read_back() {
        let operation = Operation {
            id: "op_1".to_owned(),
            action: Action::Move,
            queue: "sms".parse().unwrap(),
            state: State::Dead,
            filter: Filter {
                labels: vec![("shop".to_owned(), "eu".to_owned())],
                group: Some("g".to_owned()),
                error_contains: Some("fire".to_owned()),
                created: Span { after_ms: Some(1), before_ms: None },
                due: Span::default(),
                ended: Span { after_ms: None, before_ms: Some(2) },
            },
            rate: Some("5/s".parse().unwrap()),
            is_dry: true,
            reason: "the gateway was down".to_owned(),
            due_ms: Some(7),
            to: Some("erp".parse().unwrap()),
            by: "ops".to_owned(),
            started_ms: 5,
        };
        assert_eq!(read_operation("op_1", &write_operation(&operation)).unwrap(), operation);
        let told = Operation { queue: operation.queue.callbacks(), ..operation };
        assert_eq!(read_operation("op_1", &write_operation(&told)).unwrap(), told);
        let progress = Progress {
            expected: 9,
            seen: 3,
            hand: vec![Ulid::from_parts(1, 2)],
            cursor: "5:x".to_owned(),
            trouble: Some("away".to_owned()),
            ..Progress::default()
        };
        assert_eq!(read_progress("op_1", &write_progress(&progress)).unwrap(), progress);
        assert!(read_progress("op_1", b"{}").is_err());
    }
}
