//! A load in words, such as `200000 at 12:00 sms`.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::arrivals::{Arrivals, Arriving};
use super::unknown;
use crate::cli::exit::Failure;
use crate::domain::forecast::whole;
use crate::domain::time::{parse_rfc3339, rfc3339, timestamp};

const EXPECTED: &str = "expected for example \"200000 at 12:00 sms\": how many, when, and in which queue; a moment such as \
                        2026-12-01T12:00:00Z may stand for the time of day";

/// Adds what the words say. A time of day is the next one, in the zone of the queue's window, else in UTC.
pub(super) fn add(text: &str, all: &mut Arrivals) -> Result<(), Failure> {
    let wrong = |why: &str| Failure::usage(format!("--load \"{text}\": {why}; {EXPECTED}"));
    let words: Vec<&str> = text.split_whitespace().collect();
    let [messages, "at", at, name] = words.as_slice() else {
        return Err(wrong("it is not understood"));
    };
    let messages: u64 = messages
        .replace(['_', ','], "")
        .parse()
        .ok()
        .filter(|messages| *messages > 0)
        .ok_or_else(|| wrong(&format!("\"{messages}\" is not a number of messages")))?;
    let from_ms = all.from_ms;
    let no_queue = unknown(name, &all.settings);
    let queue = all.queue(name).ok_or_else(|| Failure::usage(no_queue))?;
    let zone = queue.policy.window.as_ref().map_or(TimeZone::UTC, |window| window.zone().clone());
    let due_ms = moment(at, &zone, from_ms)
        .ok_or_else(|| wrong(&format!("\"{at}\" is neither a time of day nor a moment")))?;
    if due_ms < from_ms {
        let begins = rfc3339(from_ms);
        return Err(wrong(&format!("\"{at}\" is past: virtual time begins at {begins}")));
    }
    let arriving =
        Arriving { due_ms, expires_ms: None, keys: "", cost: 1.0, messages: whole(messages) };
    queue.add(&arriving);
    Ok(())
}

/// The next time of day, or the moment.
fn moment(text: &str, zone: &TimeZone, from_ms: u64) -> Option<u64> {
    if let Ok(at_ms) = parse_rfc3339(text) {
        return Some(at_ms);
    }
    let time: Time = text.parse().ok().or_else(|| format!("{text}:00").parse().ok())?;
    let at_on = |date: Date| {
        let zoned = DateTime::from_parts(date, time).to_zoned(zone.clone()).ok()?;
        u64::try_from(zoned.timestamp().as_millisecond()).ok()
    };
    let today = zone.to_datetime(timestamp(from_ms)).date();
    let today_ms = at_on(today)?;
    if today_ms >= from_ms { Some(today_ms) } else { at_on(today.tomorrow().ok()?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_the_next_one_in_the_zone() {
        let from_ms = parse_rfc3339("2026-11-30T12:30:00Z").unwrap();
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        for (text, zone, expected) in [
            ("12:30", &TimeZone::UTC, Some("2026-11-30T12:30:00.000Z")),
            ("12:00", &TimeZone::UTC, Some("2026-12-01T12:00:00.000Z")),
            ("01:00", &shanghai, Some("2026-11-30T17:00:00.000Z")),
            ("20:00:30", &shanghai, Some("2026-12-01T12:00:30.000Z")),
            ("2026-12-24T18:00:00Z", &shanghai, Some("2026-12-24T18:00:00.000Z")),
            ("noon", &shanghai, None),
            ("25:00", &shanghai, None),
        ] {
            let found = moment(text, zone, from_ms).map(rfc3339);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        // The day of 25 hours, and the night before that of 23.
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (from, text, expected) in [
            ("2026-10-24T22:30:00Z", "00:15", "2026-10-25T23:15:00.000Z"),
            ("2026-03-28T22:30:00Z", "23:00", "2026-03-29T21:00:00.000Z"),
        ] {
            let found = moment(text, &berlin, parse_rfc3339(from).unwrap()).map(rfc3339);
            assert_eq!(found.as_deref(), Some(expected), "{from}");
        }
    }
}
