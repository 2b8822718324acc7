//! The audit of a queue: what its lines say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::ProblemView;
use super::{Vocabulary, Word};
use crate::domain::index_fault::Fault;

/// What is wrong, as a word.
pub type IndexFaultWord = Word<Fault>;

impl Vocabulary for Fault {
    const NAME: &'static str = "IndexFault";
    const DESCRIPTION: &'static str =
        "What is wrong between a message and its indexes; docs/operations.md explains each kind";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// How far it has come, one fault, or (with complete) what was found in all.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditLine)]
#[serde(untagged)]
pub enum AuditLine {
    /// One fault; of each kind the first ones.
    Fault(IndexFaultView),
    /// The last line.
    End(Box<AuditEndView>),
    /// How far it has come.
    Progress(AuditProgressView),
}

/// One fault.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditFault)]
pub struct IndexFaultView {
    /// What is wrong
    pub fault: IndexFaultWord,
    /// In which shard
    pub shard: u16,
    /// The message's id; null: there is none
    #[schema(required)]
    pub id: Option<String>,
    /// As it stands in the index
    pub member: String,
    /// It was repaired
    pub repaired: bool,
}

/// How far an audit has come.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditProgress)]
pub struct AuditProgressView {
    /// Members of records and indexes looked at
    pub looked: u64,
    /// Of so many
    pub of: u64,
}

/// What was found in all.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditEnd)]
pub struct AuditEndView {
    /// Members of records and indexes looked at; absent where it was cut short
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub looked: Option<u64>,
    /// Of so many
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub of: Option<u64>,
    /// By kind
    pub faults: BTreeMap<String, FaultCountsView>,
    /// Everything was looked at
    pub complete: bool,
    /// Why it was cut short
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<ProblemView>,
}

/// Faults of one kind.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditCounts)]
pub struct FaultCountsView {
    /// How many were found
    pub found: u64,
    /// How many of these were repaired
    pub repaired: u64,
}
