//! A pattern for the text of an answer.
//!
//! Owns its bounds: patterns are compiled once, to so much memory at most, and tried in linear time.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1000;
/// What a compiled pattern may take, in bytes: the time that a text takes grows with it.
const COMPILED_BYTES_MAX: usize = 256 << 10;
/// What the memory of its matching may take, in bytes, for each thread that matches.
const MATCHING_BYTES_MAX: usize = 256 << 10;

/// The group that is the downstream's own name for the message.
const REFERENCE: &str = "ref";
/// The group that is the reason, for people.
const DETAIL: &str = "detail";

/// A regular expression that is found in a text or not.
#[derive(Clone)]
pub struct BodyPattern {
    text: String,
    regex: Regex,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// Nothing to look for.
    #[error(
        "is empty, and so would hold for every answer; expected for example \"^ERR: (114|301)\", or leave it out"
    )]
    Empty,
    /// Too long.
    #[error("has {0} bytes, expected at most {PATTERN_BYTES_MAX}; make several rules of it")]
    TooLong(usize),
    /// Too much once it is compiled.
    #[error(
        "is too large once its repetitions are written out; repeat less, or write (?-u) before it if \\w and \\d need not know every script of the world"
    )]
    TooLarge,
    /// No pattern.
    #[error("is not a valid regular expression: {0}; the forms are those of https://docs.rs/regex")]
    Syntax(String),
    /// A group with a name that means nothing here.
    #[error(
        "names a group \"{0}\"; expected (?P<ref>...) or (?P<detail>...), or a group without a name"
    )]
    Group(String),
}

impl BodyPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`BadPattern`], with a sentence and its remedy.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() {
            return Err(BadPattern::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(BadPattern::TooLong(text.len()));
        }
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(COMPILED_BYTES_MAX).dfa_size_limit(MATCHING_BYTES_MAX);
        let regex = builder.build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => BadPattern::TooLarge,
            other => BadPattern::Syntax(in_one_line(&other.to_string())),
        })?;
        match regex.capture_names().flatten().find(|name| ![REFERENCE, DETAIL].contains(name)) {
            Some(other) => Err(BadPattern::Group(other.to_owned())),
            None => Ok(Self { text: text.to_owned(), regex }),
        }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has a group for the downstream's own name for the message.
    #[must_use]
    pub fn has_reference(&self) -> bool {
        self.has_group(REFERENCE)
    }

    /// Whether it has a group for the reason.
    #[must_use]
    pub fn has_detail(&self) -> bool {
        self.has_group(DETAIL)
    }

    fn has_group(&self, group: &str) -> bool {
        self.regex.capture_names().flatten().any(|name| name == group)
    }

    /// Whether it is found in a text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What stands in the groups for a reference and for a reason, if it has any and they took part.
    pub(super) fn captured(&self, text: &str) -> (Option<String>, Option<String>) {
        if !self.has_reference() && !self.has_detail() {
            return (None, None);
        }
        let Some(found) = self.regex.captures(text) else { return (None, None) };
        let group = |name| found.name(name).map(|group| group.as_str().to_owned());
        (group(REFERENCE), group(DETAIL))
    }
}

/// The library draws an arrow below the place; a sentence has one line.
fn in_one_line(error: &str) -> String {
    let last = error.lines().rfind(|line| !line.trim().is_empty()).unwrap_or(error);
    last.trim().trim_start_matches("error: ").to_owned()
}

impl PartialEq for BodyPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for BodyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BodyPattern").field(&self.text).finish()
    }
}
