//! Walking a tree of raw values while collecting everything that is wrong with it.
//!
//! Owns how a problem gets its origin and key path, how unknown keys are told, and how references to
//! secrets are filled in. Refuses to know any setting: see `kinds` for what values may look like.
//!
//! A reading that failed has recorded its problem and yields [`Reported`]; there is no other way to
//! make one, so a configuration without problems is a complete one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use config::{Map, Value, ValueKind};

use super::errors::{ConfigErrors, Problem};
use super::secrets::{SecretSource, expand};
use super::sources::Layer;
use super::toml_lines::parse_value;
use crate::domain::policy::Origins;
use crate::domain::suggest::nearest;

/// The problem has been recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Reported(());

/// What a reading yields.
pub(in crate::config) type Read<T> = Result<T, Reported>;

/// What all readings of one load share.
#[derive(Debug)]
pub(in crate::config) struct Context<'a> {
    secrets: SecretSource<'a>,
    /// What a problem names where no value tells its own origin: an empty table.
    origin: String,
    problems: RefCell<Vec<Problem>>,
    origins: Origins,
}

impl<'a> Context<'a> {
    pub(in crate::config) fn new(
        environment: &'a BTreeMap<String, String>,
        base: &'a Path,
        origin: String,
        problems: Vec<Problem>,
        origins: Origins,
    ) -> Self {
        let secrets = SecretSource { environment, base };
        Self { secrets, origin, problems: RefCell::new(problems), origins }
    }

    /// A variable of the environment, for defaults that follow it.
    pub(in crate::config) fn variable(&self, name: &str) -> Option<&str> {
        self.secrets.environment.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The folder that relative paths start in.
    pub(in crate::config) const fn base(&self) -> &'a Path {
        self.secrets.base
    }

    /// Where the settings come from.
    pub(in crate::config) fn origins(&self) -> Origins {
        self.origins.clone()
    }

    /// The whole tree as a section.
    pub(in crate::config) fn root(&'a self, entries: Map<String, Value>) -> Field<'a> {
        Field { context: self, path: String::new(), value: Value::new(None, entries) }
    }

    /// Everything recorded.
    pub(in crate::config) fn into_errors(self) -> Option<ConfigErrors> {
        ConfigErrors::of(self.problems.into_inner())
    }

    fn report(&self, origin: String, key: &str, message: String) -> Reported {
        self.problems.borrow_mut().push(Problem { origin, key: key.to_owned(), message });
        Reported(())
    }
}

/// One raw value at its key path.
#[derive(Debug, Clone)]
pub(in crate::config) struct Field<'a> {
    context: &'a Context<'a>,
    path: String,
    value: Value,
}

impl<'a> Field<'a> {
    pub(in crate::config) const fn context(&self) -> &'a Context<'a> {
        self.context
    }

    pub(in crate::config) const fn kind(&self) -> &ValueKind {
        &self.value.kind
    }

    /// The layer and line that the value comes from; a table's is its first value's.
    pub(in crate::config) fn origin(&self) -> String {
        origin_of(&self.value).unwrap_or_else(|| self.context.origin.clone())
    }

    /// Records that this value is wrong.
    pub(in crate::config) fn wrong(&self, message: impl Into<String>) -> Reported {
        self.context.report(self.origin(), &self.path, message.into())
    }

    /// Records that something else was found than expected.
    pub(in crate::config) fn expected(&self, what: &str) -> Reported {
        self.wrong(format!("found {}, expected {what}", self.found()))
    }

    /// As `expected`, where a text may be a secret in the wrong place and is not shown.
    fn expected_structure(&self, what: &str) -> Reported {
        let found = if self.raw_text().is_some() { "a text".to_owned() } else { self.found() };
        self.wrong(format!("found {found}, expected {what}"))
    }

    /// The value as a problem shows it; references stay references.
    pub(in crate::config) fn found(&self) -> String {
        match &self.value.kind {
            ValueKind::String(text) => format!("{text:?}"),
            ValueKind::Table(_) => "a table".to_owned(),
            ValueKind::Array(_) => "a list".to_owned(),
            other => other.to_string(),
        }
    }

    /// The text as it was written, before references are filled in.
    pub(in crate::config) fn raw_text(&self) -> Option<&str> {
        match &self.value.kind {
            ValueKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// Any value, as JSON. Texts stand as they are written: references in them are not filled in.
    pub(in crate::config) fn json(&self) -> Read<serde_json::Value> {
        let mut value = self.value.clone();
        // Environment variables and flags can hold lists and tables in no other way.
        if matches!(Layer::of(&self.origin()), Layer::Environment | Layer::Flag) {
            let opens = self.raw_text().and_then(|text| text.trim_start().chars().next());
            if let Some(opens @ ('{' | '[')) = opens {
                value = self.structured(opens)?;
            }
        }
        as_json(value).ok_or_else(|| self.expected("numbers that JSON can tell"))
    }

    /// Reads a text with its references filled in. What was filled in is never shown: a refusal
    /// then speaks of the text as it was written.
    pub(in crate::config) fn parse<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Read<T> {
        let raw = match &self.value.kind {
            ValueKind::String(text) => text,
            ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil => {
                return Err(self.expected("a text in quotes"));
            }
            number => return Err(self.number_for_text(&number.to_string(), parse)),
        };
        let text = expand(raw, self.context.secrets).map_err(|message| self.wrong(message))?;
        parse(&text).map_err(|message| {
            if text == *raw {
                return self.wrong(message);
            }
            let message = parse(raw).err().unwrap_or_else(|| "is not accepted".to_owned());
            self.wrong(format!("{message} (what its references stand for is not shown)"))
        })
    }

    fn number_for_text<T>(
        &self,
        number: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Reported {
        match parse(number) {
            Ok(_) => self.expected(&format!("a text in quotes: \"{number}\"")),
            Err(message) => self.wrong(message),
        }
    }

    /// Reads every item of a list.
    pub(in crate::config) fn list<T>(&self, read: impl Fn(&Field<'a>) -> Read<T>) -> Read<Vec<T>> {
        let value = self.structured('[')?;
        let ValueKind::Array(items) = value.kind else {
            return Err(self.expected_structure("a list in brackets"));
        };
        let items: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(n, value)| {
                let path = format!("{}[{n}]", self.path);
                read(&Field { context: self.context, path, value })
            })
            .collect();
        // Collected in two steps, so that every item is read and every problem recorded.
        items.into_iter().collect()
    }

    /// Reads a table whose keys are settings; keys that nobody asked for are refused, those in
    /// `later` as settings of another version.
    pub(in crate::config) fn section<T>(
        &self,
        later: &[&str],
        read: impl FnOnce(&Section<'a>) -> Read<T>,
    ) -> Read<T> {
        let section = self.open()?;
        let result = read(&section);
        section.refuse_unknown(later);
        result
    }

    /// Reads a table whose keys are names, in the order of the names.
    pub(in crate::config) fn entries<T>(
        &self,
        mut read: impl FnMut(&str, &Field<'a>) -> Read<T>,
    ) -> Read<Vec<T>> {
        let section = self.open()?;
        let mut names: Vec<_> = section.entries.keys().collect();
        names.sort_unstable();
        let items: Vec<_> =
            names.into_iter().filter_map(|name| Some(read(name, &section.get(name)?))).collect();
        items.into_iter().collect()
    }

    fn open(&self) -> Read<Section<'a>> {
        let origin = self.origin();
        let ValueKind::Table(entries) = self.structured('{')?.kind else {
            return Err(self.expected_structure("a table"));
        };
        let asked = RefCell::new(Vec::new());
        Ok(Section { context: self.context, path: self.path.clone(), origin, entries, asked })
    }

    /// The value; a text that opens like a list or table is read as one, since environment
    /// variables and flags can hold nothing else.
    fn structured(&self, opens: char) -> Read<Value> {
        match self.raw_text() {
            Some(text) if text.trim_start().starts_with(opens) => {
                parse_value(text.trim(), &self.origin())
                    .map_err(|message| self.wrong(format!("is not valid TOML: {message}")))
            }
            _ => Ok(self.value.clone()),
        }
    }
}

/// A table whose keys are settings.
#[derive(Debug)]
pub(in crate::config) struct Section<'a> {
    context: &'a Context<'a>,
    path: String,
    origin: String,
    entries: Map<String, Value>,
    /// The keys that were asked for: all that this table may have.
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    pub(in crate::config) const fn context(&self) -> &'a Context<'a> {
        self.context
    }

    /// The value of a key, if it is set.
    pub(in crate::config) fn field(&self, key: &'static str) -> Option<Field<'a>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.get(key)
    }

    /// Reads a key if it is set.
    pub(in crate::config) fn read<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Field<'a>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.field(key).map(|field| read(&field)).transpose()
    }

    /// Reads a key, or takes its default.
    pub(in crate::config) fn read_or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Field<'a>) -> Read<T>,
    ) -> Read<T> {
        Ok(self.read(key, read)?.unwrap_or(default))
    }

    /// Reads a key that has no default; `example` is a whole line.
    pub(in crate::config) fn required<T>(
        &self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&Field<'a>) -> Read<T>,
    ) -> Read<T> {
        match self.field(key) {
            Some(field) => read(&field),
            None => Err(self.wrong(key, format!("is missing; expected for example {example}"))),
        }
    }

    /// Records that a key is wrong, whether it is set or a default.
    pub(in crate::config) fn wrong(&self, key: &str, message: impl Into<String>) -> Reported {
        match self.get(key) {
            Some(field) => field.wrong(message),
            None => self.context.report(self.origin.clone(), &self.path_of(key), message.into()),
        }
    }

    fn get(&self, key: &str) -> Option<Field<'a>> {
        let value = self.entries.get(key)?.clone();
        Some(Field { context: self.context, path: self.path_of(key), value })
    }

    fn path_of(&self, key: &str) -> String {
        let bare = !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    fn refuse_unknown(&self, later: &[&str]) {
        let asked = self.asked.borrow();
        let mut unknown: Vec<_> =
            self.entries.keys().filter(|key| !asked.contains(&key.as_str())).collect();
        unknown.sort_unstable();
        for key in unknown {
            let message = if later.contains(&key.as_str()) {
                "this version does not have this setting; remove it".to_owned()
            } else if let Some(meant) = nearest(key, asked.iter().copied()) {
                format!("unknown key; did you mean {meant}?")
            } else {
                format!("unknown key; expected one of {}", asked.join(", "))
            };
            self.wrong(key, message);
        }
    }
}

/// Names in their order, so that one table has one text. `None`: a number that JSON does not have.
fn as_json(value: Value) -> Option<serde_json::Value> {
    Some(match value.kind {
        ValueKind::Nil => serde_json::Value::Null,
        ValueKind::Boolean(truth) => truth.into(),
        ValueKind::I64(number) => number.into(),
        ValueKind::U64(number) => number.into(),
        ValueKind::I128(number) => i64::try_from(number).ok()?.into(),
        ValueKind::U128(number) => u64::try_from(number).ok()?.into(),
        ValueKind::Float(number) => serde_json::Number::from_f64(number)?.into(),
        ValueKind::String(text) => text.into(),
        ValueKind::Array(items) => {
            items.into_iter().map(as_json).collect::<Option<Vec<_>>>()?.into()
        }
        ValueKind::Table(entries) => {
            let pairs = entries.into_iter().map(|(name, value)| Some((name, as_json(value)?)));
            let sorted = pairs.collect::<Option<BTreeMap<_, _>>>()?;
            serde_json::Value::Object(sorted.into_iter().collect())
        }
    })
}

/// The origin of a value; of a table or list the one that comes first in its text.
pub(super) fn origin_of(value: &Value) -> Option<String> {
    if let Some(origin) = value.origin() {
        return Some(origin.to_owned());
    }
    let children: Vec<&Value> = match &value.kind {
        ValueKind::Table(table) => table.values().collect(),
        ValueKind::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    children.into_iter().filter_map(origin_of).min_by_key(|origin| {
        let line = origin.rsplit_once(':').and_then(|(_, line)| line.parse().ok());
        (line.unwrap_or(u64::MAX), origin.clone())
    })
}
