//! Moments as an operator writes them: RFC 3339, or a local time in a zone.
//!
//! Owns the zone of a local time that names none, and what is said where the clocks change. Refuses to decide
//! anything by this machine's clock. How moments are shown is the matter of `times`.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

use super::Session;
use super::exit::Failure;
use super::times::{name_of_zone, of_machine, utc};
use crate::domain::time::parse_rfc3339;

/// A moment that was written as a local time, and what has to be said of it.
#[derive(Debug, PartialEq, Eq)]
struct Moment {
    /// Milliseconds since the Unix epoch.
    at_ms: u64,
    /// A sentence, where the clocks change at that time, or where nobody named the zone.
    note: Option<String>,
}

/// The moment that was written on the command line, in milliseconds. What has to be said of it is noted.
pub(crate) fn asked(text: &str, session: &mut Session) -> Result<u64, Failure> {
    let moment = moment(text, session.zone.as_ref())?;
    if let Some(note) = &moment.note {
        session.screen.note(note)?;
    }
    Ok(moment.at_ms)
}

/// The moment at which something is to be due. One that is past is due now: that is said, since it is rarely meant.
pub(crate) fn due(text: &str, session: &mut Session) -> Result<u64, Failure> {
    let at_ms = asked(text, session)?;
    let times = session.times();
    if at_ms < times.now_ms {
        let note = format!(
            "note: this moment is past ({}, {}): what gets it is due now",
            times.at(at_ms),
            times.distance(at_ms)
        );
        session.screen.note(&note)?;
    }
    Ok(at_ms)
}

/// Reads RFC 3339, or a local time in `zone` (without one: in this machine's zone).
///
/// A local time that does not exist is the instant of the change itself; one that occurs twice is
/// the first. Both are the rule of windows too.
fn moment(text: &str, zone: Option<&TimeZone>) -> Result<Moment, Failure> {
    if let Ok(at_ms) = parse_rfc3339(text) {
        return Ok(Moment { at_ms, note: None });
    }
    let local =
        padded(text.trim()).parse::<DateTime>().ok().filter(|_| !text.contains(['[', 'Z', 'z']));
    let local = local.ok_or_else(|| {
        Failure::usage(format!("\"{text}\" is not a valid moment")).next(
            "expected RFC 3339, for example 2026-11-21T09:00:00Z, or a local time such as \"2026-11-21 09:00\"",
        )
    })?;
    match zone {
        Some(zone) => in_zone(local, zone),
        None => in_zone_of_machine(local, &of_machine()?),
    }
}

/// Nobody named the zone: it is said which one was taken.
fn in_zone_of_machine(local: DateTime, zone: &TimeZone) -> Result<Moment, Failure> {
    let Moment { at_ms, note } = in_zone(local, zone)?;
    let note = note.unwrap_or_else(|| {
        format!(
            "note: {} is read in this machine's time zone, {}: that is {}; --tz names another zone",
            shown(local),
            name_of_zone(zone),
            utc(at_ms)
        )
    });
    Ok(Moment { at_ms, note: Some(note) })
}

fn in_zone(local: DateTime, zone: &TimeZone) -> Result<Moment, Failure> {
    let out_of_range = |_| Failure::usage(format!("{local} is out of range"));
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let offset = ambiguous.offset();
    let nominal = ambiguous.compatible().map_err(out_of_range)?;
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
    let at_ms = in_ms(at);
    let note = note.map(|note| {
        format!("note: {} in {} {note}, {}", shown(local), name_of_zone(zone), utc(at_ms))
    });
    Ok(Moment { at_ms, note })
}

fn in_ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// The local time as it was understood.
fn shown(local: DateTime) -> String {
    local.strftime("%Y-%m-%d %H:%M:%S").to_string()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::rfc3339;

    fn at(text: &str, zone: &str) -> (String, bool) {
        let moment = moment(text, Some(&TimeZone::get(zone).unwrap())).unwrap();
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
    fn rfc_3339_has_its_own_offset_whatever_zone_is_named() {
        let moment_ms = moment("2026-11-21T09:00:00+08:00", None).unwrap().at_ms;
        assert_eq!(rfc3339(moment_ms), "2026-11-21T01:00:00.000Z");
        assert_eq!(
            at("2026-11-21T09:00:00Z", "Asia/Shanghai"),
            ("2026-11-21T09:00:00.000Z".into(), false)
        );
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
            assert!(moment(text, Some(&TimeZone::UTC)).is_err(), "{text}");
        }
    }

    #[test]
    fn the_zone_that_nobody_named_is_said() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let moment = in_zone_of_machine("2026-11-21T09:00".parse().unwrap(), &zone).unwrap();
        assert_eq!(
            moment.note.unwrap(),
            "note: 2026-11-21 09:00:00 is read in this machine's time zone, Asia/Shanghai: \
             that is 2026-11-21 01:00:00 UTC; --tz names another zone"
        );
    }
}
