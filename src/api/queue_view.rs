//! A queue as callers see it: its policy, what is kept by state, and what its gates say now.

use super::view::Moment;
use super::{overrides, policy_view, sending};
use crate::config::Durability;
use crate::domain::backlog::BacklogPolicy;
use crate::domain::gates::{Gates, gates};
use crate::domain::limit::{LimitStanding, StackedLimits};
use crate::domain::policy::QueuePolicy;
use crate::domain::state::State;
use crate::domain::window::WindowState;
use crate::store::{Counts, Queue};
use crate::wire::Word;
use crate::wire::backlog::BacklogView;
use crate::wire::limit::LimitView;
use crate::wire::queue::{
    CountsView, GateView, KeptBytesView, PausedView, QueueView, RateView, StructureView,
    SwitchingView, WindowView,
};

/// The queue, as it is shown.
pub(super) fn view(
    queue: &Queue,
    counts: &Counts,
    achieved: Option<Durability>,
    now_ms: u64,
) -> QueueView {
    let policy = &queue.policy;
    let hours = policy.window.as_ref().map(|window| window.state(now_ms));
    let gates = gates(policy, &counts.snapshot(policy), Some(now_ms));
    QueueView {
        name: policy.name.to_string(),
        retired: queue.retired,
        policy: policy_view::view(policy.as_configured()),
        overrides: policy.overrides.iter().map(|it| overrides::view(it, policy)).collect(),
        counts: CountsView::new(|state| counts.of(state)),
        kept_bytes: counts.kept_bytes.map(|[delivered, dead]| KeptBytesView { delivered, dead }),
        oldest_ready_age_ms: counts.oldest_ready_age_ms,
        next_due_at: counts.next_due_ms.map(Moment),
        paused: counts.paused.as_ref().map(|paused| PausedView {
            until: paused.until_ms.map(Moment),
            reason: paused.reason.clone(),
            by: paused.by.clone(),
        }),
        window: hours.map(window),
        rate: RateView {
            configured: policy.as_configured().own_rate().map(|(rate, _)| rate.to_string()),
            observed_1m: per_second(counts.calls_last_minute),
        },
        limits: limits(policy, &gates, counts, now_ms),
        backlog: policy.backlog.as_ref().map(|backlog| used(backlog, counts)),
        keys: counts.keys,
        structure: structure(queue, counts),
        gate: gate(counts),
        sending: sending::view(queue, counts, &gates, hours),
        failing: sending::failing(counts),
        durability: achieved.map(Into::into),
        resumed: None,
    }
}

/// The hours of the window. The gate shuts earlier, when too little of them is left for a call.
fn window(hours: WindowState) -> WindowView {
    match hours {
        WindowState::Open { closes_at_ms } => {
            WindowView { open: true, closes_at: closes_at_ms.map(Moment), opens_at: None }
        }
        WindowState::Closed { opens_at_ms } => {
            WindowView { open: false, closes_at: None, opens_at: opens_at_ms.map(Moment) }
        }
    }
}

/// What the downstream's answers have shut.
fn gate(counts: &Counts) -> GateView {
    match &counts.gate {
        None => GateView { open: true, until: None, kind: None, reason: None },
        Some((until_ms, kind, reason)) => GateView {
            open: false,
            until: Some(Moment(*until_ms)),
            kind: Some(Word::of(kind)),
            reason: Some(reason.clone()),
        },
    }
}

/// Calls per second over the last minute, to two decimals.
#[expect(clippy::cast_precision_loss, reason = "a minute holds far fewer than 2^52 calls")]
fn per_second(calls_last_minute: u64) -> f64 {
    (calls_last_minute as f64 * 100.0 / 60.0).round() / 100.0
}

/// What of the backlog is used.
fn used(backlog: &BacklogPolicy, counts: &Counts) -> BacklogView {
    let states = [State::Scheduled, State::Ready, State::Leased];
    let per_key = backlog.per_key.as_ref();
    BacklogView {
        messages: states.map(|state| counts.of(state)).iter().sum(),
        max_messages: backlog.messages_max,
        bytes: backlog.bytes_max.map(|_| counts.backlog_bytes),
        max_bytes: backlog.bytes_max,
        per: per_key.map(|per_key| per_key.key.to_string()),
        max_messages_per_key: per_key.map(|per_key| per_key.messages_max),
    }
}

/// The structure in force. What was counted says how far a switch is, if one is under way.
fn structure(queue: &Queue, counts: &Counts) -> Option<StructureView> {
    let standing = queue.structure()?;
    let switching = counts.lanes_left.map(|lanes_left| SwitchingView { lanes_left });
    Some(StructureView { number: standing.number, is_own: standing.is_own, switching })
}

/// How each limit of the queue stands; of those by a key nothing is counted for all values together.
fn limits(policy: &QueuePolicy, gates: &Gates, counts: &Counts, now_ms: u64) -> Vec<LimitView> {
    let ready = counts.of(State::Ready);
    let held = gates.held();
    let mut stacked = gates.stacked().into_iter().flat_map(StackedLimits::limits);
    let each = policy.limits.iter().filter_map(|rule| {
        if rule.per.is_some() {
            let held_keys = counts.held_keys.get(rule.name.as_str()).copied();
            return Some(LimitView::new(rule, held_keys.unwrap_or(0)));
        }
        let limit = stacked.next()?;
        let holds = ready > 0 && held.iter().any(|held| held.limit.as_ref() == Some(&rule.name));
        let mut view = LimitView::new(rule, u64::from(holds));
        match &limit.standing {
            LimitStanding::Rate { .. } => {
                view.next_at = Some(Moment(limit.standing.next_ms(now_ms)));
            }
            LimitStanding::Quota { units, from_ms, used } => {
                view.used = Some(used[0]);
                view.left = Some(units.saturating_sub(used[0]));
                view.resets_at = Some(Moment(from_ms[1]));
            }
        }
        Some(view)
    });
    each.collect()
}
