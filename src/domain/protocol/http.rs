//! What a status of HTTP means: the outcome table of the contract.

use super::StatusSaid;
use crate::domain::classify::AnswerContext;
use crate::domain::outcome::{OnUncertain, Outcome};

/// What follows from a status (RFC 9110, section 15).
pub(super) fn outcome(said: StatusSaid, context: AnswerContext<'_>) -> Outcome {
    let AnswerContext { on_uncertain, retry, is_in_doubt, .. } = context;
    let StatusSaid { status, retry_after_ms, is_pending } = said;
    match status {
        202 if is_pending => Outcome::Accepted,
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
