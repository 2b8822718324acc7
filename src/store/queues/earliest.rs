//! When a message that is not stored yet could leave.

use super::Queues;
use crate::domain::gates::gates;
use crate::domain::message::Details;
use crate::domain::policy::QueuePolicy;
use crate::domain::time::rfc3339;
use crate::store::StoreError;

impl Queues {
    /// Why a message cannot leave by the moment that it names, as a sentence; `None`: it can, or it names none. `due_ms`: its due time.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn why_missed(
        &self,
        policy: &QueuePolicy,
        details: &Details,
        due_ms: u64,
    ) -> Result<Option<String>, StoreError> {
        let Some(by_ms) = details.must_dispatch_ms else { return Ok(None) };
        let counts = self.counts(&policy.name).await?;
        let now_ms = self.wire.clock.require_ms()?;
        let gates = gates(policy, &counts.snapshot(policy), Some(now_ms));
        // Where nobody can know, nothing is refused.
        let earliest_ms = gates.earliest_ms(policy, details, None, due_ms);
        let missed = earliest_ms.filter(|at_ms| *at_ms > by_ms);
        Ok(missed.map(|at_ms| {
            format!(
                "the message can leave the queue \"{}\" at {} at the earliest, which is later than {}",
                policy.name,
                rfc3339(at_ms),
                rfc3339(by_ms)
            )
        }))
    }
}
