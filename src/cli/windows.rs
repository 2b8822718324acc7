//! `windows`: when the downstream of a queue may be called in the next days, and which dates are not as others.

use jiff::tz::TimeZone;

use super::Session;
use super::args_admin::WindowsArgs;
use super::client::Target;
use super::exit::{Exit, Failure};
use super::queues::as_it_came;
use super::table::whole;
use super::times::{Times, local_date, of_name, span};
use crate::wire::window::{OpeningView, WindowsAnswer};

/// `windows`.
pub(crate) async fn windows(args: &WindowsArgs, session: &mut Session) -> Result<Exit, Failure> {
    let target =
        Target::new(&["v1", "queues", &args.queue, "windows"]).with("days", args.days.to_string());
    let answer = session.client.get(&target).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let answer: WindowsAnswer = answer.read()?;
    let (times, zone) = (session.times(), of_name(&answer.time_zone));
    if answer.windows.is_empty() {
        session.screen.line(&format!("no window opens within {} days", args.days))?;
    } else {
        let rows = answer.windows.iter().map(|window| window_row(window, &times, &zone)).collect();
        session.screen.rows(&["OPENS", "CLOSES", "LENGTH", ""].map(whole), rows)?;
    }
    let dates = marked_dates(&answer, &times, &zone);
    if !dates.is_empty() {
        session.screen.line("")?;
        session.screen.rows(&["DATE", "WHAT HOLDS"].map(whole), dates)?;
    }
    Ok(Exit::Ok)
}

/// The dates that are not as other dates: closed, with hours of their own, or with a change of clocks.
fn marked_dates(answer: &WindowsAnswer, times: &Times, zone: &TimeZone) -> Vec<Vec<String>> {
    let special = answer.dates.iter().map(|it| {
        let what = if it.closed { "closed" } else { "hours of its own" };
        let said_by = it.calendar.as_ref().map_or_else(
            || "by the queue".to_owned(),
            |calendar| format!("by the calendar {calendar}"),
        );
        (it.date.clone(), format!("{what}, {said_by}"))
    });
    let changes = answer.clock_changes.iter().map(|it| {
        let shift_ms = u64::from(it.before_s.abs_diff(it.after_s)) * 1000;
        let way = if it.after_s > it.before_s { "forward" } else { "back" };
        let (date, at) = (local_date(it.at.0, zone), times.at_in(it.at.0, zone));
        (date, format!("clocks go {way} by {}, to {at}", span(shift_ms)))
    });
    let mut rows: Vec<_> = special.chain(changes).collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    rows.into_iter().map(|(date, what)| vec![date, what]).collect()
}

fn window_row(window: &OpeningView, times: &Times, zone: &TimeZone) -> Vec<String> {
    let (opens, closes) = (window.opens_at.map(|at| at.0), window.closes_at.map(|at| at.0));
    let length = opens.zip(closes).map(|(opens, closes)| span(closes.saturating_sub(opens)));
    let stands = match opens {
        Some(opens) if opens > times.now_ms => times.distance(opens),
        _ => "open now".to_owned(),
    };
    let shown = |at: Option<u64>, none: &str| {
        at.map_or_else(|| none.to_owned(), |at| times.at_in(at, zone))
    };
    vec![shown(opens, "always"), shown(closes, "never"), length.unwrap_or_default(), stands]
}
