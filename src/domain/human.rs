//! Moments, durations and sizes as people read them: in the command line, in logs, in problems and on pages.
//!
//! Owns how they look and in which zone a moment is shown: a reader sees one form everywhere. What is exact and can be
//! read back, as configured values are, is the matter of `units` and `time`. Refuses to read a clock.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::time::{parse_rfc3339, rfc3339, timestamp};

/// How moments are shown: in which zone, and how far they are from now.
#[derive(Debug, Clone)]
pub struct Times {
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The zone that was asked for.
    pub zone: Option<TimeZone>,
}

impl Times {
    /// A moment in the zone that was asked for, else in UTC, for example `2026-11-21 09:00:00 UTC`.
    #[must_use]
    pub fn at(&self, at_ms: u64) -> String {
        self.at_in(at_ms, &TimeZone::UTC)
    }

    /// A moment in the zone that was asked for, else in this one, for example `2026-11-21 01:00:00 +08:00`.
    #[must_use]
    pub fn at_in(&self, at_ms: u64, default: &TimeZone) -> String {
        let zone = self.zone.as_ref().unwrap_or(default);
        if is_utc(zone) {
            return utc(at_ms);
        }
        timestamp(at_ms).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }

    /// A moment and how far it is, for example `2026-11-21 09:00:00 UTC (in 5s)`.
    #[must_use]
    pub fn at_and_distance(&self, at_ms: u64) -> String {
        format!("{} ({})", self.at(at_ms), self.distance(at_ms))
    }

    /// A moment with its milliseconds in RFC 3339, in the zone that was asked for; `None`: no zone but UTC was asked for.
    #[must_use]
    pub fn rfc3339(&self, at_ms: u64) -> Option<String> {
        let zone = self.zone.as_ref().filter(|zone| !is_utc(zone))?;
        let local = timestamp(at_ms).to_zoned(zone.clone());
        Some(local.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string())
    }

    /// A sentence with the moments in it, as the API writes them, shown as people read them.
    #[must_use]
    pub fn sentence(&self, text: &str) -> String {
        const LENGTH: usize = "2026-11-21T09:00:00.000Z".len();
        let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(end) = rest.find('Z').map(|at| at + 1) {
            let (upto, after) = rest.split_at(end);
            let from = upto.len().checked_sub(LENGTH).filter(|from| upto.is_char_boundary(*from));
            let (before, written) = upto.split_at(from.unwrap_or(end));
            match parse_rfc3339(written) {
                Ok(at_ms) if rfc3339(at_ms) == written => {
                    shown.extend([before, &self.at_and_distance(at_ms)]);
                }
                _ => shown.push_str(upto),
            }
            rest = after;
        }
        shown + rest
    }

    /// How far a moment is, for example `in 3h 12m` or `5s ago`.
    #[must_use]
    pub fn distance(&self, at_ms: u64) -> String {
        distance(at_ms, self.now_ms)
    }
}

fn is_utc(zone: &TimeZone) -> bool {
    matches!(zone.iana_name(), Some("UTC" | "Etc/UTC"))
}

/// A moment in UTC, for example `2026-11-21 09:00:00 UTC`.
#[must_use]
pub fn utc(at_ms: u64) -> String {
    timestamp(at_ms).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How far a moment is, for example `in 3h 12m` or `5s ago`.
#[must_use]
pub fn distance(at_ms: u64, now_ms: u64) -> String {
    if at_ms > now_ms {
        format!("in {}", span(at_ms - now_ms))
    } else if now_ms - at_ms < 1000 {
        "just now".to_owned()
    } else {
        format!("{} ago", span(now_ms - at_ms))
    }
}

/// So many of something, for example `1 message` or `3 messages`.
#[must_use]
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Why a message was given up, or why its last attempt failed: the reason that was given, and what came of the attempt.
#[must_use]
pub fn why_failed(given: Option<&str>, status: Option<u16>, error: Option<&str>) -> Option<String> {
    let status = status.map(|status| status.to_string());
    let attempt = match (status, error.filter(|error| !error.is_empty())) {
        (Some(status), Some(error)) if error.contains(&status) => Some(error.to_owned()),
        (Some(status), Some(error)) => Some(format!("status {status}, {error}")),
        (status, error) => {
            error.map(str::to_owned).or_else(|| status.map(|status| format!("status {status}")))
        }
    };
    match (given, attempt) {
        (Some(given), Some(attempt)) if !given.contains(&attempt) => {
            Some(format!("{given} ({attempt})"))
        }
        (given, attempt) => given.map(str::to_owned).or(attempt),
    }
}

/// A duration for people: its two largest units, the second of them rounded, for example `3h 12m`; below a second `350ms`.
#[must_use]
pub fn span(ms: u64) -> String {
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let shown_s = match ms {
        86_400_000.. => 3600,
        3_600_000.. => 60,
        _ => 1,
    };
    let seconds = ms.saturating_add(shown_s * 500) / 1000 / shown_s * shown_s;
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

/// A length of time for people, as [`span`] says it.
#[must_use]
pub fn lasting(time: Duration) -> String {
    span(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A size for people, rounded down, with one digit below ten: `319 MiB`, `1.5 GiB`, `900 B`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let Some((unit, shift)) = UNITS.iter().find(|(_, shift)| bytes >> shift > 0) else {
        return format!("{bytes} B");
    };
    let (whole, tenths) = (bytes >> shift, ((bytes >> (shift - 10)) % 1024) * 10 / 1024);
    if whole < 10 && tenths > 0 {
        format!("{whole}.{tenths} {unit}")
    } else {
        format!("{whole} {unit}")
    }
}

/// Whether a character is not seen and changes how others are.
///
/// Marks, embeddings, overrides and isolates of direction (Unicode Standard Annex #9), and characters without a width. The joiners
/// of words and emoji are needed, and stay.
#[must_use]
pub const fn steers_text(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_MS: u64 = 1_795_251_600_000; // 2026-11-21T09:00:00Z

    fn times(zone: Option<&str>) -> Times {
        Times { now_ms: AT_MS - 5000, zone: zone.map(|name| TimeZone::get(name).unwrap()) }
    }

    #[test]
    fn the_moments_in_a_sentence_are_shown_as_all_others() {
        let shown = |text: &str| times(None).sentence(text);
        assert_eq!(
            shown("It opens at 2026-11-21T09:00:00.000Z, or at 2026-11-21T08:59:00.000Z."),
            "It opens at 2026-11-21 09:00:00 UTC (in 5s), or at 2026-11-21 08:59:00 UTC (55s ago)."
        );
        // What others wrote in another form stays, whatever characters are beside it.
        for text in [
            "",
            "Z",
            "ZüZ",
            "until 2026-11-21T09:00:00Z",
            "üüüüüüüüüüüüüüüZ",
            "2026-13-21T09:00:00.000Z",
        ] {
            assert_eq!(shown(text), text);
        }
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
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (319 << 20, "319 MiB"),
            (1023 << 20, "1023 MiB"),
            ((1 << 30) + (1 << 29), "1.5 GiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn spans_show_two_units() {
        for (ms, text) in [
            (0, "0ms"),
            (350, "350ms"),
            (5400, "5s"),
            (5999, "6s"),
            (59_600, "1m"),
            (3_599_600, "1h"),
            (7_199_000, "2h"),
            (86_390_000, "1d"),
            (172_790_000, "2d"),
            (60_000, "1m"),
            (11_520_000, "3h 12m"),
            (3_605_000, "1h"),
            (90_061_000, "1d 1h"),
        ] {
            assert_eq!(span(ms), text);
        }
        assert_eq!(lasting(Duration::from_secs(90)), "1m 30s");
        assert_eq!(distance(5000, 0), "in 5s");
        assert_eq!(distance(0, 5000), "5s ago");
    }
}
