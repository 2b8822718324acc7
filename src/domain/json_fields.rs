//! The fields of a JSON object that somebody else wrote: read by name, in whatever case, with values
//! of any type.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Names and values, in the order in which they stand.
#[derive(Debug)]
pub struct JsonFields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> JsonFields<'a> {
    /// The fields of an object.
    ///
    /// # Errors
    /// What stands there is no object.
    pub fn read(raw: &'a RawValue) -> Result<Self, String> {
        serde_json::from_str(raw.get()).map_err(|error| error.to_string())
    }

    /// The value of a field.
    ///
    /// # Errors
    /// It stands there twice, and so says nothing certain.
    pub fn one(&self, name: &str) -> Result<Option<&'a RawValue>, String> {
        single(name, self.values(name))
    }

    /// The value of the field of exactly this name.
    ///
    /// # Errors
    /// It stands there twice, and so says nothing certain.
    pub fn exactly(&self, name: &str) -> Result<Option<&'a RawValue>, String> {
        single(name, self.0.iter().filter(|(key, _)| key == name).map(|(_, raw)| *raw))
    }

    /// A field for people: a string's text, any other value as it is written. `null` is none.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.values(name).next().and_then(text_of)
    }

    /// All fields, in the order in which they stand.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, raw)| (name.as_str(), *raw))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a RawValue> {
        self.0.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, raw)| *raw)
    }
}

/// A value for people: a string's text, any other value as it is written. `null` is none.
#[must_use]
pub fn text_of(raw: &RawValue) -> Option<String> {
    match serde_json::from_str::<Option<String>>(raw.get()) {
        Ok(text) => text,
        Err(_) => Some(raw.get().to_owned()),
    }
}

fn single<'a>(
    name: &str,
    mut values: impl Iterator<Item = &'a RawValue>,
) -> Result<Option<&'a RawValue>, String> {
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(format!("the field \"{name}\" stands in it twice")),
    }
}

impl<'de> Deserialize<'de> for JsonFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = JsonFields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(JsonFields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_case_and_shown_as_text() {
        let raw = r#"{"Id": "a", "detail": {"code": 42}, "ref": 7, "n": null, "x": 1, "X": 2, "u": "\u00fc"}"#;
        let fields = JsonFields::read(serde_json::from_str(raw).unwrap()).unwrap();
        assert_eq!(fields.one("id").unwrap().unwrap().get(), "\"a\"");
        assert_eq!(fields.text("detail").as_deref(), Some("{\"code\": 42}"));
        assert_eq!(fields.text("ref").as_deref(), Some("7"));
        assert_eq!((fields.text("n"), fields.text("absent")), (None, None));
        assert_eq!(fields.text("u").as_deref(), Some("\u{fc}"));
        assert_eq!(fields.one("x").unwrap_err(), "the field \"x\" stands in it twice");
        assert!(fields.one("absent").unwrap().is_none());
        assert_eq!(fields.exactly("x").unwrap().unwrap().get(), "1");
        assert!(fields.exactly("id").unwrap().is_none());
        for other in ["[]", "7", "\"x\"", "null"] {
            assert!(JsonFields::read(serde_json::from_str(other).unwrap()).is_err(), "{other}");
        }
    }
}
