//! Changes of state, as they are told in a stream of events.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Moment, StateWord, Vocabulary, Word};
use crate::domain::change::QueueChange;

/// What an event of the stream is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventName {
    /// The stream is open.
    Ready,
    /// A message has entered a state.
    Message,
    /// Something happened to a queue.
    Queue,
    /// Changes may be missing.
    Gap,
    /// The stream ends, since its listener is too slow.
    Dropped,
    /// The stream ends.
    End,
}

impl EventName {
    /// Every name.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::Message, Self::Queue, Self::Gap, Self::Dropped, Self::End];

    /// The name as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Message => "message",
            Self::Queue => "queue",
            Self::Gap => "gap",
            Self::Dropped => "dropped",
            Self::End => "end",
        }
    }

    /// The event of this name; `None`: only a newer daemon has it.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }
}

/// A message has entered a state.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageChange)]
pub struct MessageChangeView {
    /// When
    pub at: Moment,
    /// The message
    pub id: String,
    /// Its queue
    pub queue: String,
    /// The state
    pub state: StateWord,
}

/// A queue was paused or resumed, or its gate was shut.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueChange)]
pub struct QueueChangeView {
    /// When
    pub at: Moment,
    /// What happened to it
    pub change: QueueChangeWord,
    /// The queue
    pub queue: String,
}

/// What happened to a queue, as a word.
pub type QueueChangeWord = Word<QueueChange>;

impl Vocabulary for QueueChange {
    const NAME: &'static str = "QueueChangeKind";
    const DESCRIPTION: &'static str =
        "What happened to a queue; shut: its gate, by the downstream's answers";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Why changes may be missing, or the stream ends.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = StreamNote)]
pub struct StreamNoteView {
    /// A sentence
    pub detail: String,
}

/// The stream is open; there is nothing more to say.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = StreamReady)]
pub struct StreamReadyView {}

/// The data of an event: of message, of queue, of gap, dropped and end, or of ready.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = StateChange)]
#[serde(untagged)]
pub enum ChangeView {
    /// Of message.
    Message(MessageChangeView),
    /// Of queue.
    Queue(QueueChangeView),
    /// Of gap, dropped and end.
    Note(StreamNoteView),
    /// Of ready.
    Ready(StreamReadyView),
}
