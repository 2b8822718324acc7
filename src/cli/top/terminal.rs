//! The terminal of this process, taken over and given back.
//!
//! Owns the raw mode and the second screen. Whatever happens (the end of the command, a failure, a panic), the terminal is as it
//! was. Refuses to know what is shown.

use std::io::{self, Stdout, Write};
use std::panic;
use std::sync::Once;
use std::thread;

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

/// The panic of a second run is the same as that of the first.
static HOOK: Once = Once::new();

/// The terminal while it is ours.
pub(super) struct OwnTerminal {
    /// What is drawn on.
    pub(super) canvas: Terminal<CrosstermBackend<Stdout>>,
}

impl OwnTerminal {
    /// Takes the terminal over.
    pub(super) fn take() -> io::Result<Self> {
        restore_before_a_panic_is_told();
        enable_raw_mode()?;
        let taken = || {
            let mut out = io::stdout();
            execute!(out, EnterAlternateScreen, EnableBracketedPaste)?;
            Terminal::new(CrosstermBackend::new(out))
        };
        // Where the second step fails, the first one is taken back.
        taken().map(|canvas| Self { canvas }).inspect_err(|_| give_back(&mut io::stdout()))
    }
}

impl Drop for OwnTerminal {
    fn drop(&mut self) {
        give_back(&mut io::stdout());
    }
}

/// Gives the terminal back; nothing more can be done where that fails.
fn give_back(out: &mut impl Write) {
    drop(execute!(out, DisableBracketedPaste, LeaveAlternateScreen, Show));
    drop(disable_raw_mode());
}

/// What a panic says would stand on the second screen, and vanish with it.
fn restore_before_a_panic_is_told() {
    let own = thread::current().id();
    HOOK.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A task on another thread ends alone, and standard output is this thread's.
            if thread::current().id() == own {
                give_back(&mut io::stdout());
            }
            tell(info);
        }));
    });
}
