//! An installation that is in trouble, and an operator who looks at it: no daemon, no terminal, no clock.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use crate::cli::exit::Failure;
use crate::cli::tests::answers;
use crate::cli::times::Times;
use crate::cli::top::ask::{Ask, News};
use crate::cli::top::keys::{Effect, press};
use crate::cli::top::state::Top;
use crate::cli::top::view::{COLUMNS_MIN, LINES_MIN, Paint, draw};
use crate::domain::state::State;
use crate::wire::queue::QueueList;

/// 2026-11-21T09:00:00Z.
const NOW_MS: u64 = 1_795_251_600_000;
/// The dead message of the queue `sms`.
pub(super) const DEAD: &str = "sms_01KAJQ7V3M8Y2C5T9W4X6Z1B0D";
/// A message of the queue `sms` that waits.
pub(super) const LATER: &str = "sms_01KAJQ80F2N7R5S9V3W1X8Y4Z6";

/// What the daemon answers, by what it is asked.
type Answers = fn(&Ask) -> Value;

/// An operator before the screen.
pub(super) struct Operator {
    pub(super) top: Top,
    pub(super) times: Times,
    pub(super) paint: Paint,
    pub(super) size: (u16, u16),
    answers: Answers,
}

impl Operator {
    /// Looks at the first screen of an installation in trouble.
    pub(super) fn starts() -> Self {
        Self::looks_at(trouble)
    }

    /// Looks at the first screen of a daemon that answers so.
    pub(super) fn looks_at(answers: Answers) -> Self {
        let mut operator = Self {
            top: Top::new("http://127.0.0.1:7411".to_owned()),
            times: Times { now_ms: NOW_MS, zone: None },
            paint: Paint { has_colours: false },
            size: (COLUMNS_MIN, LINES_MIN),
            answers,
        };
        operator.is_told();
        operator
    }

    /// Everything that is asked for the screen is answered.
    pub(super) fn is_told(&mut self) {
        for ask in self.top.asks() {
            let news = news(&ask, &(self.answers)(&ask));
            self.top.take(&ask, Ok(news), self.times.now_ms);
        }
    }

    /// From now on the daemon answers so.
    pub(super) fn answers(&mut self, answers: Answers) {
        self.answers = answers;
    }

    /// Nothing that is asked for the screen is answered.
    pub(super) fn is_refused(&mut self, failure: &Failure) {
        for ask in self.top.asks() {
            self.top.take(&ask, Err(failure.clone()), self.times.now_ms);
        }
    }

    /// Presses these keys, one after the other, and is told what there is after each.
    pub(super) fn presses(&mut self, keys: &str) -> Effect {
        let mut effect = Effect::Nothing;
        for key in keys.split(' ') {
            effect = self.press(code(key));
            self.is_told();
        }
        effect
    }

    /// Types a text.
    pub(super) fn types(&mut self, text: &str) {
        text.chars().for_each(|sign| drop(self.press(KeyCode::Char(sign))));
    }

    pub(super) fn press(&mut self, code: KeyCode) -> Effect {
        press(&mut self.top, KeyEvent::new(code, KeyModifiers::NONE))
    }

    /// What is on the screen, without the blanks at the ends of its lines.
    pub(super) fn sees(&mut self) -> String {
        let text = lines(&self.buffer()).join("\n");
        text.trim_end().to_owned()
    }

    /// The line of the screen that has this in it.
    pub(super) fn line(&mut self, with: &str) -> String {
        let seen = self.sees();
        let found = seen.lines().find(|line| line.contains(with));
        found.unwrap_or_else(|| panic!("nothing says {with}:\n{seen}")).to_owned()
    }

    /// Whether the screen says this, in whatever lines.
    pub(super) fn says(&mut self, text: &str) -> bool {
        let seen = self.sees();
        seen.split_whitespace().collect::<Vec<_>>().join(" ").contains(text)
    }

    /// The colours on the screen.
    pub(super) fn colours(&mut self) -> Vec<Color> {
        let buffer = self.buffer();
        let colours = buffer.content.iter().flat_map(|cell| [cell.fg, cell.bg]);
        colours.filter(|colour| *colour != Color::Reset).collect()
    }

    pub(super) fn buffer(&mut self) -> Buffer {
        let (columns, lines) = self.size;
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
        let Self { top, times, paint, .. } = self;
        terminal.draw(|frame| draw(frame, top, times, *paint)).unwrap();
        terminal.backend().buffer().clone()
    }
}

/// The lines of a screen; a wide sign takes two cells, of which the second is empty.
fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let line = |cells: &[ratatui::buffer::Cell]| {
        let (mut line, mut skipped) = (String::new(), 0);
        for cell in cells {
            if skipped > 0 {
                skipped -= 1;
                continue;
            }
            line.push_str(cell.symbol());
            skipped = cell.symbol().width().saturating_sub(1);
        }
        line.trim_end().to_owned()
    };
    buffer.content.chunks(width.max(1)).map(line).collect()
}

fn code(key: &str) -> KeyCode {
    match key {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "BackTab" => KeyCode::BackTab,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "PageDown" => KeyCode::PageDown,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        "Backspace" => KeyCode::Backspace,
        one => KeyCode::Char(one.parse().unwrap()),
    }
}

fn read<T: DeserializeOwned>(answer: &Value) -> T {
    // By way of its text, as it comes: a payload is kept as it is written.
    serde_json::from_str(&answer.to_string()).unwrap()
}

fn news(ask: &Ask, answer: &Value) -> News {
    match ask {
        Ask::Queues => News::Queues(read::<QueueList>(answer).queues),
        Ask::Queue(_) => News::Queue(read(answer)),
        Ask::History(_) => News::History(read(answer)),
        Ask::Messages(..) => News::Messages(read(&answer["messages"])),
        Ask::Message(_) => News::Message(read(answer)),
        Ask::Payload(_) => News::Payload(read(answer)),
        Ask::Explanation(_) => News::Explanation(read(answer)),
        Ask::Attempts(_) => News::Attempts(read(&answer["attempts"])),
        Ask::Findings => News::Findings(read(answer)),
        Ask::Operations => News::Operations(read(&answer["operations"])),
        Ask::Nodes => News::Nodes(read(answer)),
    }
}

/// A gateway that fails, an ERP system that is closed, and mails that are paused.
pub(super) fn trouble(ask: &Ask) -> Value {
    match ask {
        Ask::Queues => answers::queues(&[erp(), mails(), print(), sms()]),
        Ask::Queue(name) => match name.as_str() {
            "erp" => erp(),
            "mails" => mails(),
            "print" => print(),
            _ => sms(),
        },
        Ask::History(_) => history(),
        Ask::Messages(_, State::Dead) => answers::messages(&[dead(false)], &Value::Null),
        Ask::Messages(_, State::Scheduled) => answers::messages(&[later(false)], &Value::Null),
        Ask::Messages(..) => answers::messages(&[], &Value::Null),
        Ask::Message(id) if id == LATER => later(false),
        Ask::Payload(id) if id == LATER => later(true),
        Ask::Message(_) => dead(false),
        Ask::Payload(_) => dead(true),
        Ask::Explanation(id) => explanation(id),
        Ask::Attempts(_) => attempts(),
        Ask::Findings => findings(),
        Ask::Operations => json!({"operations": [answers::operation(&json!({
            "id": "op_01KAJQ9A", "state": "running", "action": "requeue", "seen": 900, "matched": 900, "done": 300,
            "remaining": 600, "rate": "5/s", "by": "ada", "reason": "gateway is back"}))]}),
        Ask::Nodes => answers::nodes(&[
            answers::node(&json!({"id": "01KAJA", "host": "gate1", "listen": "10.0.0.1:7411"})),
            answers::node(&json!({"id": "01KAJB", "host": "gate2", "listen": "10.0.0.2:7411"})),
        ]),
    }
}

pub(super) fn sms() -> Value {
    let error = "status 503: the gateway is overloaded";
    answers::queue(&json!({
        "name": "sms", "oldest_ready_age_ms": 320_000,
        "counts": {"scheduled": 128, "ready": 4210, "leased": 16, "delivered": 90_120, "dead": 1},
        "rate": {"configured": "20/s", "observed_1m": 3.5},
        "limits": [answers::limit(&json!({})), answers::limit(&json!({"name": "contract", "kind": "quota",
            "value": "50000/day", "used": 41_230, "left": 8770, "resets_at": "2026-11-22T00:00:00.000Z"}))],
        "failing": {"since": "2026-11-21T08:52:00.000Z", "attempts": 311, "last_error": error},
        "sending": {"state": "failing", "since": "2026-11-21T08:52:00.000Z",
            "reason": format!("It sends, and its downstream fails: 311 attempts in a row, the last error: {error}.")},
    }))
}

/// An hour in which as much leaves as comes in, until the gateway is overloaded.
fn history() -> Value {
    let minutes = |of: fn(u32) -> u32| (0..61).map(of).collect::<Vec<_>>();
    let taken = minutes(|n| 400 + 15 * n);
    let delivered = minutes(|n| if n < 52 { 400 + 15 * n } else { 210 });
    let failed = minutes(|n| if n < 52 { 0 } else { 38 + n % 3 });
    json!({"begins_at": "2026-11-21T08:00:00.000Z", "taken": taken, "delivered": delivered,
        "late": minutes(|_| 0), "failed": failed})
}

fn erp() -> Value {
    let opens = "2026-11-21T17:00:00.000Z";
    answers::queue(&json!({
        "name": "erp", "counts": {"ready": 12_800, "delivered": 640_000},
        "oldest_ready_age_ms": 18_000_000, "window": {"open": false, "opens_at": opens},
        "sending": {"state": "closed", "until": opens, "reason": format!("Its window is closed and opens at {opens}.")},
    }))
}

fn mails() -> Value {
    answers::queue(&json!({
        "name": "mails-of-the-northern-region", "counts": {"scheduled": 1_250_000, "ready": 7, "uncertain": 2},
        "oldest_ready_age_ms": 61_000, "paused": {"reason": "the provider moves", "by": "ada"},
        "sending": {"state": "paused", "reason": "It was paused by ada: the provider moves."},
    }))
}

fn print() -> Value {
    answers::queue(
        &json!({"name": "print", "counts": {"delivered": 14}, "rate": {"observed_1m": 0.01}}),
    )
}

pub(super) fn dead(is_whole: bool) -> Value {
    let mut given = json!({
        "id": DEAD, "state": "dead", "attempts": 3, "final_at": "2026-11-21T08:58:00.000Z",
        "labels": {"shop": "eu"}, "reason": "the downstream refused it",
        "last_attempt": {"attempt": 3, "outcome": "refused", "status_code": 422, "error": "status 422: to: not a number",
            "started_at": "2026-11-21T08:57:59.800Z", "ended_at": "2026-11-21T08:58:00.000Z"},
    });
    if is_whole {
        given["payload"] = json!({"to": "no number", "text": "Your parcel is on its way."});
    }
    answers::message(&given)
}

fn later(is_whole: bool) -> Value {
    let mut given = json!({"id": LATER, "state": "scheduled", "due_at": "2026-11-21T09:30:00.000Z", "held_by": ["due"]});
    if is_whole {
        given["payload_base64"] = json!("AAECAwQFBgcICQoLDA0OD0hlbGxvIQ==");
        given["content_type"] = json!("application/octet-stream");
    }
    answers::message(&given)
}

fn explanation(id: &str) -> Value {
    if id == DEAD {
        return json!({"state": "dead", "sentence": "It is dead: the downstream refused it.", "position": null,
            "earliest_at": null, "expected_at": null, "gates": []});
    }
    let gate = |gate: &str, passes: bool, detail: &str, setting: Value| {
        json!({"gate": gate, "passes": passes, "opens_at": null, "detail": detail, "setting": setting,
            "blocked_by": [], "blocked_by_total": 0})
    };
    let at = "2026-11-21T09:30:00.000Z";
    json!({"state": "scheduled", "sentence": "It is due at 2026-11-21 09:30:00 UTC (in 30m).",
    "position": {"ahead": 17, "of": "queue", "at_least": false}, "earliest_at": at, "expected_at": at,
    "gates": [
        gate("due", false, "It is due at 2026-11-21 09:30:00 UTC (in 30m).", Value::Null),
        gate("pause", true, "The queue is not paused.", Value::Null),
        gate("limit:rate", true, "The next unit passes now.", json!("/etc/tidegate/tidegate.toml:14")),
    ]})
}

fn attempts() -> Value {
    let attempt = |n: u32, status: u16, error: &str| {
        json!({"attempt": n, "started_at": format!("2026-11-21T08:5{n}:00.000Z"),
            "ended_at": format!("2026-11-21T08:5{n}:00.350Z"), "outcome": "retry", "status_code": status, "error": error})
    };
    json!({"attempts": [attempt(1, 503, "status 503: overloaded"), attempt(2, 503, "status 503: overloaded"),
        attempt(3, 422, "status 422: to: not a number")]})
}

fn findings() -> Value {
    let failing = answers::finding(&json!({
        "code": "downstream-failing", "queue": "sms", "about": "sms", "at": "2026-11-21T08:52:00.000Z",
        "detail": "its downstream has been failing since 2026-11-21T08:52:00.000Z: status 503: the gateway is overloaded",
        "remedy": "ask the people who run it; `tidegate pause sms` stops the attempts meanwhile",
        "runbook": "docs/runbook.md#tidegatedownstreamfailing"}));
    let paused = answers::finding(&json!({
        "code": "paused", "queue": "mails-of-the-northern-region", "about": "mails-of-the-northern-region",
        "weight": "note", "detail": "it was paused by ada: the provider moves",
        "remedy": "`tidegate resume mails-of-the-northern-region` ends the pause"}));
    answers::doctor(&[failing, paused])
}
