//! What the hours of recipients mean for a message of this queue.

use super::QueuePolicy;
use crate::domain::message::{Details, NewMessage, When};

impl QueuePolicy {
    /// The first moment, `at_ms` or later, at which the recipient of a message may be reached.
    #[must_use]
    pub fn recipient_first_ms(&self, details: &Details, at_ms: u64) -> u64 {
        self.recipient_hours.as_ref().map_or(at_ms, |hours| hours.first_ms(details, at_ms))
    }

    /// Whether the recipient of a message may be reached at this moment.
    #[must_use]
    pub fn reaches_recipient(&self, details: &Details, at_ms: u64) -> bool {
        self.recipient_first_ms(details, at_ms) == at_ms
    }

    /// The message with its due time at the next opening of its recipient's hours, if it lies outside of them.
    #[must_use]
    pub fn within_recipient_hours(&self, message: NewMessage, now_ms: u64) -> NewMessage {
        let due_ms = message.due.at_ms(now_ms);
        let first_ms = self.recipient_first_ms(&message.details, due_ms.max(now_ms));
        if first_ms <= due_ms.max(now_ms) {
            return message;
        }
        NewMessage { due: When::At(first_ms), ..message }
    }

    /// Whether it is known by which clock the hours of the recipient go.
    pub(super) fn check_zone(&self, details: &Details) -> Result<(), String> {
        let Some(hours) = &self.recipient_hours else { return Ok(()) };
        if details.ignores_recipient_hours || hours.zone_of(details).is_some() {
            return Ok(());
        }
        Err(format!(
            "missing; the queue \"{0}\" sends within the hours of recipients: give the IANA name of the recipient's zone, such as \"Europe/Berlin\", or set queues.{0}.recipient_hours.fallback_zone",
            self.name
        ))
    }
}
