//! What an operator may have done from here: a few steps, each with a confirmation and its command.
//!
//! Owns which steps a message allows, their requests and their words. Refuses to know who asked.

use http::Method;
use serde_json::json;

use crate::cli::client::{Client, Target};
use crate::cli::exit::Failure;
use crate::cli::messages;
use crate::cli::plain::plain;
use crate::domain::message_step::{MessageStep, legal_steps};
use crate::domain::receipt::ReceiptSaid;
use crate::domain::state::State;
use crate::wire::message::MessageView;
use crate::wire::queue::PauseRequest;
use crate::wire::receipt::RECEIPT_TYPE;

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
    /// Somebody knows what became of an uncertain message.
    Resolve(String, ReceiptSaid),
    /// Somebody knows what became of a message of this queue whose receipt is awaited.
    Receipt(String, String, ReceiptSaid),
}

impl Errand {
    /// The steps that a message in this state allows, each with its key. What needs a text of its own has no key.
    pub(super) fn of_message(message: &MessageView<'_>, state: State) -> Vec<(char, Self)> {
        let id = || message.id.clone();
        let receipt = |said| Self::Receipt(message.queue.to_string(), id(), said);
        let keys = |step| match step {
            MessageStep::Run => vec![('n', Self::Run(id()))],
            MessageStep::Resolve => vec![
                ('v', Self::Resolve(id(), ReceiptSaid::Delivered)),
                ('x', Self::Resolve(id(), ReceiptSaid::Dead)),
            ],
            MessageStep::Receipt => {
                vec![('v', receipt(ReceiptSaid::Delivered)), ('x', receipt(ReceiptSaid::Dead))]
            }
            MessageStep::Requeue => vec![('s', Self::Requeue(id()))],
            MessageStep::Cancel => vec![('c', Self::Cancel(id()))],
            MessageStep::Reschedule | MessageStep::Edit => Vec::new(),
        };
        legal_steps(state, message.reason.as_deref(), false).into_iter().flat_map(keys).collect()
    }

    /// What its key is for.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Pause(..) => "pause",
            Self::Resume(_) => "resume",
            Self::Run(_) => "run now",
            Self::Cancel(_) => "cancel",
            Self::Requeue(_) => "send again",
            Self::Resolve(_, said) | Self::Receipt(_, _, said) => said.as_str(),
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
            Self::Resolve(id, ReceiptSaid::Delivered)
            | Self::Receipt(_, id, ReceiptSaid::Delivered) => {
                format!("Does the downstream have {}? Then it is delivered.", plain(id))
            }
            Self::Resolve(id, ReceiptSaid::Dead) | Self::Receipt(_, id, ReceiptSaid::Dead) => {
                format!("Give {} up? Then it is dead, and can be sent again later.", plain(id))
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
            Self::Resolve(id, said) => {
                format!("tidegate resolve {} --as {}", word(id), said.as_str())
            }
            Self::Receipt(queue, id, said) => {
                format!("tidegate receipt {} --id {} --as {}", word(queue), word(id), said.as_str())
            }
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
            Self::Resolve(id, _) | Self::Receipt(_, id, _) => {
                format!("{} is {}", plain(id), self.word())
            }
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
            Self::Resolve(_, said) => {
                client.send(method, &target, &json!({"as": said.as_str()})).await
            }
            Self::Receipt(_, id, said) => {
                let body = json!({"id": id, "status": said.as_str()});
                client.send(method, &target, &body).await
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
            Self::Resolve(id, _) => (Method::POST, of_message(id, "resolve")),
            Self::Receipt(queue, ..) => {
                let target = Target::new(&["v1", "queues", queue, "receipts"]);
                (Method::POST, target.typed(RECEIPT_TYPE))
            }
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
    use crate::cli::tests::answers;

    #[test]
    fn a_state_allows_what_the_daemon_allows() {
        let message: MessageView<'static> = serde_json::from_value(answers::message(
            &json!({"id": "sms_01KAJQ7V3M8Y2C5T9W4X6Z1B0D", "state": "dead"}),
        ))
        .unwrap();
        let words = |state| -> String {
            let steps = Errand::of_message(&message, state).into_iter();
            steps.map(|(key, it)| format!("{key} {} ", it.word())).collect()
        };
        assert_eq!(words(State::Scheduled), "n run now c cancel ");
        assert_eq!(words(State::Ready), "n run now c cancel ");
        assert_eq!(words(State::Uncertain), "v delivered x dead s send again c cancel ");
        assert_eq!(words(State::Accepted), "v delivered x dead ");
        for state in [State::Dead, State::Expired, State::Cancelled] {
            assert_eq!(words(state), "s send again ");
        }
        for state in [State::Leased, State::Delivered] {
            assert_eq!(words(state), "");
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
        let resolve = Errand::Resolve("erp_01".to_owned(), ReceiptSaid::Dead);
        assert_eq!(resolve.command(), "tidegate resolve erp_01 --as dead");
        let receipt =
            Errand::Receipt("erp".to_owned(), "erp_01".to_owned(), ReceiptSaid::Delivered);
        assert_eq!(receipt.command(), "tidegate receipt erp --id erp_01 --as delivered");
    }
}
