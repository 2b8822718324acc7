//! The fields of forms and of queries.
//!
//! Owns their reading. An empty field counts as absent, since a browser sends every field. Refuses to judge values: the API
//! does, and its problems are shown.

use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::words::encoded;

/// Fields in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FormFields(Vec<(String, String)>);

impl FormFields {
    /// Reads a form or a query.
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first field of this name that is not empty.
    pub(super) fn some(&self, name: &str) -> Option<&str> {
        let named = self.0.iter().filter(|(key, _)| key == name);
        named.map(|(_, value)| value.trim()).find(|value| !value.is_empty())
    }

    /// The same; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.some(name).unwrap_or_default()
    }

    /// Every field of this name that is not empty.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// A field as it came, with its spaces and lines; a browser ends lines with two characters.
    pub(super) fn exact(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.replace("\r\n", "\n"))
    }

    /// The same as a query, with only those of these names that are not empty.
    pub(super) fn query(&self, names: &[&str]) -> String {
        let kept = self
            .0
            .iter()
            .filter(|(name, value)| names.contains(&name.as_str()) && !value.trim().is_empty());
        let pairs: Vec<_> =
            kept.map(|(name, value)| format!("{name}={}", encoded(value.trim()))).collect();
        pairs.join("&")
    }
}

/// The body of a request, made of what a form has.
#[derive(Debug, Default)]
pub(super) struct FormBody(Map<String, Value>);

impl FormBody {
    /// A field with a text, if the form has it.
    pub(super) fn text(mut self, name: &str, text: Option<&str>) -> Self {
        if let Some(text) = text {
            self.0.insert(name.to_owned(), text.into());
        }
        self
    }

    /// A field with a number, if the form has it; what is no number is sent as it is, and the API says so.
    pub(super) fn number(mut self, name: &str, text: Option<&str>) -> Self {
        if let Some(text) = text {
            let value = text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    /// A field with any value.
    pub(super) fn value(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// The body.
    pub(super) fn json(self) -> String {
        Value::Object(self.0).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_are_absent() {
        let fields = FormFields::read(b"reason=&for=+1h+&state=dead&state=expired&body=a%0D%0Ab");
        assert_eq!((fields.some("reason"), fields.some("for")), (None, Some("1h")));
        assert_eq!(fields.all("state").collect::<Vec<_>>(), ["dead", "expired"]);
        assert_eq!(fields.exact("body").as_deref(), Some("a\nb"));
        assert_eq!(fields.query(&["state", "reason"]), "state=dead&state=expired");
        let body = FormBody::default().text("for", fields.some("for")).number("n", Some("5"));
        let body = body.number("m", Some("x")).text("z", None).json();
        assert_eq!(body, r#"{"for":"1h","m":"x","n":5}"#);
    }
}
