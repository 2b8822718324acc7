//! What a rule is tried on: an answer's body, or an element of the list in it, as text and as JSON.
//!
//! Owns what cannot be told: a body that was cut, is compressed, or is JSON that cannot be read.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::value::RawValue;

use super::pattern::BodyPattern;
use super::pointer::JsonPointer;
use super::{JsonCondition, JsonScalar, SHOWN_CHARS_MAX};
use crate::domain::answer_body::{AnswerBody, begins_like_json};
use crate::domain::json_fields::text_of;

/// Whether a condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    /// Why, for people.
    CannotTell(String),
}

impl Truth {
    /// Whether both hold.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::CannotTell(why), _) | (_, Self::CannotTell(why)) => Self::CannotTell(why),
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// What is judged.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    /// The text, without white space at its ends; an error: why it is none.
    text: Result<Cow<'a, str>, String>,
    json: Document<'a>,
}

/// A subject as JSON.
#[derive(Debug)]
enum Document<'a> {
    Json(&'a RawValue),
    /// It surely is none.
    None,
    /// It was meant as JSON where it names what is looked for.
    Perhaps {
        texts: &'a [Cow<'a, str>],
        why: String,
    },
    /// Why nobody can tell.
    CannotTell(String),
}

impl<'a> Subject<'a> {
    /// For rules that do not look.
    pub(super) const fn unread() -> Self {
        Self { text: Ok(Cow::Borrowed("")), json: Document::None }
    }

    /// The body of an answer, `texts` being its own.
    pub(super) fn of_body(body: &AnswerBody<'a>, texts: &'a [Cow<'a, str>]) -> Self {
        let parsed = texts.iter().find_map(|text| {
            let text = trimmed(text);
            // A number that was cut is still a number, so only what has an end of its own can be whole.
            let may_be_whole = body.missing.is_none() || begins_like_json(text);
            let json = serde_json::from_str::<&RawValue>(text).ok().filter(|_| may_be_whole)?;
            Some((text, json))
        });
        let text = match (body.text(texts), &parsed) {
            (Ok(_), Some((text, _))) => Ok(Cow::Borrowed(*text)),
            (Ok(Cow::Borrowed(text)), None) => Ok(Cow::Borrowed(trimmed(text))),
            (Ok(Cow::Owned(text)), None) => Ok(Cow::Owned(trimmed(&text).to_owned())),
            (Err(why), _) => Err(why),
        };
        let json = match (parsed, &text) {
            (Some((_, json)), _) => Document::Json(json),
            (None, Err(why)) => Document::CannotTell(why.clone()),
            (None, Ok(_)) => Document::unparsed(body, texts),
        };
        Self { text, json }
    }

    /// An element of a list: the text of a string, or of anything else its JSON as it is written.
    pub(super) fn of_element(element: &'a RawValue) -> Self {
        let text = match serde_json::from_str::<String>(element.get()) {
            Ok(text) => Cow::Owned(trimmed(&text).to_owned()),
            Err(_) => Cow::Borrowed(element.get()),
        };
        Self { text: Ok(text), json: Document::Json(element) }
    }

    /// What stands at a place; an error: nobody can tell.
    pub(super) fn at(&self, pointer: &JsonPointer) -> Result<Option<&'a RawValue>, String> {
        match &self.json {
            Document::Json(document) => pointer.find(document),
            Document::None => Ok(None),
            Document::Perhaps { texts, why } => {
                let name = pointer.first_name().map(|name| format!("\"{name}\""));
                let is_named = |text: &Cow<'_, str>| {
                    begins_like_json(text) || name.as_ref().is_some_and(|name| text.contains(name))
                };
                if texts.iter().any(is_named) { Err(why.clone()) } else { Ok(None) }
            }
            Document::CannotTell(why) => Err(why.clone()),
        }
    }

    /// Whether the text has what a pattern looks for.
    pub(super) fn matches(&self, pattern: &BodyPattern) -> Truth {
        match &self.text {
            Ok(text) => pattern.is_in(text).into(),
            Err(why) => Truth::CannotTell(why.clone()),
        }
    }

    /// Whether the value that a condition names is as it says.
    pub(super) fn has(&self, condition: &JsonCondition) -> Truth {
        match self.at(&condition.at) {
            Err(why) => Truth::CannotTell(why),
            Ok(None) => Truth::No,
            Ok(Some(value)) => match &condition.equals {
                None => (value.get() != "null").into(),
                Some(expected) => expected.is(value).into(),
            },
        }
    }

    /// What stands in the groups of a pattern.
    pub(super) fn captured(&self, pattern: &BodyPattern) -> (Option<String>, Option<String>) {
        self.text.as_ref().map_or((None, None), |text| pattern.captured(text))
    }

    /// Its beginning, for people.
    pub(super) fn shown(&self) -> Option<String> {
        let text = self.text.as_ref().ok()?;
        (!text.is_empty()).then(|| text.chars().take(SHOWN_CHARS_MAX).collect())
    }

    /// A value as text, as far as it can be read.
    pub(super) fn text_at(&self, pointer: &JsonPointer) -> Option<String> {
        self.at(pointer).ok().flatten().and_then(text_of)
    }
}

impl<'a> Document<'a> {
    /// A body that is no JSON as it stands.
    fn unparsed(body: &AnswerBody<'_>, texts: &'a [Cow<'a, str>]) -> Self {
        if body.body.is_empty() || !body.holds_json() {
            return Self::None;
        }
        let parse = |text: &Cow<'_, str>| serde_json::from_str::<&RawValue>(text).err();
        let fault = texts.iter().find_map(parse).map(|error| error.to_string());
        let why = format!("the answer's body is not valid JSON: {}", fault.unwrap_or_default());
        if body.says_json() { Self::CannotTell(why) } else { Self::Perhaps { texts, why } }
    }
}

impl JsonScalar {
    /// Whether a value of a document is this one. Downstreams write the same number now with quotes, now without.
    fn is(&self, value: &RawValue) -> bool {
        let written = value.get();
        let is_number = written.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        let text = || match serde_json::from_str::<String>(written) {
            Ok(text) => Some(text),
            Err(_) => {
                (is_number || written == "true" || written == "false").then(|| written.to_owned())
            }
        };
        let is_the = |number: &str| {
            text().as_deref() == Some(number) || (is_number && is_same(written, number))
        };
        match self {
            Self::Text(expected) => text().as_ref() == Some(expected),
            Self::Switch(expected) => text() == Some(expected.to_string()),
            Self::Whole(expected) => is_the(&expected.to_string()),
            Self::Number(expected) => is_the(&expected.to_string()),
        }
    }
}

/// Whether two numbers are the same, however they are written.
fn is_same(one: &str, two: &str) -> bool {
    match (one.parse::<i128>(), two.parse::<i128>()) {
        (Ok(one), Ok(two)) => one == two,
        _ => match (one.parse::<f64>(), two.parse::<f64>()) {
            (Ok(one), Ok(two)) => one.partial_cmp(&two) == Some(Ordering::Equal),
            _ => false,
        },
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_end_matches('\0').trim()
}
