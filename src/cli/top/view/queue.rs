//! The screen of a queue: whether it sends, its limits, and its messages in one state.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::paint::Paint;
use super::queues::calls_a_minute;
use super::text::{columns, compact, cut, sentence};
use crate::cli::describe;
use crate::cli::limits;
use crate::cli::overridden;
use crate::cli::plain::plain;
use crate::cli::sending;
use crate::cli::times::{Times, span};
use crate::cli::top::ask::MESSAGES_MAX;
use crate::cli::top::panels::QueuePanel;
use crate::domain::state::State;
use crate::wire::history::HistoryAnswer;
use crate::wire::message::MessageView;

/// Limits and overrides that are shown; `tidegate queue` shows all.
const FACTS_MAX: usize = 4;
/// An id of a queue with a short name has room whole.
const ID_WIDTH: u16 = 36;

/// Shows a queue.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    panel: &mut QueuePanel,
    times: &Times,
    paint: Paint,
) {
    let facts = facts(panel, times, usize::from(area.width));
    let states = states(panel, paint);
    let height = |lines: usize| Constraint::Length(u16::try_from(lines).unwrap_or(u16::MAX));
    let parts = [height(facts.len()), height(1), Constraint::Fill(1)];
    let [above, tabs, list] = Layout::vertical(parts).areas(area);
    let facts: Vec<Line<'static>> = facts.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(facts), above);
    frame.render_widget(Paragraph::new(states), tabs);
    messages(frame, list, panel, times);
}

fn facts(panel: &QueuePanel, times: &Times, width: usize) -> Vec<String> {
    let queue = &panel.queue;
    let cell = sending::cell(queue, times);
    let mut why =
        sentence(&format!("Sending: {cell}. {}", sending::why_of(queue, times)), 0, width);
    why.truncate(3);
    let oldest = queue.oldest_ready_age_ms.map_or("none".to_owned(), span);
    let durability = queue.durability.as_ref();
    let durability = durability.map_or("not met".to_owned(), |level| plain(level.as_str()));
    why.push(cut(
        &format!(
            "Calls in a minute: {}   oldest ready: {oldest}   durability: {durability}",
            calls_a_minute(queue)
        ),
        width,
    ));
    why.extend(panel.history.iter().flat_map(history));
    let overrides =
        queue.overrides.iter().map(|it| format!("override: {}", overridden::sentence(it, times)));
    let limits = queue
        .limits
        .iter()
        .map(|limit| format!("{}: {}", limits::title(limit), limits::line(limit, None, times)));
    let all: Vec<String> = overrides.chain(limits).collect();
    let more = all.len().saturating_sub(FACTS_MAX);
    why.extend(all.into_iter().take(FACTS_MAX).map(|line| cut(&plain(&line), width)));
    if more > 0 {
        why.push(cut(&format!("{more} more: `tidegate queue {}`", plain(&queue.name)), width));
    }
    why.push(String::new());
    why
}

/// What went through the queue in each minute of the last hour: what came in and what was delivered at one scale, so that it
/// is seen which of them is ahead; and calls that failed, if any did.
fn history(told: &HistoryAnswer) -> Vec<String> {
    // The last minute is not over.
    let whole = |counts: &[u32]| counts.split_last().map_or(Vec::new(), |(_, whole)| whole.into());
    let (taken, delivered, failed) =
        (whole(&told.taken), whole(&told.delivered), whole(&told.failed));
    let most = |counts: &[u32]| counts.iter().max().copied().unwrap_or(0);
    let line = |name: &str, counts: &[u32], scale: u32| {
        let last = compact(u64::from(counts.last().copied().unwrap_or(0)));
        format!("{name:<10}{:<60}{last:>5}/min", columns(counts, scale))
    };
    let scale = most(&taken).max(most(&delivered));
    let mut lines = vec![line("in", &taken, scale), line("delivered", &delivered, scale)];
    if most(&failed) > 0 {
        lines.push(line("failed", &failed, most(&failed)));
    }
    lines
}

/// The states that have messages; the one that is shown stands in brackets.
fn states(panel: &QueuePanel, paint: Paint) -> Line<'static> {
    let spans = panel.states().into_iter().map(|state| {
        let count = panel.queue.counts.of(state);
        let text = format!("{state} {}", compact(count));
        if state == panel.state {
            Span::styled(format!("[{text}] "), Paint::title())
        } else {
            Span::styled(format!(" {text}  "), paint.count(state, count))
        }
    });
    Line::from(spans.collect::<Vec<_>>())
}

fn messages(frame: &mut Frame<'_>, area: Rect, panel: &mut QueuePanel, times: &Times) {
    let Some(messages) = &panel.messages else {
        frame.render_widget(Paragraph::new("Asking …"), area);
        return;
    };
    if messages.is_empty() {
        let text = format!("No message of this queue is {}.", panel.state);
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let is_more = messages.len() >= MESSAGES_MAX;
    let seen = usize::from(area.height.saturating_sub(1 + u16::from(is_more)));
    panel.listing.fit(messages.len(), seen);
    let why_width = usize::from(area.width.saturating_sub(ID_WIDTH + 10 + 6 + 3));
    let rows = messages.iter().enumerate().skip(panel.listing.first).take(seen);
    let rows: Vec<_> =
        rows.map(|(at, it)| row(it, panel, at == panel.listing.at, why_width, times)).collect();
    let titles = ["  ID", moment_title(panel.state), "TRIES", "WHY"];
    let widths = [
        Constraint::Length(ID_WIDTH),
        Constraint::Length(10),
        Constraint::Length(6),
        Constraint::Fill(1),
    ];
    let table = Table::new(rows, widths).header(Row::new(titles).style(Paint::title()));
    let below = Rect { y: area.bottom().saturating_sub(1), height: u16::from(is_more), ..area };
    frame.render_widget(table, Rect { height: area.height - below.height, ..area });
    let (name, state) = (plain(&panel.queue.name), panel.state);
    let more = format!(
        "  The first {MESSAGES_MAX} are shown; `tidegate list {name} --state {state}` shows more."
    );
    frame.render_widget(Paragraph::new(cut(&more, usize::from(area.width))), below);
}

/// Which moment of a message is shown in its row.
const fn moment_title(state: State) -> &'static str {
    if state.is_final() { "FINAL" } else { "DUE" }
}

fn row(
    message: &MessageView<'_>,
    panel: &QueuePanel,
    is_chosen: bool,
    why_width: usize,
    times: &Times,
) -> Row<'static> {
    let sign = if is_chosen { "> " } else { "  " };
    let due_ms = describe::due_ms(message);
    let at_ms = message.final_at.filter(|_| panel.state.is_final()).map_or(due_ms, |at| at.0);
    let cells = [
        format!("{sign}{}", short_id(&plain(&message.id))),
        times.distance(at_ms),
        message.attempts.to_string(),
        cut(&plain(&describe::why(message)), why_width),
    ];
    let row = Row::new(cells.map(Cell::from));
    if is_chosen { row.style(Paint::chosen()) } else { row }
}

/// The id, or only its end where the name of the queue is long: the name stands above, and Enter shows the whole id.
fn short_id(id: &str) -> String {
    let room = usize::from(ID_WIDTH) - 2;
    match id.rsplit_once('_') {
        Some((_, own)) if id.chars().count() > room => format!("…_{own}"),
        _ => id.to_owned(),
    }
}
