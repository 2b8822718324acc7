//! A table as a source of drafts: what a message may say, written as TOML.
//!
//! Owns no field and no bound: those of a message are in `domain::draft`. Everything stands as it is written: references to
//! secrets are not filled in, since they would be kept and shown with every message (a secret belongs into
//! `downstream.headers` of the queue).

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::config::load::reader::{Field, Read, Reported, Section};
use crate::config::setting::{self, Kind as _};
use crate::domain::draft::Payload;
use crate::domain::draft::given::{Given, Shape, Source};
use crate::domain::headers::is_json_type;
use crate::domain::message::PayloadKind;
use crate::domain::payload::{RAW_CONTENT_TYPE, from_base64};
use crate::domain::time::parse_rfc3339;

/// The largest payload, in bytes: as a message's by default.
const PAYLOAD_BYTES_MAX: usize = 256 << 10;

/// A section whose keys are those of a message, among others.
#[derive(Debug)]
pub(in crate::config) struct MessageTable<'s, 'a> {
    section: &'s Section<'a>,
    /// The first thing that was reported.
    reported: Option<Reported>,
}

impl<'s, 'a> MessageTable<'s, 'a> {
    pub(in crate::config) const fn of(section: &'s Section<'a>) -> Self {
        Self { section, reported: None }
    }

    /// What was read, if nothing was wrong.
    pub(in crate::config) fn finish<T>(self, read: Option<T>) -> Read<T> {
        match (self.reported, read) {
            (Some(reported), _) => Err(reported),
            (None, Some(read)) => Ok(read),
            // A draft without a payload has said so; nothing else reads as absent here.
            (None, None) => Err(self.section.wrong("payload", "is missing")),
        }
    }

    fn report(&mut self, reported: Reported) {
        self.reported.get_or_insert(reported);
    }

    fn bytes(&mut self, content_type: Option<&str>) -> Read<(Bytes, PayloadKind)> {
        let (payload, raw) = (self.section.field("payload"), self.section.field("payload_base64"));
        let (field, bytes, kind) = match (payload, raw) {
            (Some(_), Some(raw)) => {
                return Err(raw.wrong("give payload or payload_base64, not both"));
            }
            (None, None) => {
                let why = "is missing; expected for example payload = { job = \"close-day\" }, or payload_base64";
                return Err(self.section.wrong("payload", why));
            }
            (None, Some(raw)) => {
                let bytes = from_base64(&raw.text()?).map_err(|why| raw.wrong(why))?;
                (raw, bytes, PayloadKind::Raw)
            }
            (Some(field), None) => {
                let is_text = content_type.is_some_and(|content_type| !is_json_type(content_type));
                let (text, kind) = match field.json()? {
                    serde_json::Value::String(text) if is_text => (text, PayloadKind::Text),
                    value => (value.to_string(), PayloadKind::Json),
                };
                (field, text.into(), kind)
            }
        };
        if bytes.len() > PAYLOAD_BYTES_MAX {
            let found = bytes.len();
            return Err(
                field.wrong(format!("found {found} bytes, expected at most {PAYLOAD_BYTES_MAX}"))
            );
        }
        Ok((bytes, kind))
    }
}

impl<'a> Source for MessageTable<'_, 'a> {
    type Given = Field<'a>;
    type Inner<'i>
        = MessageTable<'i, 'a>
    where
        Self: 'i;

    const AS_BYTES: &'static str = "give its bytes in payload_base64, which leave as they are";

    fn get(&mut self, name: &'static str) -> Option<Field<'a>> {
        self.section.field(name)
    }

    fn note(&mut self, _: &'static str, _: Option<&str>, wrong: Reported) {
        self.report(wrong);
    }

    fn fault(&mut self, name: &'static str, why: String) {
        let reported = self.section.wrong(name, why);
        self.report(reported);
    }

    fn within<T>(
        &mut self,
        name: &'static str,
        _: &'static Shape,
        read: impl FnOnce(&mut MessageTable<'_, 'a>) -> T,
    ) -> Option<T> {
        let field = self.section.field(name)?;
        let read = field.section(&[], |section| {
            let mut inner = MessageTable::of(section);
            let value = read(&mut inner);
            inner.finish(Some(value))
        });
        read.map_err(|reported| self.report(reported)).ok()
    }

    fn payload(&mut self, content_type: Option<String>) -> Option<Payload> {
        match self.bytes(content_type.as_deref()) {
            Ok((bytes, kind)) => {
                let default = || (kind == PayloadKind::Raw).then(|| RAW_CONTENT_TYPE.to_owned());
                Some(Payload { bytes, kind, content_type: content_type.or_else(default) })
            }
            Err(reported) => {
                self.report(reported);
                None
            }
        }
    }
}

impl Given for Field<'_> {
    type Wrong = Reported;

    fn wrong(&self, why: String) -> Reported {
        Field::wrong(self, why)
    }

    fn text(&self) -> Read<String> {
        self.raw_text().map(str::to_owned).ok_or_else(|| self.expected("a text in quotes"))
    }

    fn duration_ms(&self, bounds_ms: RangeInclusive<u64>) -> Read<u64> {
        setting::duration(bounds_ms).read(self)
    }

    fn moment_ms(&self) -> Read<u64> {
        self.parse(parse_rfc3339)
    }

    fn whole(&self, bounds: RangeInclusive<u32>) -> Read<u32> {
        setting::whole(bounds).read(self)
    }

    fn number(&self, bounds: RangeInclusive<f64>) -> Read<f64> {
        setting::number(bounds).read(self)
    }

    fn list(&self, items_max: usize) -> Read<Vec<Self>> {
        let items = Field::list(self, |item| Ok(item.clone()))?;
        match items.len() {
            found if found > items_max => {
                Err(Field::wrong(self, format!("found {found} items, expected up to {items_max}")))
            }
            _ => Ok(items),
        }
    }

    fn pairs(&self) -> Read<Vec<(String, Self)>> {
        self.entries(|name, field| Ok((name.to_owned(), field.clone())))
    }
}
