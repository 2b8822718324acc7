//! What the operator is asked, in a box above the screen.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};

use super::text::{fold, sentence};
use crate::cli::plain::plain;
use crate::cli::top::errand::Errand;
use crate::cli::top::state::Prompt;

/// How wide the box is, its edges included.
const BOX_WIDTH: u16 = 72;

/// Shows the question.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, prompt: &Prompt) {
    let lines = lines(prompt, usize::from(BOX_WIDTH) - 4);
    boxed(frame, area, "", lines);
}

/// Shows lines in a box in the middle of the screen.
pub(super) fn boxed(frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<String>) {
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(area.height);
    let at = Rect {
        x: area.x + area.width.saturating_sub(BOX_WIDTH) / 2,
        y: area.y + area.height.saturating_sub(height) / 2,
        width: BOX_WIDTH.min(area.width),
        height,
    };
    let lines: Vec<Line<'static>> =
        lines.into_iter().map(|line| Line::from(format!(" {line}"))).collect();
    frame.render_widget(Clear, at);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title.to_owned())), at);
}

fn lines(prompt: &Prompt, width: usize) -> Vec<String> {
    match prompt {
        Prompt::Reason { queue, text } => {
            let mut lines = sentence(&format!("Why is {} to be paused?", plain(queue)), 0, width);
            lines.extend(typed(text, width));
            lines.push(String::new());
            lines.extend(sentence(
                "Enter goes on, Esc leaves it. Other operators see the reason; it may be left empty.",
                0,
                width,
            ));
            lines
        }
        Prompt::Confirm(errand) => confirm(errand, width),
        Prompt::Filter(_) | Prompt::Help => Vec::new(),
    }
}

/// What was typed, with its end in sight.
fn typed(text: &str, width: usize) -> Vec<String> {
    fold(&format!("{}▏", plain(text)), width)
}

fn confirm(errand: &Errand, width: usize) -> Vec<String> {
    let mut lines = sentence(&errand.question(), 0, width);
    lines.push(String::new());
    // As it is: a shell does not take two blanks for one.
    lines.extend(fold(&plain(&format!("The same as: {}", errand.command())), width));
    lines.push(String::new());
    lines.push("y does it, n leaves it.".to_owned());
    lines
}
