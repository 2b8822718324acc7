//! The kinds of values that settings have, each with its bounds.
//!
//! Owns the sentences of refusal for plain kinds. Refuses to know which setting asks.

use std::fmt::Display;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::str::FromStr;

use config::ValueKind;

use super::bounds::Bounds;
use super::declaration::Kind;
use super::form::Form;
use super::shown::Shown;
use crate::config::load::reader::{Field, Read};
use crate::domain::units::{format_duration, format_size, parse_duration, parse_size};

/// The longest time that a setting may name, unless its own is shorter: ten years.
pub(in crate::config) const LONG_MS: u64 = 3650 * 86_400_000;

/// A duration within a range, in milliseconds.
pub(in crate::config) const fn duration(range: RangeInclusive<u64>) -> Duration {
    Duration(range)
}

pub(in crate::config) struct Duration(RangeInclusive<u64>);

impl Kind for Duration {
    type Value = u64;

    fn read(&self, field: &Field<'_>) -> Read<u64> {
        field.parse(|text| within(&self.0, parse_duration(text)?, text, format_duration))
    }

    fn show(&self, value: &u64) -> Shown {
        format_duration(*value).into()
    }

    fn bounds(&self) -> Bounds {
        Bounds::Duration(self.0.clone())
    }
}

/// A size within a range, in bytes.
pub(in crate::config) const fn size(range: RangeInclusive<u64>) -> Size {
    Size(range)
}

pub(in crate::config) struct Size(RangeInclusive<u64>);

impl Kind for Size {
    type Value = u64;

    fn read(&self, field: &Field<'_>) -> Read<u64> {
        field.parse(|text| within(&self.0, parse_size(text)?, text, format_size))
    }

    fn show(&self, value: &u64) -> Shown {
        format_size(*value).into()
    }

    fn bounds(&self) -> Bounds {
        Bounds::Size(self.0.clone())
    }
}

/// A size that is held in memory, in bytes.
pub(in crate::config) const fn size_in_memory(range: RangeInclusive<u64>) -> SizeInMemory {
    SizeInMemory(Size(range))
}

pub(in crate::config) struct SizeInMemory(Size);

impl Kind for SizeInMemory {
    type Value = usize;

    fn read(&self, field: &Field<'_>) -> Read<usize> {
        Ok(usize::try_from(self.0.read(field)?).unwrap_or(usize::MAX))
    }

    fn show(&self, value: &usize) -> Shown {
        self.0.show(&u64::try_from(*value).unwrap_or(u64::MAX))
    }

    fn bounds(&self) -> Bounds {
        self.0.bounds()
    }
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
pub(in crate::config) const fn switch() -> Switch {
    Switch
}

pub(in crate::config) struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn read(&self, field: &Field<'_>) -> Read<bool> {
        match field.kind() {
            ValueKind::Boolean(value) => Ok(*value),
            ValueKind::String(_) => field.parse(|text| {
                text.trim().parse().map_err(|_| format!("found {text:?}, expected true or false"))
            }),
            _ => Err(field.expected("true or false")),
        }
    }

    fn show(&self, value: &bool) -> Shown {
        Shown::Switch(*value)
    }

    fn bounds(&self) -> Bounds {
        Bounds::Switch
    }
}

/// A whole number within a range; a text that reads as one will do, as the environment has only texts.
pub(in crate::config) const fn whole<T>(range: RangeInclusive<T>) -> Whole<T> {
    Whole(range)
}

pub(in crate::config) struct Whole<T>(RangeInclusive<T>);

impl<T> Kind for Whole<T>
where
    T: TryFrom<i64> + Into<u64> + PartialOrd + Display + Copy,
{
    type Value = T;

    fn read(&self, field: &Field<'_>) -> Read<T> {
        let range = &self.0;
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

    fn show(&self, value: &T) -> Shown {
        Shown::Whole((*value).into())
    }

    fn bounds(&self) -> Bounds {
        Bounds::Whole((*self.0.start()).into()..=(*self.0.end()).into())
    }
}

/// A number within a range.
pub(in crate::config) const fn number(range: RangeInclusive<f64>) -> Number {
    Number(range)
}

pub(in crate::config) struct Number(RangeInclusive<f64>);

impl Kind for Number {
    type Value = f64;

    fn read(&self, field: &Field<'_>) -> Read<f64> {
        let range = &self.0;
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

    fn show(&self, value: &f64) -> Shown {
        Shown::Number(*value)
    }

    fn bounds(&self) -> Bounds {
        Bounds::Number(self.0.clone())
    }
}

/// One of a few words; those in `later` belong to another version and are refused as such.
pub(in crate::config) fn word<T: Copy>(
    words: &[(&'static str, T)],
    later: &'static [&'static str],
) -> Word<T> {
    Word { words: words.to_vec(), later }
}

pub(in crate::config) struct Word<T> {
    words: Vec<(&'static str, T)>,
    later: &'static [&'static str],
}

impl<T: Copy + PartialEq> Kind for Word<T> {
    type Value = T;

    fn read(&self, field: &Field<'_>) -> Read<T> {
        field.parse(|text| {
            if let Some((_, value)) = self.words.iter().find(|(word, _)| *word == text) {
                return Ok(*value);
            }
            let known: Vec<_> = self.words.iter().map(|(word, _)| format!("{word:?}")).collect();
            let expected = known.join(" or ");
            if self.later.contains(&text) {
                Err(format!("this version does not have {text:?}; expected {expected}"))
            } else {
                Err(format!("found {text:?}, expected {expected}"))
            }
        })
    }

    fn show(&self, value: &T) -> Shown {
        let found = self.words.iter().find(|(_, other)| other == value);
        found.map_or(Shown::Unset, |(word, _)| (*word).into())
    }

    fn bounds(&self) -> Bounds {
        Bounds::Words(self.words.iter().map(|(word, _)| *word).collect())
    }
}

/// Anything that the domain reads from a text and refuses with a sentence; `accepted` is for the manual.
pub(in crate::config) const fn parsed<T>(accepted: &'static str) -> Parsed<T> {
    Parsed(accepted, PhantomData)
}

pub(in crate::config) struct Parsed<T>(&'static str, PhantomData<T>);

impl<T> Kind for Parsed<T>
where
    T: FromStr + Display,
    T::Err: Display,
{
    type Value = T;

    fn read(&self, field: &Field<'_>) -> Read<T> {
        field.parse(|text| text.parse().map_err(|e: T::Err| e.to_string()))
    }

    fn show(&self, value: &T) -> Shown {
        value.to_string().into()
    }

    fn bounds(&self) -> Bounds {
        Bounds::Told(self.0)
    }
}

/// Any text that is not empty.
pub(in crate::config) fn text(accepted: &'static str) -> impl Kind<Value = String> {
    let read = |field: &Field<'_>| {
        field.parse(|text| {
            if text.trim().is_empty() {
                Err("found an empty text, expected one that is not".to_owned())
            } else {
                Ok(text.to_owned())
            }
        })
    };
    custom(accepted, read, |text: &String| text.as_str().into())
}

/// A list of values of one kind.
pub(in crate::config) const fn list<K: Kind>(each: K) -> List<K> {
    List(each)
}

pub(in crate::config) struct List<K>(K);

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn read(&self, field: &Field<'_>) -> Read<Self::Value> {
        field.list(|item| self.0.read(item))
    }

    fn show(&self, value: &Self::Value) -> Shown {
        Shown::List(value.iter().map(|item| self.0.show(item)).collect())
    }

    fn bounds(&self) -> Bounds {
        Bounds::List(Box::new(self.0.bounds()))
    }

    fn form(&self) -> Form {
        Form::List(Box::new(self.0.form()))
    }
}

/// A kind that only one section has: what the manual says of its values, how one is read and how one is shown.
pub(in crate::config) const fn custom<T, R, S>(
    accepted: &'static str,
    read: R,
    show: S,
) -> Custom<T, R, S>
where
    R: Fn(&Field<'_>) -> Read<T>,
    S: Fn(&T) -> Shown,
{
    Custom { accepted, read, show, form: None, value: PhantomData }
}

pub(in crate::config) struct Custom<T, R, S> {
    accepted: &'static str,
    read: R,
    show: S,
    form: Option<Form>,
    value: PhantomData<T>,
}

impl<T, R, S> Custom<T, R, S> {
    /// A value is shown in this form, and not as a text.
    pub(in crate::config) fn shown_as(self, form: Form) -> Self {
        Self { form: Some(form), ..self }
    }
}

impl<T, R, S> Kind for Custom<T, R, S>
where
    R: Fn(&Field<'_>) -> Read<T>,
    S: Fn(&T) -> Shown,
{
    type Value = T;

    fn read(&self, field: &Field<'_>) -> Read<T> {
        (self.read)(field)
    }

    fn show(&self, value: &T) -> Shown {
        (self.show)(value)
    }

    fn bounds(&self) -> Bounds {
        Bounds::Told(self.accepted)
    }

    fn form(&self) -> Form {
        self.form.clone().unwrap_or_else(|| Form::Plain(self.bounds()))
    }
}
