//! A place in a JSON document, as RFC 6901 writes it: `/rows/0/status`.

use std::fmt;
use std::str::FromStr;

use serde_json::value::RawValue;

use crate::domain::json_fields::JsonFields;

/// Longest pointer, in bytes.
pub const POINTER_BYTES_MAX: usize = 500;
/// Most steps of a pointer: each is another look at what remains of the document.
pub const POINTER_STEPS_MAX: usize = 20;

/// A place in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPointer {
    text: String,
    steps: Vec<String>,
}

/// Why a text is no pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPointer {
    /// It names a field as other notations do.
    #[error("{0:?} is not a JSON pointer, which begins with a slash; expected for example {1:?}")]
    NoSlash(String, String),
    /// A tilde that stands for nothing.
    #[error(
        "{0:?} has a ~ that is followed by neither 0 nor 1; write ~0 for a ~ and ~1 for a / in a name"
    )]
    Tilde(String),
    /// Too long.
    #[error(
        "has {0} bytes and {1} steps, expected at most {POINTER_BYTES_MAX} and {POINTER_STEPS_MAX}"
    )]
    TooLong(usize, usize),
}

impl FromStr for JsonPointer {
    type Err = BadPointer;

    fn from_str(text: &str) -> Result<Self, BadPointer> {
        if text.is_empty() {
            return Ok(Self { text: String::new(), steps: Vec::new() });
        }
        let Some(rest) = text.strip_prefix('/') else {
            let path =
                text.trim_start_matches(['$', '.']).replace(['.', '['], "/").replace(']', "");
            return Err(BadPointer::NoSlash(text.to_owned(), format!("/{path}")));
        };
        let count = rest.split('/').count();
        if text.len() > POINTER_BYTES_MAX || count > POINTER_STEPS_MAX {
            return Err(BadPointer::TooLong(text.len(), count));
        }
        if rest.split('~').skip(1).any(|after| !after.starts_with(['0', '1'])) {
            return Err(BadPointer::Tilde(text.to_owned()));
        }
        let steps = rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
        Ok(Self { text: text.to_owned(), steps: steps.collect() })
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonPointer {
    /// The name that a document has where something stands at this place, if it is one that can be known again.
    pub(super) fn first_name(&self) -> Option<&str> {
        let is_name = |step: &&String| !step.is_empty() && step.parse::<u64>().is_err();
        self.steps.iter().find(is_name).map(String::as_str)
    }

    /// What stands there; `None`: nothing does.
    ///
    /// # Errors
    /// A name on the way stands there twice, and so says nothing certain.
    pub(super) fn find<'a>(&self, document: &'a RawValue) -> Result<Option<&'a RawValue>, String> {
        let mut at = document;
        for step in &self.steps {
            let next = if at.get().starts_with('{') {
                JsonFields::read(at)?.exactly(step)?
            } else if at.get().starts_with('[') {
                element(at, step)?
            } else {
                None
            };
            match next {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }
}

fn element<'a>(list: &'a RawValue, step: &str) -> Result<Option<&'a RawValue>, String> {
    let Ok(place) = step.parse::<usize>() else { return Ok(None) };
    let items: Vec<&RawValue> = elements(list)?;
    Ok(items.get(place).copied())
}

/// The elements of a list.
pub(super) fn elements(list: &RawValue) -> Result<Vec<&RawValue>, String> {
    serde_json::from_str(list.get()).map_err(|error| error.to_string())
}
