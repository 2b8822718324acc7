//! Order by a key.

use serde::{Deserialize, Serialize};

use super::key::MessageKey;

/// Of each value of a key at most one message is on its way at a time; messages without the key are in no order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordering {
    /// The key.
    pub by: MessageKey,
    /// How far a message has to be before the next one of its key starts.
    #[serde(default)]
    pub until: Until,
    /// How long a message that is uncertain, or fails from its first attempt on, holds up those behind it; `None`: until it
    /// is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall_ms: Option<u64>,
}

/// How far a message has to be before the next one of its key starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// The downstream has accepted it, or it is final.
    #[default]
    Accepted,
    /// It is final.
    Final,
}

impl Until {
    /// Both, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Accepted, Self::Final];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Final => "final",
        }
    }
}

impl Ordering {
    /// What a key alone stands for.
    #[must_use]
    pub const fn by(key: MessageKey) -> Self {
        Self { by: key, until: Until::Accepted, stall_ms: None }
    }
}
