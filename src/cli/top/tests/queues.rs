//! The first screen: order, filter, choice, pause and resume.

use super::kit::{Operator, sms, trouble};
use crate::cli::tests::answers;
use crate::cli::top::ask::Ask;
use crate::cli::top::errand::Errand;
use crate::cli::top::keys::{Effect, paste};
use serde_json::{Value, json};

/// The names of the queues, from top to bottom.
fn names(operator: &mut Operator) -> Vec<String> {
    let seen = operator.sees();
    let rows = seen.lines().skip(2).take_while(|line| !line.is_empty() && !line.starts_with('─'));
    rows.map(|row| row[2..].split(' ').next().unwrap_or_default().to_owned()).collect()
}

fn chosen(operator: &mut Operator) -> String {
    let line = operator.line("> ");
    line.trim_start_matches("> ").split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn what_needs_an_eye_comes_first_and_other_orders_are_a_key_away() {
    let mut operator = Operator::starts();
    let mails = "mails-of-the-no…";
    assert_eq!(names(&mut operator), ["sms", mails, "erp", "print"]);
    operator.presses("o");
    assert_eq!(names(&mut operator), [mails, "erp", "sms", "print"]);
    operator.presses("o");
    assert_eq!(names(&mut operator), ["erp", mails, "print", "sms"]);
}

#[test]
fn the_chosen_queue_stays_so_while_queues_change_places() {
    let mut operator = Operator::starts();
    operator.presses("j j");
    assert_eq!(chosen(&mut operator), "erp");
    operator.presses("o");
    assert_eq!(chosen(&mut operator), "erp");
    operator.presses("End Up k Down Home");
    assert_eq!(chosen(&mut operator), "mails-of-the-no…");
    operator.presses("Up");
    assert_eq!(chosen(&mut operator), "mails-of-the-no…");
}

#[test]
fn a_filter_narrows_while_it_is_typed_and_escape_takes_it_back() {
    let mut operator = Operator::starts();
    operator.presses("/ r");
    assert_eq!(names(&mut operator), ["mails-of-the-no…", "erp", "print"]);
    operator.presses("p");
    assert_eq!(names(&mut operator), ["erp"]);
    operator.presses("Enter");
    assert_eq!(
        operator.line("/rp"),
        " /rp  Esc shows all  Enter open  p pause  r resume  d doctor  ? help  q quit"
    );
    operator.presses("/ x");
    assert!(operator.sees().contains("No queue has this in its name; Esc shows all."));
    operator.presses("Esc");
    assert_eq!(names(&mut operator), ["erp"], "the filter that held before");
    operator.presses("Esc");
    assert_eq!(names(&mut operator).len(), 4);
}

#[test]
fn pause_asks_for_a_reason_and_then_for_a_yes() {
    let mut operator = Operator::starts();
    operator.presses("p");
    assert!(operator.sees().contains("Why is sms to be paused?"));
    operator.types("it's down");
    operator.presses("Backspace Backspace Backspace Backspace");
    operator.types("moved");
    operator.presses("Enter");
    let question = operator.line("Pause sms?");
    assert!(question.contains("Nothing is sent from it until it is resumed"), "{question}");
    operator.line("The same as: tidegate pause sms --reason 'it'\\''s moved'");
    assert_eq!(operator.presses("Enter"), Effect::Nothing, "only y does it");
    let pause = Errand::Pause("sms".to_owned(), "it's moved".to_owned());
    assert_eq!(operator.presses("y"), Effect::Errand(pause));
    operator.line("Asked for: tidegate pause sms");
    operator.top.done(Ok("sms is paused until it is resumed".to_owned()));
    operator.line("sms is paused until it is resumed.");
    operator.presses("j");
    assert!(!operator.sees().contains("is paused until it is resumed."), "it was read");
}

#[test]
fn a_step_that_is_not_confirmed_is_not_done() {
    let mut operator = Operator::starts();
    for keys in ["p Esc", "p Enter n", "p Enter Esc", "r n", "r Esc"] {
        assert_eq!(operator.presses(keys), Effect::Nothing, "{keys}");
        assert_eq!(operator.top.prompt, None, "{keys}");
    }
    assert_eq!(operator.presses("r y"), Effect::Errand(Errand::Resume("sms".to_owned())));
    assert_eq!(operator.presses("r y"), Effect::Nothing, "one step after the other");
}

#[test]
fn a_pasted_text_confirms_nothing() {
    let mut operator = Operator::starts();
    operator.presses("p");
    paste(&mut operator.top, "moved\r\ny\n");
    operator.line("moved  y");
    operator.presses("Enter");
    paste(&mut operator.top, "y");
    operator.line("The same as: tidegate pause sms --reason 'moved  y'");
    operator.presses("Esc /");
    paste(&mut operator.top, "erp");
    assert_eq!(names(&mut operator), ["erp"]);
    operator.presses("Enter Esc");
    paste(&mut operator.top, "q");
    assert_eq!(names(&mut operator).len(), 4);
}

#[test]
fn a_thousand_queues_are_scrolled() {
    fn many(ask: &Ask) -> Value {
        let queues: Vec<Value> =
            (0..1000).map(|n| answers::queue(&json!({"name": format!("q{n:04}")}))).collect();
        if *ask == Ask::Queues { answers::queues(&queues) } else { trouble(ask) }
    }
    let mut operator = Operator::looks_at(many);
    assert_eq!(names(&mut operator)[0], "q0000");
    operator.presses("End");
    assert_eq!(chosen(&mut operator), "q0999");
    assert_eq!(names(&mut operator).last().unwrap(), "q0999");
    operator.presses("PageDown Up");
    assert_eq!(chosen(&mut operator), "q0998");
}

#[test]
fn a_daemon_without_queues_says_where_they_come_from() {
    let mut operator = Operator::looks_at(|_| answers::queues(&[]));
    assert!(operator.sees().contains("[queues.NAME]"));
    assert_eq!(operator.presses("Enter"), Effect::Nothing);
    operator.answers(|_| answers::queues(&[sms()]));
    operator.is_told();
    assert_eq!(names(&mut operator), ["sms"]);
}
