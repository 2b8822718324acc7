//! `top`: queues, messages and findings on a screen that is kept current, with keys for the usual steps.
//!
//! Two halves. The core is pure: `state` and `panels` hold what was told, `keys` says what a key does, `turns` when something is
//! asked, `view` how it looks. The shell (`shell`, `terminal`) has the terminal, the clock and the client, and decides nothing.
//! Shows the same answers as the other commands, in their words. Refuses to do anything without a confirmation.

mod ask;
mod errand;
mod keys;
mod listing;
mod overview;
mod panels;
mod shell;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod turns;
mod view;

use super::Session;
use super::exit::{Exit, Failure};

/// `top`.
pub(crate) async fn top(session: &mut Session) -> Result<Exit, Failure> {
    if session.screen.is_json() {
        return Err(Failure::usage("`tidegate top` is a screen for people and has no JSON")
            .next("`tidegate queues --output json` gives the same to programs"));
    }
    if !session.screen.out_is_tty {
        return Err(Failure::usage("`tidegate top` needs a terminal, and its output is none")
            .next("`tidegate queues` prints the queues once"));
    }
    shell::run(session).await
}
