//! What an operator may do with a message, by the state that it is in.
//!
//! Owns the table, for showing only: the scripts of the store decide, in the step that does it. Refuses to know forms and keys.

use super::state::State;

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

/// The steps that a message in this state takes.
#[must_use]
pub fn legal_steps(state: State, is_callback: bool) -> Vec<MessageStep> {
    MessageStep::ALL.into_iter().filter(|step| step.is_legal(state, is_callback)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_steps() {
        let words = |state, is_callback| {
            let steps = legal_steps(state, is_callback);
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
    }

    #[test]
    fn a_step_reads_back_from_its_word() {
        for step in MessageStep::ALL {
            assert_eq!(MessageStep::of(step.word()), Some(step));
        }
    }
}
