//! Pull: workers in any language claim messages and settle them over HTTP.
//!
//! Owns the JSON of what a worker asks and says. What follows from it, see `engine::pull`.

pub(in crate::api) mod claim;
pub(in crate::api) mod settle;

pub(super) use claim::{__path_claim, claim};
pub(super) use settle::{__path_settle, settle};

use std::sync::Arc;

use super::paths::InQueue;
use super::problem::Problem;
use crate::store::Queue;
use crate::wire::problem::ProblemState;

/// The longest lease that a worker may ask for, in milliseconds.
const LEASE_MS_MAX: u64 = 12 * 3_600_000;
/// The shortest one: what a worker and the network need to answer at all.
const LEASE_MS_MIN: u64 = 1000;

/// The queue, if workers may claim from it.
fn pulled(queue: InQueue) -> Result<Arc<Queue>, Problem> {
    let queue = queue.taking()?;
    if queue.policy.downstream.capabilities().is_pulled {
        return Ok(queue);
    }
    Err(Problem::wrong_state(
        ProblemState::PUSHED,
        format!(
            "the queue \"{}\" sends by itself; to let workers claim from it, set queues.{0}.downstream.type = \"pull\"",
            queue.policy.name
        ),
    ))
}
