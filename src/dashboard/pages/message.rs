//! One message: where it stands and why, its attempts, its payload, and every step that its state takes.

use askama::Template;
use axum::extract::{Path, RawQuery};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::messages::reason;
use crate::dashboard::charts::meter;
use crate::dashboard::form::FormFields;
use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::{counted, dump, encoded, grouped, indented};
use crate::dashboard::zones::Zones;
use crate::domain::human::span;
use crate::domain::message_step::{MessageStep, legal_steps};
use crate::wire::attempt::{AttemptList, AttemptView, ResultView};
use crate::wire::explain::{ExplanationView, GateAnswerView, GateBlockerView};
use crate::wire::message::MessageView;
use crate::wire::queue::QueueView;

/// Bytes of a payload that are shown; the rest is counted.
const SHOWN_BYTES_MAX: usize = 64 * 1024;

/// A name and what it stands for.
#[derive(Debug)]
struct FactRow {
    name: &'static str,
    value: String,
}

/// A moment in the life of the message.
#[derive(Debug)]
struct MomentRow {
    name: &'static str,
    at: String,
}

/// An attempt in a line.
#[derive(Debug)]
struct AttemptRow {
    number: u32,
    outcome: String,
    status: String,
    started: String,
    took: String,
    bar: String,
    error: String,
    response: Option<String>,
}

/// What one gate says.
#[derive(Debug)]
struct GateRow {
    gate: String,
    passes: bool,
    opens: String,
    detail: String,
    setting: String,
    blockers: Vec<BlockerRow>,
    more: Option<String>,
}

/// What blocks a message: another message, if it has an address.
#[derive(Debug)]
struct BlockerRow {
    text: String,
    path: Option<String>,
}

/// What one thing cost of the time.
#[derive(Debug)]
struct WaitedRow {
    what: String,
    took: String,
    meter: String,
}

/// The payload as it is shown and changed.
#[derive(Debug)]
struct PayloadShown {
    text: String,
    /// What is put into the form that changes it.
    editable: String,
    kind: &'static str,
    bytes: String,
    is_dump: bool,
    /// It can be shown as text too.
    is_text: bool,
    is_cut: bool,
}

/// A step with what its form shows.
#[derive(Debug)]
struct StepForm {
    step: MessageStep,
    word: &'static str,
    label: &'static str,
    sentence: &'static str,
    command: String,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    frame: Frame,
    id: String,
    path: String,
    queue: String,
    queue_path: String,
    state: String,
    sentence: String,
    expected: Option<String>,
    earliest: Option<String>,
    position: Option<String>,
    facts: Vec<FactRow>,
    moments: Vec<MomentRow>,
    labels: Vec<String>,
    headers: Vec<String>,
    attempts: Vec<AttemptRow>,
    attempts_total: String,
    gates: Vec<GateRow>,
    waited: Vec<WaitedRow>,
    payload: Option<PayloadShown>,
    result: Option<String>,
    steps: Vec<StepForm>,
    get_command: String,
}

pub(in crate::dashboard) async fn page(
    visit: Visit,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ShownProblem> {
    let path = encoded(&id);
    let fields = FormFields::read(query.unwrap_or_default().as_bytes());
    let message: MessageView<'static> =
        visit.read(&format!("/v1/messages/{path}?view=full")).await?;
    let queue_path = encoded(&message.queue);
    let queue: Option<QueueView> =
        visit.read_if_allowed(&format!("/v1/queues/{queue_path}")).await?;
    let zones = match &queue {
        Some(queue) => visit.zones.clone().of_queue(&queue.policy),
        None => visit.zones.clone(),
    };
    let attempts: AttemptList<'static> =
        visit.read(&format!("/v1/messages/{path}/attempts")).await?;
    let explained: ExplanationView = visit.read(&format!("/v1/messages/{path}/explain")).await?;
    let steps = match message.state.known() {
        Some(state) if visit.may_operate() => {
            legal_steps(state, message.reason.as_deref(), message.queue.contains('~'))
        }
        _ => Vec::new(),
    };
    let payload = payload(&message, fields.text("payload") == "hex");
    let headers = message.headers.iter().flat_map(|pairs| pairs.0.iter());
    Ok(html(&MessagePage {
        frame: visit.frame(id.clone(), "/ui/messages").followed(),
        queue: message.queue.to_string(),
        queue_path,
        state: message.state.as_str().to_owned(),
        sentence: zones.sentence(&explained.sentence),
        expected: explained.expected_at.map(|at| zones.whole(at)),
        earliest: explained.earliest_at.map(|at| zones.whole(at)),
        position: position(&explained),
        facts: facts(&message),
        moments: moments(&message, &zones),
        labels: message.labels.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        headers: headers.map(|(name, value)| format!("{name}: {value}")).collect(),
        attempts: attempt_rows(&attempts, &zones),
        attempts_total: grouped(u64::from(message.attempts)),
        gates: explained.gates.iter().map(|gate| gate_row(gate, &zones)).collect(),
        waited: waited(&message),
        result: message.result.as_ref().map(answered),
        steps: steps.into_iter().map(|step| step_form(step, &id)).collect(),
        get_command: format!("tidegate get {id}"),
        payload,
        path,
        id,
    }))
}

fn position(explained: &ExplanationView) -> Option<String> {
    let position = explained.position.as_ref()?;
    let least = if position.at_least { "at least " } else { "" };
    Some(format!("{least}{} ahead in its {}", grouped(position.ahead), position.of.as_str()))
}

fn facts(message: &MessageView<'_>) -> Vec<FactRow> {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let all = [
        ("Reason", reason(message)),
        ("Content type", message.content_type.to_string()),
        ("Priority", message.priority.to_string()),
        ("Cost", message.cost.to_string()),
        ("Group", text(message.group.as_deref())),
        ("Idempotency key", text(message.idempotency_key.as_deref())),
        ("Collapse key", text(message.collapse_key.as_deref())),
        ("Url", text(message.url.as_deref())),
        ("Reference", text(message.reference.as_deref())),
        ("Time zone", text(message.time_zone.as_deref())),
        ("Throttles", message.throttles.to_string()),
        ("Window holds", message.window_holds.to_string()),
        ("Leases that ran out", message.rescues.to_string()),
    ];
    let shown = all.into_iter().filter(|(name, value)| {
        !value.is_empty() && (value != "0" || matches!(*name, "Priority" | "Cost"))
    });
    shown.map(|(name, value)| FactRow { name, value }).collect()
}

fn moments(message: &MessageView<'_>, zones: &Zones) -> Vec<MomentRow> {
    let all = [
        ("Created", Some(message.created_at)),
        ("Due", Some(message.due_at)),
        ("Next attempt", message.next_attempt_at),
        ("Accepted", message.accepted_at),
        ("Expires", message.expires_at),
        ("Ended", message.final_at),
    ];
    let known = all.into_iter().filter_map(|(name, at)| Some((name, at?)));
    known.map(|(name, at)| MomentRow { name, at: zones.whole(at) }).collect()
}

fn attempt_rows(list: &AttemptList<'_>, zones: &Zones) -> Vec<AttemptRow> {
    let took = |attempt: &AttemptView<'_>| attempt.ended_at.0.saturating_sub(attempt.started_at.0);
    let longest = list.attempts.iter().map(took).max().unwrap_or_default();
    let rows = list.attempts.iter().map(|attempt| {
        let said = span(took(attempt));
        AttemptRow {
            number: attempt.attempt,
            outcome: attempt.outcome.to_string(),
            status: attempt.status_code.map(|code| code.to_string()).unwrap_or_default(),
            started: zones.whole(attempt.started_at),
            bar: meter(took(attempt), longest.max(1) + 1, &format!("took {said}")),
            took: said,
            error: attempt.error.as_deref().unwrap_or_default().to_owned(),
            response: attempt.response.as_ref().map(answered),
        }
    });
    rows.collect()
}

/// What the downstream answered, as text.
fn answered(result: &ResultView<'_>) -> String {
    let by = result.by.as_ref().map(|by| format!("decided by {by}"));
    let status = result.status_code.map(|status| format!("status {status}"));
    let kind = result.content_type.as_ref().map(ToString::to_string);
    let body = result.body.iter().flatten().map(ToString::to_string).next();
    let body = body.or_else(|| result.body_base64.as_deref().and_then(decoded).map(|b| dump(&b)));
    let head: Vec<_> = [status, kind, by].into_iter().flatten().collect();
    [head.join(", "), body.unwrap_or_default()].join("\n").trim().to_owned()
}

fn gate_row(gate: &GateAnswerView, zones: &Zones) -> GateRow {
    let shown = gate.blocked_by.len() as u64;
    let more = gate.blocked_by_total.saturating_sub(shown);
    GateRow {
        gate: gate.gate.to_string(),
        passes: gate.passes,
        opens: gate.opens_at.map(|at| zones.whole(at)).unwrap_or_default(),
        detail: zones.sentence(&gate.detail),
        setting: gate.setting.clone().unwrap_or_default(),
        blockers: gate.blocked_by.iter().map(blocker).collect(),
        more: (more > 0).then(|| grouped(more)),
    }
}

fn blocker(blocker: &GateBlockerView) -> BlockerRow {
    if let Some(id) = &blocker.id {
        return BlockerRow { text: id.clone(), path: Some(encoded(id)) };
    }
    let text = match (&blocker.key, &blocker.node, &blocker.setting) {
        (Some(key), _, _) => format!("key {key}"),
        (_, Some(node), _) => format!("node {node}"),
        (_, _, Some(setting)) => setting.clone(),
        (None, None, None) => String::new(),
    };
    BlockerRow { text, path: None }
}

fn waited(message: &MessageView<'_>) -> Vec<WaitedRow> {
    let Some(waited) = &message.waited else { return Vec::new() };
    let total: u64 = waited.0.values().sum();
    let mut all: Vec<_> = waited.0.iter().collect();
    all.sort_by_key(|(_, ms)| std::cmp::Reverse(**ms));
    let rows = all.into_iter().map(|(what, ms)| WaitedRow {
        what: what.clone(),
        took: span(*ms),
        meter: meter(*ms, total + 1, &format!("{what} {}", span(*ms))),
    });
    rows.collect()
}

fn payload(message: &MessageView<'_>, as_dump: bool) -> Option<PayloadShown> {
    let base64 = message.payload_base64.as_deref();
    let (bytes, editable, kind) = match (&message.payload, base64) {
        (Some(payload), _) if payload.is_text() => {
            let text = payload.to_value().as_str().unwrap_or_default().to_owned();
            (text.clone().into_bytes(), text, "text")
        }
        (Some(payload), _) => {
            let text = serde_json::to_string(payload).unwrap_or_default();
            (text.clone().into_bytes(), indented(&text), "json")
        }
        (None, Some(base64)) => (decoded(base64)?, base64.to_owned(), "base64"),
        (None, None) => return None,
    };
    // Bytes may be text all the same.
    let said = if kind == "base64" { readable(&bytes) } else { Some(editable.as_str()) };
    let is_text = said.is_some();
    let kept = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let (text, is_dump) = match said.filter(|_| !as_dump) {
        Some(said) => (said.chars().take(SHOWN_BYTES_MAX).collect(), false),
        None => (dump(kept), true),
    };
    Some(PayloadShown {
        text,
        editable,
        kind,
        bytes: counted(bytes.len() as u64, "byte"),
        is_dump,
        is_text,
        is_cut: bytes.len() > SHOWN_BYTES_MAX,
    })
}

/// Bytes as the text that they are, if they are one.
fn readable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    (!text.chars().any(is_odd)).then_some(text)
}

fn decoded(base64: &str) -> Option<Vec<u8>> {
    STANDARD.decode(base64).ok()
}

fn step_form(step: MessageStep, id: &str) -> StepForm {
    StepForm {
        step,
        word: step.word(),
        label: step.label(),
        sentence: step.sentence(),
        command: step.command(id),
    }
}
