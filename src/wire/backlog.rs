//! What of the backlog of a queue is used.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What of a backlog is used, and what it may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueBacklog)]
pub struct BacklogView {
    /// Messages that are scheduled, ready or leased
    pub messages: u64,
    /// Most of them; null: any number
    #[schema(required)]
    pub max_messages: Option<u64>,
    /// Bytes of their records; null: they are not limited, and not counted
    #[schema(required)]
    pub bytes: Option<u64>,
    /// Most of them; null: any size
    #[schema(required)]
    pub max_bytes: Option<u64>,
    /// The key each of whose values is limited by itself, such as `labels.tenant`; null: none is
    #[schema(required)]
    pub per: Option<String>,
    /// Most messages of one value of the key
    #[schema(required)]
    pub max_messages_per_key: Option<u64>,
}
