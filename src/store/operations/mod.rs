//! Operations as they are kept: started, taken up by one node at a time, saved, stopped, read.
//!
//! An operation lies in Redis as two values: what was asked for, and how far it has come. One run
//! carries it out, known by a token and a lease; whoever has lost the lease can write no more. Refuses
//! to know when and how fast messages are taken (see `workers`).

mod packed;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;
use ulid::Ulid;

use crate::domain::id::base32;
use crate::domain::operation::{Operation, Stage};
use crate::store::StoreError;
use crate::store::redis::keys;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::arg;
use crate::store::redis::script::{Call, call, fields};
use crate::store::wire::Wire;
use crate::store::wire::script_keys::ScriptKeys;

/// Operations that run at a time; each node can carry out all of them.
pub const OPERATIONS_RUNNING_MAX: usize = 16;
/// What is said of one that cannot be read.
const STRUCTURE: &str = "~operations";
/// Operations that are kept after their end.
const ENDED_MAX: usize = 200;
/// In place of a shard: all of them were walked through.
const WALKED: u16 = u16::MAX;
/// How long a run may be silent before another node goes on.
const OPERATION_LEASE_MS: u64 = 10_000;

/// How far an operation has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// How it stands.
    pub stage: Stage,
    /// How many messages stood in the state when it began.
    pub expected: u64,
    /// Messages that it has looked at.
    pub seen: u64,
    /// Of those, the ones that the filter lets through.
    pub matched: u64,
    /// Of those, the ones that it has dealt with.
    pub done: u64,
    /// Those that had moved on before their turn came, or whose own rules forbid it.
    pub skipped: u64,
    /// The shard that it walks through.
    pub shard: u16,
    /// Where the next page begins.
    pub cursor: String,
    /// Messages that are next, written down before anything is done to them: whoever goes on after
    /// a lost node knows which ones that node may have dealt with.
    pub hand: Vec<Ulid>,
    /// When the next message may be taken, microseconds by Redis.
    pub next_us: u64,
    /// Some of the messages that matched.
    pub sample: Vec<Ulid>,
    /// When it ended, ms by Redis.
    pub ended_ms: Option<u64>,
    /// What holds it up, or why it failed.
    pub trouble: Option<String>,
    /// Who stopped it.
    pub stopped_by: Option<String>,
}

impl Progress {
    /// Whether every page has been looked at.
    #[must_use]
    pub fn is_walked(&self) -> bool {
        self.shard == WALKED
    }

    /// Where the next page begins; `None`: this was the last.
    pub fn go_on(&mut self, next: Option<(u16, String)>) {
        (self.shard, self.cursor) = next.unwrap_or((WALKED, String::new()));
    }

    /// How many are still to be looked at, roughly: others take and bring messages meanwhile.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        if self.stage != Stage::Running {
            return 0;
        }
        let in_hand = u64::try_from(self.hand.len()).unwrap_or(0);
        self.expected.saturating_sub(self.seen) + in_hand
    }
}

/// An operation as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOperation {
    /// What was asked for.
    pub operation: Operation,
    /// How far it has come.
    pub progress: Progress,
    /// The node that carries it out.
    pub node: Option<String>,
    /// Who asked to stop it.
    pub stopping: Option<String>,
}

/// An operation that this node carries out.
#[derive(Debug, Clone)]
pub struct TakenOperation {
    /// What was asked for.
    pub operation: Operation,
    /// How far it has come.
    pub progress: Progress,
    /// Who asked to stop it.
    pub stopping: Option<String>,
    token: String,
}

/// What a save came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// Written; go on.
    Kept,
    /// Written; somebody asked to stop.
    StopAsked(String),
    /// Another run has taken over: nothing was written.
    Lost,
}

/// How a save leaves the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// This run goes on.
    Going,
    /// Somebody else may go on.
    Free,
    /// It has ended.
    Ended,
}

/// Operations as Redis keeps them; cheap to clone.
#[derive(Debug, Clone)]
pub struct Operations {
    wire: Wire,
    /// Rung when this node has written an operation down.
    started: Arc<Notify>,
}

impl Operations {
    pub(super) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone(), started: Arc::default() }
    }

    /// The moment from which on nothing is taken any more by an operation that begins now, ms.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begins(&self) -> Result<u64, StoreError> {
        Ok(self.wire.read_time().await? / 1000)
    }

    /// Writes an operation on so many messages down, at the durability level; `false`: too many run.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn start(&self, operation: &Operation, expected: u64) -> Result<bool, StoreError> {
        let progress = Progress { expected, ..Progress::default() };
        let call = call!(
            OperationStart,
            id = &operation.id,
            definition = packed::write_operation(operation),
            progress = packed::write_progress(&progress),
            running_max = OPERATIONS_RUNNING_MAX,
        );
        let keys = keys::operations(self.wire.namespace());
        let mut reply = self.wire.call_durably(ScriptKeys::of(&keys), &call).await?;
        fields!(reply as OperationStart; are_too_many: bool);
        if !are_too_many {
            self.started.notify_one();
        }
        Ok(!are_too_many)
    }

    /// Waits until this node has written an operation down.
    pub async fn started(&self) {
        self.started.notified().await;
    }

    /// Takes up an operation that nobody carries out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Reply`].
    pub async fn take(&self) -> Result<Option<TakenOperation>, StoreError> {
        // Nobody asks for operations most of the time: a glance is cheaper than a script.
        let running = keys::operations(self.wire.namespace()).swap_remove(4);
        if self.wire.plain(redis::cmd("ZCARD").arg(running)).await? == redis::Value::Int(0) {
            return Ok(None);
        }
        let token = format!("{}-{}", self.wire.node().as_str(), base32(rand::random(), 8));
        let unreadable = self.wire.foreign.of(STRUCTURE);
        let rows = unreadable.iter().map(|id| [arg(id)]);
        let call = call!(OperationTake, token = &token, lease_ms = OPERATION_LEASE_MS, ..rows);
        let mut reply = self.call(&call).await?;
        if reply.len() == 0 {
            return Ok(None);
        }
        fields!(
            reply as OperationTake;
            id: String, definition: Bytes, progress: Bytes, stopped_by: String
        );
        let read = packed::read_operation(&id, &definition)
            .and_then(|operation| Ok((operation, packed::read_progress(&id, &progress)?)));
        let (operation, progress) = match read {
            Ok(read) => read,
            Err(error) => {
                // Left to a node that can.
                self.wire.note_foreign(STRUCTURE, &id, &error);
                return Ok(None);
            }
        };
        let stopping = some_text(stopped_by);
        Ok(Some(TakenOperation { operation, progress, stopping, token }))
    }

    /// Writes down how far an operation has come.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn save(&self, taken: &TakenOperation, keep: Keep) -> Result<Saved, StoreError> {
        let lease_ms = if keep == Keep::Going { OPERATION_LEASE_MS } else { 0 };
        let call = call!(
            OperationSave,
            id = &taken.operation.id,
            token = &taken.token,
            lease_ms = lease_ms,
            progress = packed::write_progress(&taken.progress),
            is_ended = keep == Keep::Ended,
            kept_max = ENDED_MAX,
        );
        let mut reply = self.call(&call).await?;
        fields!(reply as OperationSave; is_lost: bool, stopped_by: String);
        if is_lost {
            return Ok(Saved::Lost);
        }
        Ok(some_text(stopped_by).map_or(Saved::Kept, Saved::StopAsked))
    }

    /// Asks an operation to stop; `false`: it does not run.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn stop(&self, id: &str, by: &str) -> Result<bool, StoreError> {
        let mut reply = self.call(&call!(OperationStop, id = id, by = by)).await?;
        fields!(reply as OperationStop; is_over: bool);
        Ok(!is_over)
    }

    /// The operations that are kept, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Reply`].
    pub async fn list(&self) -> Result<Vec<KeptOperation>, StoreError> {
        let keys = keys::operations(self.wire.namespace());
        let value = self.wire.plain(redis::cmd("HKEYS").arg(&keys[0])).await?;
        let mut ids = Reply::new(value)?.texts();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        self.read(&ids).await
    }

    /// An operation; `None`: there is none of that id (any more).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Reply`].
    pub async fn get(&self, id: &str) -> Result<Option<KeptOperation>, StoreError> {
        Ok(self.read(&[id.to_owned()]).await?.pop())
    }

    async fn read(&self, ids: &[String]) -> Result<Vec<KeptOperation>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys = keys::operations(self.wire.namespace());
        let [definitions, progress, leases, stops] =
            [&keys[0], &keys[1], &keys[2], &keys[3]].map(|key| self.fields(key, ids));
        let (definitions, progress, leases, stops) =
            tokio::try_join!(definitions, progress, leases, stops)?;
        let mut kept = Vec::with_capacity(ids.len());
        for (at, id) in ids.iter().enumerate() {
            let (Some(definition), Some(progress)) = (&definitions[at], &progress[at]) else {
                continue;
            };
            let read = packed::read_operation(id, definition.as_bytes())
                .and_then(|it| Ok((it, packed::read_progress(id, progress.as_bytes())?)));
            // Kept, for a version that knows it; it must not hide the others.
            let Ok((operation, progress)) = read.inspect_err(|error| tracing::debug!(%error))
            else {
                continue;
            };
            let lease = leases[at].as_ref().and_then(|lease| lease.split_once(' '));
            let node = lease.and_then(|(_, token)| token.split_once('-')).map(|(node, _)| node);
            kept.push(KeptOperation {
                operation,
                progress,
                node: node.map(str::to_owned),
                stopping: stops[at].clone(),
            });
        }
        Ok(kept)
    }

    async fn fields(&self, key: &str, ids: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        let value = self.wire.plain(redis::cmd("HMGET").arg(key).arg(ids)).await?;
        let fields: Vec<Option<Vec<u8>>> =
            redis::from_redis_value(value).map_err(|error| StoreError::Reply(error.to_string()))?;
        let text = |raw: Vec<u8>| String::from_utf8_lossy(&raw).into_owned();
        Ok(fields.into_iter().map(|field| field.map(text)).collect())
    }

    async fn call(&self, call: &Call) -> Result<Reply, StoreError> {
        let keys = keys::operations(self.wire.namespace());
        self.wire.call(ScriptKeys::of(&keys), call).await
    }
}

fn some_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
