//! One queue: whether it sends, what waits and what holds it, how fast it drains, and every step on it.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use super::queues::{QueueRow, row};
use crate::dashboard::charts::{ChartColumn, columns, meter, minutes};
use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::{beginning, counted, encoded, grouped, pace};
use crate::dashboard::zones::Zones;
use crate::domain::human::span;
use crate::wire::forecast::{ForecastHourView, ForecastView};
use crate::wire::history::HistoryAnswer;
use crate::wire::key::{KeyLimitView, KeyList};
use crate::wire::limit::LimitView;
use crate::wire::message::MessageList;
use crate::wire::queue::QueueView;
use crate::wire::window::WindowsAnswer;

/// Ready messages that are asked what holds them.
const LOOKED_AT: usize = 100;
/// Keys with values of their own that are shown.
const KEYS_SHOWN: usize = 20;
/// Openings that are shown.
const OPENINGS_SHOWN: usize = 5;

/// A state with its count.
#[derive(Debug)]
struct StateCount {
    state: &'static str,
    count: String,
    is_zero: bool,
}

/// A limit in a line.
#[derive(Debug)]
struct LimitRow {
    name: String,
    value: String,
    per: Option<String>,
    is_shared: bool,
    meter: Option<String>,
    used: Option<String>,
    resets: Option<String>,
    next: Option<String>,
    /// What it holds; empty: nothing.
    held_keys: String,
}

/// An override in a line.
#[derive(Debug)]
struct OverrideRow {
    id: String,
    kind: String,
    value: String,
    configured: String,
    until: String,
    reason: String,
    by: String,
    above: bool,
}

/// A key with values of its own.
#[derive(Debug)]
struct KeyRow {
    key: String,
    weight: String,
    limits: Vec<String>,
}

/// What holds messages, and how many of those that were looked at.
#[derive(Debug)]
struct HeldRow {
    gate: String,
    count: String,
    example: String,
}

/// What went through the queue, of one kind.
#[derive(Debug)]
struct HistoryRow {
    name: &'static str,
    total: String,
    chart: String,
}

/// When the backlog will have left.
#[derive(Debug)]
struct ForecastRows {
    backlog: String,
    rate: String,
    gate: Option<String>,
    empties: Option<String>,
    close: Option<String>,
    left: Option<String>,
    chart: Option<String>,
}

#[derive(Template)]
#[template(path = "queue.html")]
struct QueuePage {
    frame: Frame,
    row: QueueRow,
    is_retired: bool,
    /// Whether there is a downstream that can be called.
    can_try: bool,
    is_paused: bool,
    can_resume: bool,
    paused_by: Option<String>,
    failing: Option<String>,
    next_due: Option<String>,
    durability: String,
    downstream: String,
    counts: Vec<StateCount>,
    limits: Vec<LimitRow>,
    overrides: Vec<OverrideRow>,
    keys: Vec<KeyRow>,
    keys_total: String,
    held: Vec<HeldRow>,
    held_of: String,
    history: Vec<HistoryRow>,
    forecast: Option<ForecastRows>,
    zone: Option<String>,
    openings: Vec<String>,
    changes: Vec<String>,
    policy: String,
}

pub(in crate::dashboard) async fn page(
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response, ShownProblem> {
    let path = encoded(&name);
    let queue: QueueView = visit.read(&format!("/v1/queues/{path}")).await?;
    let zones = visit.zones.clone().of_queue(&queue.policy);
    let held = format!("/v1/queues/{path}/messages?state=ready&limit={LOOKED_AT}");
    let held: MessageList<'static> = visit.read(&held).await?;
    let forecast = format!("/v1/queues/{path}/forecast?hours=24");
    let forecast: Option<ForecastView> = visit.read_if_allowed(&forecast).await?;
    let history = format!("/v1/queues/{path}/history");
    let history: Option<HistoryAnswer> = visit.read_if_allowed(&history).await?;
    let windows: Option<WindowsAnswer> = match queue.window {
        None => None,
        Some(_) => visit.read_if_allowed(&format!("/v1/queues/{path}/windows?days=14")).await?,
    };
    let keys: Option<KeyList> = match queue.keys {
        0 => None,
        _ => visit.read_if_allowed(&format!("/v1/queues/{path}/keys?limit={KEYS_SHOWN}")).await?,
    };
    let windows = windows.as_ref();
    Ok(html(&QueuePage {
        frame: visit.frame(name, "/").followed(),
        row: row(&queue, &visit.zones),
        is_retired: queue.retired,
        can_try: !queue.retired && queue.policy["downstream"]["type"] != "pull",
        is_paused: queue.paused.is_some(),
        can_resume: queue.paused.is_some() || !queue.gate.open,
        paused_by: queue.paused.as_ref().map(|paused| paused.by.clone()),
        failing: failing(&queue, &zones),
        next_due: queue.next_due_at.map(|at| zones.whole(at)),
        durability: queue.durability.as_ref().map_or("not met", |word| word.as_str()).to_owned(),
        downstream: downstream(&queue),
        counts: counts(&queue),
        limits: queue.limits.iter().map(|limit| limit_row(limit, &zones)).collect(),
        overrides: overrides(&queue, &zones),
        keys: keys.as_ref().map(key_rows).unwrap_or_default(),
        keys_total: grouped(queue.keys),
        held_of: match held.messages.len() as u64 {
            1 => "the first ready message".to_owned(),
            count => format!("the first {} ready messages", grouped(count)),
        },
        held: held_rows(&held),
        history: history.map(|history| history_rows(&history, &zones)).unwrap_or_default(),
        forecast: forecast.map(|forecast| forecast_rows(&forecast, &zones)),
        zone: windows.map(|windows| windows.time_zone.clone()),
        openings: windows.map(|windows| openings(windows, &zones)).unwrap_or_default(),
        changes: windows.map(|windows| changes(windows, &zones)).unwrap_or_default(),
        policy: serde_json::to_string_pretty(&queue.policy).unwrap_or_default(),
    }))
}

fn counts(queue: &QueueView) -> Vec<StateCount> {
    let states = crate::domain::state::State::ALL.into_iter();
    let counts = states.map(|state| {
        let count = queue.counts.of(state);
        StateCount { state: state.as_str(), count: grouped(count), is_zero: count == 0 }
    });
    counts.collect()
}

fn failing(queue: &QueueView, zones: &Zones) -> Option<String> {
    let failing = queue.failing.as_ref()?;
    let attempts = grouped(failing.attempts);
    Some(format!(
        "Its downstream has failed since {}, {attempts} attempts in a row. The last error: {}",
        zones.clock(failing.since),
        failing.last_error
    ))
}

fn downstream(queue: &QueueView) -> String {
    let of = |name: &str| queue.policy["downstream"][name].as_str().unwrap_or_default();
    match of("url") {
        "" => of("type").to_owned(),
        url => format!("{} {url}", of("method")),
    }
}

fn limit_row(limit: &LimitView, zones: &Zones) -> LimitRow {
    let of = limit.used.zip(limit.left).map(|(used, left)| (used, used + left));
    let said = of.map(|(used, of)| format!("{} of {} used", grouped(used), grouped(of)));
    let meter = of.zip(said.as_ref()).map(|((used, of), said)| meter(used, of, said));
    LimitRow {
        name: limit.name.clone(),
        value: limit.value.clone(),
        per: limit.per.clone(),
        is_shared: limit.shared,
        meter,
        used: said,
        resets: limit.resets_at.map(|at| zones.brief(at)),
        next: limit.next_at.map(|at| zones.brief(at)),
        held_keys: match limit.held_keys {
            0 => String::new(),
            _ if limit.per.is_none() => "messages".to_owned(),
            count => counted(count, "key"),
        },
    }
}

fn overrides(queue: &QueueView, zones: &Zones) -> Vec<OverrideRow> {
    let rows = queue.overrides.iter().map(|view| OverrideRow {
        id: view.id.clone(),
        kind: view.kind.clone(),
        value: view.value.clone(),
        configured: view.configured.clone().unwrap_or_else(|| "none".to_owned()),
        until: zones.whole(view.until),
        reason: view.reason.clone(),
        by: view.by.clone(),
        above: view.above,
    });
    rows.collect()
}

fn key_rows(list: &KeyList) -> Vec<KeyRow> {
    let rows = list.keys.iter().map(|view| KeyRow {
        key: view.key.clone(),
        weight: view.weight.map(|weight| weight.to_string()).unwrap_or_default(),
        limits: view
            .limits
            .iter()
            .map(|(name, limit)| format!("{name} {}", value(limit)))
            .collect(),
    });
    rows.collect()
}

fn value(limit: &KeyLimitView) -> String {
    let calls = limit.concurrency.map(|calls| calls.to_string());
    limit.rate.clone().or(limit.quota.clone()).or(calls).unwrap_or_default()
}

/// What holds the messages that were looked at, the commonest first.
fn held_rows(list: &MessageList<'_>) -> Vec<HeldRow> {
    let mut by_gate: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for message in &list.messages {
        for gate in &message.held_by {
            by_gate.entry(gate.as_str()).or_insert((0, &message.id)).0 += 1;
        }
    }
    let mut rows: Vec<_> = by_gate.into_iter().collect();
    rows.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let rows = rows.into_iter().map(|(gate, (count, id))| HeldRow {
        gate: gate.to_owned(),
        count: grouped(count),
        example: id.to_owned(),
    });
    rows.collect()
}

/// A chart of each kind.
fn history_rows(history: &HistoryAnswer, zones: &Zones) -> Vec<HistoryRow> {
    let all = [
        ("taken in", "h-taken", &history.taken),
        ("delivered", "h-delivered", &history.delivered),
        ("late", "h-late", &history.late),
        ("failed calls", "h-failed", &history.failed),
    ];
    let rows = all.into_iter().map(|(name, class, counts)| {
        let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        let since = zones.clock(history.begins_at);
        let total = grouped(total);
        let said = format!("{total} {name} since {since}, by minute");
        HistoryRow { name, chart: minutes(class, &said, counts), total }
    });
    rows.collect()
}

fn forecast_rows(forecast: &ForecastView, zones: &Zones) -> ForecastRows {
    let has_columns = forecast.by_hour.iter().any(|hour| hour.sent + hour.left + hour.due > 0);
    let chart = has_columns.then(|| {
        let hours: Vec<_> =
            forecast.by_hour.iter().enumerate().map(|(n, hour)| column(n, hour, zones)).collect();
        columns("Messages sent and left by hour, if nothing more arrives", &hours)
    });
    ForecastRows {
        backlog: grouped(forecast.backlog),
        rate: forecast.rate_now.map_or_else(|| "not limited".to_owned(), pace),
        gate: forecast.binding_gate.as_ref().map(ToString::to_string),
        empties: forecast.empties_at.map(|at| zones.whole(at)),
        close: forecast.next_close.map(|at| zones.whole(at)),
        left: forecast.left_at_close.map(grouped),
        chart,
    }
}

fn column(n: usize, hour: &ForecastHourView, zones: &Zones) -> ChartColumn {
    let clock = zones.clock(hour.at);
    let of_day = clock.get(11..16).unwrap_or_default().to_owned();
    let gate = hour.gate.as_ref().map(|gate| format!(", held by {gate}")).unwrap_or_default();
    ChartColumn {
        label: if n.is_multiple_of(3) { of_day } else { String::new() },
        said: format!("{clock}: {} sent, {} left{gate}", grouped(hour.sent), grouped(hour.left)),
        parts: vec![("c-sent", hour.sent), ("c-left", hour.left)],
    }
}

fn openings(windows: &WindowsAnswer, zones: &Zones) -> Vec<String> {
    let shown = windows.windows.iter().take(OPENINGS_SHOWN).map(|opening| {
        let opens = opening.opens_at.map_or_else(|| "long ago".to_owned(), |at| zones.clock(at));
        let closes = opening.closes_at.map_or_else(|| "open end".to_owned(), |at| zones.clock(at));
        let length = opening.opens_at.zip(opening.closes_at);
        let length = length.map(|(from, to)| span(to.0.saturating_sub(from.0)));
        format!("{opens} to {closes} ({})", length.unwrap_or_else(|| "no end".to_owned()))
    });
    shown.map(|text| beginning(&text, 200)).collect()
}

/// Dates and changes of clocks that make an opening unusual.
fn changes(windows: &WindowsAnswer, zones: &Zones) -> Vec<String> {
    let dates = windows.dates.iter().map(|date| {
        let of = date.calendar.as_ref().map(|name| format!(" (calendar {name})"));
        let what = if date.closed { "closed" } else { "hours of its own" };
        format!("{}: {what}{}", date.date, of.unwrap_or_default())
    });
    let clocks = windows.clock_changes.iter().map(|change| {
        let minutes = (change.after_s - change.before_s) / 60;
        format!("{}: the clocks are set by {minutes:+} minutes", zones.clock(change.at))
    });
    dates.chain(clocks).collect()
}
