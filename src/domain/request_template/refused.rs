//! Why a template gives no request: which part, which line, which expression, and what is wrong.
//!
//! Owns that nothing but the operator's own words, names and reasons is shown: no secret, and nothing that stands around
//! an expression.

use std::fmt;

use minijinja::{Error, ErrorKind};

use super::address::OPENERS;
use super::factors::without_guards;

/// Why a template gives no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The key below `request`, for example `body` or `headers.x-to`.
    pub part: String,
    /// The line of the template, where it has several.
    pub line: Option<usize>,
    /// A sentence that goes on after the name of the part.
    pub what: String,
    is_certain: bool,
    is_missing: bool,
}

impl TemplateError {
    /// No part of the request could be made.
    #[must_use]
    pub fn of_all(what: String) -> Self {
        Self::of_part("", what)
    }

    pub(super) fn of_part(part: &str, what: impl Into<String>) -> Self {
        Self {
            part: part.to_owned(),
            line: None,
            what: what.into(),
            is_certain: true,
            is_missing: false,
        }
    }

    /// What the engine refused. `shown`: the template without secrets; an expression that does not stand in it is not
    /// shown.
    pub(super) fn of_engine(part: &str, error: &Error, source: &str, shown: &str) -> Self {
        let expression = error.range().and_then(|range| expression_at(source, range.start));
        let expression = expression.map(|(inside, name)| (without_guards(inside), name));
        let expression = expression.filter(|(inside, _)| shown.contains(&**inside));
        let name = expression.as_ref().map(|(_, name)| *name);
        let line = error.line().filter(|_| source.trim_end().contains('\n'));
        let at = expression
            .filter(|(inside, _)| inside.len() <= SHOWN_BYTES_MAX)
            .map_or(String::new(), |(inside, _)| format!(", in \"{inside}\""));
        let what = match (error.kind(), error.detail()) {
            (ErrorKind::UndefinedError, _) => {
                format!("needs {}, which the message does not have", name.unwrap_or("a value"))
            }
            (ErrorKind::InvalidOperation, Some(detail)) if detail.starts_with(OURS) => {
                let detail = detail.trim_start_matches(OURS);
                format!("needs {}, {detail}", name.unwrap_or("a value"))
            }
            (ErrorKind::OutOfFuel, _) => {
                "takes too long; write it with fewer steps, or fewer messages in a batch".to_owned()
            }
            (ErrorKind::WriteFailure, _) => "writes more than can be sent".to_owned(),
            (ErrorKind::SyntaxError, detail) => {
                format!("is not a valid template: {}{at}", detail.unwrap_or("it cannot be read"))
            }
            (ErrorKind::UnknownFilter | ErrorKind::UnknownTest, Some(detail)) => {
                format!("cannot be used: {detail}{at}; see docs/requests.md for what there is")
            }
            (kind, detail) => {
                let detail = detail.map_or_else(|| kind.to_string(), str::to_owned);
                format!("failed: {detail}{at}")
            }
        };
        let is_missing = error.kind() == ErrorKind::UndefinedError;
        let is_certain = is_certain(error.kind());
        Self { part: part.to_owned(), line, what, is_certain, is_missing }
    }

    /// The sentence without the name of the part.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.line {
            Some(line) => format!("{} (line {line} of the template)", self.what),
            None => self.what.clone(),
        }
    }

    /// Whether something is asked for that the message does not have.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// Whether it would fail with any message.
    pub(super) const fn is_certain(&self) -> bool {
        self.is_certain
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.part.is_empty() { "" } else { "." };
        write!(f, "request{dot}{} {}", self.part, self.sentence())
    }
}

/// The longest expression that is shown, in bytes.
const SHOWN_BYTES_MAX: usize = 100;

/// The inside of the braces around this place, and the value there: if a filter is what stands there, what stands before it, or
/// before the first filter.
fn expression_at(source: &str, at: usize) -> Option<(&str, &str)> {
    let before = source.get(..at)?;
    let opens = OPENERS.iter().filter_map(|opener| before.rfind(opener)).max();
    let opens =
        opens.or_else(|| OPENERS.iter().any(|it| source[at..].starts_with(it)).then_some(at))?;
    let rest = &source[opens + 2..];
    let closes = ["}}", "%}"].iter().filter_map(|closer| rest.find(closer)).min()?;
    let is_around = |letter: char| "-+ \n\t\r".contains(letter);
    let inside = rest[..closes].trim_matches(is_around);
    let value = inside.split('|').next().unwrap_or(inside).trim();
    let is_word = |letter: char| letter.is_alphanumeric() || "_.[]\"'".contains(letter);
    let begins = before.trim_end_matches(is_word).len();
    let word = source[begins..].split(|letter: char| !is_word(letter)).next().unwrap_or_default();
    let is_value = |word: &str| word.starts_with(|it: char| it.is_alphabetic() || it == '_');
    let Some(filtered) = before[..begins].trim_end().strip_suffix('|') else {
        return Some((inside, if is_value(word) { word } else { value }));
    };
    let filtered = filtered.trim_end();
    let (others, name) = filtered.split_at(filtered.trim_end_matches(is_word).len());
    let is_first = !others.trim_end().ends_with('|');
    Some((inside, if is_first && is_value(name) { name } else { value }))
}

/// Whether an error lies in the template, whatever the message is.
const fn is_certain(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::SyntaxError
            | ErrorKind::UndefinedError
            | ErrorKind::UnknownFilter
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownMethod
            | ErrorKind::MissingArgument
            | ErrorKind::TooManyArguments
    )
}

/// How a reason of ours begins.
const OURS: &str = "\u{1}";

/// A reason of ours, which goes on after the name of a value: "which ...".
pub(super) fn sentence(text: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{OURS}{text}"))
}

/// A value that is not there.
pub(super) fn undefined() -> Error {
    Error::from(ErrorKind::UndefinedError)
}
