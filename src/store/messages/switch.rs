//! Switch: messages move over to another structure, in bounded steps.

use std::time::Duration;

use tokio::time::Instant;

use super::Messages;
use crate::store::StoreError;
use crate::store::queue::Shard;
use crate::store::redis::script::{call, fields};

/// Most messages in a step: some milliseconds of Redis.
const MOVED_MAX: usize = 100;
/// For how long one claim goes on with it, before its caller may look at something else.
const PATIENCE: Duration = Duration::from_millis(500);

impl Messages {
    /// Goes on with a switch that is under way, for a while. Whether all messages stand by the structure in force.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; the next call goes on.
    pub(in crate::store) async fn move_over(&self, shard: &Shard) -> Result<bool, StoreError> {
        self.wire.agree(shard).await?;
        let began = Instant::now();
        while shard.structure().is_switching() {
            let call = call!(Switch, most = MOVED_MAX);
            let mut reply = self.wire.call(shard, &call).await?;
            fields!(reply as Switch; is_switching: bool);
            if !is_switching {
                shard.structure().switched();
                shard.wake_ready();
            } else if began.elapsed() > PATIENCE {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
