//! How a screen looks: the state becomes widgets.
//!
//! Pure: the state and the time come in. Owns the frame: a line above, a line with the keys below, and between them what was
//! said. Whatever others wrote passes `plain` before it is laid out, and once more when all of it stands on the screen.

mod findings;
mod help;
mod message;
mod paint;
mod prompt;
mod queue;
mod queues;
mod tables;
mod text;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

pub(super) use self::paint::Paint;
use self::text::{cut, sentence};
use super::listing::Listing;
use super::panels::Panel;
use super::state::{Prompt, Top, sentences};
use crate::cli::plain::plain;
use crate::cli::times::Times;

/// The least size of a terminal in which everything has its place.
pub(super) const COLUMNS_MIN: u16 = 80;
/// The same in lines.
pub(super) const LINES_MIN: u16 = 24;
/// A step, and what could not be answered, have so many lines each.
const SAID_LINES_MAX: usize = 4;
/// An answer that takes longer than this is called late.
const LATE_MS: u64 = 5000;

/// Shows the state.
pub(super) fn draw(frame: &mut Frame<'_>, top: &mut Top, times: &Times, paint: Paint) {
    let area = frame.area();
    top.is_cramped = area.width < COLUMNS_MIN || area.height < LINES_MIN;
    if top.is_cramped {
        too_small(frame, area);
        return;
    }
    let said = said(top, times, usize::from(area.width));
    let parts = [
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(u16::try_from(said.len()).unwrap_or(0)),
        Constraint::Length(1),
    ];
    let [head, middle, below, foot] = Layout::vertical(parts).areas(area);
    frame.render_widget(header(top, times, head.width), head);
    body(frame, middle, top, times, paint);
    let is_bad = top.trouble().is_some() || is_failure(top);
    let style = if is_bad { paint.alarm() } else { Paint::title() };
    let said: Vec<Line<'_>> = said.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(said).style(style), below);
    let keys = cut(&keys(top), usize::from(foot.width));
    frame.render_widget(Paragraph::new(keys).style(Paint::edge()), foot);
    match &top.prompt {
        Some(Prompt::Help) => help::draw(frame, area),
        Some(Prompt::Filter(_)) | None => {}
        Some(prompt) => prompt::draw(frame, area, prompt),
    }
    clean(frame.buffer_mut());
}

/// What the screen is about.
fn body(frame: &mut Frame<'_>, area: Rect, top: &mut Top, times: &Times, paint: Paint) {
    let width = area.width;
    let (lines, listing) = match top.panels.last_mut() {
        None => return queues::draw(frame, area, &mut top.overview, times, paint),
        Some(Panel::Queue(panel)) => return queue::draw(frame, area, panel, times, paint),
        Some(Panel::Message(panel)) => return message::draw(frame, area, panel, times),
        Some(Panel::Findings(told, listing)) => {
            (told.as_ref().map(|told| findings::lines(told, times, width)), listing)
        }
        Some(Panel::Operations(told, listing)) => {
            (told.as_ref().map(|told| tables::operations(told, times, width)), listing)
        }
        Some(Panel::Nodes(told, listing)) => {
            (told.as_ref().map(|told| tables::nodes(told, times, width)), listing)
        }
    };
    scrolled(frame, area, lines, listing);
}

fn is_failure(top: &Top) -> bool {
    top.said.as_ref().is_some_and(|said| said.is_failure)
}

fn too_small(frame: &mut Frame<'_>, area: Rect) {
    let (width, height) = (area.width, area.height);
    let text = format!(
        "This terminal has {width} columns and {height} lines. `tidegate top` needs {COLUMNS_MIN} and {LINES_MIN}: enlarge it, \
         or press q to quit."
    );
    let lines: Vec<Line<'_>> =
        sentence(&text, 0, usize::from(width).max(1)).into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// The name of the screen, the daemon, and what time it is here.
fn header(top: &Top, times: &Times, width: u16) -> Paragraph<'static> {
    let name = match top.panels.last() {
        None => {
            let (shown, all) = (top.overview.shown().len(), top.overview.len());
            if shown == all { format!("{all} queues") } else { format!("{shown} of {all} queues") }
        }
        Some(Panel::Queue(panel)) => format!("queue {}", plain(&panel.queue.name)),
        Some(Panel::Message(_)) => "message".to_owned(),
        Some(Panel::Findings(..)) => "doctor".to_owned(),
        Some(Panel::Operations(..)) => "operations".to_owned(),
        Some(Panel::Nodes(..)) => "nodes".to_owned(),
    };
    let right = format!(" {} ", times.at(times.now_ms));
    let left = format!(" tidegate top: {name}, {}", plain(&top.url));
    let room = usize::from(width).saturating_sub(right.len());
    let left = cut(&left, room);
    let blanks = room.saturating_sub(unicode_width::UnicodeWidthStr::width(left.as_str()));
    let line = Line::from(vec![Span::raw(left), Span::raw(" ".repeat(blanks)), Span::raw(right)]);
    Paragraph::new(line).style(Paint::edge())
}

/// What came of the last step, and what could not be answered.
fn said(top: &Top, times: &Times, width: usize) -> Vec<String> {
    let step = match (&top.busy, &top.said) {
        (Some(errand), _) => Some(format!("Asked for: {}", errand.command())),
        (None, said) => said.as_ref().map(|said| said.text.clone()),
    };
    let told = times.distance(top.told_ms);
    let asked_ms = top.asked_ms.filter(|at_ms| times.now_ms.saturating_sub(*at_ms) >= LATE_MS);
    let trouble = match (top.trouble(), asked_ms) {
        (Some(failure), _) => {
            let what = sentences(failure);
            Some(format!("{what} It is tried again; what is shown is from {told}."))
        }
        (None, Some(asked_ms)) => {
            let asked = times.distance(asked_ms);
            Some(format!(
                "The daemon was asked {asked} and has not answered; what is shown is from {told}."
            ))
        }
        (None, None) => None,
    };
    let of = |text: String| sentence(&text, 0, width).into_iter().take(SAID_LINES_MAX);
    step.into_iter().chain(trouble).flat_map(of).collect()
}

/// The keys that do something here.
fn keys(top: &Top) -> String {
    if matches!(top.prompt, Some(Prompt::Filter(_))) {
        return format!(" /{}▏  Enter keeps the filter, Esc drops it", plain(&top.overview.filter));
    }
    match top.panels.last() {
        None if !top.overview.filter.is_empty() => format!(
            " /{}  Esc shows all  Enter open  p pause  r resume  d doctor  ? help  q quit",
            plain(&top.overview.filter)
        ),
        None => " ↑↓ choose  Enter open  p pause  r resume  / filter  d doctor  ? help  q quit"
            .to_owned(),
        Some(Panel::Queue(_)) => {
            " ↑↓ choose  Enter open  w why  Tab state  p pause  r resume  Esc back  ? help"
                .to_owned()
        }
        Some(Panel::Message(panel)) => {
            format!(
                " ↑↓ scroll  Tab next  w why{}  Esc back  ? help  q quit",
                message::steps(panel)
            )
        }
        Some(_) => " ↑↓ scroll  Tab next screen  Esc back  ? help  q quit".to_owned(),
    }
}

/// A text of several lines, as far as it was scrolled; `None`: not told yet.
fn scrolled(frame: &mut Frame<'_>, area: Rect, lines: Option<Vec<String>>, listing: &mut Listing) {
    let lines = lines.unwrap_or_else(|| vec!["Asking …".to_owned()]);
    let seen = usize::from(area.height);
    let first = listing.scroll(lines.len(), seen);
    let shown: Vec<Line<'static>> =
        lines.into_iter().skip(first).take(seen).map(Line::from).collect();
    frame.render_widget(Paragraph::new(shown), area);
}

/// Nothing on the screen steers the terminal, whatever was forgotten before.
fn clean(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let fit = plain(cell.symbol());
        if fit != cell.symbol() {
            cell.set_symbol(&fit);
        }
    }
}
