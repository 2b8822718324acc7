//! What was taken at the account of a shared limit goes back where its call surely did not start.
//!
//! Owns the numbers under which it goes back, which make a repeat harmless, and the repeats. A rate takes nothing back.

use std::sync::Arc;
use std::time::Duration;

use super::Messages;
use crate::domain::limit::Units;
use crate::store::StoreError;
use crate::store::queue::{Account, Queue};
use crate::store::redis::script::{Call, call, row};
use crate::store::wire::Wire;

/// How often it is tried again, a second apart, before the units stay taken. The account remembers numbers for longer.
const TRIES: u32 = 120;

impl Messages {
    /// A number of this process that nothing has had.
    pub(super) fn next_number(&self) -> String {
        format!("{}.{}", self.wire.node().as_str(), self.wire.accounts.next_number())
    }

    /// Gives back what calls had taken of shared quotas that surely do not start.
    pub(in crate::store) async fn return_shared_units(&self, queue: &Queue, units: &[Units]) {
        if !queue.limits().are_shared() {
            return;
        }
        let home = &queue.shards[0].clock_offset;
        for account in self.wire.accounts_of(queue) {
            let ahead_us = account.shard.clock_offset.ahead_us(home);
            let there = |units: &Units| Units {
                slot_us: units.slot_us.saturating_add_signed(ahead_us),
                ..*units
            };
            let taken = units.iter().filter(|units| **units != Units::NONE).map(there);
            let taken: Vec<(usize, Units)> = taken.enumerate().collect();
            self.put_back(queue, &account, &self.next_number(), &taken).await;
        }
    }

    /// The same at one account, by its time. Where Redis is away it is tried again in the background.
    pub(super) async fn put_back(
        &self,
        queue: &Queue,
        account: &Arc<Account>,
        number: &str,
        taken: &[(usize, Units)],
    ) {
        let Ok(now_ms) = self.wire.clock.require_ms() else { return };
        let limits = account.shard.limits();
        let (limit_lines, unit) = (limits.quota_lines(now_ms), limits.unit());
        let taken = taken.iter().filter(|(_, units)| units.of(unit) > 0);
        let taken: Vec<(usize, Units)> = taken.copied().collect();
        if limit_lines.is_empty() || taken.is_empty() {
            return;
        }
        let rows = taken.iter().map(|(at, units)| {
            row!(
                PutBack: number = format!("{number}.{at}"),
                slot_us = units.slot_us,
                units = units.of(unit),
            )
        });
        let node = self.wire.node().as_str();
        let name = queue.policy.name.as_str();
        let call = call!(PutBack, node = node, limit_lines = &*limit_lines, queue = name, ..rows);
        let taken: Vec<Units> = taken.into_iter().map(|(_, units)| units).collect();
        if let Err(error) = put_back_once(&self.wire, account, &call, &taken).await {
            tracing::debug!(queue = name, %error, "units of a shared quota go back later");
            let (wire, account) = (self.wire.clone(), Arc::clone(account));
            self.wire.tasks.spawn("put-back", async move {
                for _ in 0..TRIES {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if put_back_once(&wire, &account, &call, &taken).await.is_ok() {
                        return;
                    }
                }
                tracing::debug!("units of a shared quota stay taken");
            });
        }
    }
}

async fn put_back_once(
    wire: &Wire,
    account: &Account,
    call: &Call,
    taken: &[Units],
) -> Result<(), StoreError> {
    wire.call(&account.shard, call).await?;
    taken.iter().for_each(|units| account.shard.limits().gave_back(*units));
    Ok(())
}
