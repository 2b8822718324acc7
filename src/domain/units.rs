//! Durations and sizes as people write them: `90s`, `1h30m`, `256KiB`.
//!
//! Owns the two notations of the contract, both ways. Refuses what is ambiguous: bare numbers (but
//! see [`parse_duration_or_seconds`]), months, years, negative and fractional amounts.

use std::ops::RangeInclusive;

/// Milliseconds of each unit, longest first.
const DURATION_UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Bytes of each unit.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("KB", 1000),
    ("B", 1),
];

/// Reads a duration such as `250ms`, `90s`, `1h30m` or `7d`, in milliseconds.
///
/// # Errors
/// A sentence that names what was found and what is expected.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    let bad = || {
        format!(
            "\"{text}\" is not a valid duration; expected for example 250ms, 90s, 1h30m or 7d (units w, d, h, m, s, ms)"
        )
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total_ms: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let (number, unit, after) = split_amount(rest).ok_or_else(bad)?;
        let unit_ms = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?.1;
        if unit_ms >= smallest {
            return Err(bad());
        }
        smallest = unit_ms;
        total_ms = number
            .checked_mul(unit_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(|| format!("\"{text}\" is too long a duration"))?;
        rest = after.trim_start();
    }
    Ok(total_ms)
}

/// Like [`parse_duration`], and takes a bare whole number as seconds (HTTP fields may be numbers).
///
/// # Errors
/// As [`parse_duration`].
pub fn parse_duration_or_seconds(text: &str) -> Result<u64, String> {
    match text.trim().parse::<u64>() {
        Ok(seconds) => {
            seconds.checked_mul(1000).ok_or_else(|| format!("\"{text}\" is too long a duration"))
        }
        Err(_) => parse_duration(text),
    }
}

/// Reads a size such as `256KiB`, in bytes.
///
/// # Errors
/// A sentence that names what was found and what is expected.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || {
        format!(
            "\"{text}\" is not a valid size; expected for example 256KiB, 1MiB or 1GiB (units B, kB, KiB, MB, MiB, GB, GiB)"
        )
    };
    let (number, unit, after) = split_amount(text.trim()).ok_or_else(bad)?;
    let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?.1;
    if !after.is_empty() {
        return Err(bad());
    }
    number.checked_mul(factor).ok_or_else(|| format!("\"{text}\" is too large a size"))
}

/// A duration that is within bounds, in milliseconds.
///
/// # Errors
/// A sentence with the bounds, when it is not.
pub fn duration_within(ms: u64, bounds_ms: &RangeInclusive<u64>) -> Result<u64, String> {
    if bounds_ms.contains(&ms) {
        return Ok(ms);
    }
    let [found, least, most] = [ms, *bounds_ms.start(), *bounds_ms.end()].map(format_duration);
    Err(format!("found {found}, expected {least} to {most}"))
}

/// A duration in its shortest exact form, for example `1h30m`; zero is `0s`.
#[must_use]
pub fn format_duration(mut ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, unit_ms) in &DURATION_UNITS[1..] {
        if ms >= *unit_ms {
            text.push_str(&(ms / unit_ms).to_string());
            text.push_str(unit);
            ms %= unit_ms;
        }
    }
    text
}

/// A size in its shortest exact binary form, for example `256KiB`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    for (unit, factor) in &SIZE_UNITS[..3] {
        if bytes >= *factor && bytes.is_multiple_of(*factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// Splits `90s…` into 90, `s` and the rest.
fn split_amount(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..digits].parse().ok()?;
    let tail = text[digits..].trim_start();
    let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
    (letters > 0).then(|| (number, &tail[..letters], &tail[letters..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_as_people_write_them() {
        assert_eq!(parse_duration("90s"), Ok(90_000));
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000));
        assert_eq!(parse_duration(" 1h 30m "), Ok(5_400_000));
        assert_eq!(parse_duration("0s"), Ok(0));
        assert_eq!(parse_duration_or_seconds("90"), Ok(90_000));
        for bad in
            ["", "90", "-5s", "1.5h", "1month", "1y", "30m1h", "1s1s", "s", "99999999999999999w"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        assert_eq!(parse_size("256KiB"), Ok(262_144));
        assert_eq!(parse_size("1 MB"), Ok(1_000_000));
        for bad in ["", "256", "1kib", "-1KiB", "1KiB1B", "99999999999999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn durations_read_back(ms in 0u64..1 << 50) {
            prop_assert_eq!(parse_duration(&format_duration(ms)), Ok(ms));
        }

        #[test]
        fn sizes_read_back(bytes in 0u64..1 << 50) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text: String) {
            drop(parse_duration(&text));
            drop(parse_size(&text));
        }
    }
}
