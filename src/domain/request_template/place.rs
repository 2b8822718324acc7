//! Where a value stands in a request, and how it is escaped there.
//!
//! Owns that no value ends what it stands in. What a filter has encoded for a place stays as it is there, and is
//! escaped like any other text elsewhere.

use std::borrow::Cow;

use minijinja::{Error, Output, State, Value};

use super::json_text::write_json;
use super::refused::sentence;
use super::scalar::{Encoded, Encoding, scalar};
use super::surroundings::surroundings;
use crate::domain::headers::is_json_type;

/// Where the values of a template stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a url.
    Url,
    /// In the value of a header.
    Header,
    /// In a body of pairs, percent-encoded.
    Form,
    /// In a JSON document.
    Json,
    /// In an XML or HTML document.
    Xml,
    /// In any other text.
    Plain,
}

impl Place {
    /// The place in a body of this type.
    pub(super) fn of_content_type(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "text/xml" | "application/xml" | "text/html" => Self::Xml,
            other if other.ends_with("+xml") => Self::Xml,
            _ if is_json_type(content_type) => Self::Json,
            _ => Self::Plain,
        }
    }
}

/// Writes a value for its place.
pub(super) fn write(
    place: Place,
    out: &mut Output<'_>,
    state: &State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if value.is_undefined() {
        // A condition without `else` that does not hold; all else that is not there has been refused before.
        return Ok(());
    }
    let around = surroundings(state)?;
    let is_safe = value.is_safe();
    let encoded = value.downcast_object_ref::<Encoded>().map(|encoded| encoded.encoding);
    if place == Place::Json && !is_safe {
        let is_in_string = around.json.lock().is_in_string;
        if !is_in_string && encoded != Some(Encoding::Json) {
            let mut text = String::new();
            write_json(value, &around.spellings, &mut text)?;
            return Ok(out.write_str(&text)?);
        }
    }
    let text = scalar(value, &around.spellings)?;
    let escaped = match (place, encoded) {
        (Place::Header, _) => checked_header(text)?,
        _ if is_safe => text,
        (Place::Url | Place::Form, Some(Encoding::Percent))
        | (Place::Xml, Some(Encoding::Xml | Encoding::Percent))
        | (Place::Plain, _) => text,
        (Place::Url | Place::Form, _) => percent(&text).into(),
        (Place::Xml, _) => xml(&text)?.into(),
        (Place::Json, _) if around.json.lock().is_in_string => inside_string(&text)?.into(),
        (Place::Json, _) => text,
    };
    Ok(out.write_str(&escaped)?)
}

fn checked_header(text: Cow<'_, str>) -> Result<Cow<'_, str>, Error> {
    if text.contains(|letter: char| letter.is_control() && letter != '\t') {
        return Err(sentence("which has a line break or another control character"));
    }
    Ok(text)
}

/// Everything but the letters that stand for themselves in every part of a url.
pub(super) fn percent(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, ENCODED).to_string()
}

/// For text and attributes alike.
pub(super) fn xml(text: &str) -> Result<String, Error> {
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // A reader would make spaces of them in an attribute, and one line break of these two.
            '\t' => escaped.push_str("&#9;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                return Err(sentence("which has a control character that XML cannot hold"));
            }
            other => escaped.push(other),
        }
    }
    Ok(escaped)
}

/// The inside of a JSON string.
fn inside_string(text: &str) -> Result<String, Error> {
    let quoted = serde_json::to_string(text).map_err(|error| sentence(&error.to_string()))?;
    let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Ok(inside.unwrap_or_default().to_owned())
}
