//! What an answer of the downstream means for the message.
//!
//! Owns what a call without an answer means, and that a queue's own rules stand before the table of the protocol. Refuses to know
//! what is in that table (see `protocol`), what rules look for (see `answer_rules`), and what is written afterwards (see
//! `engine::settle`).

#[cfg(test)]
mod tests;

use super::answer_rules::{AnswerRules, ListSaid, RuleMeaning, RulesSaid, rule_name};
use super::outcome::{Answer, OnUncertain, Outcome};
use super::protocol::StatusSaid;
use super::retry::RetryPolicy;

/// What the meaning of an answer depends on, beside the answer.
#[derive(Debug, Clone, Copy)]
pub struct AnswerContext<'a> {
    /// The queue's choice.
    pub on_uncertain: OnUncertain,
    /// The policy in force, for its lists of statuses.
    pub retry: &'a RetryPolicy,
    /// Whether an earlier attempt's outcome is unknown: the downstream may have the message already,
    /// or be at work on it.
    pub is_in_doubt: bool,
    /// The queue's own rules for answers; `None`: it has none.
    pub rules: Option<&'a AnswerRules>,
}

/// What an answer came to, and what decided that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// What it came to.
    pub outcome: Outcome,
    /// What the queue's rules say of it.
    pub said: RulesSaid,
}

impl Classified {
    /// The outcome that follows from what the rules say; without a word from them it is `otherwise`.
    fn by_rules(said: RulesSaid, answer: &Answer, otherwise: impl FnOnce() -> Outcome) -> Self {
        let outcome = match &said {
            RulesSaid::Nothing => otherwise(),
            RulesSaid::CannotTell { .. } => Outcome::Unknown,
            RulesSaid::Rule(found) => match found.meaning {
                RuleMeaning::Delivered => Outcome::Delivered,
                RuleMeaning::Accepted => Outcome::Accepted,
                RuleMeaning::Retry => Outcome::Retry,
                RuleMeaning::Throttle => {
                    Outcome::Throttled { retry_after_ms: answer.retry_after_ms() }
                }
                RuleMeaning::Unknown => Outcome::Unknown,
                RuleMeaning::Dead => Outcome::Refused,
            },
        };
        Self { outcome, said }
    }

    /// What went wrong, where the rules have a word on it that does not stand in the answer as it is.
    #[must_use]
    pub fn reason(&self, status: u16, body: &str) -> Option<String> {
        match &self.said {
            RulesSaid::Nothing => None,
            RulesSaid::Rule(found) => {
                let name = rule_name(found.rule);
                let said = found.detail.as_deref().unwrap_or(body).trim();
                let gap = if said.is_empty() { "" } else { ": " };
                Some(format!("status {status}, {name}{gap}{said}"))
            }
            RulesSaid::CannotTell { rule: None, why } => Some(format!("status {status}: {why}")),
            RulesSaid::CannotTell { rule: Some(rule), why } => {
                let name = rule_name(*rule);
                Some(format!("status {status}, nobody can tell whether {name} holds: {why}"))
            }
        }
    }
}

/// What an answer to a batch came to, where the queue's rules judge the elements of a list in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchClassified {
    /// The same for all messages.
    Whole(Classified),
    /// What each element came to.
    Elements(Vec<ElementClassified>),
}

/// An element of the list in the answer to a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementClassified {
    /// The id that stands in it, if one does.
    pub id: Option<String>,
    /// What it came to.
    pub classified: Classified,
}

/// What an answer came to: the first rule of the queue that holds decides, and otherwise the outcome table of the
/// contract.
#[must_use]
pub fn classify(answer: &Answer, reading: AnswerContext<'_>) -> Classified {
    let said = match (reading.rules, answer.body()) {
        (Some(rules), Some((status, body))) => rules.judge(status, body),
        _ => RulesSaid::Nothing,
    };
    Classified::by_rules(said, answer, || table(answer, reading))
}

/// The same for an answer to a batch: where the rules name a list, they judge its elements. An answer without the list
/// is judged as a whole, but cannot say that messages arrived which it does not name.
#[must_use]
pub fn classify_batch(answer: &Answer, reading: AnswerContext<'_>) -> BatchClassified {
    let each = reading.rules.and_then(|rules| Some((rules, rules.each.as_ref()?)));
    let (Some((rules, each)), Some((status, body))) = (each, answer.body()) else {
        return BatchClassified::Whole(classify(answer, reading));
    };
    let by_table = table(answer, reading);
    let is_success = by_table.is_success();
    match rules.judge_each(each, status, body) {
        ListSaid::Elements(elements)
            if is_success || elements.iter().any(|it| it.said != RulesSaid::Nothing) =>
        {
            // A refusal of the whole that names some messages is about those.
            let of_others = match by_table {
                Outcome::Refused | Outcome::Suspect => Outcome::Unknown,
                other => other,
            };
            let judged = elements.into_iter().map(|element| ElementClassified {
                id: element.id,
                classified: Classified::by_rules(element.said, answer, || of_others),
            });
            BatchClassified::Elements(judged.collect())
        }
        ListSaid::CannotTell(why) => BatchClassified::Whole(Classified::cannot_tell(why)),
        ListSaid::Absent | ListSaid::Elements(_) => {
            let whole = classify(answer, reading);
            if !whole.outcome.is_success() {
                return BatchClassified::Whole(whole);
            }
            let why = format!("the answer has no list at \"{}\"", each.at);
            BatchClassified::Whole(Classified::cannot_tell(why))
        }
    }
}

/// The same for an answer to one message, also where the queue sends batches.
#[must_use]
pub fn classify_single(answer: &Answer, reading: AnswerContext<'_>) -> Classified {
    match classify_batch(answer, reading) {
        BatchClassified::Whole(classified) => classified,
        BatchClassified::Elements(mut elements) => match (elements.pop(), elements.len()) {
            (Some(only), 0) => only.classified,
            (_, others) => Classified::cannot_tell(format!(
                "the answer's list has {} elements for one message",
                if others == 0 { "no".to_owned() } else { (others + 1).to_string() }
            )),
        },
    }
}

impl Classified {
    /// An answer of which nobody can tell what it says, for this reason.
    #[must_use]
    pub const fn cannot_tell(why: String) -> Self {
        Self { outcome: Outcome::Unknown, said: RulesSaid::CannotTell { rule: None, why } }
    }

    /// What a call came to whose messages each have an outcome of their own.
    #[must_use]
    pub fn of_elements(elements: &[ElementClassified]) -> Self {
        let is_success = elements.iter().all(|element| element.classified.outcome.is_success());
        let outcome = if is_success { Outcome::Delivered } else { Outcome::Unknown };
        Self { outcome, said: RulesSaid::Nothing }
    }
}

/// What follows where no rule has a word: by the table of the protocol, or from how the call ended without an answer.
fn table(answer: &Answer, reading: AnswerContext<'_>) -> Outcome {
    match answer {
        Answer::NotSent { is_local: true, .. } => Outcome::Hindered,
        Answer::NotSent { is_local: false, .. } => Outcome::Retry,
        Answer::NotAllowed { .. } => Outcome::Refused,
        Answer::Withheld { retry_after_ms, .. } => {
            Outcome::Withheld { retry_after_ms: *retry_after_ms }
        }
        Answer::Unknown { .. } => Outcome::Unknown,
        Answer::Answered { protocol, status, retry_after_ms, pending, .. } => {
            let (status, retry_after_ms) = (*status, *retry_after_ms);
            let said = StatusSaid { status, retry_after_ms, is_pending: pending.is_some() };
            protocol.outcome(said, reading)
        }
    }
}
