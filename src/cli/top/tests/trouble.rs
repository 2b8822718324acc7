//! A daemon that is away, refuses, or forgot what was opened.

use http::StatusCode;
use serde_json::json;

use super::kit::{DEAD, Operator};
use crate::cli::exit::{Exit, Failure};
use crate::cli::tests::answers;

fn away() -> Failure {
    let failure = Failure::new(
        Exit::Unreachable,
        "no daemon can be reached at http://127.0.0.1:7411/: connection refused",
    )
    .next("is the daemon running? `tidegate serve` starts it; --url or TIDEGATE_URL names another");
    Failure { is_nobody_there: true, ..failure }
}

fn problem(status: u16, code: &str, detail: &str) -> Failure {
    let body = answers::problem(status, &json!({"code": code, "detail": detail})).to_string();
    Failure::from_answer(StatusCode::from_u16(status).unwrap(), body.as_bytes())
}

#[test]
fn a_daemon_that_is_away_is_said_and_what_was_known_stays() {
    let mut operator = Operator::starts();
    operator.times.now_ms += 12_000;
    operator.is_refused(&away());
    operator.line("Error: no daemon can be reached at http://127.0.0.1:7411/");
    assert!(operator.says("It is tried again; what is shown is from 12s ago."));
    operator.line("> sms");
    operator.is_told();
    assert!(!operator.sees().contains("Error"));
}

#[test]
fn what_came_of_a_step_does_not_hide_that_the_daemon_went_away() {
    let mut operator = Operator::starts();
    operator.presses("r y");
    operator.top.done(Ok("sms is resumed".to_owned()));
    operator.is_refused(&away());
    operator.line("sms is resumed.");
    operator.line("Error: no daemon can be reached");
}

#[test]
fn a_daemon_that_says_nothing_at_all_is_noticed() {
    let mut operator = Operator::starts();
    operator.times.now_ms += 2000;
    operator.top.asked_ms = Some(operator.times.now_ms);
    operator.times.now_ms += 4000;
    assert!(!operator.sees().contains("has not answered"));
    operator.times.now_ms += 1000;
    assert!(operator.says("was asked 5s ago and has not answered; what is shown is from 7s ago."));
    operator.is_told();
    assert!(!operator.sees().contains("has not answered"));
}

#[test]
fn a_refusal_names_its_remedy() {
    for (status, code, remedy) in [
        (401, "unauthorized", "put a valid token into TIDEGATE_TOKEN"),
        (403, "forbidden", "use a token with the scope that is missing"),
    ] {
        let mut operator = Operator::starts();
        operator.is_refused(&problem(status, code, "this token may not read"));
        assert!(operator.says(&format!("this token may not read ({code})")), "{}", operator.sees());
        assert!(operator.says(remedy), "{}", operator.sees());
    }
}

#[test]
fn a_step_that_is_refused_says_why_and_a_key_takes_it_away() {
    let mut operator = Operator::starts();
    operator.presses("r y");
    operator.top.done(Err(problem(403, "forbidden", "this token may not operate")));
    operator.line("Error: this token may not operate (forbidden).");
    operator.is_told();
    operator.line("Error: this token may not operate (forbidden).");
    operator.presses("j");
    assert!(!operator.sees().contains("Error"));
}

#[test]
fn a_message_that_is_gone_is_said_on_its_screen_alone() {
    let mut operator = Operator::starts();
    operator.presses("Enter Enter");
    operator.is_refused(&problem(404, "not-found", "there is no such message"));
    operator.line("Error: there is no such message (not-found).");
    operator.line(DEAD);
    operator.presses("Esc");
    assert!(!operator.sees().contains("Error"));
}
