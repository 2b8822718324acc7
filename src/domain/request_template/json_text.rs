//! Values as JSON, with numbers as the payload spells them.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::example::Anything;
use super::refused::{sentence, undefined};
use super::scalar::{Encoded, number};
use super::surroundings::{Spellings, bounded};

/// Writes a value as JSON.
pub(super) fn write_json(
    value: &Value,
    spellings: &Spellings,
    out: &mut String,
) -> Result<(), Error> {
    if let Some(text) = value.as_str() {
        return write_string(text, out);
    }
    if let Some(encoded) = value.downcast_object_ref::<Encoded>() {
        return write_string(&encoded.text, out);
    }
    if value.downcast_object_ref::<Anything>().is_some() {
        return write_string(Anything::TEXT, out);
    }
    match value.kind() {
        ValueKind::Undefined => return Err(undefined()),
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&json_number(value, spellings)?),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (at, item) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(&item, spellings, out)?;
                bounded(out.len())?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (at, key) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_string(&key.to_string(), out)?;
                out.push(':');
                write_json(&value.get_item(&key)?, spellings, out)?;
            }
            out.push('}');
        }
        _ => return Err(sentence("which cannot be written as JSON")),
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) -> Result<(), Error> {
    let quoted = serde_json::to_string(text).map_err(|error| sentence(&error.to_string()))?;
    out.push_str(&quoted);
    Ok(())
}

fn json_number(value: &Value, spellings: &Spellings) -> Result<String, Error> {
    let text = number(value, spellings);
    if serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok() {
        return Ok(text);
    }
    Err(sentence("which is not a number that JSON has"))
}
