//! How the limits of a queue stand.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Moment, Vocabulary, Word};
use crate::domain::limit::{LimitKindName, LimitRule};

/// How a limit stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Limit)]
pub struct LimitView {
    /// Its name: `limit:<name>` holds messages under it
    pub name: String,
    /// What it is
    pub kind: LimitKindWord,
    /// What it allows, such as `20/s` or `50000/day`; of a concurrency the number of calls
    pub value: String,
    /// The key of which it counts each value for itself, such as `labels.to`; null: it counts all messages together
    #[schema(required)]
    pub per: Option<String>,
    /// Whether other queues use it too
    pub shared: bool,
    /// Of a quota: units that were used in this period; null with `per`
    #[schema(required)]
    pub used: Option<u64>,
    /// Of a quota: units that are left in this period; null with `per`
    #[schema(required)]
    pub left: Option<u64>,
    /// Of a quota: when the next period begins; null with `per`
    #[schema(required)]
    pub resets_at: Option<Moment>,
    /// Of a rate: when one unit passes; null with `per`
    #[schema(required)]
    pub next_at: Option<Moment>,
    /// How many keys it holds now; of a limit without a key 0 or 1
    pub held_keys: u64,
}

/// What a limit is, as a word.
pub type LimitKindWord = Word<LimitKindName>;

impl Vocabulary for LimitKindName {
    const NAME: &'static str = "LimitKind";
    const DESCRIPTION: &'static str = "An even pace, units in a period of the calendar, or calls in flight of each value of a key";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl LimitView {
    /// A limit of which nothing is known but that it holds so many keys.
    #[must_use]
    pub fn new(rule: &LimitRule, held_keys: u64) -> Self {
        Self {
            name: rule.name.to_string(),
            kind: rule.kind.name().into(),
            value: rule.kind.to_string(),
            per: rule.per.as_ref().map(ToString::to_string),
            shared: rule.shared,
            used: None,
            left: None,
            resets_at: None,
            next_at: None,
            held_keys,
        }
    }
}
