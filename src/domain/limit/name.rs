//! The name of a limit: under it its state is kept, shown and counted.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name of a limit, in bytes.
pub const LIMIT_NAME_BYTES_MAX: usize = 64;

/// The name of a limit: `[a-z0-9][a-z0-9_-]{0,63}`, without `__`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LimitName(Arc<str>);

/// Why a text is not the name of a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid limit name; expected 1 to 64 of a-z, 0-9, _ and -, starting with a letter or digit, without \"__\""
)]
pub struct BadLimitName(pub String);

impl LimitName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that this program gives, of these parts: what a name cannot have becomes `_`, and the middle part, which may
    /// be any text, is cut.
    pub(super) fn given(before: &str, middle: &str, behind: &str) -> Self {
        let room = LIMIT_NAME_BYTES_MAX.saturating_sub(before.len() + behind.len());
        let mut name = String::with_capacity(LIMIT_NAME_BYTES_MAX);
        let letters = before.chars().chain(middle.chars().take(room)).chain(behind.chars());
        for letter in letters.map(|letter| letter.to_ascii_lowercase()) {
            match letter {
                'a'..='z' | '0'..='9' | '-' => name.push(letter),
                _ if name.ends_with('_') => {}
                _ => name.push('_'),
            }
        }
        Self(name.trim_end_matches('_').into())
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for LimitName {
    type Error = BadLimitName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<LimitName> for String {
    fn from(name: LimitName) -> Self {
        name.as_str().to_owned()
    }
}

impl FromStr for LimitName {
    type Err = BadLimitName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first_ok = text.bytes().next().is_some_and(is_plain);
        let rest_ok = text.bytes().all(|byte| is_plain(byte) || byte == b'_' || byte == b'-');
        if first_ok && rest_ok && text.len() <= LIMIT_NAME_BYTES_MAX && !text.contains("__") {
            Ok(Self(text.into()))
        } else {
            Err(BadLimitName(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_people_write_them() {
        for good in ["rate", "quota_day", "per-second-2", "9", &"a".repeat(64)] {
            assert_eq!(good.parse::<LimitName>().unwrap().as_str(), good);
        }
        for bad in ["", "Rate", "a__b", "_a", "-a", "a b", "a.b", "a:b", "ü", &"a".repeat(65)] {
            assert_eq!(bad.parse::<LimitName>(), Err(BadLimitName(bad.to_owned())));
        }
    }
}
