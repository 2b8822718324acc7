//! What a JSON value of a request means: texts, durations, moments, numbers.
//!
//! Each reader says what it found and what it expects. Refuses to know fields.

use std::ops::RangeInclusive;

use serde_json::value::RawValue;

use super::items::items;
pub(super) use crate::domain::message::check_name;
use crate::domain::message::{DELAY_MS_MAX, REASON_BYTES_MAX};
use crate::domain::time::parse_rfc3339;
use crate::domain::units::{duration_within, parse_duration_or_seconds};

/// The longest time for which anything may be asked: ten years, in milliseconds.
pub(super) const LONG_MS: u64 = 10 * 366 * 86_400_000;

/// How a value looks in an error.
fn shown(raw: &RawValue) -> String {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "a list".to_owned(),
        _ if text.chars().count() <= 60 => text.to_owned(),
        Some(b'"') => "a long string".to_owned(),
        _ => "a long number".to_owned(),
    }
}

/// # Errors
/// When it is anything else.
pub(super) fn expect_object(raw: &RawValue) -> Result<(), String> {
    if raw.get().starts_with('{') {
        Ok(())
    } else {
        Err(format!("found {}, expected an object", shown(raw)))
    }
}

/// A string.
pub(super) fn string(raw: &RawValue) -> Result<String, String> {
    if !raw.get().starts_with('"') {
        return Err(format!("found {}, expected a string", shown(raw)));
    }
    serde_json::from_str(raw.get()).map_err(|error| format!("the string cannot be read: {error}"))
}

/// True or false.
pub(super) fn truth(raw: &RawValue) -> Result<bool, String> {
    match raw.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("found {}, expected true or false", shown(raw))),
    }
}

/// A string of 1 to `bytes_max` bytes without control characters.
pub(super) fn name(raw: &RawValue, bytes_max: usize) -> Result<String, String> {
    let text = string(raw)?;
    check_name(&text, bytes_max)?;
    Ok(text)
}

/// Words for people, such as a reason: up to 1,000 bytes, line breaks allowed.
pub(super) fn words(raw: &RawValue) -> Result<String, String> {
    let text = string(raw)?;
    if text.len() > REASON_BYTES_MAX {
        return Err(format!("found {} bytes, expected up to {REASON_BYTES_MAX}", text.len()));
    }
    Ok(text)
}

/// The same whole number without `.0`: JSON knows one kind of number, and some languages write all of them so.
fn without_zero_fraction(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, zeros))
            if !zeros.is_empty()
                && zeros.bytes().all(|b| b == b'0')
                && whole.bytes().all(|b| b.is_ascii_digit()) =>
        {
            whole
        }
        _ => text,
    }
}

/// A duration within bounds: a string, or a whole number of seconds.
pub(super) fn duration(raw: &RawValue, bounds_ms: RangeInclusive<u64>) -> Result<u64, String> {
    let text = without_zero_fraction(raw.get());
    let ms = match text.as_bytes().first() {
        Some(b'"') => parse_duration_or_seconds(&string(raw)?)?,
        Some(b'0'..=b'9') if text.bytes().all(|b| b.is_ascii_digit()) => {
            parse_duration_or_seconds(text)?
        }
        _ => {
            return Err(format!(
                "found {}, expected a duration such as \"90s\", or a whole number of seconds",
                shown(raw)
            ));
        }
    };
    duration_within(ms, &bounds_ms)
}

/// A delay: up to 366 days.
pub(super) fn delay(raw: &RawValue) -> Result<u64, String> {
    duration(raw, 0..=DELAY_MS_MAX)
}

/// A moment, in milliseconds since the epoch.
pub(super) fn moment(raw: &RawValue) -> Result<u64, String> {
    if !raw.get().starts_with('"') {
        return Err(format!(
            "found {}, expected a moment such as \"2026-11-20T12:00:00Z\"",
            shown(raw)
        ));
    }
    parse_rfc3339(&string(raw)?)
}

/// A moment at most 366 days after `now_ms`.
pub(super) fn due_moment(raw: &RawValue, now_ms: u64) -> Result<u64, String> {
    let at_ms = moment(raw)?;
    if at_ms > now_ms.saturating_add(DELAY_MS_MAX) {
        return Err(format!("found {}, expected at most 366 days from now", raw.get()));
    }
    Ok(at_ms)
}

/// A whole number within bounds.
pub(super) fn whole(raw: &RawValue, bounds: RangeInclusive<u64>) -> Result<u64, String> {
    let text = without_zero_fraction(raw.get());
    let number = text.parse::<u64>().ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| {
        format!(
            "found {}, expected a whole number, {} to {}",
            shown(raw),
            bounds.start(),
            bounds.end()
        )
    })
}

/// A whole number within bounds, which may be below zero.
pub(super) fn signed(raw: &RawValue, bounds: RangeInclusive<i64>) -> Result<i64, String> {
    let text = without_zero_fraction(raw.get());
    let number = text.parse::<i64>().ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| {
        format!(
            "found {}, expected a whole number, {} to {}",
            shown(raw),
            bounds.start(),
            bounds.end()
        )
    })
}

/// A number within bounds.
pub(super) fn number(raw: &RawValue, bounds: RangeInclusive<f64>) -> Result<f64, String> {
    let starts_as_number = raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let number = raw.get().parse::<f64>().ok().filter(|n| starts_as_number && bounds.contains(n));
    number.ok_or_else(|| {
        format!("found {}, expected a number, {} to {}", shown(raw), bounds.start(), bounds.end())
    })
}

/// The values of a list of at most `items_max`; a longer one is not read to its end.
pub(super) fn list(raw: &RawValue, items_max: usize) -> Result<Vec<&RawValue>, String> {
    if !raw.get().starts_with('[') {
        return Err(format!("found {}, expected a list", shown(raw)));
    }
    match items(raw.get().as_bytes(), items_max, "a list") {
        Ok(Some(items)) => Ok(items),
        Ok(None) => Err(format!("found more than {items_max} items, expected up to {items_max}")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn durations_are_strings_or_whole_seconds() {
        let read = |json| duration(raw(json), 0..=LONG_MS);
        assert_eq!(read("\"1h30m\""), Ok(5_400_000));
        assert_eq!(read("90"), Ok(90_000));
        assert_eq!(read("\"90\""), Ok(90_000));
        assert_eq!(read("90.0"), Ok(90_000));
        for bad in ["1.5", "-1", "1e3", "true", "[]", "{}", "\"\"", "\"soon\"", "\"4000d\""] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(delay(raw("\"366d\"")), Ok(DELAY_MS_MAX));
        assert_eq!(delay(raw("31622401")).unwrap_err(), "found 366d1s, expected 0s to 366d");
    }

    #[test]
    fn numbers_are_no_strings_and_know_their_bounds() {
        assert_eq!(whole(raw("9"), 0..=9), Ok(9));
        assert_eq!(whole(raw("5.00"), 0..=9), Ok(5));
        for bad in
            ["10", "10.0", "-1", "-1.0", "5.01", "\"5\"", "1e1", "true", "99999999999999999999"]
        {
            assert!(whole(raw(bad), 0..=9).is_err(), "{bad}");
        }
        assert_eq!(number(raw("1.5"), 1.0..=1000.0), Ok(1.5));
        for bad in ["0.5", "\"2\"", "null", "1e999"] {
            assert!(number(raw(bad), 1.0..=1000.0).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!(name(raw("\"ord\\u00e9r\""), 256), Ok("ordér".to_owned()));
        for bad in ["\"\"", "\"a\\nb\"", "5", "\"\\ud800\""] {
            assert!(name(raw(bad), 256).is_err(), "{bad}");
        }
        assert!(name(raw("\"abc\""), 2).is_err());
    }

    #[test]
    fn moments_are_rfc_3339() {
        assert_eq!(moment(raw("\"2025-11-20T20:00:00+08:00\"")), Ok(1_763_640_000_000));
        for bad in ["1763640000", "\"2025-11-20\"", "\"tomorrow\"", "null"] {
            assert!(moment(raw(bad)).is_err(), "{bad}");
        }
        assert!(due_moment(raw("\"2125-11-20T12:00:00Z\""), 1_763_640_000_000).is_err());
    }
}
