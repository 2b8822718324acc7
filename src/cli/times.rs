//! The zone in which an operator reads moments, and the moments of answers.
//!
//! How a moment or a duration looks is decided in `domain::human`, for all of Tidegate. Refuses to decide anything by
//! this machine's clock: it is read for words such as "5s ago" alone, Redis decides what time it is. How moments are
//! written on the command line is the matter of `moments`.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::args::Globals;
use super::exit::Failure;
pub(crate) use crate::domain::human::{Times, distance, span, utc};
use crate::domain::time::{rfc3339, timestamp};

/// Where a machine says its zone.
const MACHINE_ZONE: &str = "/etc/localtime";

/// This machine's clock.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// The zone in which moments are to be shown, if one was asked for.
pub(crate) fn zone_asked(globals: &Globals) -> Result<Option<TimeZone>, Failure> {
    match (&globals.tz, globals.local) {
        (Some(_), true) => Err(Failure::usage("--tz and --local name two zones")
            .next("give --tz ZONE, or --local for this machine's zone")),
        (Some(zone), false) => Ok(Some(zone.clone())),
        (None, true) => of_machine().map(Some),
        (None, false) => Ok(None),
    }
}

/// This machine's zone; UTC where it names none, as all programs do.
pub(crate) fn of_machine() -> Result<TimeZone, Failure> {
    let names_none = || std::env::var_os("TZ").is_none() && !Path::new(MACHINE_ZONE).exists();
    match TimeZone::try_system() {
        Ok(zone) => Ok(zone),
        Err(_) if names_none() => Ok(TimeZone::UTC),
        Err(error) => Err(Failure::usage(format!(
            "this machine's time zone cannot be read: {error}"
        ))
        .next("name a zone with --tz, for example --tz Asia/Shanghai, or correct the variable TZ")),
    }
}

/// What a zone is called.
pub(crate) fn name_of_zone(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("which has no name")
}

/// The zone of this name in an answer; UTC where this machine does not know it.
pub(crate) fn of_name(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// The date of a moment in a zone, for example `2026-11-21`.
pub(crate) fn local_date(at_ms: u64, zone: &TimeZone) -> String {
    zone.to_datetime(timestamp(at_ms)).date().to_string()
}

/// A moment with its milliseconds, in RFC 3339: as the API writes it, or in the zone that was asked for.
pub(crate) fn stamp(times: &Times, at_ms: u64) -> String {
    times.rfc3339(at_ms).unwrap_or_else(|| rfc3339(at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(zone: Option<&str>) -> Times {
        Times { now_ms: 0, zone: zone.map(|name| TimeZone::get(name).unwrap()) }
    }

    #[test]
    fn a_stamp_keeps_its_milliseconds() {
        let at_ms = 1_795_251_600_007;
        assert_eq!(stamp(&times(None), at_ms), "2026-11-21T09:00:00.007Z");
        let shown = stamp(&times(Some("America/New_York")), at_ms);
        assert_eq!(shown, "2026-11-21T04:00:00.007-05:00");
    }
}
