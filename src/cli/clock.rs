//! `clock`: Redis' clock, the alarm after a step, and its end by the operator.

use http::Method;
use serde_json::{Value, json};

use super::Session;
use super::args::ClockStep;
use super::client::Target;
use super::describe::word;
use super::exit::{Exit, Failure};
use super::queues::as_it_came;
use super::times::{distance, of_answer, span, stamp};

/// `clock`, `clock resume`.
pub(crate) async fn clock(
    step: Option<&ClockStep>,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let answer = match step {
        None => session.client.get(&Target::new(&["v1", "clock"])).await?,
        Some(ClockStep::Resume) => {
            let target = Target::new(&["v1", "clock", "resume"]);
            session.client.send(Method::POST, &target, &json!({})).await?
        }
    };
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let document: Value = answer.read()?;
    let now = stamp(&session.times(), &document["now"]).unwrap_or_else(|| word(&document["now"]));
    session.screen.line(&format!("Redis' clock says {now}"))?;
    session.screen.line(&told(&document))?;
    Ok(Exit::Ok)
}

/// One sentence on the alarm.
fn told(document: &Value) -> String {
    let alarm = &document["alarm"];
    if alarm.is_null() {
        return "steady: due times, expiry and retention apply".to_owned();
    }
    let step = step_of(alarm["step_ms"].as_i64().unwrap_or(0));
    let now_ms = of_answer(&document["now"]).unwrap_or(0);
    let ends = of_answer(&alarm["ends_at"]).map_or_else(String::new, |at| distance(at, now_ms));
    format!(
        "ALARM: it stepped {step}; due times, the end of leases, expiry and retention wait, and apply again \
         {ends} if it stays steady; if this time is correct, run `tidegate clock resume`"
    )
}

/// How far, and the direction.
fn step_of(step_ms: i64) -> String {
    let way = if step_ms < 0 { "back" } else { "ahead" };
    format!("{way} by {}", span(step_ms.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_says_what_happened_when_it_ends_and_what_to_do() {
        let mut clock = json!({ "now": "2026-11-21T09:00:00.000Z", "alarm": null });
        assert!(told(&clock).starts_with("steady"));
        clock["alarm"] = json!({ "step_ms": -3_600_020, "ends_at": "2026-11-21T09:00:59.000Z" });
        let text = told(&clock);
        assert!(text.contains("stepped back by 1h"), "{text}");
        assert!(text.contains("apply again in 59s"), "{text}");
        assert!(text.contains("tidegate clock resume"), "{text}");
    }
}
