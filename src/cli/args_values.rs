//! Values that several commands take: states, lengths of time, and time zones.
//!
//! Owns how they are read from the command line, and what is said of a length without a unit.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::tz::TimeZone;

use crate::domain::state::State;
use crate::domain::units::{format_duration, parse_duration_or_seconds};

/// A length of time, and whether it was written without a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// In milliseconds.
    pub ms: u64,
    /// Taken as seconds.
    pub is_bare: bool,
}

impl Length {
    /// What was understood, where nothing was said of the unit.
    #[must_use]
    pub fn note(self) -> Option<String> {
        let seconds = self.ms / 1000;
        let meant = format_duration(self.ms);
        self.is_bare.then(|| {
            format!("note: {seconds} without a unit is taken as seconds: {meant}; write {seconds}ms for milliseconds")
        })
    }
}

pub(crate) fn parse_length(text: &str) -> Result<Length, String> {
    let ms = parse_duration_or_seconds(text)?;
    Ok(Length { ms, is_bare: text.trim().bytes().all(|b| b.is_ascii_digit()) })
}

/// Reads the name of a time zone.
pub(crate) fn parse_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| {
        format!(
            "\"{text}\" is not a valid time zone; expected a name of the IANA list, for example Asia/Shanghai or UTC"
        )
    })
}

/// The states of messages, known to completion and help.
pub(crate) fn states() -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(State::ALL.map(State::as_str)).try_map(|word| word.parse::<State>())
}
