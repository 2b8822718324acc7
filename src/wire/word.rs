//! A word of a fixed list.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{Object, Type};

/// A list of words, each with its meaning.
pub trait Vocabulary: Copy + PartialEq + fmt::Debug + 'static {
    /// What the list is called in the document.
    const NAME: &'static str;
    /// What it is for, as the document says.
    const DESCRIPTION: &'static str;
    /// Every meaning.
    const ALL: &'static [Self];

    /// The word for it.
    fn word(self) -> &'static str;
}

/// A word of a [`Vocabulary`], or one that only a newer daemon knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word<T> {
    /// One of the list.
    Known(T),
    /// Another one, as it came.
    Other(String),
}

impl<T: Vocabulary> Word<T> {
    /// This word.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let known = T::ALL.iter().find(|meaning| meaning.word() == text);
        known.map_or_else(|| Self::Other(text.to_owned()), |meaning| Self::Known(*meaning))
    }

    /// The word as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(meaning) => meaning.word(),
            Self::Other(text) => text,
        }
    }

    /// What it means, if this version knows.
    #[must_use]
    pub const fn known(&self) -> Option<T> {
        match self {
            Self::Known(meaning) => Some(*meaning),
            Self::Other(_) => None,
        }
    }

    /// Whether it means this.
    #[must_use]
    pub fn is(&self, meaning: T) -> bool {
        self.known() == Some(meaning)
    }
}

impl<T: Vocabulary> From<T> for Word<T> {
    fn from(meaning: T) -> Self {
        Self::Known(meaning)
    }
}

impl<T: Vocabulary> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<T: Vocabulary> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: Vocabulary> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Ok(Self::of(&text))
    }
}

impl<T: Vocabulary> utoipa::PartialSchema for Word<T> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        Object::builder()
            .schema_type(Type::String)
            .description(Some(T::DESCRIPTION))
            .enum_values(Some(T::ALL.iter().map(|meaning| meaning.word())))
            .into()
    }
}

impl<T: Vocabulary> utoipa::ToSchema for Word<T> {
    fn name() -> Cow<'static, str> {
        T::NAME.into()
    }
}
