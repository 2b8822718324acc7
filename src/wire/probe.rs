//! What the downstream was asked about an uncertain message, as it is shown.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;
use crate::domain::message::Probes;

/// What the downstream was asked about an uncertain message, and when it will be asked again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Probe)]
pub struct ProbeView<'a> {
    /// How often it was asked
    pub attempts: u32,
    /// When it was asked last
    #[schema(required)]
    pub last_at: Option<Moment>,
    /// What it answered
    #[schema(required)]
    pub status_code: Option<u16>,
    /// Why that told nothing
    #[schema(required)]
    pub error: Option<Cow<'a, str>>,
    /// When it is asked again; null: somebody has to decide
    #[schema(required)]
    pub next_at: Option<Moment>,
}

impl<'a> ProbeView<'a> {
    pub(super) fn new(probes: &'a Probes) -> Self {
        Self {
            attempts: probes.count,
            last_at: (probes.last_at_ms > 0).then_some(Moment(probes.last_at_ms)),
            status_code: probes.status_code,
            error: probes.error.as_deref().map(Cow::Borrowed),
            next_at: probes.next_at_ms.map(Moment),
        }
    }
}
