//! What a section shows of its values in force, as far as it can be said without a configuration.
//!
//! Owns the forms of [`Shown`](super::Shown). Refuses to know how they are described to a client (see the API).

use super::bounds::Bounds;

/// The form in which a value is shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// A value within bounds; a text, where they are only told.
    Plain(Bounds),
    /// A list of such values.
    List(Box<Self>),
    /// A table of texts, each with what it says.
    Texts(&'static [(&'static str, &'static str)]),
    /// This word, or a value of this form.
    OrWord(&'static str, Box<Self>),
    /// Any text, or a value of this form.
    OrText(Box<Self>),
    /// A table whose names are those of a user, each with a value of this form.
    Named(Box<Self>),
    /// The table of this section.
    Section(&'static str),
    /// Whether there is a secret.
    Secret,
    /// It is not said.
    Any,
}

/// One value of a section, as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownSetting {
    /// The key under which it is shown.
    pub key: &'static str,
    /// What it is for, in Markdown.
    pub sentence: String,
    /// Its form.
    pub form: Form,
    /// Whether nothing may be shown in its place.
    pub may_be_unset: bool,
}

/// A table that a section may show in place of its own, told apart by its `type`.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownVariant {
    /// The type.
    pub word: &'static str,
    /// The other values.
    pub shown: Vec<ShownSetting>,
}
