//! A filter: which messages an operation or a search means.
//!
//! Owns the names of its fields and what it lets through. Pure; how it is written in a body, a query or flags
//! is not known here.

use super::message::Message;

/// From a moment (inclusive) until another (exclusive), each if it is given; ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// At or after it.
    pub after_ms: Option<u64>,
    /// Before it.
    pub before_ms: Option<u64>,
}

impl Span {
    fn is_open(self) -> bool {
        self == Self::default()
    }

    /// Nothing without a moment lies in a span, unless it is open on both sides.
    fn holds(self, at_ms: Option<u64>) -> bool {
        let Some(at_ms) = at_ms else { return self.is_open() };
        self.after_ms.is_none_or(|after| at_ms >= after)
            && self.before_ms.is_none_or(|before| at_ms < before)
    }
}

/// Which messages are meant; everything that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Labels that a message must carry, with these values.
    pub labels: Vec<(String, String)>,
    /// Its group.
    pub group: Option<String>,
    /// Words in its last error, or in the reason why it is where it is.
    pub error_contains: Option<String>,
    /// When it was handed over.
    pub created: Span,
    /// When it is due.
    pub due: Span,
    /// When it became final.
    pub ended: Span,
}

impl Filter {
    /// The names of its fields, as they stand in a body, in a query and on the command line.
    pub const NAMES: [&str; 9] = [
        "label",
        "group",
        "error_contains",
        "created_after",
        "created_before",
        "due_after",
        "due_before",
        "final_after",
        "final_before",
    ];

    /// Whether it lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a message is meant.
    #[must_use]
    pub fn matches(&self, message: &Message) -> bool {
        let details = &message.details;
        let labelled = |(name, value): &(String, String)| details.labels.get(name) == Some(value);
        self.labels.iter().all(labelled)
            && (self.group.is_none() || self.group == details.group)
            && self.error_contains.as_deref().is_none_or(|words| has_error(message, words))
            && self.created.holds(Some(message.created_at_ms))
            && self.due.holds(Some(message.due_at_ms))
            && self.ended.holds(message.final_at_ms)
    }
}

fn has_error(message: &Message, words: &str) -> bool {
    let error = message.last_attempt.as_ref().and_then(|attempt| attempt.error.as_deref());
    [error, message.reason.as_deref()].into_iter().flatten().any(|text| text.contains(words))
}
