//! What an operator may have done from here: a few steps, each with a confirmation and its command.
//!
//! Owns which steps a message allows, their requests and their words. Refuses to know who asked.

use http::Method;
use serde_json::json;

use crate::cli::client::{Client, Target};
use crate::cli::exit::Failure;
use crate::cli::messages;
use crate::cli::plain::plain;
use crate::domain::state::State;
use crate::wire::queue::PauseRequest;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Errand {
    /// The queue stops sending, for this reason, until it is resumed.
    Pause(String, String),
    /// The queue sends again.
    Resume(String),
    /// The message is due now.
    Run(String),
    /// The message is withdrawn.
    Cancel(String),
    /// The message is sent again.
    Requeue(String),
}

impl Errand {
    /// The steps that a message in this state allows, each with its key.
    pub(super) fn of_message(id: &str, state: State) -> Vec<(char, Self)> {
        let run = || ('n', Self::Run(id.to_owned()));
        let cancel = || ('c', Self::Cancel(id.to_owned()));
        let requeue = || ('s', Self::Requeue(id.to_owned()));
        match state {
            State::Scheduled => vec![run(), cancel()],
            State::Ready => vec![cancel()],
            State::Uncertain => vec![requeue(), cancel()],
            State::Dead | State::Expired | State::Cancelled => vec![requeue()],
            State::Leased | State::Accepted | State::Delivered => Vec::new(),
        }
    }

    /// What its key is for.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Pause(..) => "pause",
            Self::Resume(_) => "resume",
            Self::Run(_) => "run now",
            Self::Cancel(_) => "cancel",
            Self::Requeue(_) => "send again",
        }
    }

    /// What the operator is asked.
    pub(super) fn question(&self) -> String {
        match self {
            Self::Pause(queue, _) => format!(
                "Pause {}? Nothing is sent from it until it is resumed; messages are still accepted.",
                plain(queue)
            ),
            Self::Resume(queue) => format!(
                "Resume {}? This ends its pause, and opens a gate that the downstream's answers have shut.",
                plain(queue)
            ),
            Self::Run(id) => {
                format!("Make {} due now? Limits and windows still hold.", plain(id))
            }
            Self::Cancel(id) => format!("Cancel {}? It is not sent any more.", plain(id)),
            Self::Requeue(id) => {
                format!("Send {} again? Its attempts are counted from zero.", plain(id))
            }
        }
    }

    /// The command that does the same.
    pub(super) fn command(&self) -> String {
        match self {
            Self::Pause(queue, why) if why.is_empty() => format!("tidegate pause {}", word(queue)),
            Self::Pause(queue, why) => {
                format!("tidegate pause {} --reason {}", word(queue), word(why))
            }
            Self::Resume(queue) => format!("tidegate resume {}", word(queue)),
            Self::Run(id) => format!("tidegate run {}", word(id)),
            Self::Cancel(id) => format!("tidegate cancel {}", word(id)),
            Self::Requeue(id) => format!("tidegate requeue {}", word(id)),
        }
    }

    /// What is said when it is done.
    fn done(&self) -> String {
        match self {
            Self::Pause(queue, _) => {
                format!(
                    "{} is paused until it is resumed; messages are still accepted",
                    plain(queue)
                )
            }
            Self::Resume(queue) => format!("{} is resumed", plain(queue)),
            Self::Run(id) => format!("{} is due now", plain(id)),
            Self::Cancel(id) => format!("{} is cancelled", plain(id)),
            Self::Requeue(id) => format!("{} is requeued", plain(id)),
        }
    }

    /// Has it done; what to say then.
    pub(super) async fn run(&self, client: &Client) -> Result<String, Failure> {
        let (method, target) = self.request();
        let answered = match self {
            Self::Pause(_, why) => {
                let reason = (!why.is_empty()).then(|| why.clone());
                let body = PauseRequest { reason, ..PauseRequest::default() };
                client.send(method, &target, &body).await
            }
            Self::Cancel(_) => client.delete(&target).await,
            Self::Resume(_) | Self::Run(_) | Self::Requeue(_) => {
                client.send(method, &target, &json!({})).await
            }
        };
        answered.map(|_| self.done())
    }

    fn request(&self) -> (Method, Target) {
        let of_message = |id: &str, verb| Target::new(&["v1", "messages", id, verb]);
        match self {
            Self::Pause(queue, _) => (Method::POST, Target::new(&["v1", "queues", queue, "pause"])),
            Self::Resume(queue) => (Method::POST, Target::new(&["v1", "queues", queue, "resume"])),
            Self::Run(id) => (Method::POST, of_message(id, "run")),
            Self::Requeue(id) => (Method::POST, of_message(id, "requeue")),
            Self::Cancel(id) => (Method::DELETE, messages::message(id)),
        }
    }
}

/// A word as a shell takes it.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.~/:".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", plain(text).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_allows_what_the_daemon_allows() {
        let words = |state| -> Vec<_> {
            Errand::of_message("sms_1", state)
                .into_iter()
                .map(|(key, it)| (key, it.word()))
                .collect()
        };
        assert_eq!(words(State::Scheduled), [('n', "run now"), ('c', "cancel")]);
        assert_eq!(words(State::Ready), [('c', "cancel")]);
        assert_eq!(words(State::Uncertain), [('s', "send again"), ('c', "cancel")]);
        for state in [State::Dead, State::Expired, State::Cancelled] {
            assert_eq!(words(state), [('s', "send again")]);
        }
        for state in [State::Leased, State::Accepted, State::Delivered] {
            assert!(words(state).is_empty());
        }
    }

    #[test]
    fn a_command_can_be_copied_into_a_shell() {
        let pause = |why: &str| Errand::Pause("sms".to_owned(), why.to_owned()).command();
        assert_eq!(pause(""), "tidegate pause sms");
        assert_eq!(pause("it's slow; $HOME"), "tidegate pause sms --reason 'it'\\''s slow; $HOME'");
        assert_eq!(pause("deploy"), "tidegate pause sms --reason deploy");
        let cancel = Errand::Cancel("sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M".to_owned());
        assert_eq!(cancel.command(), "tidegate cancel sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M");
    }
}
