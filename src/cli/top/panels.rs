//! The screens: what each has been told, and which row of it is chosen.
//!
//! Pure. Owns which requests a screen needs. Refuses to know keys (`keys`) and how a screen looks (`view`).

use super::ask::{Ask, News};
use super::listing::Listing;
use crate::domain::state::State;
use crate::wire::attempt::AttemptView;
use crate::wire::doctor::DoctorAnswer;
use crate::wire::explain::ExplanationView;
use crate::wire::history::HistoryAnswer;
use crate::wire::message::MessageView;
use crate::wire::node::NodeList;
use crate::wire::operation::OperationView;
use crate::wire::queue::QueueView;

/// One screen.
#[derive(Debug)]
pub(super) enum Panel {
    /// A queue and its messages.
    Queue(Box<QueuePanel>),
    /// A message.
    Message(Box<MessagePanel>),
    /// What is wrong.
    Findings(Option<DoctorAnswer>, Listing),
    /// Steps on many messages.
    Operations(Option<Vec<OperationView>>, Listing),
    /// The daemons that share one Redis.
    Nodes(Option<NodeList>, Listing),
}

/// A queue and its messages.
#[derive(Debug)]
pub(super) struct QueuePanel {
    pub(super) queue: QueueView,
    /// The state whose messages are shown.
    pub(super) state: State,
    /// `None`: not told yet.
    pub(super) messages: Option<Vec<MessageView<'static>>>,
    /// What went through it in the last hour; `None`: not told yet.
    pub(super) history: Option<HistoryAnswer>,
    pub(super) listing: Listing,
}

/// What is shown of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Facet {
    /// Its fields.
    Fields,
    /// Why it waits.
    Why,
    /// Its attempts.
    Attempts,
    /// Its payload.
    Payload,
}

impl Facet {
    /// All of them, in the order of Tab.
    pub(super) const ALL: [Self; 4] = [Self::Fields, Self::Why, Self::Attempts, Self::Payload];

    /// Its title.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Fields => "message",
            Self::Why => "why",
            Self::Attempts => "attempts",
            Self::Payload => "payload",
        }
    }
}

/// A message.
#[derive(Debug)]
pub(super) struct MessagePanel {
    pub(super) message: MessageView<'static>,
    /// The message with its payload; `None`: not told yet.
    pub(super) whole: Option<Box<MessageView<'static>>>,
    pub(super) facet: Facet,
    pub(super) explanation: Option<ExplanationView>,
    pub(super) attempts: Option<Vec<AttemptView<'static>>>,
    pub(super) listing: Listing,
}

impl Panel {
    /// What has to be asked while it is seen.
    pub(super) fn asks(&self) -> Vec<Ask> {
        match self {
            Self::Queue(panel) => {
                let name = panel.queue.name.clone();
                vec![
                    Ask::Messages(name.clone(), panel.state),
                    Ask::History(name.clone()),
                    Ask::Queue(name),
                ]
            }
            Self::Message(panel) => panel.asks(),
            Self::Findings(..) => vec![Ask::Findings],
            Self::Operations(..) => vec![Ask::Operations],
            Self::Nodes(..) => vec![Ask::Nodes],
        }
    }

    /// Takes in what was answered to one of its requests.
    pub(super) fn take(&mut self, news: News) {
        match (self, news) {
            (Self::Queue(panel), News::Queue(queue)) => panel.queue = *queue,
            (Self::Queue(panel), News::History(told)) => panel.history = Some(told),
            (Self::Queue(panel), News::Messages(messages)) => panel.messages = Some(messages),
            (Self::Message(panel), News::Message(message)) => panel.message = *message,
            (Self::Message(panel), News::Payload(message)) => {
                panel.message = (*message).clone();
                panel.whole = Some(message);
            }
            (Self::Message(panel), News::Explanation(told)) => panel.explanation = Some(told),
            (Self::Message(panel), News::Attempts(told)) => panel.attempts = Some(told),
            (Self::Findings(answer, _), News::Findings(told)) => *answer = Some(told),
            (Self::Operations(answer, _), News::Operations(told)) => *answer = Some(told),
            (Self::Nodes(answer, _), News::Nodes(told)) => *answer = Some(told),
            _ => {}
        }
    }

    /// Which row is chosen.
    pub(super) fn listing(&mut self) -> &mut Listing {
        match self {
            Self::Queue(panel) => &mut panel.listing,
            Self::Message(panel) => &mut panel.listing,
            Self::Findings(_, listing) | Self::Operations(_, listing) | Self::Nodes(_, listing) => {
                listing
            }
        }
    }
}

impl QueuePanel {
    /// Shows first what somebody has to decide on, then what waits.
    pub(super) fn new(queue: QueueView) -> Self {
        let first = [State::Uncertain, State::Dead, State::Ready, State::Leased, State::Scheduled];
        let rest = State::ALL.into_iter().filter(|state| !first.contains(state));
        let mut order = first.into_iter().chain(rest);
        let state = order.find(|state| queue.counts.of(*state) > 0).unwrap_or(State::Ready);
        Self { queue, state, messages: None, history: None, listing: Listing::default() }
    }

    /// The states that have messages, and the one that is shown.
    pub(super) fn states(&self) -> Vec<State> {
        let is_shown = |state: &State| *state == self.state || self.queue.counts.of(*state) > 0;
        State::ALL.into_iter().filter(is_shown).collect()
    }

    /// Shows the messages of the next state, or of the one before.
    pub(super) fn turn(&mut self, is_back: bool) {
        self.state = beside(&self.states(), self.state, is_back);
        (self.messages, self.listing) = (None, Listing::default());
    }

    /// The chosen message.
    pub(super) fn chosen(&self) -> Option<&MessageView<'static>> {
        self.messages.as_ref()?.get(self.listing.at)
    }
}

impl MessagePanel {
    /// As a list has it.
    pub(super) fn new(message: MessageView<'static>, facet: Facet) -> Self {
        let listing = Listing::default();
        Self { message, whole: None, facet, explanation: None, attempts: None, listing }
    }

    /// Shows something else of it.
    pub(super) fn show(&mut self, facet: Facet) {
        (self.facet, self.listing) = (facet, Listing::default());
    }

    /// Shows the next of what there is of it, or the one before.
    pub(super) fn turn(&mut self, is_back: bool) {
        self.show(beside(&Facet::ALL, self.facet, is_back));
    }

    fn asks(&self) -> Vec<Ask> {
        let id = || self.message.id.clone();
        match self.facet {
            Facet::Fields => vec![Ask::Message(id())],
            Facet::Why => vec![Ask::Explanation(id()), Ask::Message(id())],
            Facet::Attempts => vec![Ask::Attempts(id()), Ask::Message(id())],
            Facet::Payload => vec![Ask::Payload(id())],
        }
    }
}

/// The one after this one, or before it; the last is followed by the first.
fn beside<T: Copy + PartialEq>(all: &[T], this: T, is_back: bool) -> T {
    let at = all.iter().position(|it| *it == this).unwrap_or(0);
    let by = if is_back { all.len().saturating_sub(1) } else { 1 };
    all.get((at + by) % all.len().max(1)).copied().unwrap_or(this)
}
