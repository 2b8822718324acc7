//! `check --queue --answer`: what a recorded answer of a downstream means under a configuration.
//!
//! Owns the words for it. The rules are judged by the daemon's own code (`domain::classify`).

use std::io::Read as _;
use std::path::Path;

use serde_json::json;

use super::describe::count;
use super::exit::{Exit, Failure};
use super::plain::plain;
use super::recorded;
use super::screen::Screen;
use super::trial;
use crate::config::Settings;
use crate::domain::answer_rules::RulesSaid;
use crate::domain::classify::{BatchClassified, Classified, classify_batch};
use crate::domain::outcome::{OnUncertain, Outcome};
use crate::domain::policy::QueuePolicy;
use crate::domain::units::format_duration;
use crate::wire::exchange::DecisionView;

/// Most bytes of a recording.
const RECORDED_BYTES_MAX: u64 = 32 << 20;
/// How much of an answer to a batch is read at most.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// How many elements are shown one by one.
const SHOWN_MAX: usize = 20;

/// Says which rule holds for an answer, and what follows for the message.
pub(super) fn check(
    settings: &Settings,
    queue: &str,
    recorded: &Path,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let policy = policy(settings, queue)?;
    let file = file(recorded, screen)?;
    let most = if policy.batch.is_some() { BATCH_BYTES_MAX } else { policy.read_response_bytes() };
    let answer = recorded::read(&file, most)
        .map_err(|why| Failure::usage(format!("{} {why}", shown(recorded))))?;
    let status = answer.body().map_or(0, |(status, _)| status);
    let reading = policy.answer_context(false);
    let judged = match policy.batch {
        Some(_) => classify_batch(&answer, reading),
        None => BatchClassified::Whole(crate::domain::classify::classify(&answer, reading)),
    };
    let exit = exit_of(&judged);
    if screen.is_json() {
        screen.json(&document(policy, status, &judged))?;
        return Ok(exit);
    }
    screen.line(&format!("answer {status} in the queue {queue}"))?;
    for line in lines(policy, &judged) {
        screen.line(&line)?;
    }
    Ok(exit)
}

fn policy<'a>(settings: &'a Settings, queue: &str) -> Result<&'a QueuePolicy, Failure> {
    let found = settings.queues.values().find(|policy| policy.name.as_str() == queue);
    let policy = found.ok_or_else(|| {
        let what = format!("the configuration has no queue \"{queue}\"");
        Failure::new(Exit::NotFound, what)
    })?;
    match policy.downstream.http() {
        Some(_) => Ok(policy),
        None => Err(Failure::usage(format!(
            "the queue \"{queue}\" calls nobody, and so gets no answers"
        ))),
    }
}

fn file(path: &Path, screen: &mut Screen) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        screen.input.as_mut().take(RECORDED_BYTES_MAX).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(RECORDED_BYTES_MAX).read_to_end(&mut bytes))
    };
    read.map(|_| bytes)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", shown(path))))
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") { "the answer".to_owned() } else { path.display().to_string() }
}

/// What nobody can tell is no success of a check.
fn exit_of(judged: &BatchClassified) -> Exit {
    let is_told = |it: &Classified| !matches!(it.said, RulesSaid::CannotTell { .. });
    let is_all_told = match judged {
        BatchClassified::Whole(classified) => is_told(classified),
        BatchClassified::Elements(elements) => elements.iter().all(|it| is_told(&it.classified)),
    };
    if is_all_told { Exit::Ok } else { Exit::Failure }
}

fn lines(policy: &QueuePolicy, judged: &BatchClassified) -> Vec<String> {
    match judged {
        BatchClassified::Whole(classified) => of_one(policy, classified),
        BatchClassified::Elements(elements) => {
            let places = count(elements.len() as u64, "element");
            let mut lines = vec![format!("its list has {places}")];
            for (at, element) in elements.iter().enumerate().take(SHOWN_MAX) {
                let id = element.id.as_deref().map(|id| format!(", id {}", plain(id)));
                lines.push(String::new());
                lines.push(format!("element {at}{}", id.unwrap_or_default()));
                lines.extend(of_one(policy, &element.classified));
            }
            if elements.len() > SHOWN_MAX {
                let further = elements.len() - SHOWN_MAX;
                lines.push(format!("and {further} more (--output json shows all)"));
            }
            lines
        }
    }
}

fn of_one(policy: &QueuePolicy, classified: &Classified) -> Vec<String> {
    let mut lines = vec![format!("outcome: {}", classified.outcome.as_str())];
    lines.extend(trial::decision(&(&classified.said).into()));
    lines.push(format!("the message: {}", means(policy, classified.outcome)));
    lines
}

fn document(policy: &QueuePolicy, status: u16, judged: &BatchClassified) -> serde_json::Value {
    let one = |classified: &Classified| {
        let decision: DecisionView<'_> = (&classified.said).into();
        json!({
            "outcome": classified.outcome.as_str(),
            "decision": decision,
            "means": means(policy, classified.outcome),
        })
    };
    let mut whole = json!({ "queue": policy.name.as_str(), "status_code": status });
    match judged {
        BatchClassified::Whole(classified) => {
            let judged = one(classified);
            for name in ["outcome", "decision", "means"] {
                whole[name] = judged[name].clone();
            }
        }
        BatchClassified::Elements(elements) => {
            let all = elements.iter().map(|element| {
                let mut judged = one(&element.classified);
                judged["id"] = json!(element.id);
                judged
            });
            whole["elements"] = all.collect();
        }
    }
    whole
}

/// What an outcome means for the message.
fn means(policy: &QueuePolicy, outcome: Outcome) -> String {
    match outcome {
        Outcome::Delivered => "is delivered".to_owned(),
        Outcome::Accepted => {
            let wait = format_duration(policy.receipts.timeout_ms);
            format!("is accepted; its receipt is awaited for {wait}")
        }
        Outcome::Retry | Outcome::Hindered => "is sent again after a delay".to_owned(),
        Outcome::Throttled { retry_after_ms } | Outcome::Withheld { retry_after_ms } => {
            let pause = match policy.retry.obeyed_ms(retry_after_ms) {
                0 => "a while, from 1s on and doubling".to_owned(),
                asked_ms => format_duration(asked_ms),
            };
            format!("goes back to its place, without an attempt; the queue sends nothing for {pause}")
        }
        Outcome::Unknown => match policy.on_uncertain {
            OnUncertain::Resend => {
                "may or may not have arrived; it is sent again after a delay (on_uncertain = \"resend\")"
            }
            OnUncertain::Park => {
                "may or may not have arrived; it waits for a decision (on_uncertain = \"park\")"
            }
            OnUncertain::Probe => {
                "may or may not have arrived; the downstream is asked (on_uncertain = \"probe\")"
            }
        }
        .to_owned(),
        Outcome::Refused if policy.batch.is_some() => {
            "is dead; if this is the answer to several, they are sent again in halves until it is alone"
                .to_owned()
        }
        Outcome::Refused => "is dead".to_owned(),
        Outcome::Suspect => {
            "is dead; five different ones in a row shut the queue's gate".to_owned()
        }
        Outcome::Denied => {
            "goes back to its place, without an attempt; the queue's gate shuts until its credentials are right"
                .to_owned()
        }
    }
}
