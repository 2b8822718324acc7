//! What a key does.
//!
//! Pure: the state and a key come in, the state changes, and what is to be done outside of it is given back. Refuses to know
//! how it is done.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::errand::Errand;
use super::listing::{Listing, Motion};
use super::panels::{Facet, MessagePanel, Panel, QueuePanel};
use super::state::{Prompt, Top};

/// So long a reason or a filter may be.
const TEXT_CHARS_MAX: usize = 200;

/// What is to be done after a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing but to show the state.
    Nothing,
    /// A step.
    Errand(Errand),
    /// The end.
    Quit,
}

/// A key was pressed.
pub(super) fn press(top: &mut Top, key: KeyEvent) -> Effect {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    if is_control && matches!(key.code, KeyCode::Char('c' | 'd')) {
        return Effect::Quit;
    }
    if is_control || key.modifiers.contains(KeyModifiers::ALT) {
        return Effect::Nothing;
    }
    if top.is_cramped {
        let is_end = key.code == KeyCode::Char('q');
        return if is_end { Effect::Quit } else { Effect::Nothing };
    }
    top.said = None;
    match top.prompt.take() {
        Some(prompt) => answer(top, prompt, key.code),
        None => command(top, key.code),
    }
}

/// A text was pasted: it is only taken where one is typed, and its line ends confirm nothing.
pub(super) fn paste(top: &mut Top, text: &str) {
    let mut filter = top.overview.filter.clone();
    let into = match &mut top.prompt {
        Some(Prompt::Reason { text, .. }) => text,
        Some(Prompt::Filter(_)) => &mut filter,
        Some(Prompt::Confirm(_) | Prompt::Help) | None => return,
    };
    text.chars().for_each(|sign| type_in(into, if sign.is_control() { ' ' } else { sign }));
    if matches!(top.prompt, Some(Prompt::Filter(_))) {
        top.overview.narrow(filter);
    }
}

fn type_in(text: &mut String, sign: char) {
    if text.chars().count() < TEXT_CHARS_MAX {
        text.push(sign);
    }
}

/// A key while the operator is asked.
fn answer(top: &mut Top, prompt: Prompt, code: KeyCode) -> Effect {
    match (prompt, code) {
        (Prompt::Help, _) => {}
        (Prompt::Filter(before), KeyCode::Esc) => top.overview.narrow(before),
        (Prompt::Filter(_), KeyCode::Enter) => {}
        (Prompt::Filter(before), code) => {
            let mut filter = top.overview.filter.clone();
            edit(&mut filter, code);
            top.overview.narrow(filter);
            top.prompt = Some(Prompt::Filter(before));
        }
        (Prompt::Reason { .. } | Prompt::Confirm(_), KeyCode::Esc) => {}
        (Prompt::Reason { queue, text }, KeyCode::Enter) => {
            let errand = Errand::Pause(queue, text.trim().to_owned());
            top.prompt = Some(Prompt::Confirm(errand));
        }
        (Prompt::Reason { queue, mut text }, code) => {
            edit(&mut text, code);
            top.prompt = Some(Prompt::Reason { queue, text });
        }
        // Only `y` does it: Enter may have been pressed once too often.
        (Prompt::Confirm(errand), KeyCode::Char('y' | 'Y')) if top.busy.is_none() => {
            top.busy = Some(errand.clone());
            return Effect::Errand(errand);
        }
        (Prompt::Confirm(_), KeyCode::Char('n' | 'N')) => {}
        (Prompt::Confirm(errand), _) => top.prompt = Some(Prompt::Confirm(errand)),
    }
    Effect::Nothing
}

fn edit(text: &mut String, code: KeyCode) {
    match code {
        KeyCode::Char(sign) if !sign.is_control() => type_in(text, sign),
        KeyCode::Backspace => drop(text.pop()),
        _ => {}
    }
}

/// A key while nothing is asked.
fn command(top: &mut Top, code: KeyCode) -> Effect {
    match code {
        KeyCode::Char('q') => return Effect::Quit,
        KeyCode::Char('?') => top.prompt = Some(Prompt::Help),
        KeyCode::Esc => {
            if top.panels.pop().is_none() {
                top.overview.narrow(String::new());
            }
        }
        KeyCode::Tab => turn(top, false),
        KeyCode::BackTab => turn(top, true),
        KeyCode::Enter => open(top, Facet::Fields),
        KeyCode::Char('w') => open(top, Facet::Why),
        KeyCode::Char('d') => doctor(top),
        KeyCode::Char('p') => {
            let reason = |queue| Prompt::Reason { queue, text: String::new() };
            top.prompt = queue_of(top).map(reason);
        }
        KeyCode::Char('r') => {
            top.prompt = queue_of(top).map(|queue| Prompt::Confirm(Errand::Resume(queue)));
        }
        KeyCode::Char('/') if top.panels.is_empty() => {
            top.prompt = Some(Prompt::Filter(top.overview.filter.clone()));
        }
        KeyCode::Char('o') if top.panels.is_empty() => top.overview.reorder(),
        code => match motion(code) {
            Some(motion) => go(top, motion),
            None => message_step(top, code),
        },
    }
    Effect::Nothing
}

const fn motion(code: KeyCode) -> Option<Motion> {
    Some(match code {
        KeyCode::Up | KeyCode::Char('k') => Motion::Up,
        KeyCode::Down | KeyCode::Char('j') => Motion::Down,
        KeyCode::PageUp => Motion::PageUp,
        KeyCode::PageDown | KeyCode::Char(' ') => Motion::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Motion::Home,
        KeyCode::End | KeyCode::Char('G') => Motion::End,
        _ => return None,
    })
}

fn go(top: &mut Top, motion: Motion) {
    match top.panels.last_mut() {
        Some(panel) => panel.listing().go(motion),
        None => top.overview.go(motion),
    }
}

/// The queue that `p` and `r` mean.
fn queue_of(top: &Top) -> Option<String> {
    match top.panels.last() {
        None => top.overview.chosen().map(|queue| queue.name.clone()),
        Some(Panel::Queue(panel)) => Some(panel.queue.name.clone()),
        Some(Panel::Message(panel)) => Some(panel.message.queue.to_string()),
        Some(Panel::Findings(..) | Panel::Operations(..) | Panel::Nodes(..)) => None,
    }
}

/// Opens what is chosen.
fn open(top: &mut Top, facet: Facet) {
    let panel = match top.panels.last_mut() {
        None => top
            .overview
            .chosen()
            .map(|queue| Panel::Queue(Box::new(QueuePanel::new(queue.clone())))),
        Some(Panel::Queue(panel)) => panel
            .chosen()
            .map(|message| Panel::Message(Box::new(MessagePanel::new(message.clone(), facet)))),
        Some(Panel::Message(panel)) => {
            panel.show(facet);
            None
        }
        Some(Panel::Findings(..) | Panel::Operations(..) | Panel::Nodes(..)) => None,
    };
    // Why a queue does not send stands on its screen.
    top.panels.extend(panel);
}

/// What is wrong, above what is seen.
fn doctor(top: &mut Top) {
    if !matches!(top.panels.last(), Some(Panel::Findings(..))) {
        top.panels.push(Panel::Findings(None, Listing::default()));
    }
}

/// The next of the screens side by side, or of what a screen shows.
fn turn(top: &mut Top, is_back: bool) {
    let next = match top.panels.last_mut() {
        Some(Panel::Queue(panel)) => return panel.turn(is_back),
        Some(Panel::Message(panel)) => return panel.turn(is_back),
        None if is_back => Some(Panel::Findings(None, Listing::default())),
        None => Some(Panel::Operations(None, Listing::default())),
        Some(Panel::Operations(..)) if is_back => None,
        Some(Panel::Operations(..)) => Some(Panel::Nodes(None, Listing::default())),
        Some(Panel::Nodes(..)) if is_back => Some(Panel::Operations(None, Listing::default())),
        Some(Panel::Nodes(..)) => Some(Panel::Findings(None, Listing::default())),
        Some(Panel::Findings(..)) if is_back => Some(Panel::Nodes(None, Listing::default())),
        Some(Panel::Findings(..)) => None,
    };
    top.panels = next.into_iter().collect();
}

/// A step that the state of the message on the screen allows.
fn message_step(top: &mut Top, code: KeyCode) {
    let Some(Panel::Message(panel)) = top.panels.last() else { return };
    let Some(state) = panel.message.state.known() else { return };
    let steps = Errand::of_message(&panel.message, state);
    let step = steps.into_iter().find(|(key, _)| code == KeyCode::Char(*key));
    top.prompt = step.map(|(_, errand)| Prompt::Confirm(errand));
}
