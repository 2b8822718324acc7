//! `limits` and `limit NAME`: accounts that several queues share, who uses how much, and what is charged from outside.
//!
//! Owns their words. Refuses to know how a limit is kept.

use super::Session;
use super::args_limits::{ChargeArgs, LimitArgs, LimitStep};
use super::client::{Answer, Target};
use super::exit::{Exit, Failure};
use super::once::{Key, hand_over};
use super::plain::plain;
use super::queues::as_it_came;
use super::table::{whole, words};
use super::times::Times;
use crate::wire::shared_limit::{ChargeRequest, SharedLimitList, SharedLimitView};

/// `limits`.
pub(crate) async fn limits(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "limits"])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let SharedLimitList { limits } = answer.read()?;
    if limits.is_empty() {
        let line = "no shared limits; add [limits.NAME] with a quota or a rate to the config";
        session.screen.line(line)?;
        return Ok(Exit::Ok);
    }
    let times = session.times();
    let rows = limits.iter().map(|limit| row(limit, &times)).collect();
    let columns = [
        whole("LIMIT"),
        whole("VALUE"),
        whole("USED"),
        whole("LEFT"),
        words("NEXT"),
        words("QUEUES"),
    ];
    session.screen.rows(&columns, rows)?;
    Ok(Exit::Ok)
}

/// `limit NAME`, `limit NAME charge N`.
pub(crate) async fn limit(args: &LimitArgs, session: &mut Session) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "limits", &args.name]);
    let answer = match &args.step {
        None => session.client.get(&target).await?,
        Some(LimitStep::Charge(charge)) => charged(&args.name, charge, session).await?,
    };
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let limit: SharedLimitView = answer.read()?;
    let times = session.times();
    let mut pairs =
        vec![("limit".to_owned(), plain(&limit.name)), ("value".to_owned(), value(&limit))];
    if let (Some(used), Some(left)) = (limit.used, limit.left) {
        let charged = limit.charged.filter(|units| *units > 0);
        let charged =
            charged.map_or_else(String::new, |units| format!(", {units} of them charged"));
        pairs.push(("used".to_owned(), format!("{used}{charged}")));
        pairs.push(("left".to_owned(), left.to_string()));
    }
    pairs.push(("next".to_owned(), next(&limit, &times)));
    for used in &limit.by_queue {
        pairs.push((format!("queue.{}", plain(&used.queue)), used_by(&limit, used.used)));
    }
    session.screen.pairs(&pairs)?;
    Ok(Exit::Ok)
}

async fn charged(name: &str, args: &ChargeArgs, session: &mut Session) -> Result<Answer, Failure> {
    let body = ChargeRequest { units: args.units, reason: args.reason.clone() };
    let key = Key::of(args.key.as_ref());
    let target = Target::new(&["v1", "limits", name, "charge"]).keyed(&key.text);
    hand_over(&target, &body, &key, session).await
}

fn row(limit: &SharedLimitView, times: &Times) -> Vec<String> {
    let number = |units: Option<u64>| units.map(|units| units.to_string()).unwrap_or_default();
    let queues: Vec<String> = limit.by_queue.iter().map(|used| plain(&used.queue)).collect();
    vec![
        plain(&limit.name),
        plain(&limit.value),
        number(limit.used),
        number(limit.left),
        next(limit, times),
        if queues.is_empty() { "no queue names it".to_owned() } else { queues.join(", ") },
    ]
}

fn value(limit: &SharedLimitView) -> String {
    let zone = limit.time_zone.as_ref().map(|zone| format!(", {}", plain(zone)));
    format!("{}{}", plain(&limit.value), zone.unwrap_or_default())
}

/// When there is something again.
fn next(limit: &SharedLimitView, times: &Times) -> String {
    match (limit.resets_at, limit.next_at) {
        (Some(at), _) => format!("begins again {} ({})", times.distance(at.0), times.at(at.0)),
        (None, Some(at)) => format!("the next unit passes {}", times.distance(at.0)),
        (None, None) => String::new(),
    }
}

fn used_by(limit: &SharedLimitView, units: u64) -> String {
    let when = if limit.used.is_some() { "in this period" } else { "in the last minute" };
    format!("{units} {when}")
}
