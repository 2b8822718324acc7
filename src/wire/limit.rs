//! How the limits of a queue stand.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Moment, Vocabulary, Word};
use crate::domain::limit::LimitRule;

/// How a limit stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Limit)]
pub struct LimitView {
    /// Its name: `limit:<name>` holds messages under it
    pub name: String,
    /// What it is
    pub kind: LimitKindWord,
    /// What it allows, such as `20/s` or `50000/day`
    pub value: String,
    /// The key that it counts by; null: it counts all messages together
    #[schema(required)]
    pub per: Option<String>,
    /// Whether other queues use it too
    pub shared: bool,
    /// Of a quota: units that were used in this period
    #[schema(required)]
    pub used: Option<u64>,
    /// Of a quota: units that are left in this period
    #[schema(required)]
    pub left: Option<u64>,
    /// Of a quota: when the next period begins
    #[schema(required)]
    pub resets_at: Option<Moment>,
    /// Of a rate: when one unit passes
    #[schema(required)]
    pub next_at: Option<Moment>,
    /// How many keys it holds now; of a limit without a key 0 or 1
    pub held_keys: u64,
}

/// What a limit is, as a word.
pub type LimitKindWord = Word<LimitWord>;

/// What a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitWord {
    /// An even pace.
    Rate,
    /// Units in a period of the calendar.
    Quota,
}

impl Vocabulary for LimitWord {
    const NAME: &'static str = "LimitKind";
    const DESCRIPTION: &'static str = "An even pace, or units in a period of the calendar";
    const ALL: &'static [Self] = &[Self::Rate, Self::Quota];

    fn word(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Quota => "quota",
        }
    }
}

impl LimitView {
    /// A limit of which nothing is known but that it holds so many keys.
    #[must_use]
    pub fn new(rule: &LimitRule, held_keys: u64) -> Self {
        let kind = if rule.quota().is_some() { LimitWord::Quota } else { LimitWord::Rate };
        Self {
            name: rule.name.to_string(),
            kind: kind.into(),
            value: rule.kind.to_string(),
            per: None,
            shared: false,
            used: None,
            left: None,
            resets_at: None,
            next_at: None,
            held_keys,
        }
    }
}
