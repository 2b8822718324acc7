//! What a step on a message is called, and what it does, in words.
//!
//! Refuses to know which states take it (`domain`) and forms.

use super::words::shell_word;
use crate::domain::message_step::MessageStep;

impl MessageStep {
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
            Self::Reschedule => {
                format!("tidegate reschedule {id} --delay 90s --priority 5 --expires MOMENT")
            }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_its_command() {
        for step in MessageStep::ALL {
            let command = format!("tidegate {} ", step.word());
            assert!(step.command("sms_01").starts_with(&command), "{command}");
        }
    }
}
