//! How bytes leave.
//!
//! Owns the wire to a downstream: connections, deadlines, signatures, reading the answer. Knows
//! nothing of queues, windows, limits, retries or Redis.

use bytes::Bytes;
use tokio::time::Instant;

/// One call at a downstream: a single message, or a batch, ready to leave.
#[derive(Debug, Clone)]
pub struct Call {
    /// `webhook-id` and `Idempotency-Key`: the message's id, or the batch's.
    pub id: String,
    /// `Content-Type`.
    pub content_type: String,
    /// Further headers, in the order in which they are laid over each other.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The wall clock for `webhook-timestamp` and `Retry-After` dates, in milliseconds.
    pub now_ms: u64,
    /// The whole exchange ends here.
    pub deadline: Instant,
    /// How much of the answer is read and kept.
    pub response_bytes_max: usize,
}
