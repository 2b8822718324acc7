//! What a call at the downstream came to, and what that means for the message.
//!
//! Owns the outcome table of the contract as one function without branches elsewhere. Refuses to
//! know how bytes travel (see `transport`) and what is written afterwards (see `workers::settler`).

use bytes::Bytes;

use super::receipt::Pending;

/// What came back from the downstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The downstream answered: its status arrived in time, so what it decided is known, even if
    /// the body after it broke off.
    Answered {
        /// The HTTP status (or its equivalent on another transport).
        status: u16,
        /// `Retry-After`, in milliseconds from now, already resolved if it was a date.
        retry_after_ms: Option<u64>,
        /// `Content-Type` of the answer.
        content_type: Option<String>,
        /// The body, as far as it arrived, cut at the call's `response_bytes_max`.
        body: Bytes,
        /// Set where the answer says: accepted, a receipt will follow.
        pending: Option<Pending>,
        /// Whether something of the body is missing: cut, still coming at the deadline, or lost
        /// with the connection. Such a body must not be read as `results`.
        truncated: bool,
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

/// The outcome table of the contract.
///
/// `safe_statuses` are those which, under `park`, surely did nothing (`retry.safe_statuses`).
#[must_use]
pub fn classify(answer: &Answer, on_uncertain: OnUncertain, safe_statuses: &[u16]) -> Outcome {
    match answer {
        Answer::NotSent { is_local: true, .. } => Outcome::Hindered,
        Answer::NotSent { is_local: false, .. } => Outcome::Retry,
        Answer::Unknown { .. } => Outcome::Unknown,
        Answer::Answered { status: 202, pending: Some(_), .. } => Outcome::Accepted,
        Answer::Answered { status, retry_after_ms, .. } => {
            classify_status(*status, *retry_after_ms, on_uncertain, safe_statuses)
        }
    }
}

fn classify_status(
    status: u16,
    retry_after_ms: Option<u64>,
    on_uncertain: OnUncertain,
    safe_statuses: &[u16],
) -> Outcome {
    match status {
        200..=299 => Outcome::Delivered,
        429 => Outcome::Throttled { retry_after_ms },
        503 if retry_after_ms.is_some() => Outcome::Throttled { retry_after_ms },
        425 => Outcome::Retry,
        408 | 500..=599 => match on_uncertain {
            OnUncertain::Resend => Outcome::Retry,
            OnUncertain::Park | OnUncertain::Probe if safe_statuses.contains(&status) => {
                Outcome::Retry
            }
            OnUncertain::Park | OnUncertain::Probe => Outcome::Unknown,
        },
        400 | 409 | 410 | 413 | 415 | 422 => Outcome::Refused,
        401 | 407 => Outcome::Denied,
        // 403, 404, 405, redirects and the rest of the 4xx; and what is no HTTP status at all.
        _ => Outcome::Suspect,
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
            body: Bytes::new(),
            pending: None,
            truncated: false,
        }
    }

    #[test]
    fn a_202_that_says_so_is_accepted_and_no_other_answer_is() {
        let pending = |status| Answer::Answered {
            status,
            retry_after_ms: None,
            content_type: None,
            body: Bytes::new(),
            pending: Some(Pending::default()),
            truncated: false,
        };
        let of = |answer: &Answer| classify(answer, OnUncertain::Park, &[]);
        assert_eq!(of(&pending(202)), Outcome::Accepted);
        assert_eq!(of(&pending(200)), Outcome::Delivered);
        assert_eq!(of(&pending(500)), Outcome::Unknown);
        assert_eq!(of(&status(202, None)), Outcome::Delivered);
    }

    #[test]
    fn the_table_of_the_contract() {
        let resend = |s| classify(&status(s, None), OnUncertain::Resend, &[]);
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
        assert_eq!(resend(401), Outcome::Denied);
        assert_eq!(resend(407), Outcome::Denied);
        assert_eq!(resend(429), Outcome::Throttled { retry_after_ms: None });
    }

    #[test]
    fn a_503_is_a_throttle_only_with_retry_after() {
        for policy in [OnUncertain::Resend, OnUncertain::Park] {
            assert_eq!(
                classify(&status(503, Some(2000)), policy, &[]),
                Outcome::Throttled { retry_after_ms: Some(2000) }
            );
        }
    }

    #[test]
    fn under_park_408_and_5xx_are_unknown_unless_declared_safe() {
        for s in [408, 500, 502, 503, 504] {
            for policy in [OnUncertain::Park, OnUncertain::Probe] {
                assert_eq!(classify(&status(s, None), policy, &[]), Outcome::Unknown);
                assert_eq!(classify(&status(s, None), policy, &[s]), Outcome::Retry);
            }
        }
        assert_eq!(classify(&status(425, None), OnUncertain::Park, &[]), Outcome::Retry);
        let not_sent = |is_local| {
            let answer = Answer::NotSent { error: "why".into(), is_local };
            classify(&answer, OnUncertain::Park, &[])
        };
        assert_eq!(not_sent(false), Outcome::Retry);
        assert_eq!(not_sent(true), Outcome::Hindered);
    }
}
