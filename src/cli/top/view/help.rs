//! All keys, in a box above the screen.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::prompt::boxed;

/// Each key and what it does.
const KEYS: [(&str, &str); 16] = [
    ("↑ ↓ or k j", "choose another row, or scroll"),
    ("PgUp PgDn Home End", "move further"),
    ("Enter", "open the chosen queue or message"),
    ("Esc", "back; on the first screen: show all queues"),
    ("Tab Shift-Tab", "the next screen, state or part of a message"),
    ("/", "show only queues with this in their name"),
    ("o", "another order of the queues"),
    ("p", "pause the queue: asks for a reason and for a yes"),
    ("r", "resume the queue: asks for a yes"),
    ("w", "why does the message wait (tidegate explain)"),
    ("n", "run the message now, where its state allows it"),
    ("c", "cancel the message, where its state allows it"),
    ("s", "send the message again, where its state allows it"),
    ("v x", "say that it is delivered, or dead, if nobody knows"),
    ("d", "what is wrong (tidegate doctor --quick)"),
    ("q or Ctrl-C", "quit"),
];

/// Shows all keys.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect) {
    let mut lines: Vec<String> = KEYS.iter().map(|(key, what)| format!("{key:19}{what}")).collect();
    lines.push(String::new());
    lines.push("Any key closes this.".to_owned());
    boxed(frame, area, " Keys ", lines);
}
