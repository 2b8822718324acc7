//! What a call at the downstream came back with, and the words for what that can mean.
//!
//! Refuses to know which answer means what (see `classify`), how bytes travel (see `transport`) and what is written
//! afterwards (see `engine::settle`).

use bytes::Bytes;

use super::answer_body::AnswerBody;
use super::protocol::Protocol;
use super::receipt::Pending;

/// What came back from the downstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The downstream answered: its status arrived in time, so what it decided is known, even if
    /// the body after it broke off.
    Answered {
        /// What it answered in.
        protocol: Protocol,
        /// A number of the protocol: HTTP's status code.
        status: u16,
        /// `Retry-After`, in milliseconds from now, already resolved if it was a date; 0 where it has
        /// passed or names no time that can be read.
        retry_after_ms: Option<u64>,
        /// `Content-Type` of the answer.
        content_type: Option<String>,
        /// `Content-Encoding` of the answer, where it has one that changes the body's bytes.
        encoding: Option<String>,
        /// The body, as far as it arrived, cut at the call's `response_bytes_max`.
        body: Bytes,
        /// Set where the answer says: accepted, a receipt will follow.
        pending: Option<Pending>,
        /// Why something of the body is missing, for people: it was cut, was still coming at the
        /// deadline, or was lost with the connection. `None`: it came to its end.
        missing: Option<String>,
    },
    /// Surely no byte of the request left: the downstream cannot know of it.
    NotSent {
        /// Why, for people.
        error: String,
        /// Whether this machine was short of something (open files, local ports, memory): that says
        /// nothing about the downstream.
        is_local: bool,
    },
    /// No byte of the request left, and none ever may: it would go where messages may not.
    NotAllowed {
        /// Why, for people.
        error: String,
    },
    /// Nothing of the request left either: the token that the downstream wants to see with it cannot be got now.
    Withheld {
        /// Why, for people.
        error: String,
        /// How long whoever gives it asked to be left alone, in milliseconds from now.
        retry_after_ms: Option<u64>,
    },
    /// Some byte may have left and no status came back: it may have been booked.
    Unknown {
        /// Why, for people.
        error: String,
    },
}

impl Answer {
    /// How long the downstream asked to be left alone, in milliseconds from now.
    #[must_use]
    pub const fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Answered { retry_after_ms, .. } | Self::Withheld { retry_after_ms, .. } => {
                *retry_after_ms
            }
            Self::NotSent { .. } | Self::NotAllowed { .. } | Self::Unknown { .. } => None,
        }
    }

    /// Its status and its body, if there was an answer.
    #[must_use]
    pub fn body(&self) -> Option<(u16, AnswerBody<'_>)> {
        let Self::Answered { status, content_type, encoding, body, missing, .. } = self else {
            return None;
        };
        let (content_type, encoding) = (content_type.as_deref(), encoding.as_deref());
        Some((*status, AnswerBody { content_type, encoding, body, missing: missing.as_deref() }))
    }
}

/// What an answer means. One arm here is one arm in the settler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The downstream has it.
    Delivered,
    /// The downstream took it, and will tell later what became of it.
    Accepted,
    /// It surely did not work this time and may work later: an attempt, with backoff.
    Retry,
    /// This machine could not make the call: no attempt, whatever the downstream would have said.
    Hindered,
    /// Too fast: shuts the gate, is no attempt while `max_age` lasts.
    Throttled {
        /// How long the downstream asked for; `None`: from 1 s, doubling to 1 min.
        retry_after_ms: Option<u64>,
    },
    /// There was no call, as it lacks what it must bring along: waits as after [`Outcome::Throttled`], and says of the
    /// downstream that it cannot be called.
    Withheld {
        /// How long that is asked to last; `None`: from 1 s, doubling to 1 min.
        retry_after_ms: Option<u64>,
    },
    /// Whether it worked cannot be told; `on_uncertain` decides.
    Unknown,
    /// Will never work: dead, or split if it was a batch.
    Refused,
    /// Dead like [`Outcome::Refused`], but five different messages in a row shut the gate.
    Suspect,
    /// Our credentials are wrong: the gate shuts at once and loudly, no attempt.
    Denied,
}

impl Outcome {
    /// Whether the downstream took it.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Delivered | Self::Accepted)
    }

    /// The word for this outcome in `last_attempt`, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Accepted => "accepted",
            Self::Retry => "retry",
            Self::Hindered => "hindered",
            Self::Throttled { .. } => "throttled",
            Self::Withheld { .. } => "withheld",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Suspect => "suspect",
            Self::Denied => "denied",
        }
    }
}

/// What happens when an attempt may or may not have reached the downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUncertain {
    /// At least once: try again.
    Resend,
    /// At most once: wait for a decision.
    Park,
    /// At most once: ask the downstream, and wait for a decision where it cannot tell.
    Probe,
}

impl OnUncertain {
    /// The word for it in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Park => "park",
            Self::Probe => "probe",
        }
    }

    /// Whether a message is never sent again while its last attempt may have arrived.
    #[must_use]
    pub const fn is_at_most_once(self) -> bool {
        matches!(self, Self::Park | Self::Probe)
    }
}
