//! The protocols in which downstreams answer, and what each one's statuses mean.
//!
//! Owns the list of protocols: one line here and one file beside for each. Refuses to know how bytes travel (see `transport`) and
//! what a queue's own rules say of an answer (see `answer_rules`).

mod http;

use super::classify::AnswerContext;
use super::outcome::Outcome;

/// What an answer was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP, whatever its version.
    Http,
    /// None: nobody is called, and everything counts as taken.
    Null,
}

/// What an answer says in its protocol's own words, before its meaning is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusSaid {
    /// A number of the protocol.
    pub status: u16,
    /// How long the downstream asks to be left alone, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Whether it says that a receipt will follow.
    pub is_pending: bool,
}

impl Protocol {
    /// What a status means, by the table of its protocol.
    #[must_use]
    pub fn outcome(self, said: StatusSaid, context: AnswerContext<'_>) -> Outcome {
        match self {
            Self::Http => http::outcome(said, context),
            Self::Null => Outcome::Delivered,
        }
    }
}
