//! An entry of a stream as a source of drafts: names and values, all of them bytes.
//!
//! Owns what the fields of a message are called in an entry, and the sentence that says what is wrong with one.

use std::ops::RangeInclusive;
use std::str::from_utf8;

use bytes::Bytes;

use crate::domain::draft::Payload;
use crate::domain::draft::given::{Given, Shape, Source};
use crate::domain::payload::kind;
use crate::domain::time::parse_rfc3339;
use crate::domain::units::{duration_within, parse_duration_or_seconds};

/// The names of an entry, each with the field of a message that it is.
const NAMES: [(&str, &str); 14] = [
    ("payload", "payload"),
    ("delay", "delay"),
    ("due_at", "due_at"),
    ("ttl", "ttl"),
    ("expires_at", "expires_at"),
    ("must_dispatch_by", "must_dispatch_by"),
    ("key", "idempotency_key"),
    ("group", "group"),
    ("priority", "priority"),
    ("content_type", "content_type"),
    ("timeout", "timeout"),
    ("cost", "cost"),
    ("collapse_key", "collapse_key"),
    ("time_zone", "time_zone"),
];
/// The beginnings of names that an entry has for each header and label.
const PREFIXES: [(&str, &str); 2] = [("header.", "headers"), ("label.", "labels")];
/// As much of a name as a sentence shows, in bytes.
const SHOWN_BYTES: usize = 60;

/// An entry whose names have been looked at.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// By the field of a message, with the name of a header or label.
    values: Vec<(&'static str, &'a str, &'a Bytes)>,
    payload_bytes_max: usize,
    /// What is wrong so far.
    pub(super) wrong: Vec<String>,
}

impl<'a> Entry<'a> {
    /// Looks at the names of an entry.
    pub(super) fn of(fields: &'a [(Bytes, Bytes)], payload_bytes_max: usize) -> Self {
        let mut entry = Self { values: Vec::new(), payload_bytes_max, wrong: Vec::new() };
        for (at, (name, value)) in fields.iter().enumerate() {
            let taken = if fields[..at].iter().any(|(earlier, _)| earlier == name) {
                Err("given twice; give it once".to_owned())
            } else {
                field_of(name, value)
            };
            match taken {
                Ok((field, part)) => entry.values.push((field, part, value)),
                Err(why) => {
                    let shown = String::from_utf8_lossy(&name[..name.len().min(SHOWN_BYTES)]);
                    entry.wrong.push(format!("{shown}: {why}"));
                }
            }
        }
        entry
    }

    fn find(&self, field: &str) -> Option<&'a Bytes> {
        self.values.iter().find(|(known, _, _)| *known == field).map(|(_, _, value)| *value)
    }
}

/// The field of a message that a name stands for, with the name of a header or label.
fn field_of<'a>(name: &'a Bytes, value: &Bytes) -> Result<(&'static str, &'a str), String> {
    if name.as_ref() == b"payload" {
        return Ok(("payload", ""));
    }
    let (Ok(name), Ok(_)) = (from_utf8(name), from_utf8(value)) else {
        return Err("is not valid UTF-8; only payload may be other bytes".to_owned());
    };
    if let Some((_, field)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok((field, ""));
    }
    let of_prefix =
        |(prefix, field): &(&str, &'static str)| Some((*field, name.strip_prefix(prefix)?));
    PREFIXES.iter().find_map(of_prefix).ok_or_else(|| {
        let names = NAMES.iter().map(|(name, _)| (*name).to_owned());
        let prefixed = PREFIXES.iter().map(|(prefix, _)| format!("{prefix}<name>"));
        let known: Vec<_> = names.chain(prefixed).collect();
        format!("unknown; expected one of {}", known.join(", "))
    })
}

/// What a field of a message is called in an entry.
fn name_of(field: &str, part: Option<&str>) -> String {
    let prefix = PREFIXES.iter().find(|(_, of)| *of == field).map(|(prefix, _)| *prefix);
    match (prefix, part) {
        (Some(prefix), part) => format!("{prefix}{}", part.unwrap_or("<name>")),
        (None, _) => {
            let known = NAMES.iter().find(|(_, of)| *of == field);
            known.map_or(field, |(name, _)| name).to_owned()
        }
    }
}

impl<'a> Source for Entry<'a> {
    type Given = EntryValue<'a>;
    type Inner<'i>
        = Self
    where
        Self: 'i;

    const AS_BYTES: &'static str =
        "say content_type application/octet-stream, so that its bytes leave as they are";

    fn get(&mut self, name: &'static str) -> Option<EntryValue<'a>> {
        if PREFIXES.iter().all(|(_, field)| *field != name) {
            return from_utf8(self.find(name)?).ok().map(EntryValue::Text);
        }
        let of_field = self.values.iter().filter(|(field, _, _)| *field == name);
        let pairs = of_field.filter_map(|(_, part, value)| Some((*part, from_utf8(value).ok()?)));
        let pairs: Vec<_> = pairs.collect();
        (!pairs.is_empty()).then_some(EntryValue::Pairs(pairs))
    }

    fn note(&mut self, name: &'static str, part: Option<&str>, wrong: String) {
        self.wrong.push(format!("{}: {wrong}", name_of(name, part)));
    }

    fn fault(&mut self, name: &'static str, why: String) {
        self.note(name, None, why);
    }

    /// No name of an entry stands for an object with settings of its own.
    fn within<T>(
        &mut self,
        _: &'static str,
        _: &'static Shape,
        _: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        None
    }

    fn payload(&mut self, content_type: Option<String>) -> Option<Payload> {
        let Some(bytes) = self.find("payload") else {
            self.wrong.insert(0, "payload: missing".to_owned());
            return None;
        };
        let (found, most) = (bytes.len(), self.payload_bytes_max);
        if found > most {
            self.wrong.push(format!(
                "payload: found {found} bytes, expected up to {most} (server.body_limit)"
            ));
            return None;
        }
        match kind(bytes, content_type.as_deref()) {
            Ok((kind, default)) => {
                Some(Payload { bytes: bytes.clone(), kind, content_type: content_type.or(default) })
            }
            Err(why) => {
                self.wrong.push(why);
                None
            }
        }
    }
}

/// A value of an entry.
#[derive(Debug)]
pub(super) enum EntryValue<'a> {
    /// That of one name.
    Text(&'a str),
    /// Those of all names with a prefix, each with the rest of its name.
    Pairs(Vec<(&'a str, &'a str)>),
}

impl EntryValue<'_> {
    fn as_text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Pairs(_) => Err("expected a text".to_owned()),
        }
    }
}

impl Given for EntryValue<'_> {
    type Wrong = String;

    fn wrong(&self, why: String) -> String {
        why
    }

    fn text(&self) -> Result<String, String> {
        self.as_text().map(str::to_owned)
    }

    fn duration_ms(&self, bounds_ms: RangeInclusive<u64>) -> Result<u64, String> {
        duration_within(parse_duration_or_seconds(self.as_text()?)?, &bounds_ms)
    }

    fn moment_ms(&self) -> Result<u64, String> {
        parse_rfc3339(self.as_text()?)
    }

    fn whole(&self, bounds: RangeInclusive<u32>) -> Result<u32, String> {
        let text = self.as_text()?;
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number.ok_or_else(|| {
            let (least, most) = (bounds.start(), bounds.end());
            format!("found {text:?}, expected a whole number, {least} to {most}")
        })
    }

    fn number(&self, bounds: RangeInclusive<f64>) -> Result<f64, String> {
        let text = self.as_text()?;
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number.ok_or_else(|| {
            let (least, most) = (bounds.start(), bounds.end());
            format!("found {text:?}, expected a number, {least} to {most}")
        })
    }

    fn list(&self, _: usize) -> Result<Vec<Self>, String> {
        Err("an entry cannot hold a list".to_owned())
    }

    fn pairs(&self) -> Result<Vec<(String, Self)>, String> {
        match self {
            Self::Text(_) => Err("expected names and values".to_owned()),
            Self::Pairs(pairs) => Ok(pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Self::Text(value)))
                .collect()),
        }
    }
}
