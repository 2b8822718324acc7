//! What became of the messages of a batch.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;
use super::problem::ProblemView;

/// What became of a batch, item by item.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BatchAnswer {
    /// How many were taken in, now or before
    pub accepted: u64,
    /// How many were not
    pub rejected: u64,
    /// What became of each, in order
    pub results: Vec<BatchItemView>,
}

/// Either id, `due_at` and duplicate, or a problem
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = BatchItem)]
pub struct BatchItemView {
    /// Its place in the batch, from 0
    pub index: u64,
    /// The message's id
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// When it is due
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub due_at: Option<Moment>,
    /// Whether it had been taken in before
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub duplicate: Option<bool>,
    /// Why it was not taken in
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<ProblemView>,
}
