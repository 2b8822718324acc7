//! What a call at the downstream came to, and what that means for the message.
//!
//! Owns the outcome table of the contract as one function without branches elsewhere. Refuses to
//! know how bytes travel (see `transport`) and what is written afterwards (see `engine::settle`).

use bytes::Bytes;

use super::receipt::Pending;
use super::retry::RetryPolicy;

/// What came back from the downstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The downstream answered: its status arrived in time, so what it decided is known, even if
    /// the body after it broke off.
    Answered {
        /// The HTTP status (or its equivalent on another transport).
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
            Self::Answered { retry_after_ms, .. } => *retry_after_ms,
            Self::NotSent { .. } | Self::Unknown { .. } => None,
        }
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
    /// The word for this outcome in `last_attempt`, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Accepted => "accepted",
            Self::Retry => "retry",
            Self::Hindered => "hindered",
            Self::Throttled { .. } => "throttled",
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
}

/// The outcome table of the contract.
#[must_use]
pub fn classify(answer: &Answer, reading: AnswerContext<'_>) -> Outcome {
    match answer {
        Answer::NotSent { is_local: true, .. } => Outcome::Hindered,
        Answer::NotSent { is_local: false, .. } => Outcome::Retry,
        Answer::Unknown { .. } => Outcome::Unknown,
        Answer::Answered { status: 202, pending: Some(_), .. } => Outcome::Accepted,
        Answer::Answered { status, retry_after_ms, .. } => {
            classify_status(*status, *retry_after_ms, reading)
        }
    }
}

fn classify_status(
    status: u16,
    retry_after_ms: Option<u64>,
    reading: AnswerContext<'_>,
) -> Outcome {
    let AnswerContext { on_uncertain, retry, is_in_doubt } = reading;
    match status {
        200..=299 => Outcome::Delivered,
        _ if retry.dead_statuses.contains(&status) => Outcome::Refused,
        // "A request with this key is being worked on" tells nothing of how that one ends; without an
        // earlier request it can only be about the message itself.
        409 | 423 | 425 if is_in_doubt => Outcome::Unknown,
        _ if retry.retry_statuses.contains(&status) => Outcome::Retry,
        429 => Outcome::Throttled { retry_after_ms },
        503 if retry_after_ms.is_some() => Outcome::Throttled { retry_after_ms },
        425 => Outcome::Retry,
        408 | 500..=599 => match on_uncertain {
            OnUncertain::Resend => Outcome::Retry,
            OnUncertain::Park | OnUncertain::Probe if retry.safe_statuses.contains(&status) => {
                Outcome::Retry
            }
            OnUncertain::Park | OnUncertain::Probe => Outcome::Unknown,
        },
        400 | 409 | 410 | 413 | 415 | 422 => Outcome::Refused,
        401 | 407 => Outcome::Denied,
        // 403, 404, 405, redirects and the rest of the 4xx.
        300..=499 => Outcome::Suspect,
        // Not a final status of HTTP (RFC 9110, section 15): nobody can tell what it means.
        _ => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after_ms: Option<u64>) -> Answer {
        Answer::Answered {
            status,
            retry_after_ms,
            content_type: None,
            encoding: None,
            body: Bytes::new(),
            pending: None,
            missing: None,
        }
    }

    fn read(answer: &Answer, on_uncertain: OnUncertain, retry: &RetryPolicy) -> Outcome {
        classify(answer, AnswerContext { on_uncertain, retry, is_in_doubt: false })
    }

    fn plain(answer: &Answer, on_uncertain: OnUncertain) -> Outcome {
        read(answer, on_uncertain, &RetryPolicy::default())
    }

    #[test]
    fn a_202_that_says_so_is_accepted_and_no_other_answer_is() {
        let pending = |status| Answer::Answered {
            status,
            retry_after_ms: None,
            content_type: None,
            encoding: None,
            body: Bytes::new(),
            pending: Some(Pending::default()),
            missing: None,
        };
        let of = |answer: &Answer| plain(answer, OnUncertain::Park);
        assert_eq!(of(&pending(202)), Outcome::Accepted);
        assert_eq!(of(&pending(200)), Outcome::Delivered);
        assert_eq!(of(&pending(500)), Outcome::Unknown);
        assert_eq!(of(&status(202, None)), Outcome::Delivered);
    }

    #[test]
    fn the_table_of_the_contract() {
        let resend = |s| plain(&status(s, None), OnUncertain::Resend);
        for s in [200, 201, 202, 204, 299] {
            assert_eq!(resend(s), Outcome::Delivered, "{s}");
        }
        for s in [408, 425, 500, 502, 503, 504, 599] {
            assert_eq!(resend(s), Outcome::Retry, "{s}");
        }
        for s in [400, 409, 410, 413, 415, 422] {
            assert_eq!(resend(s), Outcome::Refused, "{s}");
        }
        for s in [300, 301, 302, 308, 402, 403, 404, 405, 406, 418, 451] {
            assert_eq!(resend(s), Outcome::Suspect, "{s}");
        }
        for s in [100, 101, 199, 600, 999] {
            assert_eq!(resend(s), Outcome::Unknown, "{s}");
        }
        assert_eq!(resend(401), Outcome::Denied);
        assert_eq!(resend(407), Outcome::Denied);
        assert_eq!(resend(429), Outcome::Throttled { retry_after_ms: None });
    }

    #[test]
    fn a_503_is_a_throttle_only_with_retry_after() {
        for policy in [OnUncertain::Resend, OnUncertain::Park] {
            assert_eq!(
                plain(&status(503, Some(2000)), policy),
                Outcome::Throttled { retry_after_ms: Some(2000) }
            );
        }
    }

    #[test]
    fn under_park_408_and_5xx_are_unknown_unless_declared_safe() {
        for s in [408, 500, 502, 503, 504] {
            for policy in [OnUncertain::Park, OnUncertain::Probe] {
                let safe = RetryPolicy { safe_statuses: vec![s], ..RetryPolicy::default() };
                assert_eq!(plain(&status(s, None), policy), Outcome::Unknown);
                assert_eq!(read(&status(s, None), policy, &safe), Outcome::Retry);
            }
        }
        assert_eq!(plain(&status(425, None), OnUncertain::Park), Outcome::Retry);
        let not_sent =
            |is_local| plain(&Answer::NotSent { error: "why".into(), is_local }, OnUncertain::Park);
        assert_eq!(not_sent(false), Outcome::Retry);
        assert_eq!(not_sent(true), Outcome::Hindered);
    }

    #[test]
    fn a_queue_says_of_single_statuses_what_they_mean() {
        let retry = RetryPolicy {
            retry_statuses: vec![404, 409, 503],
            dead_statuses: vec![425, 500],
            ..RetryPolicy::default()
        };
        for policy in [OnUncertain::Resend, OnUncertain::Park, OnUncertain::Probe] {
            for s in [404, 409] {
                assert_eq!(read(&status(s, None), policy, &retry), Outcome::Retry, "{s}");
            }
            for s in [425, 500] {
                assert_eq!(read(&status(s, Some(1000)), policy, &retry), Outcome::Refused, "{s}");
            }
        }
        let asks_to_wait = status(503, Some(1000));
        assert_eq!(read(&asks_to_wait, OnUncertain::Resend, &retry), Outcome::Retry);
    }

    #[test]
    fn after_an_unknown_outcome_a_conflict_is_unknown_too() {
        let doubtful = |s: u16, on_uncertain, retry: &RetryPolicy| {
            classify(&status(s, None), AnswerContext { on_uncertain, retry, is_in_doubt: true })
        };
        let named = RetryPolicy { dead_statuses: vec![409, 423, 425], ..RetryPolicy::default() };
        let again = RetryPolicy { retry_statuses: vec![409, 423, 425], ..RetryPolicy::default() };
        for policy in [OnUncertain::Resend, OnUncertain::Park, OnUncertain::Probe] {
            for s in [409, 423, 425] {
                assert_eq!(doubtful(s, policy, &RetryPolicy::default()), Outcome::Unknown, "{s}");
                assert_eq!(doubtful(s, policy, &again), Outcome::Unknown, "{s}");
                assert_eq!(doubtful(s, policy, &named), Outcome::Refused, "{s}");
            }
            assert_eq!(doubtful(422, policy, &RetryPolicy::default()), Outcome::Refused);
            assert_eq!(doubtful(201, policy, &RetryPolicy::default()), Outcome::Delivered);
            assert_eq!(plain(&status(409, None), policy), Outcome::Refused);
            assert_eq!(plain(&status(423, None), policy), Outcome::Suspect);
        }
    }
}
