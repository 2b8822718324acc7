//! Receipts in the words of a downstream: a form, a query, or JSON with names of its own.
//!
//! Owns how such a receipt is read. A status that the queue does not know is taken for neither answer, and is no fault
//! of whoever sent it. Refuses to know what a receipt does (see `receipts`).

use serde_json::value::RawValue;

use super::problem::{Fault, Problem};
use super::values::check_name;
use crate::domain::id::MessageId;
use crate::domain::json_fields::{JsonFields, text_of};
use crate::domain::receipt::{
    DETAIL_BYTES_MAX, REFERENCE_BYTES_MAX, Receipt, ReceiptNames, ReceiptOf, ReceiptPolicy,
    ReceiptSaid,
};
use crate::store::Queue;

/// What such a receipt says.
#[derive(Debug)]
pub(super) enum WordsSaid {
    /// What became of a message.
    Receipt(Receipt),
    /// Nothing that the queue knows: it is on its way, for example.
    Nothing,
}

/// Where the fields of a receipt stand.
pub(super) trait ReceiptSource {
    /// The text of a field; one that is empty is not there.
    ///
    /// # Errors
    /// It is given twice, or is no text.
    fn text(&self, name: &str) -> Result<Option<String>, String>;
}

/// The pairs of a form or a query.
#[derive(Debug)]
pub(super) struct Pairs(Vec<(String, String)>);

impl Pairs {
    pub(super) fn read(text: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(text);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }
}

impl ReceiptSource for Pairs {
    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let mut found = self.0.iter().filter(|(given, _)| given == name);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err("is given twice; give it once".to_owned()),
            (found, _) => Ok(found.map(|(_, text)| text.trim().to_owned())),
        }
    }
}

impl ReceiptSource for JsonFields<'_> {
    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let raw = self.exactly(name)?;
        if raw.is_some_and(|raw| raw.get().starts_with(['{', '['])) {
            return Err("found an object or a list, expected a text".to_owned());
        }
        Ok(raw.and_then(text_of).map(|text| text.trim().to_owned()))
    }
}

/// The fields of a JSON object with names of the downstream.
///
/// # Errors
/// It is no object.
pub(super) fn json_fields(raw: &RawValue) -> Result<JsonFields<'_>, Problem> {
    JsonFields::read(raw).map_err(|_| Problem::fault("", "expected a JSON object"))
}

/// What a receipt says; other fields than those that have a name here are the downstream's affair.
///
/// # Errors
/// It does not say of which message, or what, or says it twice.
pub(super) fn read(
    source: &impl ReceiptSource,
    queue: &Queue,
    policy: &ReceiptPolicy,
) -> Result<WordsSaid, Problem> {
    let names = policy.names.as_deref();
    let mut reading = Words { source, faults: Vec::new() };
    let of = reading.of(queue, names);
    let said = reading.said(names);
    let detail = reading.text(names.map_or(Some("detail"), |names| names.detail.as_deref()));
    if !reading.faults.is_empty() {
        return Err(Problem::invalid(reading.faults));
    }
    let detail = detail.map(|text| kept(&text));
    match (of, said) {
        (Some(of), Some(Some(said))) => Ok(WordsSaid::Receipt(Receipt { of, said, detail })),
        (Some(_), Some(None)) => Ok(WordsSaid::Nothing),
        _ => Err(Problem::fault("", "expected a reference or an id, and a status")),
    }
}

struct Words<'a, S> {
    source: &'a S,
    faults: Vec<Fault>,
}

impl<S: ReceiptSource> Words<'_, S> {
    fn text(&mut self, name: Option<&str>) -> Option<String> {
        let name = name?;
        match self.source.text(name) {
            Ok(text) => text.filter(|text| !text.is_empty()),
            Err(why) => {
                self.fault(name, why);
                None
            }
        }
    }

    fn fault(&mut self, name: &str, why: impl Into<String>) {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        self.faults.push(Fault::new(pointer, why));
    }

    /// Of which message it is. The id decides where both are there.
    fn of(&mut self, queue: &Queue, names: Option<&ReceiptNames>) -> Option<ReceiptOf> {
        let id_name = names.map_or(Some("id"), |names| names.id.as_deref());
        let reference_name = names.map_or(Some("ref"), |names| names.reference.as_deref());
        if let (Some(text), Some(name)) = (self.text(id_name), id_name) {
            return match text.parse::<MessageId>() {
                Ok(id) if id.queue == queue.policy.name => Some(ReceiptOf::Id(id)),
                Ok(id) => {
                    self.fault(name, format!("found an id of the queue \"{}\"", id.queue));
                    None
                }
                Err(error) => {
                    self.fault(name, error.to_string());
                    None
                }
            };
        }
        let reference = self.text(reference_name);
        match (reference, reference_name.or(id_name)) {
            (Some(text), Some(name)) => match check_name(&text, REFERENCE_BYTES_MAX) {
                Ok(()) => Some(ReceiptOf::Reference(text)),
                Err(why) => {
                    self.fault(name, why);
                    None
                }
            },
            (None, Some(name)) if self.faults.is_empty() => {
                self.fault(name, "missing; expected the reference or the id of a message");
                None
            }
            _ => None,
        }
    }

    /// What it says: `Some(None)` is a status that says nothing certain.
    fn said(&mut self, names: Option<&ReceiptNames>) -> Option<Option<ReceiptSaid>> {
        let name = names.map_or("status", |names| names.status.as_str());
        let before = self.faults.len();
        let Some(status) = self.text(Some(name)) else {
            if self.faults.len() == before {
                self.fault(name, "missing; expected what became of the message");
            }
            return None;
        };
        match names {
            Some(names) => Some(names.said(&status)),
            None => match status.as_str() {
                "delivered" => Some(Some(ReceiptSaid::Delivered)),
                "dead" => Some(Some(ReceiptSaid::Dead)),
                other => {
                    let shown: String = other.chars().take(60).collect();
                    self.fault(name, format!("found \"{shown}\", expected delivered or dead; other words need receipts.parse in the configuration of the queue"));
                    None
                }
            },
        }
    }
}

/// A reason as it is kept: a downstream may say as much as it likes.
fn kept(text: &str) -> String {
    let plain = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut kept = String::new();
    for letter in plain {
        if kept.len() + letter.len_utf8() > DETAIL_BYTES_MAX {
            break;
        }
        kept.push(letter);
    }
    kept
}
