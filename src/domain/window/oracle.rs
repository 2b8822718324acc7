//! A second, slow implementation of windows, for tests.
//!
//! It walks in steps of wall-clock granularity and asks the rules by the highest local time seen so far: a clock that never
//! goes back, which is the whole of the gap and fold rule. Of dates it looks through the lists.

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::{Dates, Hours, OpeningRule, Window};
use crate::domain::time::timestamp;

pub(super) const HOUR_MS: u64 = 3_600_000;
/// All rules and changes of clocks in these tests lie on multiples of this.
pub(super) const STEP_MS: u64 = 15 * 60_000;

/// Whether the rules hold at a wall-clock time, by asking each of them.
fn rules_hold(rules: &[OpeningRule], local: DateTime) -> bool {
    let second =
        u32::try_from(i64::from(local.hour()) * 3600 + i64::from(local.minute()) * 60).unwrap();
    let on = |rule: &OpeningRule, date: Date| {
        let name = format!("{:?}", date.weekday()).to_lowercase();
        rule.days()
            .to_string()
            .replace("mon-sun", "mon,tue,wed,thu,fri,sat,sun")
            .contains(&name[..3])
    };
    rules.iter().any(|rule| {
        let (from, to) = (rule.from().seconds(), rule.to().seconds());
        if from < to {
            on(rule, local.date()) && from <= second && second < to
        } else {
            (on(rule, local.date()) && from <= second)
                || (on(rule, local.date().yesterday().unwrap()) && second < to)
        }
    })
}

/// What is said of a date, by looking through the lists; `None`: it goes by its day of the week.
fn said(window: &Window, date: Date) -> Option<Vec<Hours>> {
    let of = |dates: &Dates| {
        let dated = dates.dated().iter().find(|entry| entry.date == date);
        let closed = dates.closed().contains(&date).then(Vec::new);
        closed.or_else(|| dated.map(|entry| entry.open.clone()))
    };
    of(window.own_dates()).or_else(|| of(&window.calendar()?.dates))
}

/// Whether hours that began on this date hold at a wall-clock time.
fn hours_hold(hours: &[Hours], began: Date, local: DateTime) -> bool {
    hours.iter().any(|hours| {
        let at = |second: u32| {
            let midnight = DateTime::from_parts(began, Time::midnight());
            midnight.checked_add(i64::from(second).seconds()).unwrap()
        };
        let past_midnight = if hours.to() <= hours.from() { 86_400 } else { 0 };
        at(hours.from().seconds()) <= local && local < at(hours.to().seconds() + past_midnight)
    })
}

/// Whether the window is open on a date as the clock shows it, at the highest local time so far.
fn holds(window: &Window, today: Date, highest: DateTime) -> bool {
    if let Some(hours) = said(window, today) {
        return hours_hold(&hours, today, highest);
    }
    let since_yesterday = [highest.date(), highest.date().yesterday().unwrap()]
        .into_iter()
        .any(|date| said(window, date).is_some_and(|hours| hours_hold(&hours, date, highest)));
    since_yesterday || rules_hold(window.rules(), highest)
}

/// Open intervals in `[from_ms, to_ms)` by walking there; starts a day and a half earlier, so that
/// the clock that never goes back has seen what came before.
pub(super) fn oracle(window: &Window, from_ms: u64, to_ms: u64) -> Vec<(u64, u64)> {
    let zone = TimeZone::get(window.time_zone()).unwrap();
    let mut highest = DateTime::MIN;
    let mut found: Vec<(u64, u64)> = Vec::new();
    for at_ms in (from_ms - 36 * HOUR_MS..to_ms).step_by(usize::try_from(STEP_MS).unwrap()) {
        let local = zone.to_datetime(timestamp(at_ms));
        highest = highest.max(local);
        if at_ms < from_ms || !holds(window, local.date(), highest) {
            continue;
        }
        match found.last_mut() {
            Some((_, close_ms)) if *close_ms == at_ms => *close_ms += STEP_MS,
            _ => found.push((at_ms, at_ms + STEP_MS)),
        }
    }
    found
}
