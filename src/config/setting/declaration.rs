//! What is known of a setting without any configuration, and what holds where it is not set.
//!
//! Owns the three ways in which a setting can be left out. Refuses to know kinds (see `kinds`).

use super::bounds::Bounds;
use super::form::{Form, ShownSetting, ShownVariant};
use super::shown::{SIGNED, Shown};
use crate::config::load::reader::{Field, Read, Section};

/// What the values of a setting are: how one is read, which ones are accepted, and how one is shown.
pub(in crate::config) trait Kind: Sized {
    /// A value.
    type Value;

    /// Reads a value, or records what is wrong with it.
    fn read(&self, field: &Field<'_>) -> Read<Self::Value>;

    /// A value, as it is shown.
    fn show(&self, value: &Self::Value) -> Shown;

    /// What is shown where there is no value.
    fn show_unset(&self) -> Shown {
        Shown::Unset
    }

    /// The values that are accepted.
    fn bounds(&self) -> Bounds;

    /// The form in which a value is shown.
    fn form(&self) -> Form {
        Form::Plain(self.bounds())
    }

    /// What is shown of the setting.
    fn shown(&self, key: &'static str, sentence: &str, may_be_unset: bool) -> ShownSetting {
        let form = self.form();
        let key = if form == Form::Secret { SIGNED } else { key };
        let may_be_unset = may_be_unset && self.show_unset() == Shown::Unset;
        ShownSetting { key, sentence: sentence.trim().to_owned(), form, may_be_unset }
    }

    /// If the setting is not set, this value holds.
    fn or(self, default: Self::Value) -> Or<Self> {
        Or { kind: self, default }
    }

    /// If the setting is not set, this value holds, unless other settings say otherwise.
    fn unset_is(self, default: Self::Value) -> Optional<Self> {
        Optional {
            kind: self,
            default: Some(default),
            told: None,
            example: None,
            is_required: false,
            may_be_unset: false,
        }
    }

    /// If the setting is not set, there is no value, which the manual calls so.
    fn unset_means(self, told: &'static str) -> Optional<Self> {
        Optional {
            kind: self,
            default: None,
            told: Some(told),
            example: None,
            is_required: false,
            may_be_unset: true,
        }
    }

    /// The setting must be set where nothing else takes its place, as the manual says in these words.
    fn required_where(self, told: &'static str) -> Optional<Self> {
        Optional { is_required: true, ..self.unset_means(told) }
    }

    /// The setting must be set; `example` is a value in TOML.
    fn required(self, example: &'static str) -> Required<Self> {
        Required { kind: self, example }
    }
}

/// A setting, but for its name and its sentence.
pub(in crate::config) trait Declaration {
    /// What a reading yields.
    type Out;

    /// Reads the setting in its section.
    fn read(&self, section: &Section<'_>, key: &'static str) -> Read<Self::Out>;

    /// The value in force, as it is shown.
    fn show(&self, value: &Self::Out) -> Shown;

    /// What the manual says of it; `None`: it is a section of its own.
    fn declared(&self, key: &'static str, sentence: &str) -> Option<Declared>;

    /// What is shown of it.
    fn shown(&self, key: &'static str, sentence: &str) -> ShownSetting;
}

/// One line of the manual.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// The key within its section.
    pub key: &'static str,
    /// What it is for, in Markdown.
    pub sentence: String,
    /// The values that are accepted.
    pub bounds: Bounds,
    /// The value that holds if it is not set, in TOML.
    pub default: Option<String>,
    /// What the manual says in place of that value, in Markdown.
    pub told: Option<&'static str>,
    /// A value, in TOML, of a setting without a default.
    pub example: Option<&'static str>,
    /// Whether it must be set, at least where nothing else takes its place.
    pub is_required: bool,
}

/// The settings of one section.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredSection {
    /// The name, for example `queues.NAME.batch`.
    pub name: &'static str,
    /// The settings that the manual tells, in the order in which they are shown.
    pub settings: Vec<Declared>,
    /// What is shown of the values in force.
    pub shown: Vec<ShownSetting>,
    /// What may be shown instead.
    pub variants: Vec<ShownVariant>,
}

impl Declared {
    fn of<K: Kind>(kind: &K, key: &'static str, sentence: &str) -> Self {
        let (sentence, bounds) = (sentence.trim().to_owned(), kind.bounds());
        Self { key, sentence, bounds, default: None, told: None, example: None, is_required: false }
    }
}

/// A setting with a default.
pub(in crate::config) struct Or<K: Kind> {
    kind: K,
    default: K::Value,
}

impl<K: Kind> Declaration for Or<K>
where
    K::Value: Clone,
{
    type Out = K::Value;

    fn read(&self, section: &Section<'_>, key: &'static str) -> Read<K::Value> {
        let read = section.read(key, |field| self.kind.read(field))?;
        Ok(read.unwrap_or_else(|| self.default.clone()))
    }

    fn show(&self, value: &K::Value) -> Shown {
        self.kind.show(value)
    }

    fn declared(&self, key: &'static str, sentence: &str) -> Option<Declared> {
        // Only an empty table has no line of its own.
        let default = self.kind.show(&self.default).toml().or_else(|| Some("{}".to_owned()));
        Some(Declared { default, ..Declared::of(&self.kind, key, sentence) })
    }

    fn shown(&self, key: &'static str, sentence: &str) -> ShownSetting {
        self.kind.shown(key, sentence, false)
    }
}

/// A setting that may be left out.
pub(in crate::config) struct Optional<K: Kind> {
    kind: K,
    default: Option<K::Value>,
    told: Option<&'static str>,
    example: Option<&'static str>,
    is_required: bool,
    may_be_unset: bool,
}

impl<K: Kind> Optional<K> {
    /// Something holds where it is not set, and is shown.
    pub(in crate::config) fn always_in_force(self) -> Self {
        Self { may_be_unset: false, ..self }
    }

    /// Other settings may leave it without effect; nothing is shown then.
    pub(in crate::config) fn at_times_without_effect(self) -> Self {
        Self { may_be_unset: true, ..self }
    }

    /// What the manual says in place of the default.
    pub(in crate::config) fn told(self, told: &'static str) -> Self {
        Self { told: Some(told), ..self }
    }

    /// A value in TOML, to be shown as an example.
    pub(in crate::config) fn example(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }
}

impl<K: Kind> Declaration for Optional<K> {
    type Out = Option<K::Value>;

    fn read(&self, section: &Section<'_>, key: &'static str) -> Read<Self::Out> {
        section.read(key, |field| self.kind.read(field))
    }

    fn show(&self, value: &Self::Out) -> Shown {
        value.as_ref().map_or_else(|| self.kind.show_unset(), |value| self.kind.show(value))
    }

    fn declared(&self, key: &'static str, sentence: &str) -> Option<Declared> {
        let default = self.default.as_ref().and_then(|value| self.kind.show(value).toml());
        let (told, example, is_required) = (self.told, self.example, self.is_required);
        Some(Declared {
            default,
            told,
            example,
            is_required,
            ..Declared::of(&self.kind, key, sentence)
        })
    }

    fn shown(&self, key: &'static str, sentence: &str) -> ShownSetting {
        self.kind.shown(key, sentence, self.may_be_unset)
    }
}

/// A setting that must be set.
pub(in crate::config) struct Required<K: Kind> {
    kind: K,
    example: &'static str,
}

impl<K: Kind> Declaration for Required<K> {
    type Out = K::Value;

    fn read(&self, section: &Section<'_>, key: &'static str) -> Read<K::Value> {
        let example = format!("{key} = {}", self.example);
        section.required(key, &example, |field| self.kind.read(field))
    }

    fn show(&self, value: &K::Value) -> Shown {
        self.kind.show(value)
    }

    fn declared(&self, key: &'static str, sentence: &str) -> Option<Declared> {
        let (told, example) = (Some("required"), Some(self.example));
        let is_required = true;
        Some(Declared { told, example, is_required, ..Declared::of(&self.kind, key, sentence) })
    }

    fn shown(&self, key: &'static str, sentence: &str) -> ShownSetting {
        self.kind.shown(key, sentence, false)
    }
}

/// A setting that its section reads in plain Rust, because it depends on others or is a section of its own.
pub(in crate::config) struct Beside {
    manual: Option<Manual>,
    form: Form,
    may_be_unset: bool,
}

#[derive(Clone, Copy)]
struct Manual {
    accepted: &'static str,
    told: &'static str,
    example: &'static str,
    is_required: bool,
}

/// A setting that is read in plain Rust and is a section of its own.
pub(in crate::config) const fn beside() -> Beside {
    Beside { manual: None, form: Form::Any, may_be_unset: false }
}

impl Beside {
    /// The manual says of it which values are accepted, what holds without it, and an example.
    pub(in crate::config) const fn manual(
        accepted: &'static str,
        told: &'static str,
        example: &'static str,
    ) -> Self {
        let manual = Some(Manual { accepted, told, example, is_required: false });
        Self { manual, form: Form::Any, may_be_unset: false }
    }

    /// The same of a setting that must be set.
    pub(in crate::config) const fn required(accepted: &'static str, example: &'static str) -> Self {
        let manual = Some(Manual { accepted, told: "required", example, is_required: true });
        Self { manual, form: Form::Any, may_be_unset: false }
    }

    /// What is shown of it is the table of the section of this name.
    pub(in crate::config) fn shows(self, section: &'static str) -> Self {
        Self { form: Form::Section(section), ..self }
    }

    /// Nothing is shown where it is not set.
    pub(in crate::config) fn or_nothing(self) -> Self {
        Self { may_be_unset: true, ..self }
    }
}

impl Declaration for Beside {
    type Out = Shown;

    /// Only marks the key as known.
    fn read(&self, section: &Section<'_>, key: &'static str) -> Read<Shown> {
        let _known = section.field(key);
        Ok(Shown::Unset)
    }

    fn show(&self, value: &Shown) -> Shown {
        value.clone()
    }

    fn declared(&self, key: &'static str, sentence: &str) -> Option<Declared> {
        let Manual { accepted, told, example, is_required } = self.manual?;
        Some(Declared {
            key,
            sentence: sentence.trim().to_owned(),
            bounds: Bounds::Told(accepted),
            default: None,
            told: Some(told),
            example: Some(example),
            is_required,
        })
    }

    fn shown(&self, key: &'static str, sentence: &str) -> ShownSetting {
        let (sentence, form) = (sentence.trim().to_owned(), self.form.clone());
        ShownSetting { key, sentence, form, may_be_unset: self.may_be_unset }
    }
}
