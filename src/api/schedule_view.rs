//! A schedule as callers see it.

use serde_json::{Map, Value, json};

use super::view::{Moment, RetryView};
use crate::domain::schedule::Cadence;
use crate::domain::shown::{Shown, show_payload};
use crate::domain::units::format_duration;
use crate::store::Kept;

/// Times to come that are shown.
const NEXT: usize = 5;

/// The schedule; in full with what it sends.
pub(super) fn view(kept: &Kept, now_ms: u64, in_full: bool) -> Value {
    let schedule = &kept.schedule;
    let mut view = Map::new();
    let mut set = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
    set("name", schedule.name.as_str().into());
    set("source", kept.source.as_str().into());
    set("queue", schedule.queue.as_str().into());
    match &schedule.cadence {
        Cadence::Cron(cron) => {
            set("cron", cron.pattern().into());
            set("time_zone", cron.time_zone().into());
        }
        Cadence::Every(ms) => set("every", format_duration(*ms).into()),
    }
    set("description", schedule.cadence.describe().into());
    set("catch_up", schedule.catch_up.as_str().into());
    let paused = kept.paused.as_ref().map(|paused| {
        json!({ "since": Moment(paused.since_ms), "reason": paused.reason, "by": paused.by })
    });
    set("paused", paused.into());
    // What is overdue is not to come; while paused: as if it were resumed now.
    let next = schedule.cadence.after(now_ms).take(NEXT).map(|at_ms| json!(Moment(at_ms)));
    set("next", next.collect::<Vec<_>>().into());
    let last = kept.last.as_ref().map(|last| {
        json!({
            "nominal_at": Moment(last.nominal_ms), "fired_at": Moment(last.fired_ms),
            "message_id": last.message_id,
        })
    });
    set("last", last.into());
    set("overdue", overdue(kept, now_ms).into());
    set("fired", kept.fired.into());
    set("missed", kept.missed.into());
    if in_full {
        message(kept, &mut view);
    }
    view.into()
}

/// The oldest tick that has come and is not in its queue yet.
fn overdue(kept: &Kept, now_ms: u64) -> Option<Value> {
    let nominal_ms = kept.overdue_ms(now_ms)?;
    let late_ms = now_ms.saturating_sub(nominal_ms);
    Some(json!({ "nominal_at": Moment(nominal_ms), "late_ms": late_ms }))
}

fn message(kept: &Kept, view: &mut Map<String, Value>) {
    let schedule = &kept.schedule;
    let details = &schedule.details;
    let mut set = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
    match show_payload(details.kind, &schedule.payload) {
        Shown::Json(raw) => set("payload", serde_json::from_str(raw.get()).unwrap_or_default()),
        Shown::Text(text) => set("payload", text.into()),
        Shown::Base64(text) => set("payload_base64", text.into()),
    }
    set("content_type", details.content_type.clone().into());
    set(
        "headers",
        json!(details.headers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>()),
    );
    set("labels", json!(details.labels));
    set("group", details.group.clone().into());
    set("priority", schedule.priority.into());
    set("ttl", schedule.ttl_ms.map(format_duration).into());
    set("retry", json!(details.retry.as_ref().map(RetryView::new)));
}
