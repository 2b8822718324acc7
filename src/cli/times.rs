//! Moments and durations as an operator writes and reads them.
//!
//! Owns local times, time zones and words such as "3h 12m". Refuses to decide anything by this
//! machine's clock: it is read for such words alone, Redis decides what time it is.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

use super::exit::Failure;
use crate::domain::time::{parse_rfc3339, timestamp};

/// A moment that was written as a local time, and what is odd about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    /// A sentence, where the clocks change at that time.
    pub(crate) note: Option<String>,
}

/// This machine's clock.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// Reads RFC 3339, or a local time in `zone` (without one: in this machine's zone).
///
/// A local time that does not exist is the instant of the change itself; one that occurs twice is
/// the first. Both are the rule of windows too.
pub(crate) fn moment(text: &str, zone: Option<&str>) -> Result<Moment, Failure> {
    if let Ok(at_ms) = parse_rfc3339(text) {
        if zone.is_some() {
            return Err(Failure::usage(format!("\"{text}\" has an offset of its own"))
                .next("leave out --tz, or the offset"));
        }
        return Ok(Moment { at_ms, note: None });
    }
    let local =
        padded(text.trim()).parse::<DateTime>().ok().filter(|_| !text.contains(['[', 'Z', 'z']));
    let local = local.ok_or_else(|| {
        Failure::usage(format!("\"{text}\" is not a valid moment")).next(
            "expected RFC 3339, for example 2026-11-21T09:00:00Z, or a local time such as \"2026-11-21 09:00\"",
        )
    })?;
    in_zone(local, &zone_named(zone)?)
}

/// With two digits where one was written: `2026-11-30 9:00` is `2026-11-30 09:00`.
fn padded(text: &str) -> String {
    let mut padded = String::with_capacity(text.len() + 4);
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = rest.split_at(at);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        padded.push_str(before);
        // The digits after a point are a fraction.
        if end == 1 && !padded.ends_with('.') {
            padded.push('0');
        }
        padded.push_str(&digits[..end]);
        rest = &digits[end..];
    }
    padded + rest
}

fn zone_named(name: Option<&str>) -> Result<TimeZone, Failure> {
    let Some(name) = name else { return Ok(TimeZone::system()) };
    TimeZone::get(name).map_err(|_| {
        Failure::usage(format!("\"{name}\" is not a valid time zone"))
            .next("expected a name of the IANA list, for example Asia/Shanghai")
    })
}

fn in_zone(local: DateTime, zone: &TimeZone) -> Result<Moment, Failure> {
    let out_of_range = |_| Failure::usage(format!("{local} is out of range"));
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let offset = ambiguous.offset();
    let nominal = ambiguous.compatible().map_err(out_of_range)?;
    let zone_name = zone.iana_name().unwrap_or("the local zone");
    let (at, note) = match offset {
        AmbiguousOffset::Unambiguous { .. } => (nominal, None),
        AmbiguousOffset::Gap { .. } => {
            let after = nominal.checked_add(1.nanosecond()).map_err(out_of_range)?;
            let change = zone.preceding(after).next().map_or(nominal, |t| t.timestamp());
            let note = "does not exist: the clocks skip it; taken as the moment of the change";
            (change, Some(note))
        }
        AmbiguousOffset::Fold { .. } => {
            (nominal, Some("occurs twice: the clocks are set back; taken as the first"))
        }
    };
    let at_ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
    let note = note.map(|note| format!("note: {local} in {zone_name} {note}, {}", utc(at_ms)));
    Ok(Moment { at_ms, note })
}

/// A moment in an answer.
pub(crate) fn of_answer(value: &Value) -> Option<u64> {
    parse_rfc3339(value.as_str()?).ok()
}

/// A moment for people, for example `2026-11-21 09:00:00 UTC`.
pub(crate) fn utc(at_ms: u64) -> String {
    timestamp(at_ms).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A moment in a zone, for example `2026-11-21 01:00:00 +08:00`.
pub(crate) fn local(at_ms: u64, zone: &TimeZone) -> String {
    if *zone == TimeZone::UTC {
        return utc(at_ms);
    }
    timestamp(at_ms).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// The zone of this name in an answer; UTC where this machine does not know it.
pub(crate) fn of_name(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// How far a moment is, for example `in 3h 12m` or `5s ago`.
pub(crate) fn distance(at_ms: u64, now_ms: u64) -> String {
    if at_ms > now_ms {
        format!("in {}", span(at_ms - now_ms))
    } else {
        format!("{} ago", span(now_ms - at_ms))
    }
}

/// A duration for people: its two largest units, for example `3h 12m`; below a second `350ms`.
pub(crate) fn span(ms: u64) -> String {
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let seconds = ms / 1000;
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(amount, _)| *amount > 0).unwrap_or(3);
    let shown: Vec<_> = parts[first..]
        .iter()
        .take(2)
        .filter(|(amount, _)| *amount > 0)
        .map(|(amount, unit)| format!("{amount}{unit}"))
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::rfc3339;

    fn at(text: &str, zone: &str) -> (String, bool) {
        let moment = moment(text, Some(zone)).unwrap();
        (rfc3339(moment.at_ms), moment.note.is_some())
    }

    #[test]
    fn local_times_are_read_in_their_zone() {
        for text in [
            "2026-11-21 9:00",
            "2026-11-21 09:00",
            "2026-11-21T09:00:00",
            " 2026-11-21 09:00:00.000 ",
        ] {
            assert_eq!(at(text, "Asia/Shanghai"), ("2026-11-21T01:00:00.000Z".into(), false));
        }
        assert_eq!(at("2026-11-21", "UTC"), ("2026-11-21T00:00:00.000Z".into(), false));
    }

    #[test]
    fn rfc_3339_needs_no_zone_and_takes_none() {
        let moment_ms = moment("2026-11-21T09:00:00+08:00", None).unwrap().at_ms;
        assert_eq!(rfc3339(moment_ms), "2026-11-21T01:00:00.000Z");
        assert!(moment("2026-11-21T09:00:00Z", Some("UTC")).is_err());
    }

    #[test]
    fn a_time_that_does_not_exist_is_the_change_itself() {
        for text in ["2026-03-29 02:00", "2026-03-29 02:30", "2026-03-29 02:59:59"] {
            assert_eq!(at(text, "Europe/Berlin"), ("2026-03-29T01:00:00.000Z".into(), true));
        }
        assert_eq!(
            at("2026-03-29 03:00", "Europe/Berlin"),
            ("2026-03-29T01:00:00.000Z".into(), false)
        );
    }

    #[test]
    fn a_time_that_occurs_twice_is_the_first() {
        assert_eq!(
            at("2026-10-25 02:30", "Europe/Berlin"),
            ("2026-10-25T00:30:00.000Z".into(), true)
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "tomorrow", "09:00", "2026-13-01 00:00", "2026-11-21T09:00[Asia/Shanghai]"]
        {
            assert!(moment(text, Some("UTC")).is_err(), "{text}");
        }
        assert!(moment("2026-11-21 09:00", Some("Asia/Atlantis")).is_err());
    }

    #[test]
    fn spans_show_two_units() {
        for (ms, text) in [
            (0, "0ms"),
            (350, "350ms"),
            (5999, "5s"),
            (60_000, "1m"),
            (11_520_000, "3h 12m"),
            (3_605_000, "1h"),
            (90_061_000, "1d 1h"),
        ] {
            assert_eq!(span(ms), text);
        }
        assert_eq!(distance(5000, 0), "in 5s");
        assert_eq!(distance(0, 5000), "5s ago");
    }
}
