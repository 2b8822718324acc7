//! What the answer to a batch says of each of its items.
//!
//! Pure. Owns the reading of such a body: it tolerates what is harmless, and what cannot be read is
//! unknown, never a yes. Refuses to know how the answer came and what follows from it.

mod json_fields;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;

use encoding_rs::Encoding;
use serde_json::value::RawValue;

use self::json_fields::Fields;
use crate::domain::outcome::Outcome;

/// The body of a 2xx, and what its head says of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchAnswer<'a> {
    pub(super) content_type: Option<&'a str>,
    /// `Content-Encoding`, where it changes the body's bytes.
    pub(super) encoding: Option<&'a str>,
    pub(super) body: &'a [u8],
    /// Why the body did not come to its end, if it did not.
    pub(super) missing: Option<&'a str>,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
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
    /// Nothing that can be read: its outcome is unknown. Why, for people.
    Nothing(String),
}

/// Reads an answer to the batch of these messages.
pub(super) fn read(answer: BatchAnswer<'_>, ids: &[String]) -> Reading {
    let is_whole = answer.missing.is_none();
    let is_plain = answer.encoding.is_none() && !holds_json(answer.body) && !is_binary(answer.body);
    if is_whole && (is_plain || answer.body.is_empty()) {
        return Reading::All;
    }
    let texts = texts(answer);
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
        return Reading::Unreadable(format!("the answer's body is not whole: {missing}"));
    }
    if let Some(encoding) = answer.encoding {
        let why = format!("the answer's body is encoded ({encoding}), which was not asked for");
        return Reading::Unreadable(why);
    }
    if is_binary(answer.body) && Encoding::for_bom(answer.body).is_none() {
        let why = "the answer's body is not text: it may be compressed, which was not asked for";
        return Reading::Unreadable(why.to_owned());
    }
    if says_json(answer.content_type) || texts.iter().any(|text| is_like_results(text)) {
        return Reading::Unreadable(format!("the answer's body is not valid JSON: {fault}"));
    }
    Reading::All
}

fn holds_json(body: &[u8]) -> bool {
    body.iter().any(|byte| matches!(byte, b'{' | b'['))
}

/// Whether it has bytes that no text has, as compressed bodies do that their head says nothing of.
fn is_binary(body: &[u8]) -> bool {
    body.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
}

fn begins_like_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// Whether a text was meant as JSON, or as JSON behind something else, whatever its type says.
fn is_like_results(text: &str) -> bool {
    begins_like_json(text) || text.contains("\"results\"")
}

fn says_json(content_type: Option<&str>) -> bool {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let Some((_, subtype)) = essence.trim().split_once('/') else { return false };
    let subtype = subtype.to_ascii_lowercase();
    subtype == "json" || subtype.ends_with("+json")
}

/// The body as text, in each encoding in which it may be meant, the likeliest first.
fn texts(answer: BatchAnswer<'_>) -> Vec<Cow<'_, str>> {
    let body = answer.body;
    let in_encoding = |encoding: &'static Encoding| encoding.decode_without_bom_handling(body).0;
    if let Some((encoding, mark_bytes)) = Encoding::for_bom(body) {
        return vec![encoding.decode_without_bom_handling(&body[mark_bytes..]).0];
    }
    let declared = answer.content_type.and_then(charset);
    // JSON begins with an ASCII character, so that a zero byte beside it shows UTF-16.
    let guessed = match body {
        [0, _, ..] => encoding_rs::UTF_16BE,
        [_, 0, ..] => encoding_rs::UTF_16LE,
        _ => encoding_rs::UTF_8,
    };
    let mut texts: Vec<_> = declared.map(in_encoding).into_iter().collect();
    if declared != Some(guessed) {
        texts.push(in_encoding(guessed));
    }
    texts
}

fn charset(content_type: &str) -> Option<&'static Encoding> {
    let named = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })?;
    Encoding::for_label(named.as_bytes())
}

fn read_document(document: &RawValue, ids: &[String]) -> Reading {
    if !document.get().starts_with('{') {
        return Reading::All;
    }
    let results = match Fields::read(document).and_then(|fields| fields.one("results")) {
        Ok(Some(results)) => results,
        Ok(None) => return Reading::All,
        Err(why) => return Reading::Unreadable(format!("the answer cannot be read: {why}")),
    };
    match serde_json::from_str::<Vec<&RawValue>>(results.get()) {
        Ok(results) => Reading::Each(read_results(&results, ids)),
        Err(_) => Reading::Unreadable("the answer's results are not a list".to_owned()),
    }
}

fn read_results(results: &[&RawValue], ids: &[String]) -> Each {
    // Ids have no letters that differ in case alone.
    let places: HashMap<String, usize> =
        ids.iter().enumerate().map(|(at, id)| (id.to_ascii_lowercase(), at)).collect();
    let mut items = vec![FoundItem::Nothing; ids.len()];
    let (mut foreign, mut unreadable) = (0, 0);
    for result in results {
        let Some((id, fields)) = identified(result) else {
            unreadable += 1;
            continue;
        };
        match places.get(&id.trim().to_ascii_lowercase()) {
            Some(at) => items[*at].meet(status_of(&fields)),
            None => foreign += 1,
        }
    }
    Each { items: items.into_iter().map(FoundItem::said).collect(), foreign, unreadable }
}

fn identified(result: &RawValue) -> Option<(String, Fields<'_>)> {
    let fields = Fields::read(result).ok()?;
    let id = serde_json::from_str(fields.one("id").ok()??.get()).ok()?;
    Some((id, fields))
}

/// What one result says of its item, or why that cannot be read.
fn status_of(fields: &Fields<'_>) -> Result<ItemSaid, String> {
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

/// What was found of an item so far.
#[derive(Debug, Clone)]
enum FoundItem {
    Nothing,
    /// Only results whose status cannot be read.
    Unreadable(String),
    Said(Outcome, ItemSaid),
    /// Results that say different things.
    Disagreement,
}

impl FoundItem {
    /// One more result for the same item. A status counts, whatever stands beside it.
    fn meet(&mut self, result: Result<ItemSaid, String>) {
        let next = match (&*self, result) {
            (Self::Nothing | Self::Unreadable(_), Ok(said @ ItemSaid::Status { outcome, .. })) => {
                Self::Said(outcome, said)
            }
            (Self::Said(known, _), Ok(ItemSaid::Status { outcome, .. })) if *known != outcome => {
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
            Self::Said(_, said) => said,
            Self::Nothing => nothing("says nothing: its results leave it out"),
            Self::Disagreement => nothing("says different things: its results name it twice"),
            Self::Unreadable(why) => nothing(&format!("says nothing that can be read: {why}")),
        }
    }
}
