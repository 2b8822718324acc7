//! What answers mean at a downstream that says more, or other things, with the body of its answer than with its status.
//!
//! Owns which rule of a queue holds for an answer, or for an element of the list in the answer to a batch, and what
//! that rule finds in it. A condition is true, false, or cannot be told; a rule that perhaps holds is never passed
//! over. Pure, and in time that grows with the length of the body alone. Refuses to know what follows: see `outcome`.

mod each;
mod pattern;
mod pointer;
mod subject;
#[cfg(test)]
mod tests;

pub use self::each::{EachPolicy, ElementSaid, ListSaid};
pub use self::pattern::{BadPattern, BodyPattern, PATTERN_BYTES_MAX};
pub use self::pointer::{BadPointer, JsonPointer, POINTER_BYTES_MAX, POINTER_STEPS_MAX};
use self::subject::{Subject, Truth};
use super::answer_body::AnswerBody;

/// Most rules of a queue.
pub const RULES_MAX: usize = 50;
/// How much of what a rule finds is kept, in characters: more than the longest reference has.
const SHOWN_CHARS_MAX: usize = 500;
/// How much of a single message's answer is read where rules look into it, in bytes, if no more of it is kept.
pub const RULED_BYTES_MAX: usize = 256 << 10;

/// The rules of a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerRules {
    /// In the order in which they are tried; at least one.
    pub rules: Vec<AnswerRule>,
    /// Of a batch: where the list stands whose elements the rules judge.
    pub each: Option<EachPolicy>,
}

/// One rule: conditions that all have to hold, and what the answer means then.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerRule {
    /// One of these statuses; empty: any.
    pub statuses: Vec<u16>,
    /// What stands in the body as text.
    pub body: Option<BodyPattern>,
    /// What stands in the body as JSON.
    pub json: Option<JsonCondition>,
    /// What the answer means.
    pub meaning: RuleMeaning,
    /// Where the downstream's own name for the message stands.
    pub reference: Option<JsonPointer>,
    /// Where the reason stands, for people.
    pub detail: Option<JsonPointer>,
}

/// A condition on a value of a JSON document.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonCondition {
    /// Where it stands.
    pub at: JsonPointer,
    /// What it is; `None`: anything but `null`.
    pub equals: Option<JsonScalar>,
}

/// A value without parts.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonScalar {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// Yes or no.
    Switch(bool),
}

/// What an answer means for which a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleMeaning {
    /// The downstream has the message.
    Delivered,
    /// It took the message, and a receipt will follow.
    Accepted,
    /// It surely did not work this time, and may work later.
    Retry,
    /// Too fast.
    Throttle,
    /// Whether it worked cannot be told.
    Unknown,
    /// It will never work.
    Dead,
}

impl RuleMeaning {
    /// Every meaning.
    pub const ALL: [Self; 6] =
        [Self::Delivered, Self::Accepted, Self::Retry, Self::Throttle, Self::Unknown, Self::Dead];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Accepted => "accepted",
            Self::Retry => "retry",
            Self::Throttle => "throttle",
            Self::Unknown => "unknown",
            Self::Dead => "dead",
        }
    }
}

/// What the rules say of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulesSaid {
    /// No rule holds, or there is none: the table of outcomes decides.
    Nothing,
    /// This rule holds, and none before it.
    Rule(RuleFound),
    /// Whether a rule holds cannot be told, and so nothing else can.
    CannotTell {
        /// Which rule, from 0; `None`: whether there is anything to be judged cannot be told.
        rule: Option<usize>,
        /// Why, for people.
        why: String,
    },
}

/// A rule that holds, and what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFound {
    /// Which one, from 0.
    pub rule: usize,
    /// What it says.
    pub meaning: RuleMeaning,
    /// The downstream's own name for the message.
    pub reference: Option<String>,
    /// The reason, for people.
    pub detail: Option<String>,
}

/// The name of a rule, as the configuration's own errors name it.
#[must_use]
pub fn rule_name(rule: usize) -> String {
    format!("answers[{rule}]")
}

impl AnswerRules {
    /// Whether any rule looks into the body.
    #[must_use]
    pub fn read_bodies(&self) -> bool {
        self.each.is_some() || self.rules.iter().any(AnswerRule::reads_body)
    }

    /// What the rules say of a whole answer.
    #[must_use]
    pub fn judge(&self, status: u16, body: AnswerBody<'_>) -> RulesSaid {
        // Where a status already tells, the body is not read.
        let asked = |rule: &AnswerRule| rule.has_status(status) && rule.reads_body();
        if !self.rules.iter().any(asked) {
            return self.judge_subject(status, &Subject::unread());
        }
        let texts = body.texts();
        self.judge_subject(status, &Subject::of_body(&body, &texts))
    }

    fn judge_subject(&self, status: u16, subject: &Subject<'_>) -> RulesSaid {
        for (at, rule) in self.rules.iter().enumerate() {
            match rule.holds(status, subject) {
                Truth::No => {}
                Truth::Yes => return RulesSaid::Rule(rule.found(at, subject)),
                Truth::CannotTell(why) => return RulesSaid::CannotTell { rule: Some(at), why },
            }
        }
        RulesSaid::Nothing
    }
}

impl AnswerRule {
    fn has_status(&self, status: u16) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&status)
    }

    fn reads_body(&self) -> bool {
        self.body.is_some()
            || self.json.is_some()
            || self.reference.is_some()
            || self.detail.is_some()
    }

    /// Whether all conditions hold. One that surely does not decides, whatever the others cannot tell.
    fn holds(&self, status: u16, subject: &Subject<'_>) -> Truth {
        if !self.has_status(status) {
            return Truth::No;
        }
        let body = self.body.as_ref().map_or(Truth::Yes, |pattern| subject.matches(pattern));
        if body == Truth::No {
            return Truth::No;
        }
        body.and(self.json.as_ref().map_or(Truth::Yes, |json| subject.has(json)))
    }

    /// What a rule that holds finds. What cannot be read of it is not there.
    fn found(&self, at: usize, subject: &Subject<'_>) -> RuleFound {
        let (mut reference, mut detail) =
            self.body.as_ref().map_or((None, None), |pattern| subject.captured(pattern));
        let pointed = |pointer: &Option<JsonPointer>| {
            pointer.as_ref().and_then(|pointer| subject.text_at(pointer))
        };
        reference = reference.or_else(|| pointed(&self.reference));
        detail = detail.or_else(|| pointed(&self.detail));
        let kept = |text: String| {
            let text = text.trim();
            (!text.is_empty()).then(|| text.chars().take(SHOWN_CHARS_MAX).collect::<String>())
        };
        let (reference, detail) = (reference.and_then(kept), detail.and_then(kept));
        RuleFound { rule: at, meaning: self.meaning, reference, detail }
    }
}
