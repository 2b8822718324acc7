//! The queues, each in a line: what waits, how fast it leaves, and what holds it.

use askama::Template;
use axum::extract::RawQuery;
use axum::response::Response;

use crate::dashboard::charts::state_bar;
use crate::dashboard::form::FormFields;
use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::{encoded, grouped, pace};
use crate::dashboard::zones::Zones;
use crate::domain::human::span;
use crate::wire::queue::{QueueList, QueueView, SendingState};

/// Queues on a page.
const ROWS: usize = 100;

/// A queue in a line.
#[derive(Debug)]
pub(in crate::dashboard) struct QueueRow {
    pub(in crate::dashboard) name: String,
    pub(in crate::dashboard) path: String,
    pub(in crate::dashboard) sending: SendingBadge,
    pub(in crate::dashboard) bar: String,
    pub(in crate::dashboard) waiting: String,
    pub(in crate::dashboard) uncertain: String,
    pub(in crate::dashboard) dead: String,
    pub(in crate::dashboard) oldest: Option<String>,
    pub(in crate::dashboard) pace: String,
    pub(in crate::dashboard) limit: Option<String>,
    pub(in crate::dashboard) window: Option<String>,
    pub(in crate::dashboard) failing: Option<String>,
}

/// Whether a queue sends, and why not.
#[derive(Debug)]
pub(in crate::dashboard) struct SendingBadge {
    pub(in crate::dashboard) word: String,
    pub(in crate::dashboard) reason: String,
    pub(in crate::dashboard) since: Option<String>,
    pub(in crate::dashboard) until: Option<String>,
}

/// All queues together.
#[derive(Debug, Default)]
struct QueueTotals {
    queues: usize,
    held: usize,
    waiting: u64,
    leased: u64,
    uncertain: u64,
    dead: u64,
}

#[derive(Template)]
#[template(path = "queues.html")]
struct QueuesPage {
    frame: Frame,
    rows: Vec<QueueRow>,
    waiting: String,
    leased: String,
    uncertain: String,
    dead: String,
    queues: usize,
    held: usize,
    /// What names must contain.
    wanted: String,
    wanted_encoded: String,
    shown: Option<String>,
    previous: Option<usize>,
    next: Option<usize>,
}

pub(in crate::dashboard) async fn page(
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ShownProblem> {
    let fields = FormFields::read(query.unwrap_or_default().as_bytes());
    let wanted = fields.text("name").to_owned();
    let number: usize = fields.text("page").parse().unwrap_or(1).max(1);
    let all = visit.read::<QueueList>("/v1/queues").await?.queues;
    let found: Vec<_> = all.iter().filter(|queue| queue.name.contains(&wanted)).collect();
    let totals = totals(&found);
    let from = (number - 1).saturating_mul(ROWS);
    let on_page = found.iter().skip(from).take(ROWS);
    let rows: Vec<_> = on_page.map(|queue| row(queue, &visit.zones)).collect();
    let is_whole = found.len() <= ROWS;
    Ok(html(&QueuesPage {
        frame: visit.frame("Queues", "/").followed(),
        waiting: grouped(totals.waiting),
        leased: grouped(totals.leased),
        uncertain: grouped(totals.uncertain),
        dead: grouped(totals.dead),
        queues: totals.queues,
        held: totals.held,
        shown: (!is_whole)
            .then(|| format!("{}–{} of {}", from + 1, from + rows.len(), found.len())),
        previous: (number > 1).then(|| number - 1),
        next: (from + ROWS < found.len()).then(|| number + 1),
        rows,
        wanted_encoded: encoded(&wanted),
        wanted,
    }))
}

fn totals(queues: &[&QueueView]) -> QueueTotals {
    let mut totals = QueueTotals { queues: queues.len(), ..QueueTotals::default() };
    for queue in queues {
        let counts = &queue.counts;
        totals.held += usize::from(!queue.sending.state.is(SendingState::Open));
        totals.waiting += counts.scheduled + counts.ready;
        totals.leased += counts.leased;
        totals.uncertain += counts.uncertain;
        totals.dead += counts.dead;
    }
    totals
}

/// A queue as a line.
pub(in crate::dashboard) fn row(queue: &QueueView, zones: &Zones) -> QueueRow {
    let zones = zones.clone().of_queue(&queue.policy);
    let counts = &queue.counts;
    QueueRow {
        name: queue.name.clone(),
        path: encoded(&queue.name),
        sending: badge(queue, &zones),
        bar: state_bar(counts),
        waiting: grouped(counts.scheduled + counts.ready),
        uncertain: grouped(counts.uncertain),
        dead: grouped(counts.dead),
        oldest: queue.oldest_ready_age_ms.map(span),
        pace: pace(queue.rate.observed_1m),
        limit: queue.rate.configured.clone(),
        window: window_clock(queue, &zones),
        failing: queue.failing.as_ref().map(|failing| zones.brief(failing.since)),
    }
}

/// Whether a queue sends, and why not.
pub(in crate::dashboard) fn badge(queue: &QueueView, zones: &Zones) -> SendingBadge {
    let sending = &queue.sending;
    SendingBadge {
        word: sending.state.as_str().to_owned(),
        reason: zones.sentence(&sending.reason),
        since: sending.since.map(|at| zones.brief(at)),
        until: sending.until.map(|at| zones.brief(at)),
    }
}

/// What the window does next, as an element.
fn window_clock(queue: &QueueView, zones: &Zones) -> Option<String> {
    let window = queue.window.as_ref()?;
    Some(match (window.open, window.closes_at, window.opens_at) {
        (true, Some(at), _) => format!("closes {}", zones.brief(at)),
        (true, None, _) => "open".to_owned(),
        (false, _, Some(at)) => format!("opens {}", zones.brief(at)),
        (false, _, None) => "closed".to_owned(),
    })
}
