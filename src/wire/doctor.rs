//! What is wrong, and what to do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Moment, Vocabulary, Word};
use crate::domain::doctor::{Finding, FindingCode, Weight};

/// How much a finding weighs, as a word.
pub type WeightWord = Word<Weight>;

impl Vocabulary for Weight {
    const NAME: &'static str = "FindingWeight";
    const DESCRIPTION: &'static str =
        "How much a finding weighs; problem: somebody must act; note: worth knowing";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// What kind of finding it is, as a word.
pub type FindingCodeWord = Word<FindingCode>;

impl Vocabulary for FindingCode {
    const NAME: &'static str = "FindingCode";
    const DESCRIPTION: &'static str = "What kind of finding it is";
    const ALL: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// One thing that was found, with its remedy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Finding)]
pub struct FindingView {
    /// What kind it is
    pub code: FindingCodeWord,
    /// The queue that it is about; null: it is not about a single queue
    #[schema(required)]
    pub queue: Option<String>,
    /// How much it weighs
    pub weight: WeightWord,
    /// What it is about: a queue or a topic, by its name, or store, clock, daemon, nodes or inbox
    pub about: String,
    /// What was found
    pub detail: String,
    /// What to do
    pub remedy: String,
    /// The section of the runbook that says more
    #[schema(required)]
    pub runbook: Option<String>,
    /// Since or until when it holds; where detail names that moment, it is written there in the same way
    #[schema(required)]
    pub at: Option<Moment>,
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        Self {
            code: finding.code.into(),
            queue: finding.about.queue().map(ToString::to_string),
            weight: finding.weight.into(),
            about: finding.about.name().to_owned(),
            runbook: finding.runbook(),
            at: finding.at_ms.map(Moment),
            detail: finding.detail,
            remedy: finding.remedy,
        }
    }
}

/// What is wrong with this daemon, its store and its queues, the store first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Doctor)]
pub struct DoctorAnswer {
    /// What was found; none: all is well
    pub findings: Vec<FindingView>,
    /// Which Redis keeps the messages, without its password; null: the daemon is still starting
    #[schema(required)]
    pub store: Option<String>,
}
