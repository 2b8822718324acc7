//! Moments and durations as an operator reads them.
//!
//! Owns the zone in which moments are shown and words such as "3h 12m": the one place that decides how a moment
//! looks. Refuses to decide anything by this machine's clock: it is read for such words alone, Redis decides what
//! time it is. How moments are written on the command line is the matter of `moments`.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::args::Globals;
use super::exit::Failure;
use crate::domain::time::{parse_rfc3339, timestamp};

/// Where a machine says its zone.
const MACHINE_ZONE: &str = "/etc/localtime";

/// This machine's clock.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// How the moments of one command are shown: in which zone, and how far they are from now.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    /// Now, by this machine's clock.
    pub(crate) now_ms: u64,
    /// The zone that was asked for.
    pub(crate) zone: Option<TimeZone>,
}

impl Times {
    /// A moment in the zone that was asked for, else in UTC, for example `2026-11-21 09:00:00 UTC`.
    pub(crate) fn at(&self, at_ms: u64) -> String {
        self.at_in(at_ms, &TimeZone::UTC)
    }

    /// A moment in the zone that was asked for, else in this one, for example `2026-11-21 01:00:00 +08:00`.
    pub(crate) fn at_in(&self, at_ms: u64, default: &TimeZone) -> String {
        let zone = self.zone.as_ref().unwrap_or(default);
        if is_utc(zone) {
            return utc(at_ms);
        }
        timestamp(at_ms).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }

    /// A moment and how far it is, for example `2026-11-21 09:00:00 UTC (in 5s)`.
    pub(crate) fn at_and_distance(&self, at_ms: u64) -> String {
        format!("{} ({})", self.at(at_ms), self.distance(at_ms))
    }

    /// A moment of an answer with its milliseconds, in RFC 3339: as it came, or in the zone that was asked for.
    pub(crate) fn stamp(&self, value: &Value) -> Option<String> {
        let at_ms = of_answer(value)?;
        let Some(zone) = self.zone.as_ref().filter(|zone| !is_utc(zone)) else {
            return value.as_str().map(ToOwned::to_owned);
        };
        let local = timestamp(at_ms).to_zoned(zone.clone());
        Some(local.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string())
    }

    /// How far a moment is, for example `in 3h 12m` or `5s ago`.
    pub(crate) fn distance(&self, at_ms: u64) -> String {
        distance(at_ms, self.now_ms)
    }
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

fn is_utc(zone: &TimeZone) -> bool {
    matches!(zone.iana_name(), Some("UTC" | "Etc/UTC"))
}

/// The zone of this name in an answer; UTC where this machine does not know it.
pub(crate) fn of_name(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// A moment in an answer.
pub(crate) fn of_answer(value: &Value) -> Option<u64> {
    parse_rfc3339(value.as_str()?).ok()
}

/// A moment in UTC, for example `2026-11-21 09:00:00 UTC`.
pub(crate) fn utc(at_ms: u64) -> String {
    timestamp(at_ms).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
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

    const AT_MS: u64 = 1_795_251_600_000; // 2026-11-21T09:00:00Z

    fn times(zone: Option<&str>) -> Times {
        Times { now_ms: AT_MS - 5000, zone: zone.map(|name| TimeZone::get(name).unwrap()) }
    }

    #[test]
    fn a_moment_is_shown_in_the_zone_that_was_asked_for() {
        for (zone, text) in [
            (None, "2026-11-21 09:00:00 UTC (in 5s)"),
            (Some("UTC"), "2026-11-21 09:00:00 UTC (in 5s)"),
            (Some("Etc/UTC"), "2026-11-21 09:00:00 UTC (in 5s)"),
            (Some("Asia/Shanghai"), "2026-11-21 17:00:00 +08:00 (in 5s)"),
            (Some("asia/kolkata"), "2026-11-21 14:30:00 +05:30 (in 5s)"),
        ] {
            assert_eq!(times(zone).at_and_distance(AT_MS), text);
        }
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(times(None).at_in(AT_MS, &berlin), "2026-11-21 10:00:00 +01:00");
        assert_eq!(times(Some("UTC")).at_in(AT_MS, &berlin), "2026-11-21 09:00:00 UTC");
    }

    #[test]
    fn a_stamp_keeps_its_milliseconds() {
        let value = Value::from("2026-11-21T09:00:00.007Z");
        assert_eq!(times(None).stamp(&value).unwrap(), "2026-11-21T09:00:00.007Z");
        let shown = times(Some("America/New_York")).stamp(&value).unwrap();
        assert_eq!(shown, "2026-11-21T04:00:00.007-05:00");
        assert_eq!(times(None).stamp(&Value::from("soon")), None);
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
