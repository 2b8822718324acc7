//! The screen of a message: where it stands in a sentence, and below it one of what there is of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::paint::Paint;
use super::scrolled;
use super::tables::{pairs, rows};
use super::text::{fold, sentence};
use crate::cli::describe;
use crate::cli::explain;
use crate::cli::message_fields;
use crate::cli::plain::plain;
use crate::cli::table::{whole, words};
use crate::cli::times::{Times, span};
use crate::cli::top::errand::Errand;
use crate::cli::top::panels::{Facet, MessagePanel};
use crate::wire::Payload;
use crate::wire::attempt::AttemptView;
use crate::wire::explain::ExplanationView;
use crate::wire::message::MessageView;

/// Bytes in a line of hexadecimal numbers.
const HEX_BYTES: usize = 16;

/// Shows a message.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, panel: &mut MessagePanel, times: &Times) {
    let width = usize::from(area.width);
    let message = &panel.message;
    let mut above = sentence(&message.id, 0, width);
    let mut said = sentence(&format!("{}.", describe::sentence(message, times)), 0, width);
    said.truncate(4);
    above.extend(said);
    above.push(String::new());
    let height = Constraint::Length(u16::try_from(above.len()).unwrap_or(u16::MAX));
    let parts = [height, Constraint::Length(1), Constraint::Fill(1)];
    let [head, tabs, body] = Layout::vertical(parts).areas(area);
    let above: Vec<Line<'static>> = above.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(above), head);
    frame.render_widget(Paragraph::new(titles(panel.facet)), tabs);
    let lines = match panel.facet {
        Facet::Fields => Some(fields(message, times, width)),
        Facet::Why => panel.explanation.as_ref().map(|told| why(told, times, width)),
        Facet::Attempts => panel.attempts.as_ref().map(|told| attempts(told, times, width)),
        Facet::Payload => panel.whole.as_ref().map(|message| payload(message, width)),
    };
    scrolled(frame, body, lines, &mut panel.listing);
}

/// What may be done with it, as the line of keys names it.
pub(super) fn steps(panel: &MessagePanel) -> String {
    let state = panel.message.state.known();
    let steps = state.map(|state| Errand::of_message(&panel.message, state));
    let named = |(key, errand): (char, Errand)| format!("  {key} {}", errand.word());
    steps.into_iter().flatten().map(named).collect()
}

/// What there is of a message; what is shown stands in brackets.
fn titles(shown: Facet) -> Line<'static> {
    let titles = Facet::ALL.map(|facet| {
        if facet == shown {
            Span::styled(format!("[{}] ", facet.title()), Paint::title())
        } else {
            Span::raw(format!(" {}  ", facet.title()))
        }
    });
    Line::from(titles.to_vec())
}

/// Its fields but for the payload, which has a place of its own.
fn fields(message: &MessageView<'_>, times: &Times, width: usize) -> Vec<String> {
    let all = message_fields::fields(message, times).into_iter();
    let is_shown = |name: &&str| !matches!(*name, "payload" | "payload_base64" | "id");
    pairs(all.filter(|(name, _)| is_shown(name)).map(|(name, text)| (name.to_owned(), text)), width)
}

/// As `tidegate explain` says it.
fn why(told: &ExplanationView, times: &Times, width: usize) -> Vec<String> {
    let mut lines = sentence(&told.sentence, 0, width);
    if told.gates.is_empty() {
        return lines;
    }
    lines.push(String::new());
    let facts = explain::facts(told, times).into_iter();
    lines.extend(pairs(facts.map(|(name, text)| (name.to_owned(), text)), width));
    lines.push(String::new());
    let columns = [whole("GATE"), whole("PASSES"), words("WHAT IT SAYS")];
    lines.extend(rows(&columns, told.gates.iter().map(explain::row).collect(), width));
    lines
}

fn attempts(told: &[AttemptView<'_>], times: &Times, width: usize) -> Vec<String> {
    if told.is_empty() {
        return vec!["No attempt has ended yet.".to_owned()];
    }
    let columns = [
        whole("TRY"),
        whole("BEGAN"),
        whole("TOOK"),
        whole("OUTCOME"),
        whole("STATUS"),
        words("ERROR"),
    ];
    let row = |attempt: &AttemptView<'_>| {
        let (began, ended) = (attempt.started_at.0, attempt.ended_at.0);
        vec![
            attempt.attempt.to_string(),
            times.at(began),
            span(ended.saturating_sub(began)),
            attempt.outcome.to_string(),
            attempt.status_code.map(|status| status.to_string()).unwrap_or_default(),
            attempt.error.as_deref().unwrap_or_default().to_owned(),
        ]
    };
    // The newest first: it is looked for most.
    rows(&columns, told.iter().rev().map(row).collect(), width)
}

/// The payload as text, as it was sent; bytes as hexadecimal numbers.
fn payload(message: &MessageView<'_>, width: usize) -> Vec<String> {
    let kind = plain(&message.content_type);
    if let Some(base64) = &message.payload_base64 {
        let bytes = STANDARD.decode(base64).unwrap_or_default();
        let mut lines = vec![format!("{} bytes of {kind}:", bytes.len()), String::new()];
        lines.extend(bytes.chunks(HEX_BYTES).enumerate().map(|(n, row)| hex(n * HEX_BYTES, row)));
        return lines;
    }
    let text = match &message.payload {
        None => return vec!["The payload is not kept any more.".to_owned()],
        Some(Payload::Text(text)) => text.to_string(),
        Some(Payload::Json(json)) => match serde_json::from_str::<String>(json.get()) {
            Ok(text) if !kind.contains("json") => text,
            _ => json.get().to_owned(),
        },
    };
    let mut lines = vec![format!("{} bytes of {kind}:", text.len()), String::new()];
    lines.extend(text.lines().flat_map(|line| fold(&plain(line), width)));
    lines
}

/// Where the bytes begin, the bytes, and what of them is a letter.
fn hex(at: usize, bytes: &[u8]) -> String {
    let numbers: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let letter =
        |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
    let letters: String = bytes.iter().map(letter).collect();
    format!("{at:08x}  {:<47}  {letters}", numbers.join(" "))
}
