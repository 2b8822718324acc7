//! What an operator may do with a message, by the state that it is in.
//!
//! Owns the table, for showing only: the scripts of the store decide, in the step that does it. Refuses to know forms and keys.

use super::id::MessageId;
use super::state::State;

/// How the reason of a message begins that went over into another queue; the id that it has there follows.
pub const MOVED_TO: &str = "moved to ";

/// A step on one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageStep {
    /// It is due now.
    Run,
    /// Somebody says what became of a message of which nobody knows.
    Resolve,
    /// Somebody says in the downstream's place what became of it.
    Receipt,
    /// It is sent again.
    Requeue,
    /// It has another due time, priority or expiry.
    Reschedule,
    /// It has another payload.
    Edit,
    /// It is withdrawn.
    Cancel,
}

impl MessageStep {
    /// Every step, in the order in which they are offered.
    pub const ALL: [Self; 7] = [
        Self::Run,
        Self::Resolve,
        Self::Receipt,
        Self::Requeue,
        Self::Reschedule,
        Self::Edit,
        Self::Cancel,
    ];

    /// The command of this name does it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Reschedule => "reschedule",
            Self::Edit => "edit",
            Self::Resolve => "resolve",
            Self::Receipt => "receipt",
            Self::Requeue => "requeue",
            Self::Cancel => "cancel",
        }
    }

    /// The step of this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.word() == word)
    }

    /// Whether a message in this state takes it.
    #[must_use]
    pub const fn is_legal(self, state: State, is_callback: bool) -> bool {
        match self {
            Self::Run | Self::Reschedule => matches!(state, State::Scheduled | State::Ready),
            // What a callback says is written by the daemon.
            Self::Edit => {
                !is_callback && matches!(state, State::Scheduled | State::Dead | State::Uncertain)
            }
            Self::Resolve => matches!(state, State::Uncertain),
            Self::Receipt => matches!(state, State::Accepted),
            Self::Requeue => {
                matches!(state, State::Dead | State::Uncertain | State::Expired | State::Cancelled)
            }
            Self::Cancel => matches!(state, State::Scheduled | State::Ready | State::Uncertain),
        }
    }
}

/// The steps that a message in this state and with this reason takes: none, once it went over into another queue.
#[must_use]
pub fn legal_steps(state: State, reason: Option<&str>, is_callback: bool) -> Vec<MessageStep> {
    let moved_to = reason.and_then(|reason| reason.strip_prefix(MOVED_TO));
    if state == State::Cancelled && moved_to.is_some_and(|id| id.parse::<MessageId>().is_ok()) {
        return Vec::new();
    }
    MessageStep::ALL.into_iter().filter(|step| step.is_legal(state, is_callback)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_steps() {
        let words = |state, is_callback| {
            let steps = legal_steps(state, None, is_callback);
            steps.iter().map(|step| step.word()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(words(State::Scheduled, false), "run reschedule edit cancel");
        assert_eq!(words(State::Ready, false), "run reschedule cancel");
        assert_eq!(words(State::Uncertain, false), "resolve requeue edit cancel");
        assert_eq!(words(State::Uncertain, true), "resolve requeue cancel");
        assert_eq!(words(State::Dead, false), "requeue edit");
        assert_eq!(words(State::Accepted, false), "receipt");
        assert_eq!(words(State::Expired, false), "requeue");
        assert_eq!(words(State::Leased, false), "");
        assert_eq!(words(State::Delivered, false), "");
        let cancelled = |reason: &str| legal_steps(State::Cancelled, Some(reason), false);
        assert_eq!(cancelled("moved to erp_01JD8Q2W6R9T4Y7B1N0C5V8K3M"), []);
        assert_eq!(
            cancelled("moved to the archive"),
            [MessageStep::Requeue],
            "somebody wrote that"
        );
    }

    #[test]
    fn a_step_reads_back_from_its_word() {
        for step in MessageStep::ALL {
            assert_eq!(MessageStep::of(step.word()), Some(step));
        }
    }
}
