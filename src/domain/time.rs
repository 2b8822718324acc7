//! Moments: integer milliseconds since the Unix epoch, and their text (RFC 3339, UTC).
//!
//! Refuses to read a clock. Redis TIME decides what time it is; see `store::clock`.

use jiff::Timestamp;

/// The latest moment we accept, 9999-01-01T00:00:00Z, in milliseconds: safely inside what calendars
/// can express in every time zone.
pub const MOMENT_MS_MAX: u64 = 253_370_764_800_000;

/// A moment as RFC 3339 in UTC with milliseconds, for example `2026-11-20T12:00:00.000Z`.
#[must_use]
pub fn rfc3339(at_ms: u64) -> String {
    format!("{:.3}", timestamp(at_ms))
}

/// Reads an RFC 3339 moment with any offset; times before 1970 read as 0.
///
/// # Errors
/// A sentence with the form expected, when `text` is no RFC 3339 moment up to the year 9999.
pub fn parse_rfc3339(text: &str) -> Result<u64, String> {
    let text = text.trim();
    match text.parse::<Timestamp>() {
        Ok(at) => Ok(u64::try_from(at.as_millisecond()).unwrap_or(0).min(MOMENT_MS_MAX)),
        Err(_) if is_at_the_end(text) => Ok(MOMENT_MS_MAX),
        Err(_) => Err(format!(
            "\"{text}\" is not a valid moment; expected RFC 3339, for example 2026-11-20T12:00:00Z"
        )),
    }
}

/// Whether this is a moment of the year 9999 that calendars cannot express in every time zone.
fn is_at_the_end(text: &str) -> bool {
    let in_year = text.strip_prefix("9999");
    in_year.is_some_and(|rest| format!("9998{rest}").parse::<Timestamp>().is_ok())
}

/// The same moment as jiff's type, for calendar arithmetic.
#[must_use]
pub fn timestamp(at_ms: u64) -> Timestamp {
    let at_ms = i64::try_from(at_ms.min(MOMENT_MS_MAX)).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_back() {
        assert_eq!(rfc3339(1_763_640_000_005), "2025-11-20T12:00:00.005Z");
        assert_eq!(parse_rfc3339("2025-11-20T12:00:00.005Z"), Ok(1_763_640_000_005));
        assert_eq!(parse_rfc3339("2025-11-20T20:00:00+08:00"), Ok(1_763_640_000_000));
        assert_eq!(parse_rfc3339("9999-12-31T23:59:59Z"), Ok(MOMENT_MS_MAX));
        assert!(parse_rfc3339("9999-13-31T23:59:59Z").is_err());
        assert!(parse_rfc3339("2025-11-20 12:00").is_err());
        assert_eq!(rfc3339(u64::MAX), "9999-01-01T00:00:00.000Z");
    }
}
