//! Values without parts, as text.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Error, Value};

use super::example::Anything;
use super::refused::{sentence, undefined};
use super::surroundings::Spellings;

/// How a text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Percent,
    Json,
    Xml,
}

/// A text that a filter encoded.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) encoding: Encoding,
    pub(super) text: String,
}

impl Encoded {
    pub(super) fn value(encoding: Encoding, text: String) -> Value {
        Value::from_object(Self { encoding, text })
    }
}

impl Object for Encoded {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The text of a value that has no parts.
pub(super) fn scalar<'a>(value: &'a Value, spellings: &Spellings) -> Result<Cow<'a, str>, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.into());
    }
    if let Some(encoded) = value.downcast_object_ref::<Encoded>() {
        return Ok(encoded.text.as_str().into());
    }
    if value.downcast_object_ref::<Anything>().is_some() {
        return Ok(Anything::TEXT.into());
    }
    match value.kind() {
        ValueKind::Undefined => Err(undefined()),
        ValueKind::None => Err(sentence(
            "which is null; set what stands for it, for example with | default(\"none\", true)",
        )),
        ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.into()),
        ValueKind::Number => Ok(number(value, spellings).into()),
        ValueKind::Seq | ValueKind::Iterable => {
            Err(sentence("which is a list; write it with | tojson, | join(\",\") or a loop"))
        }
        _ => Err(sentence("which is an object; name one of its fields, or write it with | tojson")),
    }
}

/// A number as the payload spells it.
pub(super) fn number(value: &Value, spellings: &Spellings) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let bits = f64::try_from(value.clone()).map_or(0, f64::to_bits);
    match spellings.get(&bits) {
        Some(Some(spelling)) => spelling.clone(),
        _ => value.to_string(),
    }
}
