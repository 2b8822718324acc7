//! What went through a queue by minute, kept for a day.
//!
//! A text of fixed size for each day: four numbers of four bytes a minute, to which Redis adds (`BITFIELD`), 23 KiB in all. It
//! is made when something happens, and goes by itself at the end of the next day, so that at most two of them are
//! there. Several nodes add to the same numbers. Refuses to know what is counted.

use super::Queues;
use crate::domain::id::QueueName;
use crate::domain::minutes::{MINUTE_MS, MINUTES_MAX, MinuteCounts};
use crate::store::StoreError;
use crate::store::redis::keys;
use crate::store::redis::reply::Reply;

/// Minutes of a day.
const DAY_MINUTES: u64 = 1440;
/// Numbers of a minute.
const NUMBERS: u64 = 4;
/// Bytes and bits of a number.
const NUMBER_BYTES: usize = 4;
const NUMBER_BITS: u64 = 32;
/// Bytes of the numbers of a day. One more stands behind them: writing it first makes the text as long as it will be, where
/// growing bit by bit would take twice the room.
const DAY_BYTES: u64 = DAY_MINUTES * NUMBERS * NUMBER_BYTES as u64;
const DAY_S: u64 = 86_400;

impl Queues {
    /// Adds to what went through a queue in the minute of this moment. What is not added because of an error is lost: a chart
    /// is no ledger.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn add_minute(
        &self,
        queue: &QueueName,
        at_ms: u64,
        counts: MinuteCounts,
    ) -> Result<(), StoreError> {
        let minute = at_ms / MINUTE_MS;
        let day = minute / DAY_MINUTES;
        let key = keys::minutes(self.wire.namespace(), queue, day);
        let whole = redis::cmd("SETRANGE").arg(&key).arg(DAY_BYTES).arg("\0").to_owned();
        self.wire.plain_at(&whole, &key).await?;
        let first = minute % DAY_MINUTES * NUMBERS;
        let mut command = redis::cmd("BITFIELD");
        command.arg(&key).arg("OVERFLOW").arg("SAT");
        for (number, count) in (first..).zip(counts.each()) {
            if count > 0 {
                command.arg("INCRBY").arg("u32").arg(number * NUMBER_BITS).arg(count);
            }
        }
        self.wire.plain_at(&command, &key).await?;
        let expire = redis::cmd("EXPIREAT").arg(&key).arg((day + 2) * DAY_S).to_owned();
        self.wire.plain_at(&expire, &key).await.map(drop)
    }

    /// What went through a queue in the minutes up to that of this moment, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn minutes(
        &self,
        queue: &QueueName,
        now_ms: u64,
    ) -> Result<Vec<MinuteCounts>, StoreError> {
        let minute = now_ms / MINUTE_MS;
        let (day, of_day) = (minute / DAY_MINUTES, minute % DAY_MINUTES);
        let mut all = self.day(queue, day.saturating_sub(1)).await?;
        all.extend(self.day(queue, day).await?);
        let end = usize::try_from(DAY_MINUTES + of_day).unwrap_or_default() + 1;
        all.truncate(end);
        let from = end.saturating_sub(MINUTES_MAX as usize);
        Ok(all.split_off(from.min(all.len())))
    }

    /// The minutes of one day.
    async fn day(&self, queue: &QueueName, day: u64) -> Result<Vec<MinuteCounts>, StoreError> {
        let key = keys::minutes(self.wire.namespace(), queue, day);
        let value =
            self.wire.plain_at(redis::cmd("GETRANGE").arg(&key).arg(0).arg(-1), &key).await?;
        let bytes = Reply::new(redis::Value::Array(vec![value]))?.bytes()?;
        let mut numbers = bytes.chunks_exact(NUMBER_BYTES).map(number);
        let mut next = || numbers.next().unwrap_or_default();
        Ok((0..DAY_MINUTES).map(|_| [next(), next(), next(), next()].into()).collect())
    }
}

/// A number as `BITFIELD` writes it.
fn number(bytes: &[u8]) -> u32 {
    let mut whole = [0; NUMBER_BYTES];
    whole[..bytes.len()].copy_from_slice(bytes);
    u32::from_be_bytes(whole)
}
