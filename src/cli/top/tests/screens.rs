//! The other screens, help, sizes, zones and colours.

use jiff::tz::TimeZone;

use super::kit::Operator;
use crate::cli::top::keys::{Effect, press};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_width::UnicodeWidthStr as _;

#[test]
fn tab_goes_round_the_screens_side_by_side() {
    let mut operator = Operator::starts();
    for title in ["operations", "nodes", "doctor", "4 queues"] {
        operator.presses("Tab");
        operator.line(&format!("tidegate top: {title}"));
    }
    for title in ["doctor", "nodes", "operations", "4 queues"] {
        operator.presses("BackTab");
        operator.line(&format!("tidegate top: {title}"));
    }
}

#[test]
fn doctor_is_seen_from_everywhere_and_escape_leads_back() {
    let mut operator = Operator::starts();
    operator.presses("Enter d d");
    operator.line("problem sms: its downstream has been failing since 2026-11-21 08:52:00 UTC");
    operator.line("docs/runbook.md#tidegatedownstreamfailing");
    operator.presses("Esc");
    operator.line("queue sms");
}

#[test]
fn operations_and_nodes_look_as_in_their_commands() {
    let mut operator = Operator::starts();
    operator.presses("Tab");
    operator.line("op_01KAJQ9A");
    operator.line("gateway is back");
    operator.presses("Tab");
    operator.line("gate1");
    operator.line("This answer is from node 01KAJB.");
}

#[test]
fn help_names_every_key_and_any_key_closes_it() {
    let mut operator = Operator::starts();
    operator.presses("?");
    for word in
        ["pause the queue", "cancel the message", "tidegate explain", "Any key closes this."]
    {
        operator.line(word);
    }
    assert_eq!(operator.presses("q"), Effect::Nothing, "it only closes the help");
    assert!(!operator.sees().contains("Any key closes this."));
}

#[test]
fn q_and_control_c_end_it_and_typing_does_not() {
    let mut operator = Operator::starts();
    assert_eq!(operator.presses("q"), Effect::Quit);
    operator.presses("/");
    assert_eq!(operator.presses("q"), Effect::Nothing);
    let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(press(&mut operator.top, control), Effect::Quit);
}

#[test]
fn every_screen_fits_eighty_columns_and_larger_and_smaller_terminals() {
    for keys in
        ["Home", "Enter", "Enter Enter", "Enter Tab w", "d", "Tab", "Tab Tab", "?", "p", "r"]
    {
        for size in [(80, 24), (81, 25), (132, 50), (200, 30), (250, 200)] {
            let mut operator = Operator::starts();
            operator.size = size;
            operator.presses(keys);
            let seen = operator.sees();
            let (columns, lines) = (usize::from(size.0), usize::from(size.1));
            assert!(seen.lines().count() <= lines, "{keys} {size:?}\n{seen}");
            assert!(seen.lines().all(|line| line.width() <= columns), "{keys} {size:?}\n{seen}");
            assert!(seen.starts_with(" tidegate top: "), "{keys} {size:?}\n{seen}");
        }
        for size in [(79, 24), (80, 23), (1, 1), (10, 3), (0, 0)] {
            let mut operator = Operator::starts();
            operator.size = size;
            operator.presses(keys);
            assert!(!operator.sees().contains("sms"), "{size:?}");
        }
    }
    let mut operator = Operator::starts();
    operator.size = (60, 20);
    assert!(operator.sees().starts_with("This terminal has 60 columns and 20 lines."));
    assert_eq!(operator.presses("r y"), Effect::Nothing, "what is not seen is not confirmed");
    assert_eq!(operator.presses("q"), Effect::Quit);
}

#[test]
fn a_wide_terminal_shows_long_names_whole() {
    let mut operator = Operator::starts();
    operator.size = (120, 24);
    operator.line("mails-of-the-northern-region ");
}

#[test]
fn moments_are_in_the_zone_that_was_asked_for() {
    let mut operator = Operator::starts();
    operator.times.zone = Some(TimeZone::get("Asia/Shanghai").unwrap());
    operator.line("2026-11-21 17:00:00 +08:00");
    operator.presses("d");
    operator.line("failing since 2026-11-21 16:52:00 +08:00");
}

#[test]
fn without_colours_there_are_none_and_with_colours_the_words_are_the_same() {
    let mut operator = Operator::starts();
    for keys in ["Home", "Enter", "Enter", "d"] {
        operator.presses(keys);
        operator.paint.has_colours = false;
        let plain = operator.sees();
        assert!(operator.colours().is_empty());
        operator.paint.has_colours = true;
        assert_eq!(operator.sees(), plain);
    }
    let mut operator = Operator::starts();
    operator.paint.has_colours = true;
    assert!(!operator.colours().is_empty());
}
