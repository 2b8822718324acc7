//! The inbox: streams that producers fill who speak only Redis.
//!
//! Owns their keys and the calls on them. Every entry is the producers' until its message is safe: only
//! then it leaves the stream. Refuses to know what an entry means (see `domain::inbox`) and when it is
//! looked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Settings;
use crate::domain::id::QueueName;
use crate::domain::message::Details;
use crate::store::queue::Queue;
use crate::store::redis::connect::Target;
use crate::store::redis::keys;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::arg;
use crate::store::redis::script::{call, fields, row, rows};
use crate::store::routing::Routing;
use crate::store::wire::Wire;
use crate::store::wire::script_keys::ScriptKeys;
use crate::store::{PresetId, StoreError};
use crate::telemetry::QueueLabel;

/// The group, and its one consumer: nodes come and go.
const GROUP: &str = "tidegate";
/// Entries drawn at once.
const DRAW_MAX: usize = 64;
/// An entry drawn so long ago that is still there was left behind: by a node that died, or since its
/// message could not be taken.
const LEFT_BEHIND_MS: u64 = 5000;
/// Before all ids.
const FIRST: &str = "0-0";
/// Rejected entries that are kept, about.
const REJECTED_MAX: usize = 10_000;
/// Bytes of a value that are kept of a rejected entry.
const REJECTED_VALUE_BYTES_MAX: usize = 16 * 1024;
/// Between two looks for streams of unknown queues.
const STRAY_EVERY: Duration = Duration::from_secs(60);
/// Streams glanced at in one call.
const GLANCE_MAX: usize = 500;
/// Streams glanced at at once, where each is a call.
const GLANCES_AT_ONCE: usize = 16;
/// A server with more keys is not looked through for streams of unknown queues.
const STRAY_KEYS_MAX: usize = 20_000;

/// The streams that producers fill; cheap to clone.
#[derive(Debug, Clone)]
pub struct Inbox {
    wire: Wire,
    switch: Arc<Switch>,
}

/// Whether streams are read, and who waits for a change of that.
#[derive(Debug, Default)]
struct Switch {
    is_enabled: AtomicBool,
    changed: Notify,
    /// When streams of unknown queues were last looked for, and how many there are, if that could be told.
    stray: Mutex<Option<(Instant, Option<u64>)>>,
}

/// What lies in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Entries, those that are being taken too.
    pub entries: u64,
    /// When the oldest was added, as its id says.
    pub oldest_ms: Option<u64>,
}

/// One entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// Its id, `<ms>-<number>`.
    pub id: String,
    /// Names and values, in the order in which they came.
    pub fields: Vec<(Bytes, Bytes)>,
}

/// What one call has drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// The entries.
    pub entries: Vec<InboxEntry>,
    /// Where the next call looks for entries that were left behind; `None`: there are no more.
    pub next: Option<String>,
}

impl InboxEntry {
    /// When it was added, as its id says.
    #[must_use]
    pub fn added_ms(&self) -> u64 {
        added_ms(&self.id).unwrap_or(0)
    }

    /// What its message is known as in this queue, under this idempotency key.
    #[must_use]
    pub fn given(
        &self,
        key: &str,
        (queue, routing): (&Queue, &Routing),
        details: &Details,
    ) -> PresetId {
        // A ULID has 48 bits of time.
        let at_ms = self.added_ms().min((1 << 48) - 1);
        PresetId::of_key(key, (&self.id, at_ms), (&queue.policy.name, routing), details)
    }
}

fn added_ms(id: &str) -> Option<u64> {
    id.split_once('-')?.0.parse().ok()
}

impl Inbox {
    pub(super) fn new(wire: &Wire, settings: &Settings) -> Self {
        let inbox = Self { wire: wire.clone(), switch: Arc::default() };
        inbox.set(settings);
        inbox
    }

    /// Takes over whether streams are read.
    pub fn set(&self, settings: &Settings) {
        let switch = &self.switch;
        switch.is_enabled.store(settings.inbox.enabled, Ordering::Release);
        switch.changed.notify_one();
    }

    /// Whether streams are read.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.switch.is_enabled.load(Ordering::Acquire)
    }

    /// Returns when whether streams are read was set.
    pub async fn changed(&self) {
        self.switch.changed.notified().await;
    }

    /// The stream of a queue.
    #[must_use]
    pub fn stream(&self, queue: &str) -> String {
        keys::inbox(self.wire.namespace(), queue)
    }

    /// What lies in the streams of these queues, in one look; queues whose key is no stream are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn glance(
        &self,
        queues: &[QueueName],
    ) -> Result<BTreeMap<QueueName, Backlog>, StoreError> {
        // In a cluster each stream lies on a slot of its own.
        let at_once = match self.wire.target {
            Target::Cluster(_) => 1,
            Target::Single(_) | Target::Sentinel { .. } => GLANCE_MAX,
        };
        let glances: Vec<_> = queues.chunks(at_once).map(<[QueueName]>::to_vec).collect();
        let found: Vec<_> = futures_util::stream::iter(glances)
            .map(|queues| self.glance_at(queues))
            .buffered(GLANCES_AT_ONCE)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn glance_at(
        &self,
        queues: Vec<QueueName>,
    ) -> Result<Vec<(QueueName, Backlog)>, StoreError> {
        let keys: Vec<String> = queues.iter().map(|queue| self.stream(queue.as_str())).collect();
        let mut reply = self.wire.call(ScriptKeys::of(&keys), &call!(Glance)).await?;
        let mut found = Vec::new();
        for queue in queues {
            fields!(row of reply as Glance; entries: Option<u64>, oldest: String);
            if let Some(entries) = entries {
                found.push((queue, Backlog { entries, oldest_ms: added_ms(&oldest) }));
            }
        }
        Ok(found)
    }

    /// in the stream → being taken: entries that somebody left behind, from `from` on, and those that came.
    ///
    /// # Errors
    /// [`StoreError::Full`] before anything is drawn, where the queue takes no messages now.
    pub async fn draw(&self, queue: &Queue, from: Option<&str>) -> Result<Drawn, StoreError> {
        for shard in &queue.shards {
            self.wire.check_capacity(&shard.keys.all[0])?;
        }
        let keys = [self.stream(queue.policy.name.as_str())];
        let call = call!(
            Draw,
            group = GROUP,
            most = DRAW_MAX,
            left_behind_ms = LEFT_BEHIND_MS,
            from = from.unwrap_or(FIRST),
        );
        let mut reply = self.wire.call(ScriptKeys::of(&keys), &call).await?;
        fields!(reply as Draw; next: String);
        rows!(reply as Draw);
        let mut entries = Vec::new();
        while reply.len() > 0 {
            fields!(row of reply as Draw; id: String, fields: Reply);
            let (mut values, mut fields) = (fields, Vec::new());
            while values.len() > 0 {
                fields.push((values.bytes()?, values.bytes()?));
            }
            entries.push(InboxEntry { id, fields });
        }
        Ok(Drawn { entries, next: (!next.is_empty()).then_some(next) })
    }

    /// being taken → –: the messages of these entries are safe, or they were kept as rejected.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the entries come again, which does no harm.
    pub async fn digest(&self, queue: &QueueName, ids: &[String]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let keys = [self.stream(queue.as_str())];
        let call = call!(Digest, group = GROUP, ..ids.iter().map(|id| [arg(id)]));
        self.wire.call(ScriptKeys::of(&keys), &call).await.map(drop)
    }

    /// Keeps an entry that cannot be taken, with the reason; safe when this returns.
    ///
    /// # Errors
    /// [`StoreError`]: it is not kept, or nobody knows.
    pub async fn reject(
        &self,
        queue: &QueueName,
        entry: &InboxEntry,
        why: &str,
    ) -> Result<(), StoreError> {
        let keys = [keys::inbox_rejected(self.wire.namespace())];
        self.wire.check_capacity(&keys[0])?;
        let about = [("queue", queue.as_str()), ("entry", &*entry.id), ("reason", why)];
        let about = about.map(|(name, value)| row!(Reject: name = name, value = value));
        let fields = entry.fields.iter().map(|(name, value)| {
            let kept = &value[..value.len().min(REJECTED_VALUE_BYTES_MAX)];
            row!(Reject: name = name.to_vec(), value = kept.to_vec())
        });
        let call = call!(Reject, kept_max = REJECTED_MAX, ..about.into_iter().chain(fields));
        self.wire.call_durably(ScriptKeys::of(&keys), &call).await?;
        let label = QueueLabel { queue: queue.to_string() };
        self.wire.metrics().intake.inbox_rejected.get_or_create(&label).inc();
        Ok(())
    }

    /// How many rejected entries are kept.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn rejected(&self) -> Result<u64, StoreError> {
        let keys = [keys::inbox_rejected(self.wire.namespace())];
        let mut reply = self.wire.call(ScriptKeys::of(&keys), &call!(Glance)).await?;
        fields!(row of reply as Glance; entries: u64, oldest: Bytes);
        drop(oldest);
        Ok(entries)
    }

    /// How many streams have no queue, as it was when last looked, which is now and then; `None`: it could not be told.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn stray_streams(&self) -> Result<Option<u64>, StoreError> {
        {
            let mut stray = self.switch.stray.lock();
            let known = match *stray {
                Some((at, known)) if at.elapsed() < STRAY_EVERY => return Ok(known),
                Some((_, known)) => known,
                None => None,
            };
            // Whoever comes meanwhile gets what is known.
            *stray = Some((Instant::now(), known));
        }
        let stray = self.look_for_strays().await?;
        for stream in stray.iter().flatten() {
            tracing::warn!(
                stream,
                "entries wait in a stream whose queue is not configured; add the queue, or mend the producer"
            );
        }
        let found = stray.map(|stray| stray.len() as u64);
        *self.switch.stray.lock() = Some((Instant::now(), found));
        Ok(found)
    }

    /// Streams whose queue is not configured; `None`: there are too many keys to look for them.
    async fn look_for_strays(&self) -> Result<Option<Vec<String>>, StoreError> {
        let known: Vec<String> = self
            .wire
            .queues()
            .iter()
            .filter(|queue| !queue.retired)
            .map(|queue| self.stream(queue.policy.name.as_str()))
            .chain([keys::inbox_rejected(self.wire.namespace())])
            .collect();
        let pattern = self.stream("*");
        let command = call!(Stray, pattern = pattern, keys_max = STRAY_KEYS_MAX).by_text(&[]);
        let replies = self.wire.probes.everywhere(&command).await;
        let mut stray = Vec::new();
        for (_, reply) in replies.map_err(|error| StoreError::from_redis(&error))? {
            let mut reply = Reply::new(reply)?;
            fields!(reply as Stray; is_complete: bool);
            if !is_complete {
                return Ok(None);
            }
            rows!(reply as Stray);
            stray.extend(reply.texts());
        }
        stray.retain(|key| !known.contains(key));
        stray.sort();
        Ok(Some(stray))
    }
}
