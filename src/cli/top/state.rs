//! What `tidegate top` knows and shows: the screens one above the other, and what was last said.
//!
//! Pure. Owns what an answer and a failure change. Refuses to know keys (`keys`), looks (`view`) and when is asked (`turns`).

use super::ask::{Ask, News};
use super::errand::Errand;
use super::overview::Overview;
use super::panels::Panel;
use crate::cli::exit::Failure;

/// The whole state.
#[derive(Debug)]
pub(super) struct Top {
    /// The daemon that is asked.
    pub(super) url: String,
    /// The first screen, below all others.
    pub(super) overview: Overview,
    /// The screens above it; the last one is seen.
    pub(super) panels: Vec<Panel>,
    /// What the operator is asked or is typing.
    pub(super) prompt: Option<Prompt>,
    /// What came of the last step.
    pub(super) said: Option<Said>,
    /// The step that is being done.
    pub(super) busy: Option<Errand>,
    /// What could not be answered the last time that it was asked.
    troubles: Vec<(Ask, Failure)>,
    /// When the daemon answered last, by this machine's clock.
    pub(super) told_ms: u64,
    /// Since when an answer is awaited, by the same clock.
    pub(super) asked_ms: Option<u64>,
    /// The terminal has no room for anything but to say so: nothing can be confirmed that is not seen.
    pub(super) is_cramped: bool,
}

/// What the operator is asked, or is typing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prompt {
    /// Why this queue is to be paused.
    Reason {
        /// The queue.
        queue: String,
        /// What was typed.
        text: String,
    },
    /// Whether this is to be done.
    Confirm(Errand),
    /// Which queues are to be shown; with the filter that held before.
    Filter(String),
    /// All keys are shown.
    Help,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) is_failure: bool,
}

impl Top {
    /// Before anything was told.
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            overview: Overview::default(),
            panels: Vec::new(),
            prompt: None,
            said: None,
            busy: None,
            troubles: Vec::new(),
            told_ms: 0,
            asked_ms: None,
            is_cramped: false,
        }
    }

    /// What has to be asked for what is seen.
    pub(super) fn asks(&self) -> Vec<Ask> {
        self.panels.last().map_or_else(|| vec![Ask::Queues], Panel::asks)
    }

    /// Takes in an answer, or that there was none.
    pub(super) fn take(&mut self, ask: &Ask, answered: Result<News, Failure>, now_ms: u64) {
        self.asked_ms = None;
        self.troubles.retain(|(known, _)| known != ask);
        let news = match answered {
            Ok(news) => news,
            Err(failure) => {
                self.troubles.push((ask.clone(), failure));
                return;
            }
        };
        self.told_ms = now_ms;
        // A daemon that answers one of them is there for the others too.
        self.troubles.retain(|(_, failure)| failure.problem.is_some());
        match news {
            News::Queues(queues) => self.overview.take(queues),
            news => {
                if let News::Queue(queue) = &news {
                    self.overview.take_one(queue);
                }
                let asked = self.panels.iter_mut().find(|panel| panel.asks().contains(ask));
                if let Some(panel) = asked {
                    panel.take(news);
                }
            }
        }
    }

    /// What could not be answered of what is seen.
    pub(super) fn trouble(&self) -> Option<&Failure> {
        let asks = self.asks();
        self.troubles.iter().find(|(ask, _)| asks.contains(ask)).map(|(_, failure)| failure)
    }

    /// What came of a step.
    pub(super) fn done(&mut self, ended: Result<String, Failure>) {
        self.busy = None;
        self.said = Some(match ended {
            Ok(text) => Said { text: format!("{text}."), is_failure: false },
            Err(failure) => Said { text: sentences(&failure), is_failure: true },
        });
    }
}

/// A failure and its remedy in sentences.
pub(super) fn sentences(failure: &Failure) -> String {
    let details = failure.details.iter().map(|detail| format!(" {detail}.")).collect::<String>();
    let next = failure.next.as_ref().map(|next| format!(" Next: {next}."));
    format!("Error: {}.{details}{}", failure.what, next.unwrap_or_default())
}
