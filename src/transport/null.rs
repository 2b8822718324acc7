//! A downstream that takes everything at once: `type = "null"`, for a dry run.

use bytes::Bytes;

use super::{Call, ProtocolTransport};
use crate::domain::outcome::Answer;
use crate::domain::protocol::Protocol;

/// What comes of a call that goes nowhere.
const TAKEN: Answer = Answer::Answered {
    protocol: Protocol::Null,
    status: 200,
    retry_after_ms: None,
    content_type: None,
    encoding: None,
    body: Bytes::new(),
    pending: None,
    missing: None,
};

/// Sends nothing.
#[derive(Debug, Clone, Copy)]
pub struct NullTransport;

impl ProtocolTransport for NullTransport {
    async fn send(&self, _: &Call) -> Answer {
        TAKEN
    }

    fn immediate(&self) -> Option<Answer> {
        Some(TAKEN)
    }
}
