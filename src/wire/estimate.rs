//! When a message leaves, as it is shown where somebody asked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;
use super::message::MessageView;

/// When a message leaves, by what was known when it was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Estimate)]
pub struct EstimateView {
    /// When it could leave if nothing stood ahead of it; null: nobody can know
    #[schema(required)]
    pub earliest_at: Option<Moment>,
    /// When it leaves by what stands ahead of it, if nothing more arrives; null: nobody can know
    #[schema(required)]
    pub expected_at: Option<Moment>,
}

impl MessageView<'_> {
    /// Says when it leaves.
    #[must_use]
    pub fn estimated(self, estimate: Option<EstimateView>) -> Self {
        let earliest_at = estimate.map(|it| it.earliest_at);
        let expected_at = estimate.map(|it| it.expected_at);
        Self { earliest_at, expected_at, ..self }
    }
}
