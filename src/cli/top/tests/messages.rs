//! A queue and its messages, and what may be done with one.

use super::kit::{DEAD, LATER, Operator, trouble};
use crate::cli::tests::answers;
use crate::cli::top::ask::{Ask, News};
use crate::cli::top::errand::Errand;
use crate::cli::top::keys::Effect;
use crossterm::event::KeyCode;
use serde_json::{Value, json};

#[test]
fn a_queue_opens_with_what_needs_a_decision_and_tab_shows_the_other_states() {
    let mut operator = Operator::starts();
    operator.presses("Enter");
    operator.line("[dead 1]");
    assert!(operator.line(DEAD).starts_with("> "), "{}", operator.sees());
    operator.presses("BackTab");
    operator.line("[delivered 90120]");
    operator.line("No message of this queue is delivered.");
    operator.presses("Tab Tab");
    operator.line("[scheduled 128]");
    operator.line(LATER);
    operator.presses("Esc");
    operator.line("4 queues");
}

#[test]
fn only_what_is_seen_is_asked() {
    let mut operator = Operator::starts();
    assert_eq!(operator.top.asks(), [Ask::Queues]);
    operator.presses("Enter Enter");
    assert_eq!(operator.top.asks(), [Ask::Message(DEAD.to_owned())], "no payload");
    operator.presses("w");
    assert_eq!(operator.top.asks()[0], Ask::Explanation(DEAD.to_owned()));
    operator.presses("Tab Tab");
    assert_eq!(operator.top.asks(), [Ask::Payload(DEAD.to_owned())]);
    operator.presses("d");
    assert_eq!(operator.top.asks(), [Ask::Findings]);
}

#[test]
fn a_queue_shows_what_went_through_it_in_the_last_hour() {
    let mut operator = Operator::starts();
    operator.presses("Enter");
    let taken = operator.line("in     ");
    assert!(taken.contains('█') && taken.ends_with(" 1285/min"), "{taken}");
    let delivered = operator.line("delivered ▃");
    assert!(
        delivered.ends_with("  210/min"),
        "the minute that is not over is left out: {delivered}"
    );
    operator.line("failed     ");
    operator.answers(|ask| match ask {
        Ask::History(_) => json!({"begins_at": "2026-11-21T08:00:00.000Z", "taken": [0, 3],
            "delivered": [0, 0], "late": [0, 0], "failed": [0, 0]}),
        ask => trouble(ask),
    });
    operator.is_told();
    assert!(operator.line("in     ").ends_with("    0/min"));
    assert!(!operator.sees().contains("failed     "), "{}", operator.sees());
}

#[test]
fn somebody_who_knows_says_what_became_of_a_message() {
    for (state, of) in [("uncertain", "resolve"), ("accepted", "receipt sms --id")] {
        let mut operator = Operator::starts();
        operator.presses("Enter Enter");
        let message = json!({"id": DEAD, "state": state, "attempts": 1});
        let told = serde_json::from_value(answers::message(&message)).unwrap();
        let ask = Ask::Message(DEAD.to_owned());
        operator.top.take(&ask, Ok(News::Message(Box::new(told))), operator.times.now_ms);
        let keys = operator.line("scroll");
        assert!(keys.contains("v delivered  x dead"), "{keys}");
        operator.press(KeyCode::Char('x'));
        operator.line("Then it is dead, and can");
        operator.press(KeyCode::Esc);
        operator.press(KeyCode::Char('v'));
        operator.line("is delivered.");
        let Effect::Errand(errand) = operator.press(KeyCode::Char('y')) else { panic!("{state}") };
        assert_eq!(errand.command(), format!("tidegate {of} {DEAD} --as delivered"));
    }
}

#[test]
fn why_opens_the_gates_of_the_chosen_message() {
    let mut operator = Operator::starts();
    operator.presses("Enter Tab w");
    operator.line(LATER);
    operator.line("[why]");
    operator.line("position  17 messages before it, in the line of its queue");
    assert!(operator.line("due     ").contains("no"));
    operator.line("[/etc/tidegate/tidegate.toml:14]");
}

#[test]
fn a_message_offers_what_its_state_allows_and_nothing_else() {
    let mut operator = Operator::starts();
    operator.presses("Enter Enter");
    let keys = operator.line("scroll");
    assert!(keys.contains("s send again") && !keys.contains("cancel"), "{keys}");
    for key in ["n y", "c y"] {
        assert_eq!(operator.presses(key), Effect::Nothing, "{key}");
    }
    operator.presses("s");
    operator.line(&format!("The same as: tidegate requeue {DEAD}"));
    assert_eq!(operator.presses("y"), Effect::Errand(Errand::Requeue(DEAD.to_owned())));
    operator.top.done(Ok(String::new()));
    operator.presses("Esc Tab Enter");
    let keys = operator.line("scroll");
    assert!(keys.contains("n run now  c cancel") && !keys.contains("send again"), "{keys}");
    assert_eq!(operator.presses("n y"), Effect::Errand(Errand::Run(LATER.to_owned())));
    operator.top.done(Ok(String::new()));
    assert_eq!(operator.presses("c y"), Effect::Errand(Errand::Cancel(LATER.to_owned())));
}

#[test]
fn the_steps_follow_the_state() {
    let mut operator = Operator::starts();
    operator.presses("Enter Tab w");
    operator.answers(|ask| match ask {
        Ask::Message(_) => {
            answers::message(&json!({"id": LATER, "state": "leased", "attempts": 1}))
        }
        ask => trouble(ask),
    });
    operator.is_told();
    operator.line("Being sent: attempt 1.");
    assert!(!operator.line("scroll").contains("cancel"));
    assert_eq!(operator.presses("c y"), Effect::Nothing);
}

#[test]
fn a_payload_is_shown_as_text_or_in_hexadecimal() {
    let mut operator = Operator::starts();
    operator.presses("Enter Enter BackTab");
    operator.line("bytes of application/json:");
    operator.line(r#""text":"Your parcel is on its way.""#);
    operator.presses("Esc Tab Enter BackTab");
    operator.line("22 bytes of application/octet-stream:");
    operator.line("00000000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  ................");
    operator.line("00000010  48 65 6c 6c 6f 21                                Hello!");
}

#[test]
fn a_long_payload_is_scrolled_to_its_end() {
    fn long(ask: &Ask) -> Value {
        let text: String = (0..200).map(|n| format!("line {n}\n")).collect();
        match ask {
            Ask::Payload(_) => answers::message(
                &json!({"id": DEAD, "state": "dead", "content_type": "text/plain", "payload": text}),
            ),
            ask => trouble(ask),
        }
    }
    let mut operator = Operator::looks_at(long);
    operator.presses("Enter Enter BackTab");
    operator.line("line 0");
    operator.presses("End");
    operator.line("line 199");
    operator.presses("Up");
    assert!(!operator.sees().contains("line 199"));
}

#[test]
fn the_newest_attempt_comes_first() {
    let mut operator = Operator::starts();
    operator.presses("Enter Enter Tab Tab");
    let seen = operator.sees();
    let at = |text: &str| seen.find(text).unwrap_or_else(|| panic!("{text}:\n{seen}"));
    assert!(at("08:53:00") < at("08:51:00"), "{seen}");
    operator.line("422");
}
