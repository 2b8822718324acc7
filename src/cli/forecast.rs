//! `forecast`: when the backlog of a queue leaves.
//!
//! Owns how a forecast is laid out; `simulate` shows its own in the same way.

use super::Session;
use super::args_forecast::ForecastArgs;
use super::client::Target;
use super::exit::{Exit, Failure};
use super::queues::as_it_came;
use super::screen::Screen;
use super::table::whole;
use super::times::Times;
use crate::domain::human::count;
use crate::wire::GateWord;
use crate::wire::forecast::{ForecastHourView, ForecastView};

/// The longest bar of a chart, in characters.
const BAR_MAX: u64 = 20;

/// `forecast`.
pub(crate) async fn forecast(args: &ForecastArgs, session: &mut Session) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "queues", &args.queue, "forecast"])
        .with("hours", args.hours.to_string());
    let answer = session.client.get(&target).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let forecast: ForecastView = answer.read()?;
    let times = session.times();
    show(&forecast, &times, &mut session.screen)?;
    Ok(Exit::Ok)
}

/// The sentence, and a chart by hour.
pub(super) fn show(
    forecast: &ForecastView,
    times: &Times,
    screen: &mut Screen,
) -> Result<(), Failure> {
    for sentence in sentences(forecast, times) {
        screen.sentence(0, &sentence)?;
    }
    let most = forecast.by_hour.iter().map(|hour| hour.sent.max(hour.left)).max().unwrap_or(0);
    // Hours in which nothing happens, after everything has left, say nothing.
    let is_quiet = |hour: &&ForecastHourView| hour.due == 0 && hour.sent == 0 && hour.left == 0;
    let quiet = forecast.by_hour.iter().rev().take_while(is_quiet).count();
    let shown = &forecast.by_hour[..forecast.by_hour.len().saturating_sub(quiet)];
    if shown.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    let rows = shown.iter().map(|hour| row(hour, most, times)).collect();
    screen.rows(&["FROM", "DUE", "SENT", "", "LEFT", "GATE"].map(whole), rows)
}

fn sentences(forecast: &ForecastView, times: &Times) -> Vec<String> {
    let mut said = Vec::new();
    let messages = count(forecast.backlog, "message");
    let gate = forecast.binding_gate.as_ref().map(|gate| format!(" ({})", gate.as_str()));
    let gate = gate.unwrap_or_default();
    said.push(match forecast.rate_now {
        _ if forecast.backlog == 0 => "Nothing waits, and nothing becomes due.".to_owned(),
        Some(rate) if rate > 0.0 => format!("{messages} to send, {rate} a second now{gate}."),
        Some(_) if gate.is_empty() => format!("{messages} to send, none of them due yet."),
        Some(_) => format!("{messages} to send, none of them now{gate}."),
        None => format!("{messages} to send, as fast as the downstream answers."),
    });
    match forecast.empties_at {
        _ if forecast.backlog == 0 => {}
        Some(at) => said.push(format!(
            "If nothing more arrives, all of them have left by {}.",
            times.at_and_distance(at.0)
        )),
        None => {
            let left = forecast.by_hour.last().map_or(0, |hour| hour.left);
            said.push(format!("{} left at the end of these hours.", are(left)));
        }
    }
    if let (Some(close), Some(left)) = (forecast.next_close, forecast.left_at_close) {
        let at = times.at_and_distance(close.0);
        said.push(format!("The window closes next at {at}; {} left then.", are(left)));
    }
    if let Some(expired) = forecast.expired.filter(|expired| *expired > 0) {
        said.push(format!("{} before they leave.", expire(expired)));
    }
    said
}

fn are(left: u64) -> String {
    let verb = if left == 1 { "is" } else { "are" };
    format!("{} {verb}", count(left, "message"))
}

fn expire(messages: u64) -> String {
    let verb = if messages == 1 { "expires" } else { "expire" };
    format!("{} {verb}", count(messages, "message"))
}

fn row(hour: &ForecastHourView, most: u64, times: &Times) -> Vec<String> {
    let gate = hour.gate.as_ref().map(GateWord::as_str).unwrap_or_default();
    vec![
        times.at(hour.at.0),
        hour.due.to_string(),
        hour.sent.to_string(),
        bar(hour.sent, most),
        hour.left.to_string(),
        gate.to_owned(),
    ]
}

/// A bar for what is sent; anything at all has at least one character.
fn bar(sent: u64, most: u64) -> String {
    let length = (sent * BAR_MAX).div_ceil(most.max(1)).min(BAR_MAX);
    "#".repeat(usize::try_from(length).unwrap_or(0))
}
