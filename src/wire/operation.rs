//! Operations: one step on many messages, as it is asked for and as it stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, Object, OneOf, Type};

use super::schema::{schema_of, string};
use super::{DurationMs, Moment, Name, QueueNameText, Reason, StateWord, Text, Vocabulary, Word};
use crate::domain::message::LABELS_MAX;
use crate::domain::operation::{Action, Stage};

/// What is done to each message, as a word.
pub type OperationActionWord = Word<Action>;

impl Vocabulary for Action {
    const NAME: &'static str = "OperationAction";
    const DESCRIPTION: &'static str = "What is done to each message";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// How an operation stands, as a word.
pub type OperationStateWord = Word<Stage>;

impl Vocabulary for Stage {
    const NAME: &'static str = "OperationState";
    const DESCRIPTION: &'static str = "How an operation stands; the last three are its end";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// One step on many messages. Give filter, or all: true for every message in the state.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = NewOperation)]
#[serde(deny_unknown_fields)]
pub struct OperationRequest {
    /// What is done to each message
    pub action: OperationActionWord,
    /// The queue whose messages are meant
    #[schema(value_type = QueueNameText)]
    pub queue: String,
    /// Required, except for retry, which takes what is scheduled for another attempt
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateWord>,
    /// Which of them are meant
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterRequest>,
    /// Every message in the state is meant
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = false)]
    pub all: Option<bool>,
    /// At most so many messages in a time, evenly; default as fast as it goes
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<OperationRate>)]
    pub rate: Option<String>,
    /// Only count and show some
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = false)]
    pub dry_run: Option<bool>,
    /// Why; required for cancel
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Reason>)]
    pub reason: Option<String>,
    /// Of a reschedule: when the messages are due; or delay
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Moment>,
    /// Of a reschedule: how long from now until the messages are due; or `due_at`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<DurationMs>,
    /// The queue that a move leads into
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Name>)]
    pub to: Option<String>,
}

/// Which messages are meant; everything that is given must fit. From after (inclusive) until before (exclusive).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = OperationFilter)]
#[serde(deny_unknown_fields)]
pub struct FilterRequest {
    /// Labels that a message must carry: an object, or name=value for one
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LabelFilter>)]
    pub label: Option<BTreeMap<String, String>>,
    /// Its key of order and fair shares
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text>)]
    pub group: Option<String>,
    /// Words in the last error or the reason, upper and lower case as they are
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text>)]
    pub error_contains: Option<String>,
    /// Handed over at or after this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_after: Option<Moment>,
    /// Handed over before this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_before: Option<Moment>,
    /// Due at or after this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_after: Option<Moment>,
    /// Due before this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_before: Option<Moment>,
    /// Final at or after this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_after: Option<Moment>,
    /// Final before this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_before: Option<Moment>,
}

/// Labels that a message must carry, as a filter names them.
#[derive(Debug)]
pub struct LabelFilter;

schema_of!(
    LabelFilter,
    "LabelFilter",
    OneOf::builder()
        .description(Some("Labels that a message must carry: an object, or name=value for one"))
        .item(string().pattern(Some("=")))
        .item(
            Object::builder()
                .schema_type(Type::Object)
                .additional_properties(Some(AdditionalProperties::RefOr(string().into())))
                .min_properties(Some(1))
                .max_properties(Some(LABELS_MAX))
        )
        .examples([json!({ "shop": "eu" })])
);

/// How fast an operation goes, at most.
#[derive(Debug)]
pub struct OperationRate;

/// What [`crate::domain::limit::Rate`] is read from.
const RATE: &str = "^(?=[0-9_]*[1-9])(?:[0-9_]{1,6} */ *(?:s|sec|second)|[0-9_]{1,7} */ *(?:min|minute)|[0-9_]{1,9} */ *(?:h|hour)|[0-9_]{1,10} */ *(?:d|day))$";

schema_of!(
    OperationRate,
    "OperationRate",
    string()
        .description(Some("So many messages in a time, evenly"))
        .pattern(Some(RATE))
        .examples([json!("5/s")])
);

/// An operation: what was asked for, and how far it has come.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Operation)]
pub struct OperationView {
    /// Its id
    pub id: String,
    /// How it stands
    pub state: OperationStateWord,
    /// What is done to each message
    pub action: OperationActionWord,
    /// The queue whose messages are meant
    pub queue: String,
    /// Those in this state
    pub message_state: StateWord,
    /// Which of them; null: all of them
    #[schema(required)]
    pub filter: Option<FilterView>,
    /// The queue that a move leads into
    #[schema(required)]
    pub to: Option<String>,
    /// The new due time of a reschedule
    #[schema(required)]
    pub due_at: Option<Moment>,
    /// At most so many messages in a time; null: as fast as it goes
    #[schema(required)]
    pub rate: Option<String>,
    /// It only counts and shows some
    pub dry_run: bool,
    /// Why; may be empty
    pub reason: String,
    /// The token's name, or anonymous
    pub by: String,
    /// When it began: what came later is not taken
    pub started_at: Moment,
    /// When it ended
    #[schema(required)]
    pub ended_at: Option<Moment>,
    /// Messages looked at
    pub seen: u64,
    /// Of those, the ones that are meant
    pub matched: u64,
    /// Of those, the ones dealt with
    pub done: u64,
    /// Of those, the ones that had moved on or may not be dealt with so
    pub skipped: u64,
    /// Still to be looked at, roughly; 0 after the end
    pub remaining: u64,
    /// The first ids that matched
    pub sample: Vec<String>,
    /// Who carries it out
    #[schema(required)]
    pub node: Option<String>,
    /// Somebody asked to stop it, and it has not ended yet
    pub stopping: bool,
    /// Who stopped it
    #[schema(required)]
    pub stopped_by: Option<String>,
    /// What holds it up, or why it failed
    #[schema(required)]
    pub trouble: Option<String>,
}

/// Which messages an operation means; only what was given is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FilterView {
    /// Labels that a message must carry
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub label: Option<BTreeMap<String, String>>,
    /// Its key of order and fair shares
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub group: Option<String>,
    /// Words in the last error or the reason
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error_contains: Option<String>,
    /// Handed over at or after this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub created_after: Option<Moment>,
    /// Handed over before this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub created_before: Option<Moment>,
    /// Due at or after this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub due_after: Option<Moment>,
    /// Due before this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub due_before: Option<Moment>,
    /// Final at or after this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub final_after: Option<Moment>,
    /// Final before this moment
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub final_before: Option<Moment>,
}

/// Operations, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Operations)]
pub struct OperationList {
    /// The operations
    pub operations: Vec<OperationView>,
}

/// Everything is never meant by silence.
pub(super) fn conditions() -> Value {
    json!({ "allOf": [{ "anyOf": [
        {
            "required": ["filter"],
            "properties": { "filter": { "type": "object", "minProperties": 1 } },
        },
        { "required": ["all"], "properties": { "all": { "const": true } } },
    ] }] })
}
