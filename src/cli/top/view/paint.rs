//! How things look: with colours, or without where `NO_COLOR` says so.
//!
//! Colours only repeat what words and signs say already.

use ratatui::style::{Color, Modifier, Style};

use crate::domain::state::State;
use crate::wire::queue::SendingState;

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli::top) struct Paint {
    /// Whether there are.
    pub(in crate::cli::top) has_colours: bool,
}

impl Paint {
    fn coloured(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// The first and the last line.
    pub(super) const fn edge() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A title.
    pub(super) const fn title() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The chosen row, which also has a sign before it.
    pub(super) const fn chosen() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What went wrong.
    pub(super) fn alarm(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A count of messages in a state that needs somebody's eye.
    pub(super) fn count(self, state: State, count: u64) -> Style {
        match state {
            State::Dead if count > 0 => self.coloured(Color::Red),
            State::Uncertain if count > 0 => self.coloured(Color::Yellow),
            _ => Style::new(),
        }
    }

    /// The word for whether a queue sends.
    pub(super) fn sending(self, state: Option<SendingState>) -> Style {
        match state {
            Some(SendingState::Shut | SendingState::Failing) => self.alarm(),
            Some(SendingState::Paused | SendingState::Closed) => self.coloured(Color::Yellow),
            Some(SendingState::Open) => self.coloured(Color::Green),
            None => Style::new(),
        }
    }
}
