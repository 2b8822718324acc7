//! What a template sees of a message.
//!
//! Owns how JSON becomes values without losing the spelling of a number, and that bytes are no values.

use std::sync::Arc;

use bytes::Bytes;
use minijinja::Value;
use serde_json::value::RawValue;

use super::example::Anything;
use super::refused::TemplateError;
use super::surroundings::Spellings;
use crate::domain::json_fields::JsonFields;
use crate::domain::message::{Details, PayloadKind};

/// What a template sees of a message.
#[derive(Debug, Clone)]
pub struct TemplateMessage {
    /// Its id.
    pub id: String,
    /// Which attempt this is.
    pub attempt: u32,
    /// The payload as it is kept.
    pub payload: Bytes,
    /// How the payload came, headers, labels and group.
    pub details: Details,
}

/// The names that the templates of one request may use, and what stands for them.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) names: Vec<(&'static str, Value)>,
    pub(super) spellings: Arc<Spellings>,
    /// Whether a payload is bytes, which no template reads.
    pub(super) has_bytes: bool,
}

impl Values {
    /// The values of these messages.
    pub(super) fn of(messages: &[TemplateMessage], is_batch: bool) -> Result<Self, TemplateError> {
        let mut reading = ValueReader::default();
        let mut all = Vec::with_capacity(messages.len());
        for message in messages {
            all.push(reading.message(message)?);
        }
        let names = match (is_batch, all.pop()) {
            (false, Some(only)) => only,
            (_, last) => {
                all.extend(last);
                let list = all.into_iter().map(|names| names.into_iter().collect::<Value>());
                vec![("messages", list.collect::<Value>())]
            }
        };
        let ValueReader { spellings, has_bytes } = reading;
        Ok(Self { names, spellings: Arc::new(spellings), has_bytes })
    }

    /// Messages with this payload.
    pub(super) fn of_example(payload: &serde_json::Value, is_batch: bool) -> Self {
        let mut reading = ValueReader::default();
        let payload = match payload {
            serde_json::Value::String(text) => Value::from(text.as_str()),
            other => serde_json::value::to_raw_value(other)
                .ok()
                .and_then(|raw| reading.json(&raw).ok())
                .unwrap_or_default(),
        };
        Self::example(&payload, reading, is_batch)
    }

    /// Messages that have whatever is asked for.
    pub(super) fn of_anything(is_batch: bool) -> Self {
        Self::example(&Anything::value(), ValueReader::default(), is_batch)
    }

    fn example(payload: &Value, reading: ValueReader, is_batch: bool) -> Self {
        let message = || {
            vec![
                ("id", Value::from("example_01ARZ3NDEKTSV4RRFFQ69G5FAV")),
                ("attempt", Value::from(1)),
                ("payload", payload.clone()),
                ("headers", Anything::value()),
                ("labels", Anything::value()),
                ("group", Value::from("example")),
            ]
        };
        let one = || message().into_iter().collect::<Value>();
        let names =
            if is_batch { vec![("messages", Value::from(vec![one(), one()]))] } else { message() };
        Self { names, spellings: Arc::new(reading.spellings), has_bytes: false }
    }
}

#[derive(Default)]
struct ValueReader {
    spellings: Spellings,
    has_bytes: bool,
}

impl ValueReader {
    fn message(
        &mut self,
        message: &TemplateMessage,
    ) -> Result<Vec<(&'static str, Value)>, TemplateError> {
        let details = &message.details;
        let headers: Value =
            details.headers.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let labels: Value =
            details.labels.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let mut names = vec![
            ("id", Value::from(message.id.as_str())),
            ("attempt", Value::from(message.attempt)),
            ("headers", headers),
            ("labels", labels),
        ];
        names.extend(details.group.as_deref().map(|group| ("group", Value::from(group))));
        names.extend(self.payload(message)?.map(|payload| ("payload", payload)));
        Ok(names)
    }

    /// The payload; bytes are none.
    fn payload(&mut self, message: &TemplateMessage) -> Result<Option<Value>, TemplateError> {
        let unreadable =
            |why: String| TemplateError::of_all(format!("cannot be filled in: the payload {why}"));
        let text = std::str::from_utf8(&message.payload);
        match message.details.kind {
            PayloadKind::Raw => {
                self.has_bytes = true;
                Ok(None)
            }
            PayloadKind::Text => {
                let text = text.map_err(|error| unreadable(format!("is not UTF-8: {error}")))?;
                Ok(Some(Value::from(text)))
            }
            PayloadKind::Json => {
                let text = text.map_err(|error| unreadable(format!("is not UTF-8: {error}")))?;
                let raw = serde_json::from_str::<&RawValue>(text);
                let raw = raw.map_err(|error| unreadable(format!("is not JSON: {error}")))?;
                let value = self.json(raw);
                value.map(Some).map_err(|why| unreadable(format!("cannot be read: {why}")))
            }
        }
    }

    fn json(&mut self, raw: &RawValue) -> Result<Value, String> {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') => {
                let fields = JsonFields::read(raw)?;
                let mut pairs = Vec::new();
                for (name, raw) in fields.entries() {
                    pairs.push((name.to_owned(), self.json(raw)?));
                }
                Ok(pairs.into_iter().collect())
            }
            Some(b'[') => {
                let items: Vec<&RawValue> =
                    serde_json::from_str(text).map_err(|error| error.to_string())?;
                let items: Result<Vec<Value>, String> =
                    items.into_iter().map(|item| self.json(item)).collect();
                items.map(Value::from)
            }
            Some(b'"') => {
                let text: String = serde_json::from_str(text).map_err(|error| error.to_string())?;
                Ok(Value::from(text))
            }
            Some(b't') => Ok(Value::from(true)),
            Some(b'f') => Ok(Value::from(false)),
            Some(b'n') => Ok(Value::from(())),
            _ => self.number(text),
        }
    }

    /// Whole numbers are exact. Others are counted with as any computer does, and spelled as they came.
    fn number(&mut self, text: &str) -> Result<Value, String> {
        if let Ok(whole) = text.parse::<i128>()
            && text != "-0"
        {
            return Ok(i64::try_from(whole).map_or_else(|_| Value::from(whole), Value::from));
        }
        let number: f64 = text.parse().map_err(|_| format!("{text} is not a number"))?;
        let spelling = self.spellings.entry(number.to_bits());
        let spelling = spelling.or_insert_with(|| Some(text.to_owned()));
        if spelling.as_deref() != Some(text) {
            *spelling = None;
        }
        Ok(Value::from(number))
    }
}
