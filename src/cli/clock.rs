//! `clock`: Redis' clock, the alarm after a step, and its end by the operator.

use http::Method;
use serde_json::json;

use super::Session;
use super::args::ClockStep;
use super::client::Target;
use super::exit::{Exit, Failure};
use super::queues::as_it_came;
use super::times::{distance, span, stamp};
use crate::wire::node::ClockAnswer;

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
    let clock: ClockAnswer = answer.read()?;
    let now_ms = clock.now.0;
    let now = stamp(&session.times(), now_ms);
    session.screen.line(&format!("Redis' clock says {now}"))?;
    session.screen.line(&alarm(&clock))?;
    Ok(Exit::Ok)
}

/// One sentence on the alarm.
fn alarm(clock: &ClockAnswer) -> String {
    let Some(alarm) = &clock.alarm else {
        return "steady: due times, expiry and retention apply".to_owned();
    };
    let (step, ends) = (step_of(alarm.step_ms), distance(alarm.ends_at.0, clock.now.0));
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
    use crate::wire::Moment;
    use crate::wire::node::ClockAlarmView;

    #[test]
    fn the_alarm_says_what_happened_when_it_ends_and_what_to_do() {
        const NOW_MS: u64 = 1_795_251_600_000;
        let mut clock = ClockAnswer { now: Moment(NOW_MS), alarm: None };
        assert!(alarm(&clock).starts_with("steady"));
        let ends_at = Moment(NOW_MS + 59_000);
        clock.alarm = Some(ClockAlarmView { step_ms: -3_600_020, ends_at });
        let text = alarm(&clock);
        assert!(text.contains("stepped back by 1h"), "{text}");
        assert!(text.contains("apply again in 59s"), "{text}");
        assert!(text.contains("tidegate clock resume"), "{text}");
    }
}
