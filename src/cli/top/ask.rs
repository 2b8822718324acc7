//! What is asked of the daemon, and what comes of it.
//!
//! Owns the requests of each screen; all of them only read. Refuses to know when they are made (`turns`).

use crate::cli::client::{Client, Target};
use crate::cli::exit::Failure;
use crate::cli::explain;
use crate::cli::messages;
use crate::domain::state::State;
use crate::wire::attempt::{AttemptList, AttemptView};
use crate::wire::doctor::DoctorAnswer;
use crate::wire::explain::ExplanationView;
use crate::wire::history::HistoryAnswer;
use crate::wire::message::{MessageList, MessageView};
use crate::wire::node::NodeList;
use crate::wire::operation::{OperationList, OperationView};
use crate::wire::queue::{QueueList, QueueView};

/// So many messages of a state are shown; the rest is for `tidegate list`.
pub(super) const MESSAGES_MAX: usize = 50;

/// So many minutes of a queue are shown, and the one that is not over.
const MINUTES_ASKED: usize = 61;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// All queues.
    Queues,
    /// One queue.
    Queue(String),
    /// What went through a queue in the last hour.
    History(String),
    /// The first messages of a queue in a state.
    Messages(String, State),
    /// A message without its payload.
    Message(String),
    /// A message with its payload.
    Payload(String),
    /// Why a message waits.
    Explanation(String),
    /// The attempts of a message.
    Attempts(String),
    /// What is wrong.
    Findings,
    /// Steps on many messages.
    Operations,
    /// The daemons that share one Redis.
    Nodes,
}

/// What was answered.
#[derive(Debug)]
pub(super) enum News {
    /// All queues.
    Queues(Vec<QueueView>),
    /// One queue.
    Queue(Box<QueueView>),
    /// What went through a queue in the last hour.
    History(HistoryAnswer),
    /// The first messages of a queue in a state.
    Messages(Vec<MessageView<'static>>),
    /// A message without its payload.
    Message(Box<MessageView<'static>>),
    /// A message with its payload.
    Payload(Box<MessageView<'static>>),
    /// Why a message waits.
    Explanation(ExplanationView),
    /// The attempts of a message.
    Attempts(Vec<AttemptView<'static>>),
    /// What is wrong.
    Findings(DoctorAnswer),
    /// Steps on many messages.
    Operations(Vec<OperationView>),
    /// The daemons that share one Redis.
    Nodes(NodeList),
}

impl Ask {
    /// Where it is asked.
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Queues => Target::new(&["v1", "queues"]),
            Self::Queue(name) => Target::new(&["v1", "queues", name]),
            Self::History(queue) => Target::new(&["v1", "queues", queue, "history"])
                .with("minutes", MINUTES_ASKED.to_string()),
            Self::Messages(queue, state) => Target::new(&["v1", "queues", queue, "messages"])
                .with("state", state.as_str())
                .with("limit", MESSAGES_MAX.to_string()),
            Self::Message(id) => messages::message(id),
            Self::Payload(id) => messages::message(id).with("view", "full"),
            Self::Explanation(id) => explain::target(id),
            Self::Attempts(id) => Target::new(&["v1", "messages", id, "attempts"]),
            Self::Findings => Target::new(&["v1", "doctor"]),
            Self::Operations => Target::new(&["v1", "operations"]),
            Self::Nodes => Target::new(&["v1", "nodes"]),
        }
    }

    /// How long an answer to it holds: what costs the daemon more is asked less often.
    pub(super) const fn holds_ms(&self) -> u64 {
        match self {
            Self::Findings | Self::Payload(_) | Self::History(_) => 10_000,
            _ => 2000,
        }
    }

    /// Asks.
    pub(super) async fn put(&self, client: &Client) -> Result<News, Failure> {
        let answer = client.get(&self.target()).await?;
        Ok(match self {
            Self::Queues => News::Queues(answer.read::<QueueList>()?.queues),
            Self::Queue(_) => News::Queue(answer.read()?),
            Self::History(_) => News::History(answer.read()?),
            Self::Messages(..) => News::Messages(answer.read::<MessageList<'_>>()?.messages),
            Self::Message(_) => News::Message(answer.read()?),
            Self::Payload(_) => News::Payload(answer.read()?),
            Self::Explanation(_) => News::Explanation(answer.read()?),
            Self::Attempts(_) => News::Attempts(answer.read::<AttemptList<'_>>()?.attempts),
            Self::Findings => News::Findings(answer.read()?),
            Self::Operations => News::Operations(answer.read::<OperationList>()?.operations),
            Self::Nodes => News::Nodes(answer.read()?),
        })
    }
}
