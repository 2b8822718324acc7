//! Recurring messages: what a schedule is, when it ticks, and what becomes of ticks that were missed.
//!
//! A tick is known by its nominal time: the moment at which its cadence says it is due, whatever the
//! moment at which it fires. Owns the words; `cadence` owns the times, `catch_up` what is fired late.
//! Refuses to read a clock and to know where schedules are kept.

mod cadence;
mod catch_up;
#[cfg(test)]
mod minute_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use super::id::QueueName;
use super::message::{Details, LABELS_MAX};

pub use self::cadence::{BadCadence, Cadence, EVERY_MS_MAX, EVERY_MS_MIN, PATTERN_BYTES_MAX};
pub use self::catch_up::{CATCH_UP_MAX, CatchUp, Due, ON_TIME_MS, due};

/// The label that each message of a schedule has: its name.
pub const LABEL: &str = "schedule";

/// Checks the labels of what a schedule sends: one more is the schedule's own.
///
/// # Errors
/// A sentence, when there is no room for it, or when its name is taken.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), String> {
    if labels.contains_key(LABEL) {
        return Err(format!(
            "the label \"{LABEL}\" is set by Tidegate to the name of the schedule; choose another name"
        ));
    }
    let most = LABELS_MAX - 1;
    match labels.len() {
        found if found > most => Err(format!(
            "found {found} entries, expected up to {most}, because each message also gets the label \"{LABEL}\""
        )),
        _ => Ok(()),
    }
}

/// The name of a schedule: as that of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScheduleName(Arc<str>);

/// Why a text is no name of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid schedule name; expected 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit, without \"__\""
)]
pub struct BadScheduleName(pub String);

impl ScheduleName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ScheduleName {
    type Err = BadScheduleName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<QueueName>() {
            Ok(_) => Ok(Self(text.into())),
            Err(_) => Err(BadScheduleName(text.to_owned())),
        }
    }
}

/// A recurring message: what is sent, where to, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its name, unique in a namespace.
    pub name: ScheduleName,
    /// The queue that its messages go to.
    pub queue: QueueName,
    /// When it ticks.
    pub cadence: Cadence,
    /// What becomes of ticks that were missed.
    pub catch_up: CatchUp,
    /// The payload of every message, as it will leave.
    pub payload: Bytes,
    /// Everything else of every message; without an idempotency key, since the tick itself is one.
    pub details: Details,
    /// 0 to 9, 9 first.
    pub priority: u8,
    /// A message that was not attempted within this time after it fired expires.
    pub ttl_ms: Option<u64>,
}

/// Who made a schedule: the file, or a call of the API. Each is changed only where it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `[schedules.NAME]` in a configuration file.
    Config,
    /// `PUT /v1/schedules/{name}`.
    Api,
}

impl Source {
    /// The word in HTTP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Api => "api",
        }
    }
}
