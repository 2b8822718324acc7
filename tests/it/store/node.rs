//! A node of a scenario: a store and its queue, with short words for seeding and settling.
//!
//! Owns the vocabulary, so that a scenario reads before, act, after. Refuses to know what should
//! come of it.

use std::sync::Arc;

use bytes::Bytes;
use tidegate::domain::id::{MessageId, QueueName};
use tidegate::domain::message::{Attempt, Details, Message, NewMessage, PayloadKind, When};
use tidegate::domain::settlement::Settlement;
use tidegate::domain::state::State;
use tidegate::store::{
    Accepted, ClaimReply, ClaimWish, Claimed, Counts, Lease, LeaseEnd, NotAccepted, Queue, Shard,
    Store, Verb, Verdict,
};

use super::ground::QUEUE;

/// An hour, in milliseconds: far enough never to come.
pub(super) const HOUR_MS: u64 = 3_600_000;

/// A message on its way in.
pub(super) fn message(body: &str) -> NewMessage {
    let mut fingerprint = [0; 16];
    for (at, byte) in body.bytes().enumerate() {
        fingerprint[at % 16] ^= byte;
    }
    NewMessage {
        payload: Bytes::copy_from_slice(body.as_bytes()),
        details: Details { kind: PayloadKind::Text, ..Details::default() },
        due: When::After(0),
        expires: None,
        priority: 0,
        fingerprint,
    }
}

/// The same message, changed.
pub(super) trait With: Sized {
    fn due(self, due: When) -> Self;
    fn expires(self, expires: When) -> Self;
    fn priority(self, priority: u8) -> Self;
    fn key(self, key: &str) -> Self;
    fn label(self, name: &str, value: &str) -> Self;
}

impl With for NewMessage {
    fn due(self, due: When) -> Self {
        Self { due, ..self }
    }
    fn expires(self, expires: When) -> Self {
        Self { expires: Some(expires), ..self }
    }
    fn priority(self, priority: u8) -> Self {
        Self { priority, ..self }
    }
    fn key(mut self, key: &str) -> Self {
        self.details.idempotency_key = Some(key.to_owned());
        self
    }
    fn label(mut self, name: &str, value: &str) -> Self {
        self.details.labels.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// What a claim asks for by default: much, at once.
pub(super) const WISH: ClaimWish = ClaimWish {
    messages_max: 250,
    horizon_us: 50_000,
    before_us: None,
    batch_now: false,
    lease_ms: None,
};

/// An attempt that ended with this word.
pub(super) fn attempt(number: u32, outcome: &str) -> Attempt {
    Attempt {
        attempt: number,
        started_at_ms: 1,
        ended_at_ms: 2,
        outcome: outcome.to_owned(),
        status_code: Some(500),
        error: Some(format!("it was {outcome}")),
        response: None,
        wait: tidegate::domain::waited::AttemptWait::default(),
    }
}

/// A lease that ends so, with an attempt's words.
pub(super) fn ended(lease: &Lease, outcome: &str, settlement: Settlement) -> LeaseEnd {
    let attempt = Some(attempt(1, outcome));
    LeaseEnd { settlement, attempt, ..LeaseEnd::released(lease.clone()) }
}

/// What a verb stands for, with these words.
pub(super) fn settlement_of(verb: Verb) -> Settlement {
    let reason = verb.as_str().to_owned();
    match verb {
        Verb::Ack => Settlement::Ack,
        Verb::Retry => Settlement::Retry { delay_ms: HOUR_MS },
        Verb::Release => Settlement::Release,
        Verb::Defer => Settlement::Hold,
        Verb::Bury => Settlement::Bury { word: "refused", reason, suspect: false },
        Verb::Park => Settlement::Park { reason, asked_ms: 0 },
        other => panic!("{other:?} settles nothing"),
    }
}

/// A store and its queue.
pub(super) struct Node {
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) name: QueueName,
}

impl Node {
    pub(super) fn new(store: Store) -> Self {
        let name: QueueName = QUEUE.parse().expect("a queue name");
        let queue = store.queues.get(&name).expect("it is configured");
        Self { store, queue, name }
    }

    pub(super) fn shard(&self) -> &Arc<Shard> {
        &self.queue.shards[0]
    }

    pub(super) async fn try_send(&self, message: NewMessage) -> Result<Accepted, NotAccepted> {
        let mut answers =
            self.store.messages.schedule(&self.name, vec![message]).await.expect("a queue");
        answers.pop().expect("one answer")
    }

    pub(super) async fn send(&self, message: NewMessage) -> MessageId {
        self.try_send(message).await.expect("accepted").id
    }

    /// Sends messages with these bodies, one call after the other.
    pub(super) async fn send_all(&self, bodies: &[&str]) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for body in bodies {
            ids.push(self.send(message(body)).await);
        }
        ids
    }

    pub(super) async fn claim(&self, wish: ClaimWish) -> ClaimReply {
        self.store.messages.claim(&self.queue, wish).await.expect("Redis is there")
    }

    /// Claims up to `most` messages.
    pub(super) async fn take(&self, most: usize) -> Vec<Claimed> {
        self.claim(ClaimWish { messages_max: most, ..WISH }).await.messages
    }

    /// Claims one message, which must be there.
    pub(super) async fn take_one(&self) -> Lease {
        self.take(1).await.pop().expect("something is ready").lease
    }

    /// Runs a settle verb on leases of the first shard.
    pub(super) async fn settle(&self, verb: Verb, leases: &[Lease]) -> Vec<Verdict> {
        if verb == Verb::Renew {
            let shard = &self.queue.shards[usize::from(leases[0].shard)];
            let renewed =
                self.store.messages.renew(shard, self.queue.policy.lease_ms, &[], leases).await;
            return renewed.expect("Redis is there");
        }
        let end = |lease| ended(lease, verb.as_str(), settlement_of(verb));
        self.settle_as(&leases.iter().map(end).collect::<Vec<_>>()).await
    }

    /// Ends leases that go the same way.
    pub(super) async fn settle_as(&self, ends: &[LeaseEnd]) -> Vec<Verdict> {
        self.store
            .messages
            .settle(&self.queue, ends[0].way(), &[], ends)
            .await
            .expect("Redis is there")
    }

    pub(super) async fn settle_one(&self, verb: Verb, lease: &Lease) -> Verdict {
        self.settle(verb, std::slice::from_ref(lease)).await[0]
    }

    /// Settles one lease, which must be ours.
    pub(super) async fn end(&self, verb: Verb, lease: &Lease) {
        assert_eq!(self.settle_one(verb, lease).await, Verdict::Ok);
    }

    pub(super) async fn promote(&self) -> u64 {
        self.store.messages.promote(&self.queue, self.shard()).await.expect("Redis is there").moved
    }

    pub(super) async fn get(&self, id: &MessageId) -> Message {
        self.store.messages.get(id).await.expect("Redis is there").expect("it is kept")
    }

    pub(super) async fn state(&self, id: &MessageId) -> State {
        self.get(id).await.state
    }

    pub(super) async fn counts(&self) -> Counts {
        self.store.queues.counts(&self.name).await.expect("Redis is there")
    }

    pub(super) fn id(&self, lease: &Lease) -> MessageId {
        MessageId { queue: self.name.clone(), ulid: lease.ulid }
    }
}

/// The payloads of claimed messages, in order.
pub(super) fn bodies(claimed: &[Claimed]) -> Vec<String> {
    claimed.iter().map(|c| String::from_utf8_lossy(&c.payload).into_owned()).collect()
}
