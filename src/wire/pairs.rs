//! Names and values in the order in which they came, written as an object.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names and values, such as headers.
#[derive(Debug, Clone)]
pub struct Pairs<'a>(pub Cow<'a, [(String, String)]>);

impl<'a> From<&'a [(String, String)]> for Pairs<'a> {
    fn from(pairs: &'a [(String, String)]) -> Self {
        Self(Cow::Borrowed(pairs))
    }
}

impl Pairs<'_> {
    /// The values by name.
    #[must_use]
    pub fn into_map(self) -> BTreeMap<String, String> {
        self.0.into_owned().into_iter().collect()
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Pairs<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, String)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(InOrder).map(|pairs| Self(Cow::Owned(pairs)))
    }
}
