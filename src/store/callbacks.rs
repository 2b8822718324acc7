//! The queue of a queue's callbacks: what holds for it, and how its messages read.
//!
//! A callback is written by the script that makes a message final, in the same step, as a *snapshot* of
//! that message (`lua/include/callback.lua`): its record without the body, and its last state entry.
//! Here it becomes the event that is sent. Refuses to know when, and to whom.
//!
//! ```text
//! version u8 | ulid c26 | record length u32 | record | state entry
//! ```

use bytes::{Buf, Bytes};
use ulid::Ulid;

use crate::domain::callback::CallbackPolicy;
use crate::domain::callback_host::CallbackHosts;
use crate::domain::id::{MessageId, QueueName, ULID_BYTES};
use crate::domain::lease;
use crate::domain::limit::LimitRule;
use crate::domain::message::{Details, Message};
use crate::domain::policy::{Downstream, QueuePolicy};
use crate::domain::trace_context;
use crate::store::record::{Record, StateEntry, to_message};
use crate::store::redis::error::StoreError;
use crate::wire::callback_event;

pub(super) const SNAPSHOT_VERSION: u8 = 1;
/// Callbacks under way or waiting for their host, over all nodes: each host takes its share of them.
const CONCURRENCY: u32 = 256;
/// The same for each shard: what hangs in one must leave room for others there.
const CONCURRENCY_OF_SHARD: u32 = 64;

/// What holds for the callbacks of a queue; `None`: nobody can have asked for any. Those that were
/// asked for (`is_known`) while the configuration still said where they go are not forgotten.
pub(super) fn policy(queue: &QueuePolicy, is_known: bool) -> Option<QueuePolicy> {
    let nobody = || is_known.then(|| CallbackPolicy::on_hosts(CallbackHosts::default()));
    let callback = queue.callback.clone().or_else(nobody)?;
    Some(QueuePolicy {
        limits: callback.rate.map(|rate| LimitRule::own_rate(rate, 1)).into_iter().collect(),
        // Its exchanges are short: what a lost node was telling is told by another soon.
        lease_ms: lease::shortest_ms(callback.timeout_ms),
        concurrency: callback
            .concurrency
            .unwrap_or_else(|| CONCURRENCY.max(CONCURRENCY_OF_SHARD * u32::from(queue.shards))),
        retention: queue.retention,
        retry: callback.retry.clone(),
        downstream: Downstream::Callbacks(callback),
        ..QueuePolicy::retired(queue.name.callbacks(), queue.shards)
    })
}

/// What the message `ulid` of `queue` says: a callback the event in place of its snapshot, any other what
/// it was given.
///
/// # Errors
/// When a snapshot cannot be read.
pub(super) fn told(
    queue: &QueueName,
    ulid: Ulid,
    details: Details,
    payload: Option<Bytes>,
) -> Result<(Details, Option<Bytes>), StoreError> {
    let Some(subject) = queue.callbacks_of() else { return Ok((details, payload)) };
    let Some(snapshot) = payload else { return Ok((details, None)) };
    let message = read_snapshot(&subject, snapshot)?;
    let id = MessageId { queue: queue.clone(), ulid };
    let event = callback_event::of_final(&id, &message).into();
    let callback = message.details.callback;
    // It belongs to the trace of the message that it is about.
    let headers = trace_context::among(&message.details.headers);
    Ok((Details { callback, headers, ..details }, Some(event)))
}

/// The message as it was when it became final.
fn read_snapshot(queue: &QueueName, mut raw: Bytes) -> Result<Message, StoreError> {
    let bad = |what: &str| StoreError::Reply(format!("a callback's snapshot {what}"));
    if raw.len() < 1 + ULID_BYTES + 4 {
        return Err(bad("is too short"));
    }
    let version = raw.get_u8();
    if version != SNAPSHOT_VERSION {
        return Err(bad(&format!("has version {version}, which is not known here")));
    }
    let ulid = raw.split_to(ULID_BYTES);
    let ulid = std::str::from_utf8(&ulid).ok().and_then(|ulid| Ulid::from_string(ulid).ok());
    let ulid = ulid.ok_or_else(|| bad("names no message"))?;
    let length = usize::try_from(raw.get_u32()).unwrap_or(usize::MAX);
    if raw.len() < length {
        return Err(bad("is cut"));
    }
    let record = raw.split_to(length);
    // One that nobody can read is told of as far as it can be.
    let record = Record::unpack(record).unwrap_or_else(|_| Record::unreadable());
    let entry = StateEntry::unpack(raw)?;
    Ok(to_message(queue, ulid, record, Some(entry), false, &[]))
}
