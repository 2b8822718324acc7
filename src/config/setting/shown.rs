//! Values in force, as they may be shown: one tree, which becomes JSON for the API and TOML for people.
//!
//! Owns what of a secret is shown: whether there is one. Refuses to know any setting.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// What stands where a secret is.
pub(in crate::config) const MASK: &str = "***";
/// What JSON calls a secret, of which it shows whether there is one.
pub(in crate::config) const SIGNED: &str = "signed";

/// One value in force.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// The setting is not set, or has no effect here: `null` in JSON, no line in TOML.
    Unset,
    /// A text; durations, sizes and rates are texts too.
    Text(String),
    /// A whole number.
    Whole(u64),
    /// A number.
    Number(f64),
    /// Yes or no.
    Switch(bool),
    /// A list.
    List(Vec<Self>),
    /// A table that stands in one line of TOML.
    Table(Table),
    /// A table that is a section of TOML.
    Section(Table),
    /// A table whose names are those of a user, such as labels, and no secret. TOML has no line for an empty one.
    Pairs(Vec<(String, Self)>),
    /// Headers whose values may be secrets: JSON has their names, TOML hides their values.
    Headers {
        /// The names.
        names: Vec<String>,
        /// Whether TOML says it too if there are none, because that is not the default.
        even_none: bool,
    },
    /// Whether a signing secret is set: `signed` in JSON, hidden in TOML.
    Secret(bool),
    /// A secret that must be set: hidden in JSON and TOML.
    Masked,
    /// Several signing secrets: their number in JSON, each hidden in TOML.
    Secrets(usize),
    /// Whether requests are signed with what another key or section has: `signed` in JSON, no line in TOML.
    Signed(bool),
    /// Any value of a user.
    Json(serde_json::Value),
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Shown {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A text, if there is one.
impl<T: Into<Self>> From<Option<T>> for Shown {
    fn from(text: Option<T>) -> Self {
        text.map_or(Self::Unset, Into::into)
    }
}

/// The values of one section, in the order of their declaration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table(Vec<(&'static str, Shown)>);

impl Table {
    /// Adds a value.
    pub(in crate::config) fn push(&mut self, key: &'static str, value: Shown) {
        self.0.push((key, value));
    }

    /// Puts a value in the place of the one that this key has.
    pub(in crate::config) fn set(&mut self, key: &'static str, value: &Shown) {
        for (_, known) in self.0.iter_mut().filter(|(known, _)| *known == key) {
            known.clone_from(value);
        }
    }

    /// The values.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &Shown)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    /// The keys whose values differ; both tables are of the same section.
    pub(in crate::config) fn differing(&self, other: &Self) -> Vec<&'static str> {
        let pairs = self.0.iter().zip(&other.0).filter(|(one, two)| one != two);
        pairs.map(|((key, _), _)| *key).collect()
    }
}

impl<const N: usize> From<[(&'static str, Shown); N]> for Table {
    fn from(entries: [(&'static str, Shown); N]) -> Self {
        Self(entries.into())
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            let is_signed = matches!(value, Shown::Secret(_) | Shown::Signed(_));
            let key = if is_signed { SIGNED } else { key };
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unset => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Whole(number) => serializer.serialize_u64(*number),
            Self::Masked => serializer.serialize_str(MASK),
            Self::Secrets(count) => count.serialize(serializer),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Switch(value) | Self::Secret(value) | Self::Signed(value) => {
                serializer.serialize_bool(*value)
            }
            Self::List(items) => serializer.collect_seq(items),
            Self::Table(table) | Self::Section(table) => table.serialize(serializer),
            Self::Pairs(pairs) => {
                serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
            }
            Self::Headers { names, .. } => serializer.collect_seq(names),
            Self::Json(value) => value.serialize(serializer),
        }
    }
}
