//! A schedule as callers see it: filled from how it is kept.

use crate::domain::schedule::Cadence;
use crate::domain::shown::show_payload;
use crate::store::Kept;
use crate::wire::retry::RetryView;
use crate::wire::schedule::{
    OverdueView, SchedulePausedView, ScheduleView, TickView, WholeScheduleView,
};
use crate::wire::{DurationText, Moment, Payload, payload_fields};

/// Times to come that are shown.
const NEXT: usize = 5;

/// How the schedule stands.
pub(super) fn view(kept: &Kept, now_ms: u64) -> ScheduleView {
    let schedule = &kept.schedule;
    let (cron, every) = match &schedule.cadence {
        Cadence::Cron(cron) => (Some(cron), None),
        Cadence::Every(ms) => (None, Some(DurationText(*ms))),
    };
    ScheduleView {
        name: schedule.name.to_string(),
        source: kept.source.into(),
        queue: schedule.queue.to_string(),
        cron: cron.map(|cron| cron.pattern().to_owned()),
        time_zone: cron.map(|cron| cron.time_zone().to_owned()),
        every,
        description: schedule.cadence.describe(),
        catch_up: schedule.catch_up.into(),
        paused: kept.paused.as_ref().map(|paused| SchedulePausedView {
            since: Moment(paused.since_ms),
            reason: paused.reason.clone(),
            by: paused.by.clone(),
        }),
        // What is overdue is not to come; while paused: as if it were resumed now.
        next: schedule.cadence.after(now_ms).take(NEXT).map(Moment).collect(),
        last: kept.last.as_ref().map(|last| TickView {
            nominal_at: Moment(last.nominal_ms),
            fired_at: Moment(last.fired_ms),
            message_id: last.message_id.clone(),
        }),
        overdue: kept.overdue_ms(now_ms).map(|nominal_ms| OverdueView {
            nominal_at: Moment(nominal_ms),
            late_ms: now_ms.saturating_sub(nominal_ms),
        }),
        fired: kept.fired,
        missed: kept.missed,
    }
}

/// The schedule with the message that it sends.
pub(super) fn whole(kept: &Kept, now_ms: u64) -> WholeScheduleView {
    let schedule = &kept.schedule;
    let details = &schedule.details;
    let (payload, payload_base64) = payload_fields(show_payload(details.kind, &schedule.payload));
    WholeScheduleView {
        schedule: view(kept, now_ms),
        payload: payload.map(Payload::into_owned),
        payload_base64,
        content_type: details.content_type.clone(),
        headers: details.headers.iter().cloned().collect(),
        labels: details.labels.clone(),
        group: details.group.clone(),
        priority: schedule.priority,
        ttl: schedule.ttl_ms.map(DurationText),
        retry: details.retry.as_ref().map(RetryView::new),
        timeout: details.timeout_ms.map(DurationText),
        url: details.target.as_ref().map(|target| target.url().to_string()),
        method: details.target.as_ref().and_then(|it| it.method()).map(ToString::to_string),
        cost: details.cost.units(),
        collapse_key: details.collapse_key.clone(),
    }
}
