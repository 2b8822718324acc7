//! The kinds of values that settings have, each as one reading with its range.
//!
//! Owns the sentences of refusal for plain kinds. Refuses to know which setting asks.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use config::ValueKind;

use super::load::reader::{Field, Read};
use crate::domain::units::{format_duration, format_size, parse_duration, parse_size};

/// The longest time that a setting may name, unless its own is shorter: ten years.
pub(super) const LONG_MS: u64 = 3650 * 86_400_000;

/// A duration within a range, in milliseconds.
pub(super) fn duration(range: RangeInclusive<u64>) -> impl Fn(&Field<'_>) -> Read<u64> {
    move |field| field.parse(|text| within(&range, parse_duration(text)?, text, format_duration))
}

/// A size within a range, in bytes.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&Field<'_>) -> Read<u64> {
    move |field| field.parse(|text| within(&range, parse_size(text)?, text, format_size))
}

/// A size that is held in memory, in bytes.
pub(super) fn size_in_memory(range: RangeInclusive<u64>) -> impl Fn(&Field<'_>) -> Read<usize> {
    let size = size(range);
    move |field| Ok(usize::try_from(size(field)?).unwrap_or(usize::MAX))
}

fn within(
    range: &RangeInclusive<u64>,
    value: u64,
    text: &str,
    format: impl Fn(u64) -> String,
) -> Result<u64, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (format(*range.start()), format(*range.end()));
    Err(format!("found {text:?}, expected {least} to {most}"))
}

/// Yes or no; a text that reads as one will do, as the environment has only texts.
pub(super) fn switch(field: &Field<'_>) -> Read<bool> {
    match field.kind() {
        ValueKind::Boolean(value) => Ok(*value),
        ValueKind::String(_) => field.parse(|text| {
            text.trim().parse().map_err(|_| format!("found {text:?}, expected true or false"))
        }),
        _ => Err(field.expected("true or false")),
    }
}

/// A whole number within a range; a text that reads as one will do, as the environment has only texts.
pub(super) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&Field<'_>) -> Read<T>
where
    T: TryFrom<i64> + PartialOrd + Display + Copy,
{
    move |field| {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let narrow = |number: i64| T::try_from(number).ok().filter(|n| range.contains(n));
        match field.kind() {
            ValueKind::I64(number) => narrow(*number).ok_or_else(|| field.expected(&expected)),
            ValueKind::String(_) => field.parse(|text| {
                let number = text.trim().parse().ok().and_then(narrow);
                number.ok_or_else(|| format!("found {text:?}, expected {expected}"))
            }),
            _ => Err(field.expected(&expected)),
        }
    }
}

/// A number within a range.
pub(super) fn number(range: RangeInclusive<f64>) -> impl Fn(&Field<'_>) -> Read<f64> {
    move |field| {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let narrow = |number: f64| Some(number).filter(|n| range.contains(n));
        match field.kind() {
            ValueKind::Float(number) => narrow(*number).ok_or_else(|| field.expected(&expected)),
            ValueKind::I64(number) => {
                let number = i32::try_from(*number).ok().map(f64::from).and_then(narrow);
                number.ok_or_else(|| field.expected(&expected))
            }
            ValueKind::String(_) => field.parse(|text| {
                let number = text.trim().parse().ok().and_then(narrow);
                number.ok_or_else(|| format!("found {text:?}, expected {expected}"))
            }),
            _ => Err(field.expected(&expected)),
        }
    }
}

/// One of a few words; those in `later` belong to another version and are refused as such.
pub(super) fn word<T: Copy>(words: &[(&str, T)], later: &[&str]) -> impl Fn(&Field<'_>) -> Read<T> {
    move |field| {
        field.parse(|text| {
            if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
                return Ok(*value);
            }
            let known: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            let expected = known.join(" or ");
            if later.contains(&text) {
                Err(format!("this version does not have {text:?}; expected {expected}"))
            } else {
                Err(format!("found {text:?}, expected {expected}"))
            }
        })
    }
}

/// Anything that the domain reads from a text and refuses with a sentence.
pub(super) fn parsed<T>(field: &Field<'_>) -> Read<T>
where
    T: FromStr,
    T::Err: Display,
{
    field.parse(|text| text.parse().map_err(|e: T::Err| e.to_string()))
}

/// Any text that is not empty.
pub(super) fn text(field: &Field<'_>) -> Read<String> {
    field.parse(|text| {
        if text.trim().is_empty() {
            Err("found an empty text, expected one that is not".to_owned())
        } else {
            Ok(text.to_owned())
        }
    })
}
