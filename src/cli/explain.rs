//! `explain`: why messages wait, gate by gate.
//!
//! Owns how the answer is laid out. The words are the daemon's (see `domain::explain`).

use super::Session;
use super::args_messages::IdsArgs;
use super::client::Target;
use super::exit::{Exit, Failure};
use super::ids::each;
use super::plain::plain;
use super::table::{whole, words};
use super::times::Times;
use crate::domain::explain::LineOf;
use crate::domain::gates::Gate;
use crate::domain::human::count;
use crate::wire::Moment;
use crate::wire::explain::{ExplanationView, GateAnswerView, GateBlockerView, PositionView};

/// `explain`: the sentence, where the message stands, and every gate.
pub(crate) async fn explain(args: &IdsArgs, session: &mut Session) -> Result<Exit, Failure> {
    each(&args.ids, session, async |id, session| {
        let answer = session.client.get(&target(id)).await?;
        if session.screen.is_json() {
            return session.screen.raw(&answer.body);
        }
        let explanation: ExplanationView = answer.read()?;
        show(&explanation, session)
    })
    .await
}

/// Where it is asked why a message waits.
pub(super) fn target(id: &str) -> Target {
    Target::new(&["v1", "messages", id, "explain"])
}

/// The sentence on a message that waits, where it says more than when the message is due. Nothing where nobody may ask.
pub(super) async fn sentence_of(id: &str, session: &Session) -> Option<String> {
    let explanation: ExplanationView = session.client.get(&target(id)).await.ok()?.read().ok()?;
    let is_of_time = |gate: &GateAnswerView| gate.gate.is(Gate::Due) || gate.gate.is(Gate::Retry);
    let held = explanation.gates.iter().filter(|gate| !gate.passes);
    let is_only_due = held.clone().count() > 0
        && held.clone().all(|gate| is_of_time(gate) && gate.opens_at == explanation.earliest_at);
    (!is_only_due).then(|| plain(&explanation.sentence))
}

fn show(explanation: &ExplanationView, session: &mut Session) -> Result<(), Failure> {
    let times = session.times();
    session.screen.sentence(0, &plain(&explanation.sentence))?;
    if explanation.gates.is_empty() {
        return Ok(());
    }
    session.screen.line("")?;
    session.screen.pairs(&facts(explanation, &times))?;
    session.screen.line("")?;
    let rows = explanation.gates.iter().map(row).collect();
    session.screen.rows(&[whole("GATE"), whole("PASSES"), words("WHAT IT SAYS")], rows)
}

/// Where the message stands, and when it can leave.
pub(super) fn facts(explanation: &ExplanationView, times: &Times) -> Vec<(&'static str, String)> {
    let at = |moment: Option<Moment>| {
        moment.map_or_else(|| "nobody can know".to_owned(), |at| times.at_and_distance(at.0))
    };
    let position = explanation.position.as_ref().map_or_else(|| "in no line".to_owned(), stands);
    vec![
        ("position", position),
        ("earliest", at(explanation.earliest_at)),
        ("expected", at(explanation.expected_at)),
    ]
}

fn stands(position: &PositionView) -> String {
    let more = if position.at_least { "more than " } else { "" };
    let whose = if position.of.is(LineOf::Key) { "key" } else { "queue" };
    format!("{more}{} before it, in the line of its {whose}", count(position.ahead, "message"))
}

/// What a gate says: its row in the table.
pub(super) fn row(answer: &GateAnswerView) -> Vec<String> {
    let passes = if answer.passes { "yes" } else { "no" };
    let setting = answer.setting.as_deref().map(|setting| format!(" [{}]", plain(setting)));
    let blockers: Vec<_> = answer.blocked_by.iter().filter_map(blocker).collect();
    let named = u64::try_from(blockers.len()).unwrap_or(u64::MAX);
    let blockers = match (blockers.is_empty(), answer.blocked_by_total.saturating_sub(named)) {
        (true, _) => String::new(),
        (false, 0) => format!(" Blocked by {}.", blockers.join(", ")),
        (false, more) => format!(" Blocked by {} and {more} more.", blockers.join(", ")),
    };
    let says = plain(&answer.detail);
    let says = format!("{says}{blockers}{}", setting.unwrap_or_default());
    vec![answer.gate.as_str().to_owned(), passes.to_owned(), says]
}

/// A blocker that the sentence beside it does not name: a message or a node.
fn blocker(blocker: &GateBlockerView) -> Option<String> {
    blocker.id.as_deref().or(blocker.node.as_deref()).map(plain)
}
