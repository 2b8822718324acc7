//! Receipts of downstreams, and what they came to.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::problem::ProblemView;
use super::{MessageIdText, Reason, StateWord, Text, Vocabulary, Word};
use crate::domain::receipt::ReceiptSaid;

/// The content type of a receipt in the words of the API, where a queue has names of its own for those of its downstream.
pub const RECEIPT_TYPE: &str = "application/vnd.tidegate.receipt+json";
/// Most receipts of one request.
pub const RECEIPTS_MAX: usize = 1000;

/// What became of an accepted message; id or ref
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Receipt)]
#[serde(deny_unknown_fields)]
pub struct ReceiptRequest {
    /// The message
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<MessageIdText>)]
    pub id: Option<String>,
    /// The downstream's own reference
    #[serde(skip_serializing_if = "Option::is_none", rename = "ref")]
    #[schema(value_type = Option<Text>)]
    pub reference: Option<String>,
    /// What became of it
    pub status: ReceiptWord,
    /// Why, kept with the message
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Reason>)]
    pub detail: Option<String>,
}

impl Vocabulary for ReceiptSaid {
    const NAME: &'static str = "ReceiptStatus";
    const DESCRIPTION: &'static str = "What became of a message";
    const ALL: &'static [Self] = &[Self::Delivered, Self::Dead];

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// What a receipt says, as a word.
pub type ReceiptWord = Word<ReceiptSaid>;

/// What a receipt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptVerdict {
    /// It closed the message.
    Ok,
    /// The message was closed so before.
    Already,
    /// It came before our own bookkeeping, and is kept.
    Kept,
    /// Its status is in no list of the queue: it says nothing certain, and changes nothing.
    Ignored,
}

impl Vocabulary for ReceiptVerdict {
    const NAME: &'static str = "ReceiptVerdict";
    const DESCRIPTION: &'static str = "ok: it closed the message; already: the message was closed so before; kept: it came before our own bookkeeping; ignored: its status is in no list of receipts.parse, and changes nothing";
    const ALL: &'static [Self] = &[Self::Ok, Self::Already, Self::Kept, Self::Ignored];

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Already => "already",
            Self::Kept => "kept",
            Self::Ignored => "ignored",
        }
    }
}

/// What a receipt came to, as a word.
pub type ReceiptVerdictWord = Word<ReceiptVerdict>;

/// What a receipt came to: a verdict, or in a list a problem.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = ReceiptResult)]
pub struct ReceiptView {
    /// The message, if it is known
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// In a list: which one, from 0
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub index: Option<u64>,
    /// In a list: why it was not taken
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<ProblemView>,
    /// The state of the message, if it is known
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub state: Option<StateWord>,
    /// What it came to
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub verdict: Option<ReceiptVerdictWord>,
}

/// What the receipts of a list came to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ReceiptResults)]
pub struct ReceiptList {
    /// One for each receipt, in order
    pub results: Vec<ReceiptView>,
}

/// One receipt, or a list of them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Receipts)]
#[serde(untagged)]
pub enum ReceiptsRequest {
    /// One.
    One(ReceiptRequest),
    /// Several.
    Several(Vec<ReceiptRequest>),
}

/// What a receipt came to, or each of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Received)]
#[serde(untagged)]
pub enum ReceiptsAnswer {
    /// Of a list.
    Several(ReceiptList),
    /// Of one.
    One(Box<ReceiptView>),
}

/// Either names the message.
pub(super) fn conditions() -> Value {
    json!({ "allOf": [{ "oneOf": [
        { "required": ["id"], "properties": { "id": { "type": "string" } } },
        { "required": ["ref"], "properties": { "ref": { "type": "string" } } },
    ] }] })
}
