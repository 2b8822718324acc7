//! What an operator may do with a message, by the state that it is in.
//!
//! Owns the table, for showing only: the scripts of the store decide, in the step that does it. Refuses to know forms.

use super::words::shell_word;
use crate::domain::state::State;

/// A step on one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageStep {
    Run,
    Reschedule,
    Edit,
    Resolve,
    Receipt,
    Requeue,
    Cancel,
}

impl MessageStep {
    const ALL: [Self; 7] = [
        Self::Run,
        Self::Resolve,
        Self::Receipt,
        Self::Requeue,
        Self::Reschedule,
        Self::Edit,
        Self::Cancel,
    ];

    /// The word in the path of its form.
    pub(super) const fn word(self) -> &'static str {
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
    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.word() == word)
    }

    /// What its button says.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Run => "Run now",
            Self::Reschedule => "Reschedule",
            Self::Edit => "Change payload",
            Self::Resolve => "Decide",
            Self::Receipt => "Report",
            Self::Requeue => "Send again",
            Self::Cancel => "Cancel message",
        }
    }

    /// What it does, in a sentence.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Run => "Makes the message due now. Limits and windows hold.",
            Self::Reschedule => "Gives the message another due time, priority or expiry.",
            Self::Edit => "Replaces the payload. The content type stays.",
            Self::Resolve => {
                "Nobody knows whether the downstream has the message. Say what became of it."
            }
            Self::Receipt => "Reports in the downstream's place what became of the message.",
            Self::Requeue => "Sends the message again. Its attempts are counted from zero.",
            Self::Cancel => "Withdraws the message. It can be sent again later.",
        }
    }

    /// The command that does the same.
    pub(super) fn command(self, id: &str) -> String {
        let id = shell_word(id);
        match self {
            Self::Run => format!("tidegate run {id}"),
            Self::Reschedule => format!("tidegate reschedule {id} --delay 90s"),
            Self::Edit => format!("tidegate edit {id} -d BODY"),
            Self::Resolve => format!("tidegate resolve {id} --as delivered --reason TEXT"),
            Self::Receipt => {
                let queue = id.rsplit_once('_').map_or("QUEUE", |(queue, _)| queue);
                format!("tidegate receipt {queue} --id {id} --as delivered")
            }
            Self::Requeue => format!("tidegate requeue {id}"),
            Self::Cancel => format!("tidegate cancel {id}"),
        }
    }

    /// Whether a message in this state takes it.
    const fn is_legal(self, state: State, is_callback: bool) -> bool {
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
pub(super) fn legal_steps(state: State, is_callback: bool) -> Vec<MessageStep> {
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
            assert!(step.command("sms_01").starts_with("tidegate "));
        }
    }
}
