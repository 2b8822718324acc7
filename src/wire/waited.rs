//! How long a message waited, and for what, as it is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::waited::Waited;

/// Milliseconds by what they were waited for, without those of 0.
///
/// The names are due, retry, window, hours, pause, throttled, order, limit:NAME, turn and sending. They add up to the time from when it was
/// handed over until it was final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Waited)]
#[serde(transparent)]
pub struct WaitedView(pub BTreeMap<String, u64>);

impl From<&Waited> for WaitedView {
    fn from(waited: &Waited) -> Self {
        Self(waited.0.iter().map(|(what, ms)| (what.to_string(), *ms)).collect())
    }
}
