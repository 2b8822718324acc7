//! The first screen: a row for each queue, and more on the chosen one.
//!
//! Owns the columns. Refuses to know which queue comes first (`overview`).

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use unicode_width::UnicodeWidthStr as _;

use super::paint::Paint;
use super::text::{bar, compact, cut, sentence};
use crate::cli::plain::plain;
use crate::cli::sending;
use crate::cli::times::{Times, span};
use crate::cli::top::overview::{Overview, waiting};
use crate::domain::state::State;
use crate::wire::queue::QueueView;

/// What the columns beside the name take, with the blanks between them.
const BESIDE_NAME: u16 = 61;
/// How wide the bar of what waits is.
const BAR_WIDTH: u16 = 6;
/// Lines for the chosen queue.
const DETAIL_LINES: u16 = 5;

/// Shows all queues.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    overview: &mut Overview,
    times: &Times,
    paint: Paint,
) {
    let parts = [Constraint::Fill(1), Constraint::Length(DETAIL_LINES)];
    let [list, detail] = Layout::vertical(parts).areas(area);
    let rows = overview.shown().len();
    overview.listing.fit(rows, usize::from(list.height.saturating_sub(1)));
    if rows == 0 {
        let text = if overview.len() == 0 {
            "There are no queues here, or none that may be seen with this token; [queues.NAME] in the configuration makes one."
        } else {
            "No queue has this in its name; Esc shows all."
        };
        let lines: Vec<_> =
            sentence(text, 0, usize::from(area.width)).into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines), list);
        return;
    }
    frame.render_widget(table(overview, list, paint), list);
    if let Some(queue) = overview.chosen() {
        let order = overview.order.word();
        frame.render_widget(Paragraph::new(details(queue, order, times, detail)), detail);
    }
}

fn table<'a>(overview: &Overview, area: Rect, paint: Paint) -> Table<'a> {
    let shown = overview.shown();
    let most = shown.iter().map(|queue| waiting(queue)).max().unwrap_or(0);
    let name_width = area.width.saturating_sub(BESIDE_NAME);
    let seen = usize::from(area.height.saturating_sub(1));
    let numbered = shown.iter().enumerate().skip(overview.listing.first).take(seen);
    let rows = numbered.map(|(at, queue)| {
        row(queue, at == overview.listing.at, most, usize::from(name_width), paint)
    });
    let titles = [
        "  QUEUE",
        "WAITS",
        " READY",
        " SCHEDULED",
        " UNCERTAIN",
        "  DEAD",
        " OUT/MIN",
        " OLDEST",
        " SENDING",
    ];
    let widths = [name_width, 6, 6, 10, 10, 6, 8, 7, 8].map(Constraint::Length);
    // The widths and the blanks between the columns are all that a line has.
    Table::new(rows, widths)
        .header(Row::new(titles.map(Cell::from)).style(Paint::title()))
        .column_spacing(0)
}

fn row<'a>(
    queue: &QueueView,
    is_chosen: bool,
    most: u64,
    name_width: usize,
    paint: Paint,
) -> Row<'a> {
    let counts = &queue.counts;
    let number = |count: u64, width: usize| format!("{:>width$}", compact(count));
    let sign = if is_chosen { "> " } else { "  " };
    let name = cut(&plain(&queue.name), name_width.saturating_sub(3));
    let oldest = queue.oldest_ready_age_ms.map(|age| first_unit(&span(age))).unwrap_or_default();
    let count = |state: State, width: usize| {
        let count = counts.of(state);
        Cell::from(Span::styled(number(count, width), paint.count(state, count)))
    };
    let word = plain(queue.sending.state.as_str());
    let cells = vec![
        Cell::from(format!("{sign}{name}")),
        Cell::from(bar(waiting(queue), most, usize::from(BAR_WIDTH))),
        count(State::Ready, 6),
        count(State::Scheduled, 10),
        count(State::Uncertain, 10),
        count(State::Dead, 6),
        Cell::from(format!("{:>8}", calls_a_minute(queue))),
        Cell::from(format!("{oldest:>7}")),
        Cell::from(Span::styled(format!(" {word}"), paint.sending(queue.sending.state.known()))),
    ];
    let row = Row::new(cells);
    if is_chosen { row.style(Paint::chosen()) } else { row }
}

/// Only the larger of two units, for a narrow column.
fn first_unit(span: &str) -> String {
    span.split(' ').next().unwrap_or_default().to_owned()
}

/// What the daemon says of a second, for a minute.
pub(super) fn calls_a_minute(queue: &QueueView) -> String {
    let calls = queue.rate.observed_1m * 60.0;
    if calls > 0.0 && calls < 1.0 { "<1".to_owned() } else { format!("{calls:.0}") }
}

/// The chosen queue: whether it sends and why not, and what has no column.
fn details(queue: &QueueView, order: &str, times: &Times, area: Rect) -> Vec<Line<'static>> {
    let width = usize::from(area.width);
    let rule = format!("── {} ({order}; o changes the order) ", plain(&queue.name));
    let rule = cut(&rule, width);
    let rest = "─".repeat(width.saturating_sub(rule.width()));
    let mut lines = vec![format!("{rule}{rest}")];
    let cell = format!("Sending: {}.", sending::cell(queue, times));
    let why = sending::why_of(queue, times);
    let mut said = sentence(&format!("{cell} {why}"), 0, width);
    said.truncate(3);
    lines.extend(said);
    let more = [State::Leased, State::Accepted, State::Delivered, State::Expired, State::Cancelled];
    let more = more.map(|state| format!("{state} {}", compact(queue.counts.of(state))));
    lines.push(more.join("  "));
    lines.into_iter().take(usize::from(area.height)).map(Line::from).collect()
}
