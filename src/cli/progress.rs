//! Progress on standard error.
//!
//! Owns the choice: a moving bar on a terminal, else a plain line now and then. Refuses to know
//! what progresses.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::exit::Failure;
use super::screen::Screen;

/// The time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far something has come.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    line_at: Instant,
}

impl Progress {
    /// Progress towards `total`.
    pub(crate) fn new(screen: &Screen, total: u64) -> Self {
        let bar = screen.err_is_tty.then(|| {
            let target = ProgressDrawTarget::stderr();
            ProgressBar::with_draw_target(Some(total), target).with_style(style())
        });
        Self { bar, line_at: Instant::now() + LINE_EVERY }
    }

    /// The total turned out to be another.
    pub(crate) fn grow(&self, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
    }

    /// It has come to `done`; `text` says so in words.
    pub(crate) fn show(
        &mut self,
        done: u64,
        text: &str,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(text.to_owned());
        } else if Instant::now() >= self.line_at {
            self.line_at = Instant::now() + LINE_EVERY;
            screen.note(text)?;
        }
        Ok(())
    }

    /// Something stands in the way: said at once.
    pub(crate) fn stalled(&mut self, text: &str, screen: &mut Screen) -> Result<(), Failure> {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => screen.note(text)?,
        }
        Ok(())
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:30} {percent:>3}%  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
