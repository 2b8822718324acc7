//! Topics: an event is kept first, then handed to each of its queues, then forgotten.
//!
//! Owns which topics are known and the calls on what they keep. The event is the promise: once it is
//! kept at the durability level, any node completes it. Ids of messages follow from the event, so
//! completing twice does no harm. Refuses to know when events that were left behind are looked for.

mod event;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use ulid::Ulid;

use crate::config::Settings;
use crate::domain::id::{QueueName, new_ulid};
use crate::domain::message::NewMessage;
use crate::domain::spread::lengthened;
use crate::domain::topic::{EventId, TopicName, TopicPolicy};
use crate::store::StoreError;
use crate::store::redis::keys::{self, TopicKeys};
use crate::store::redis::reply::Reply;
use crate::store::redis::script::arg;
use crate::store::redis::script::{call, fields, row, rows};
use crate::store::wire::Wire;
use crate::store::wire::script_keys::ScriptKeys;
use crate::telemetry::TopicLabel;
pub use event::TopicEvent;

/// Events that a topic may keep: beyond, its queues have been in trouble for long.
const EVENTS_MAX: usize = 100_000;
/// How long a repeated idempotency key is recognised, at least.
const IDEMPOTENCY_WINDOW_MS: u64 = 24 * 3600 * 1000;
/// For how long whoever published or took an event completes it alone.
const ALONE_MS: u64 = 3000;
/// For how long what a queue could not take is put off.
const PUT_OFF: Duration = Duration::from_secs(2);
/// Bytes of events taken at once, at least one.
const TAKE_BYTES_MAX: usize = 1 << 20;
/// Put off for longer than anything is: by a clock that has stepped back since.
const FAR_MS: u64 = 60_000;

/// A topic that is configured, or was.
#[derive(Debug)]
pub struct Topic {
    /// Its name and its queues; without queues where it is only remembered.
    pub policy: Arc<TopicPolicy>,
    /// Gone from the configuration: it takes no events, and those that are kept are completed.
    pub retired: bool,
    keys: TopicKeys,
}

impl<'a> From<&'a Topic> for ScriptKeys<'a> {
    fn from(topic: &'a Topic) -> Self {
        Self::of(&topic.keys.all)
    }
}

/// What became of a publication.
#[derive(Debug)]
pub enum Published {
    /// Kept, at the durability level: it is to be handed out.
    Kept(Box<TopicEvent>),
    /// It had been published before under the same idempotency key.
    Before(EventId, Vec<QueueName>),
    /// The idempotency key belongs to a different event.
    Mismatch(EventId),
}

/// What a topic keeps, since some queue lacks it still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    /// How many events.
    pub events: u64,
    /// For how long the oldest of them has been kept.
    pub oldest_age_ms: Option<u64>,
    /// Which queues lack the oldest, as far as it was tried.
    pub waits_for: Vec<String>,
}

/// Topics by name.
type KnownTopics = BTreeMap<TopicName, Arc<Topic>>;

/// The topics that this node knows, and what Redis keeps of them; cheap to clone.
#[derive(Debug, Clone)]
pub struct Topics {
    wire: Wire,
    known: Arc<ArcSwap<KnownTopics>>,
}

impl Topics {
    pub(super) fn new(wire: &Wire, settings: &Settings) -> Self {
        let topics = Self { wire: wire.clone(), known: Arc::default() };
        topics.set(settings);
        topics
    }

    /// Takes the topics of a configuration; those that were known and are gone become retired.
    pub fn set(&self, settings: &Settings) {
        let known = self.known.load();
        let mut topics: KnownTopics = settings
            .topics
            .iter()
            .map(|(name, policy)| (name.clone(), self.new_topic(policy, false)))
            .collect();
        for (name, topic) in known.iter() {
            let retired = || self.new_topic(&topic.policy, true);
            topics.entry(name.clone()).or_insert_with(retired);
        }
        self.known.store(Arc::new(topics));
    }

    fn new_topic(&self, policy: &Arc<TopicPolicy>, retired: bool) -> Arc<Topic> {
        let keys = TopicKeys::new(self.wire.namespace(), &policy.name);
        Arc::new(Topic { policy: Arc::clone(policy), retired, keys })
    }

    /// Writes down which topics there are, and learns of those that were: what they keep is completed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn register(&self, settings: &Settings) -> Result<(), StoreError> {
        let key = keys::topics(self.wire.namespace());
        let value = self.wire.plain(redis::cmd("HGETALL").arg(&key)).await?;
        let known: HashMap<String, String> = Reply::new(value)?.pairs().into_iter().collect();
        for (name, policy) in &settings.topics {
            let queues = event::joined(&policy.queues);
            if known.get(name.as_str()) != Some(&queues) {
                let pair = [name.as_str().as_bytes(), queues.as_bytes()];
                self.wire.keep("HSET", key.clone(), &pair).await?;
            }
        }
        let mut topics = KnownTopics::clone(&self.known.load());
        for (name, queues) in known {
            let Ok(name) = name.parse::<TopicName>() else { continue };
            topics.entry(name.clone()).or_insert_with(|| {
                let queues = event::split(&queues);
                self.new_topic(&Arc::new(TopicPolicy { name, queues }), true)
            });
        }
        self.known.store(Arc::new(topics));
        Ok(())
    }

    /// Writes down every topic that this node knows, where the namespace has forgotten them.
    pub(in crate::store) async fn register_again(&self) -> Result<(), StoreError> {
        let key = keys::topics(self.wire.namespace());
        for topic in self.all() {
            let queues = event::joined(&topic.policy.queues);
            let pair = [topic.policy.name.as_str().as_bytes(), queues.as_bytes()];
            self.wire.keep("HSET", key.clone(), &pair).await?;
        }
        Ok(())
    }

    /// Every topic, by name; retired ones too.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Topic>> {
        self.known.load().values().cloned().collect()
    }

    /// A topic by name.
    #[must_use]
    pub fn get(&self, name: &TopicName) -> Option<Arc<Topic>> {
        self.known.load().get(name).cloned()
    }

    /// – → kept. The queues are those of this moment: whoever subscribes later gets later events.
    ///
    /// # Errors
    /// [`StoreError::Full`] also where the topic keeps too many events already.
    pub async fn publish(
        &self,
        topic: &Topic,
        message: NewMessage,
    ) -> Result<Published, StoreError> {
        self.wire.check_capacity(&topic.keys.all[0])?;
        let name = &topic.policy.name;
        let ulid = new_ulid(self.wire.time_ms().await?, 0, 1, rand::random());
        let id = EventId { topic: name.clone(), ulid };
        let mut event = TopicEvent::new(id, topic.policy.queues.clone(), message);
        let call = call!(
            Publish,
            window_ms = IDEMPOTENCY_WINDOW_MS,
            kept_max = EVENTS_MAX,
            alone_ms = ALONE_MS,
            ulid = arg(ulid),
            key = event.message.details.idempotency_key.as_deref().unwrap_or_default(),
            fingerprint = event.message.fingerprint.to_vec(),
            queues = event::joined(&event.queues),
            event = event.pack()?,
        );
        let mut reply = self.wire.call_durably(topic, &call).await?;
        fields!(reply as Publish; code: u64, ulid: String, queues: String, taken_ms: u64);
        let first = Ulid::from_string(&ulid).map_err(|e| StoreError::Reply(e.to_string()))?;
        let first = EventId { topic: name.clone(), ulid: first };
        match code {
            0 => {
                let label = TopicLabel { topic: name.to_string() };
                self.wire.metrics().intake.topic_events.get_or_create(&label).inc();
                event.taken_at(taken_ms);
                Ok(Published::Kept(Box::new(event)))
            }
            1 => Ok(Published::Before(first, event::split(&queues))),
            2 => Ok(Published::Mismatch(first)),
            _ => Err(StoreError::Full(format!(
                "the topic \"{name}\" keeps {EVENTS_MAX} events that some queue could not take; `tidegate doctor` names it"
            ))),
        }
    }

    /// Takes up to `most` events that were left behind: those that nobody has tried again yet, or those
    /// that were put off. Also whether there may be more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn pursue(
        &self,
        topic: &Topic,
        put_off: bool,
        most: usize,
    ) -> Result<(Vec<TopicEvent>, bool), StoreError> {
        let call = call!(
            Pursue,
            most = most,
            bytes_max = TAKE_BYTES_MAX,
            alone_ms = ALONE_MS,
            far_ms = FAR_MS,
            was_put_off = put_off,
        );
        let mut reply = self.wire.call(topic, &call).await?;
        fields!(reply as Pursue; has_more: bool);
        rows!(reply as Pursue);
        let mut events = Vec::new();
        while reply.len() > 0 {
            fields!(row of reply as Pursue; ulid: String, left: String, event: Bytes);
            let Ok(ulid) = Ulid::from_string(&ulid) else {
                self.wire.note_foreign(
                    &format!("~topic.{}", topic.policy.name),
                    &ulid,
                    &"it is not an event",
                );
                continue;
            };
            let id = EventId { topic: topic.policy.name.clone(), ulid };
            match TopicEvent::unpack(id, &left, event) {
                Ok(event) => events.push(event),
                // Kept, for a version that knows it; it must not hold up the others.
                Err(error) => {
                    let topic = format!("~topic.{}", topic.policy.name);
                    self.wire.note_foreign(&topic, &ulid.to_string(), &error);
                }
            }
        }
        Ok((events, has_more))
    }

    /// kept → –, or put off: for each event the queues that lack it still.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the events come again, which does no harm.
    pub async fn conclude(
        &self,
        topic: &Topic,
        events: &[(Ulid, Vec<QueueName>)],
    ) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let put_off = lengthened(PUT_OFF, 0.25, rand::random());
        let put_off_ms = u64::try_from(put_off.as_millis()).unwrap_or(u64::MAX);
        let rows = events
            .iter()
            .map(|(ulid, left)| row!(Conclude: ulid = arg(ulid), left = event::joined(left)));
        let call = call!(Conclude, put_off_ms = put_off_ms, ..rows);
        self.wire.call(topic, &call).await.map(drop)
    }

    /// What a topic keeps.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn outstanding(&self, topic: &Topic) -> Result<Outstanding, StoreError> {
        let mut reply = self.wire.read(topic, &call!(Outstanding)).await?;
        fields!(
            reply as Outstanding;
            now_ms: u64, events: u64, oldest_ms: Option<u64>, left: String
        );
        Ok(Outstanding {
            events,
            oldest_age_ms: oldest_ms.map(|oldest_ms| now_ms.saturating_sub(oldest_ms)),
            waits_for: event::split(&left).iter().map(ToString::to_string).collect(),
        })
    }
}
