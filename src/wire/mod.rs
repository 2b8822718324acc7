//! What is written on the wire: one struct for each answer and each request of the HTTP API.
//!
//! The API fills these structs, and whoever asks reads them: the commands today. `/openapi.json` is made of them,
//! so that a field, its bounds and whether it may be absent are written once. Owns names, shapes and how values
//! are written. Refuses to know where a value comes from, how a request is checked, and any I/O.
//!
//! # Conventions
//! - **Names.** What is shown of a thing is an `XView`, an answer of its own is an `XAnswer`, a list is an
//!   `XList`, and the body of a request is an `XRequest`. `#[schema(as = ..)]` gives the name in the document, which
//!   stays as it is: generated clients carry it.
//! - **Absent and null in answers.** A field is one or the other, never both. `Option` with `#[schema(required)]` is always there, and null where there is
//!   nothing. `Option` with `skip_serializing_if` and `#[schema(nullable = false)]` is left out. A test holds this.
//! - **Requests.** Every field that may be left out is an `Option` with `skip_serializing_if`; null counts as absent.
//!   `deny_unknown_fields` closes the schema. The daemon does not read a body through the struct, but field by
//!   field, so that one answer names every fault with its place (`api/fields.rs`); a test holds both to the same
//!   names. What a schema of fields cannot say (one of two fields) is in `conditions`.
//! - **Moments** are a [`Moment`]: RFC 3339 in UTC with milliseconds. **Durations** are a [`DurationText`] in answers
//!   and a [`DurationMs`] in requests, which also takes a whole number of seconds; where a program computes with
//!   it, a whole number whose name ends in `_ms`.
//! - **Words** of a fixed list are a [`Word`]: a reader keeps a word that it does not know, as a newer daemon may have
//!   more of them. The list is the one of `domain`.
//! - **Bounds** are the constants that the check uses: a bounded value has a schema of its own (`texts`, `numbers`).
//! - **Counts** are unsigned: the document says `minimum: 0`. JSON's numbers are exact up to 2^53, which no count reaches.
//! - **A reader is tolerant**: it ignores fields that it does not know, and a field that was added later carries
//!   `#[serde(default)]`, so that an older daemon can be asked too.
//! - Answers own their texts. Those about messages borrow them, as one is written for every message.

pub mod action;
pub mod attempt;
pub mod audit;
pub mod backlog;
pub mod callback_event;
pub mod change;
pub mod doctor;
mod duration;
pub mod estimate;
pub mod exchange;
pub mod explain;
pub mod forecast;
mod held;
pub mod history;
pub mod key;
pub mod limit;
pub mod message;
mod moment;
pub mod new_message;
pub mod node;
mod numbers;
pub mod operation;
pub mod overrides;
mod pairs;
mod payload;
pub mod probe;
pub mod problem;
pub mod pull;
pub mod queue;
pub mod receipt;
pub mod retry;
pub mod schedule;
mod schema;
pub mod shared_limit;
mod state;
mod texts;
pub mod topic;
pub mod waited;
pub mod window;
mod word;

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

pub use self::duration::{DurationMs, DurationText};
pub use self::held::GateWord;
pub use self::moment::Moment;
pub use self::numbers::{CostUnits, Fraction, MaxAttempts, Priority, RetryFactor};
pub use self::pairs::Pairs;
pub use self::payload::{Payload, payload_fields, text_or_base64};
pub use self::state::StateWord;
pub use self::texts::{
    ContentType, Headers, Labels, MessageIdText, Name, QueueNameText, Reason, Text,
};
pub use self::word::{Vocabulary, Word};

/// Where the schema of this name is in the document.
#[must_use]
pub fn reference_to(schema: &str) -> String {
    format!("#/components/schemas/{schema}")
}

/// What a message costs in the answer of a daemon that does not know costs yet.
pub(crate) const fn usual_cost() -> u16 {
    1
}

/// The schemas of values that parameters have as well as bodies.
#[must_use]
pub fn shared() -> Vec<(String, RefOr<Schema>)> {
    fn named<T: ToSchema>() -> (String, RefOr<Schema>) {
        (T::name().into_owned(), T::schema())
    }
    vec![
        named::<ContentType>(),
        named::<DurationMs>(),
        named::<Headers>(),
        named::<key::KeyText>(),
        named::<Labels>(),
        named::<MessageIdText>(),
        named::<Moment>(),
        named::<Name>(),
        named::<QueueNameText>(),
        named::<StateWord>(),
        named::<Text>(),
    ]
}

/// Answers of several shapes that overlap: an answer may fit more than one of them.
pub const OVERLAPPING: [&str; 4] = ["AuditLine", "Received", "Repeated", "StateChange"];

/// What the schema of a request says beyond its fields, by the name of the schema: keywords that stand beside
/// `properties`, such as which of two fields must be given.
///
/// They stand in an `allOf`: generators take an `anyOf` beside `properties` for the whole.
#[must_use]
pub fn conditions() -> Vec<(&'static str, Value)> {
    vec![
        ("MessagePatch", new_message::patch_conditions()),
        ("NewMessage", new_message::conditions()),
        ("NewOperation", operation::conditions()),
        ("NewSchedule", schedule::conditions()),
        ("PutKey", key::conditions()),
        ("PutKeyLimit", key::limit_conditions()),
        ("Receipt", receipt::conditions()),
    ]
}
