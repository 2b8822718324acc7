//! When a message could leave if no other one stood ahead of it.
//!
//! Owns how the gates follow upon one another: what opens at night may find the window closed, and what waits for the window may find
//! its recipient's hours over. Refuses to know how many others wait (see `domain::forecast`).

#[cfg(test)]
mod tests;

use super::{Gate, GateState, Gates, KeyHold};
use crate::domain::message::Details;
use crate::domain::policy::QueuePolicy;
use crate::domain::time::rfc3339;

/// So often a window, and the hours of a recipient, may send a message to one another: with two openings a day in each, that is some
/// months.
const STEPS_MAX: usize = 500;

impl Gates {
    /// When a message with these details could leave that is due at `due_ms`, if nothing stood ahead of it: by the gates of its
    /// queue, which are `self`, and by what its keys say, where that is known. `None`: nobody can know, since a pause, a limit or a
    /// window has no end that is known, or the time is not known.
    #[must_use]
    pub fn earliest_ms(
        &self,
        policy: &QueuePolicy,
        details: &Details,
        keys: Option<&KeyHold>,
        due_ms: u64,
    ) -> Option<u64> {
        let of_queue = [Gate::Pause, Gate::Throttled].map(|gate| self.of(gate));
        let limits = self.limits_at(details.cost);
        let by_key = keys.into_iter().flat_map(|keys| &keys.limits).map(|(_, until_ms)| *until_ms);
        let held = of_queue.into_iter().chain(limits.into_iter().map(|(_, state)| state));
        let held = held.filter_map(|state| match state {
            GateState::Held { until_ms, .. } => Some(until_ms),
            GateState::Open { .. } => None,
        });
        let mut at_ms = due_ms.max(self.now_ms?);
        for until_ms in held.chain(by_key) {
            at_ms = at_ms.max(until_ms?);
        }
        open_from(policy, details, at_ms)
    }
}

impl Gates {
    /// Why a message cannot leave by the moment that it names, as a sentence; `None`: it can, it names none, or nobody can know.
    /// `due_ms`: its due time.
    #[must_use]
    pub fn why_missed(
        &self,
        policy: &QueuePolicy,
        details: &Details,
        due_ms: u64,
    ) -> Option<String> {
        let by_ms = details.must_dispatch_ms?;
        let earliest_ms = self.earliest_ms(policy, details, None, due_ms)?;
        (earliest_ms > by_ms).then(|| {
            format!(
                "the message can leave the queue \"{}\" at {} at the earliest, which is later than {}",
                policy.name,
                rfc3339(earliest_ms),
                rfc3339(by_ms)
            )
        })
    }
}

/// The first moment, `at_ms` or later, at which both the window and the recipient's hours let a call start.
fn open_from(policy: &QueuePolicy, details: &Details, at_ms: u64) -> Option<u64> {
    let mut at_ms = at_ms;
    for _ in 0..STEPS_MAX {
        let start_ms = match &policy.window {
            Some(window) => window.next_start_ms(at_ms, window.min_remaining_ms())?,
            None => at_ms,
        };
        let reached_ms = match &policy.recipient_hours {
            Some(hours) => hours.first_ms(details, start_ms),
            None => start_ms,
        };
        if reached_ms == start_ms {
            return Some(start_ms);
        }
        at_ms = reached_ms;
    }
    None
}
