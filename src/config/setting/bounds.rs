//! The values that a setting accepts, as far as they can be said in general.
//!
//! Refuses to know how a value is read (see `kinds`).

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use crate::domain::units::{format_duration, format_size};

/// The values that a setting accepts.
#[derive(Debug, Clone, PartialEq)]
pub enum Bounds {
    /// A duration of so many milliseconds.
    Duration(RangeInclusive<u64>),
    /// A size of so many bytes.
    Size(RangeInclusive<u64>),
    /// A whole number.
    Whole(RangeInclusive<u64>),
    /// A number.
    Number(RangeInclusive<f64>),
    /// True or false.
    Switch,
    /// One of these words.
    Words(Vec<&'static str>),
    /// A list of such values.
    List(Box<Self>),
    /// What the manual says.
    Told(&'static str),
}

/// As the manual says it, in Markdown.
impl Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut range = |least: String, most: String| write!(f, "`{least}` to `{most}`");
        match self {
            Self::Duration(ms) => range(format_duration(*ms.start()), format_duration(*ms.end())),
            Self::Size(bytes) => range(format_size(*bytes.start()), format_size(*bytes.end())),
            Self::Whole(numbers) => range(numbers.start().to_string(), numbers.end().to_string()),
            Self::Number(numbers) => range(numbers.start().to_string(), numbers.end().to_string()),
            Self::Switch => f.write_str("`true`, `false`"),
            Self::Words(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
                f.write_str(&words.join(", "))
            }
            Self::List(each) => write!(f, "a list, each {each}"),
            Self::Told(text) => f.write_str(text),
        }
    }
}
