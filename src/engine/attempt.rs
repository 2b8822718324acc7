//! What is kept of a try: what it came to, and what the message had waited for.
//!
//! Refuses to know what follows from it (see `decide`).

use super::exchange::{Exchanges, Tried};
use crate::domain::message::Attempt;
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::receipt::UNFIT_REFERENCE;
use crate::domain::settlement::Settlement;
use crate::domain::waited::{AttemptWait, WAITED_MS};
use crate::store::Claimed;

impl Exchanges {
    /// What is kept of the try.
    pub(super) fn attempt_of(
        &self,
        message: &Claimed,
        tried: &Tried,
        settlement: &Settlement,
    ) -> Attempt {
        let (status_code, response) = match &tried.answer {
            Answer::Answered { status, content_type, body, .. } => {
                let kept = body.slice(..body.len().min(self.queue.policy.keep_response_bytes));
                (Some(*status), (!kept.is_empty()).then(|| (content_type.clone(), kept)))
            }
            Answer::NotSent { .. }
            | Answer::NotAllowed { .. }
            | Answer::Withheld { .. }
            | Answer::Unknown { .. } => (None, None),
        };
        let wait = self.wait_of(message, tried, settlement);
        self.report_attempt(message, tried, settlement, &wait);
        let succeeded = matches!(tried.outcome, Outcome::Delivered | Outcome::Accepted);
        Attempt {
            attempt: message.attempt,
            started_at_ms: tried.started_at_ms,
            ended_at_ms: tried.ended_at_ms,
            outcome: tried.outcome.as_str().to_owned(),
            status_code,
            error: if succeeded { unfit_reference(&tried.answer) } else { Some(tried.error()) },
            response,
            wait,
        }
    }

    /// What is kept of the wait for the try. A message that did not wait has nothing of it, and so costs nothing.
    fn wait_of(&self, message: &Claimed, tried: &Tried, settlement: &Settlement) -> AttemptWait {
        let policy = &self.queue.policy;
        let (began_ms, created_ms) = (tried.started_at_ms, message.lease.ulid.timestamp_ms());
        let stood = self.line.attempted(policy, message, (began_ms, tried.ended_at_ms));
        if began_ms < created_ms.saturating_add(WAITED_MS) {
            return AttemptWait::default();
        }
        // The due time of the last attempt stands in the message.
        let is_last = matches!(settlement, Settlement::Ack | Settlement::Accept { .. });
        let late_ms = if is_last { 0 } else { began_ms.saturating_sub(message.due_ms) };
        let hours = policy.recipient_hours.as_ref();
        let hours_ms = hours.map_or(0, |hours| {
            hours.closed_before_ms(&message.details, created_ms, message.due_ms)
        });
        AttemptWait { late_ms, hours_ms, stood }
    }
}

/// What is noted of an attempt that succeeded: under its reference no receipt will find the message.
fn unfit_reference(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Answered { pending: Some(pending), .. } if pending.is_unfit => {
            Some(UNFIT_REFERENCE.to_owned())
        }
        _ => None,
    }
}
