//! What others wrote does not steer the terminal, wherever it stands.

use serde_json::{Value, json};

use super::kit::{DEAD, Operator, dead, trouble};
use crate::cli::tests::answers;
use crate::cli::top::ask::Ask;

/// Clears the screen, sets the title, turns the order of letters, and begins a new line.
const EVIL: &str = "a\u{1b}[2Jb\u{1b}]0;pwned\u{7}c\u{9b}31md\u{202e}e\u{200b}f\r\ng\u{8}h\ti";

/// The installation in trouble, with this text wherever somebody else may write one.
fn evil(ask: &Ask) -> Value {
    let failing = json!({"since": "2026-11-21T08:52:00.000Z", "attempts": 3, "last_error": EVIL});
    let queue = answers::queue(&json!({
        "name": "sms", "counts": {"dead": 1}, "rate": {"configured": EVIL, "observed_1m": 0.0},
        "failing": failing, "paused": {"reason": EVIL, "by": EVIL},
        "limits": [answers::limit(&json!({"name": EVIL, "value": EVIL, "per": EVIL, "held_keys": 1}))],
        "sending": {"state": "failing", "reason": EVIL},
    }));
    let message = |payload: Option<Value>| {
        let mut message = dead(false);
        message["labels"] = json!({EVIL: EVIL});
        message["reason"] = json!(EVIL);
        message["group"] = json!(EVIL);
        message["content_type"] = json!(format!("text/plain; x={EVIL}"));
        message["last_attempt"]["error"] = json!(EVIL);
        message["last_attempt"]["outcome"] = json!(EVIL);
        if let Some(payload) = payload {
            message["payload"] = payload;
        }
        message
    };
    match ask {
        Ask::Queues => answers::queues(&[queue]),
        Ask::Queue(_) => queue,
        Ask::History(_) => {
            json!({"begins_at": "2026-11-21T08:00:00.000Z", "taken": [1], "delivered": [],
            "late": [], "failed": []})
        }
        Ask::Messages(..) => answers::messages(&[message(None)], &Value::Null),
        Ask::Message(_) => message(None),
        Ask::Payload(_) => message(Some(json!(EVIL))),
        Ask::Explanation(_) => json!({"state": "scheduled", "sentence": EVIL, "position": null,
            "earliest_at": null, "expected_at": null, "gates": [{"gate": EVIL, "passes": false, "opens_at": null,
                "detail": EVIL, "setting": EVIL, "blocked_by": [{"id": EVIL}], "blocked_by_total": 1}]}),
        Ask::Attempts(_) => {
            json!({"attempts": [{"attempt": 1, "started_at": "2026-11-21T08:52:00.000Z",
            "ended_at": "2026-11-21T08:52:00.000Z", "outcome": EVIL, "status_code": 500, "error": EVIL}]})
        }
        Ask::Findings => answers::doctor(&[answers::finding(&json!({
            "about": EVIL, "detail": EVIL, "remedy": EVIL, "runbook": EVIL}))]),
        Ask::Operations => {
            json!({"operations": [answers::operation(&json!({"reason": EVIL, "by": EVIL}))]})
        }
        Ask::Nodes => answers::nodes(&[answers::node(&json!({"host": EVIL, "version": EVIL}))]),
    }
}

#[test]
fn no_control_character_reaches_a_cell() {
    let is_odd = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}');
    for keys in [
        "Home",
        "Enter",
        "Enter Enter",
        "Enter w",
        "Enter w Tab",
        "Enter w Tab Tab",
        "d",
        "Tab",
        "Tab Tab",
        "r",
    ] {
        let mut operator = Operator::looks_at(evil);
        operator.presses(keys);
        let buffer = operator.buffer();
        let odd: Vec<_> =
            buffer.content.iter().filter(|cell| cell.symbol().chars().any(is_odd)).collect();
        assert!(odd.is_empty(), "{keys}: {odd:?}");
        let seen = operator.sees();
        assert!(seen.contains("[2Jb"), "{keys}: the text itself is shown\n{seen}");
    }
}

#[test]
fn a_queue_or_a_message_of_an_odd_name_is_shown_and_asked_for_as_it_is() {
    fn odd(ask: &Ask) -> Value {
        let queue = answers::queue(&json!({"name": "s\u{1b}[2Jms", "counts": {"dead": 1}}));
        match ask {
            Ask::Queues => answers::queues(&[queue]),
            Ask::Queue(_) => queue,
            ask => trouble(ask),
        }
    }
    let mut operator = Operator::looks_at(odd);
    operator.presses("Enter");
    assert_eq!(operator.top.asks()[2], Ask::Queue("s\u{1b}[2Jms".to_owned()));
    operator.line("queue s [2Jms");
    operator.line(DEAD);
    operator.presses("p Enter");
    operator.line("tidegate pause 's [2Jms'");
}
