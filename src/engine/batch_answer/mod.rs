//! What the answer to a batch says of each of its items.
//!
//! Pure. Owns the reading of such a body: it tolerates what is harmless, and what cannot be read is
//! unknown, never a yes. Refuses to know how the answer came and what follows from it.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::domain::answer_body::{AnswerBody, NO_TEXT, begins_like_json, encoded, not_whole};
use crate::domain::classify::{Classified, ElementClassified};
use crate::domain::json_fields::JsonFields;
use crate::domain::outcome::Outcome;

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BatchReading {
    /// The status is the outcome of every item.
    All,
    /// Each item has an outcome of its own.
    Each(Each),
    /// It says something, and nobody can tell what. Why, for people.
    Unreadable(String),
}

/// What `results` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Each {
    /// One for each item of the batch, in its order.
    pub(super) items: Vec<ItemSaid>,
    /// Results for messages that were not in the batch.
    pub(super) foreign: usize,
    /// Results that cannot be read, so that nobody can tell for which message they are.
    pub(super) unreadable: usize,
}

/// What the results say of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ItemSaid {
    /// A status, with what stands beside it, as text.
    Status { outcome: Outcome, detail: Option<String>, reference: Option<String> },
    /// What the queue's own rules make of its element in the answer's list.
    Judged(Classified),
    /// Nothing that can be read: its outcome is unknown. Why, for people.
    Nothing(String),
}

/// Reads an answer to the batch of these messages.
pub(super) fn read(answer: AnswerBody<'_>, ids: &[String]) -> BatchReading {
    let is_whole = answer.missing.is_none();
    let is_plain = answer.encoding.is_none() && !answer.holds_json() && !answer.is_binary();
    if is_whole && (is_plain || answer.body.is_empty()) {
        return BatchReading::All;
    }
    let texts = answer.texts();
    let mut fault = String::new();
    for text in &texts {
        // A number that was cut is still a number, so only what has an end of its own can be whole.
        if !is_whole && !begins_like_json(text) {
            continue;
        }
        match serde_json::from_str::<&RawValue>(text) {
            Ok(document) => return read_document(document, ids),
            Err(error) if fault.is_empty() => fault = error.to_string(),
            Err(_) => {}
        }
    }
    if let Some(missing) = answer.missing {
        return BatchReading::Unreadable(not_whole(missing));
    }
    if let Some(encoding) = answer.encoding {
        return BatchReading::Unreadable(encoded(encoding));
    }
    if answer.is_binary() && !answer.has_mark() {
        return BatchReading::Unreadable(NO_TEXT.to_owned());
    }
    if answer.says_json() || texts.iter().any(|text| is_like_results(text)) {
        return BatchReading::Unreadable(format!("the answer's body is not valid JSON: {fault}"));
    }
    BatchReading::All
}

/// Whether a text was meant as JSON, or as JSON behind something else, whatever its type says.
fn is_like_results(text: &str) -> bool {
    begins_like_json(text) || text.contains("\"results\"")
}

fn read_document(document: &RawValue, ids: &[String]) -> BatchReading {
    if !document.get().starts_with('{') {
        return BatchReading::All;
    }
    let results = match JsonFields::read(document).and_then(|fields| fields.one("results")) {
        Ok(Some(results)) => results,
        Ok(None) => return BatchReading::All,
        Err(why) => return BatchReading::Unreadable(format!("the answer cannot be read: {why}")),
    };
    match serde_json::from_str::<Vec<&RawValue>>(results.get()) {
        Ok(results) => BatchReading::Each(read_results(&results, ids)),
        Err(_) => BatchReading::Unreadable("the answer's results are not a list".to_owned()),
    }
}

fn read_results(results: &[&RawValue], ids: &[String]) -> Each {
    let named = results.iter().map(|result| {
        let (id, fields) = identified(result)?;
        Some((id, status_of(&fields)))
    });
    place_by_id(named, ids)
}

/// Results in the places of the messages that they name; `None`: which one, nobody can tell.
fn place_by_id(
    results: impl Iterator<Item = Option<(String, Result<ItemSaid, String>)>>,
    ids: &[String],
) -> Each {
    // Ids have no letters that differ in case alone.
    let places: HashMap<String, usize> =
        ids.iter().enumerate().map(|(at, id)| (id.to_ascii_lowercase(), at)).collect();
    let mut items = vec![FoundItem::Nothing; ids.len()];
    let (mut foreign, mut unreadable) = (0, 0);
    for result in results {
        let Some((id, said)) = result else {
            unreadable += 1;
            continue;
        };
        match places.get(&id.trim().to_ascii_lowercase()) {
            Some(at) => items[*at].meet(said),
            None => foreign += 1,
        }
    }
    Each { items: items.into_iter().map(FoundItem::said).collect(), foreign, unreadable }
}

/// What the elements of an answer's list say of the messages of the batch: by the ids in them, or in their order.
pub(super) fn place(elements: &[ElementClassified], ids: &[String], by_id: bool) -> BatchReading {
    let judged = |element: &ElementClassified| ItemSaid::Judged(element.classified.clone());
    if by_id {
        let named = elements.iter().map(|element| Some((element.id.clone()?, Ok(judged(element)))));
        return BatchReading::Each(place_by_id(named, ids));
    }
    if elements.len() != ids.len() {
        return BatchReading::Unreadable(format!(
            "the answer's list has {} elements for {} messages, and nothing says which is whose",
            elements.len(),
            ids.len()
        ));
    }
    let items = elements.iter().map(judged).collect();
    BatchReading::Each(Each { items, foreign: 0, unreadable: 0 })
}

fn identified(result: &RawValue) -> Option<(String, JsonFields<'_>)> {
    let fields = JsonFields::read(result).ok()?;
    let id = serde_json::from_str(fields.one("id").ok()??.get()).ok()?;
    Some((id, fields))
}

/// What one result says of its item, or why that cannot be read.
fn status_of(fields: &JsonFields<'_>) -> Result<ItemSaid, String> {
    let raw = fields.one("status")?.ok_or("its result has no status")?;
    let word = serde_json::from_str::<String>(raw.get()).unwrap_or_default();
    let outcome = match word.trim().to_ascii_lowercase().as_str() {
        "delivered" => Outcome::Delivered,
        "accepted" => Outcome::Accepted,
        "retry" => Outcome::Retry,
        "dead" => Outcome::Refused,
        _ => {
            let found: String = raw.get().chars().take(100).collect();
            let expected = "delivered, accepted, retry or dead";
            return Err(format!("its result has the status {found}, expected {expected}"));
        }
    };
    let (detail, reference) = (fields.text("detail"), fields.text("ref"));
    Ok(ItemSaid::Status { outcome, detail, reference })
}

impl ItemSaid {
    fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Status { outcome, .. } => Some(*outcome),
            Self::Judged(classified) => Some(classified.outcome),
            Self::Nothing(_) => None,
        }
    }
}

/// What was found of an item so far.
#[derive(Debug, Clone)]
enum FoundItem {
    Nothing,
    /// Only results whose status cannot be read.
    Unreadable(String),
    Said(ItemSaid),
    /// Results that say different things.
    Disagreement,
}

impl FoundItem {
    /// One more result for the same item. A status counts, whatever stands beside it.
    fn meet(&mut self, result: Result<ItemSaid, String>) {
        let next = match (&*self, result) {
            (Self::Nothing | Self::Unreadable(_), Ok(said)) => Self::Said(said),
            (Self::Said(known), Ok(said)) if known.outcome() != said.outcome() => {
                Self::Disagreement
            }
            (Self::Nothing, Err(why)) => Self::Unreadable(why),
            _ => return,
        };
        *self = next;
    }

    fn said(self) -> ItemSaid {
        let nothing = |why: &str| ItemSaid::Nothing(format!("of this item the answer {why}"));
        match self {
            Self::Said(said) => said,
            Self::Nothing => nothing("says nothing: its results leave it out"),
            Self::Disagreement => nothing("says different things: its results name it twice"),
            Self::Unreadable(why) => nothing(&format!("says nothing that can be read: {why}")),
        }
    }
}
