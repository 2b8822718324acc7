//! What operators did.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Moment;

/// One step of an operator.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Action)]
pub struct ActionView {
    /// Its id
    pub id: String,
    /// When
    pub at: Moment,
    /// The token's name, or anonymous
    pub by: String,
    /// Who sat there, by their own word (the header Tidegate-User); it decides nothing
    #[schema(required)]
    pub user: Option<String>,
    /// What was done, in a word or two
    pub action: String,
    /// The queue, message or operation that it is about; empty: the daemon
    pub on: String,
    /// Why, if it was said
    #[schema(required)]
    pub reason: Option<String>,
    /// What was asked for besides; never a message's contents
    #[schema(value_type = BTreeMap<String, Value>)]
    pub detail: Map<String, Value>,
    /// null: not known, since the node was lost on the way
    #[schema(required)]
    pub outcome: Option<ActionOutcomeView>,
}

/// What came of an operator's step.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ActionOutcome)]
pub struct ActionOutcomeView {
    /// It was done
    pub done: bool,
    /// The status of the answer
    pub status: u16,
    /// Location of what it made
    #[schema(required)]
    pub made: Option<String>,
}

/// A page of actions, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Actions)]
pub struct ActionList {
    /// The actions of this page
    pub actions: Vec<ActionView>,
    /// Where the next page begins; null: this was the last one
    #[schema(required)]
    pub next_cursor: Option<String>,
}
