//! Why a message waits, as it is shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{GateWord, Moment, StateWord, Vocabulary, Word};
use crate::domain::explain::{Explanation, GateAnswer, GateBlocker, LineOf, LinePosition};
use crate::domain::state::State;

/// Why a message waits, when it can leave, and what each gate says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Explanation)]
pub struct ExplanationView {
    /// Where the message stands
    pub state: StateWord,
    /// The answer in a sentence or two
    pub sentence: String,
    /// Where it stands in its line; null: in none
    #[schema(required)]
    pub position: Option<PositionView>,
    /// When it could leave if nothing stood ahead of it; null: nobody can know
    #[schema(required)]
    pub earliest_at: Option<Moment>,
    /// When it leaves by what stands ahead of it, if nothing more arrives; null: nobody can know
    #[schema(required)]
    pub expected_at: Option<Moment>,
    /// Every gate that can hold it in this queue, in the documented order; empty while it is sent and once it is final
    pub gates: Vec<GateAnswerView>,
}

/// How many messages stand before one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Position)]
pub struct PositionView {
    /// So many stand before it
    pub ahead: u64,
    /// Whose line it is: that of its `key`, or of its `queue` (of several shards, of its own)
    pub of: LineWord,
    /// true: more than `ahead` stand before it
    pub at_least: bool,
}

/// What one gate says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = GateAnswer)]
pub struct GateAnswerView {
    /// Which gate
    pub gate: GateWord,
    /// Whether it lets the message pass
    pub passes: bool,
    /// When it opens; null: it is open, or nobody can know, and `detail` says why
    #[schema(required)]
    pub opens_at: Option<Moment>,
    /// What it says
    pub detail: String,
    /// Where the setting comes from that decides: a file and its line, a variable of the environment, `override ID`, `key VALUE`,
    /// `api`, or `default`; null: no setting does
    #[schema(required)]
    pub setting: Option<String>,
    /// Who or what blocks the message
    #[schema(max_items = 10)]
    pub blocked_by: Vec<GateBlockerView>,
    /// How many there are
    pub blocked_by_total: u64,
}

/// What blocks a message at a gate: one of these.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = GateBlocker)]
pub struct GateBlockerView {
    /// Another message
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// A value of a key
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub key: Option<String>,
    /// A node
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub node: Option<String>,
    /// A setting, by where it comes from
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub setting: Option<String>,
}

/// Whose line a message stands in.
pub type LineWord = Word<LineOf>;

impl Vocabulary for LineOf {
    const NAME: &'static str = "Line";
    const DESCRIPTION: &'static str = "Whose line a message stands in";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl ExplanationView {
    /// Of a message in this state.
    #[must_use]
    pub fn new(state: State, explanation: Explanation) -> Self {
        Self {
            state: state.into(),
            sentence: explanation.sentence,
            position: explanation.position.map(PositionView::new),
            earliest_at: explanation.earliest_ms.map(Moment),
            expected_at: explanation.expected_ms.map(Moment),
            gates: explanation.gates.into_iter().map(GateAnswerView::new).collect(),
        }
    }
}

impl PositionView {
    fn new(position: LinePosition) -> Self {
        let LinePosition { ahead, of, at_least } = position;
        Self { ahead, of: of.into(), at_least }
    }
}

impl GateAnswerView {
    fn new(answer: GateAnswer) -> Self {
        Self {
            gate: GateWord::from(&answer.gate),
            passes: answer.passes,
            opens_at: answer.opens_at_ms.map(Moment),
            detail: answer.detail,
            setting: answer.setting,
            blocked_by: answer.blocked_by.into_iter().map(GateBlockerView::new).collect(),
            blocked_by_total: answer.blocked_by_total,
        }
    }
}

impl GateBlockerView {
    fn new(blocker: GateBlocker) -> Self {
        match blocker {
            GateBlocker::Message(id) => Self { id: Some(id.to_string()), ..Self::default() },
            GateBlocker::Key(key) => Self { key: Some(key), ..Self::default() },
            GateBlocker::Setting(setting) => Self { setting: Some(setting), ..Self::default() },
        }
    }
}
