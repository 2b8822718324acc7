//! A listener: what it wants, how far it has heard, and how it gets what it missed.
//!
//! Refuses to know how changes look outside, and how long its peer takes to read them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{self, error::RecvError};

use super::reading::{Cursors, ReadWindow};
use super::{Batch, Events, Listeners};
use crate::domain::change::{Change, Position};
use crate::domain::id::QueueName;
use crate::store::StoreError;

/// How long the hub may take to serve a new listener, while Redis is there.
const SERVED_PATIENCE: Duration = Duration::from_secs(5);

/// What a listener hears next.
#[derive(Debug)]
pub enum Heard {
    /// Changes, in order.
    Changes(Vec<Change>),
    /// Changes since its position may be gone: it goes on with the oldest that are there.
    Gap,
    /// It was too slow: the ring went past it.
    Lost,
    /// What it missed cannot be read.
    Failed(StoreError),
}

/// Reading what was missed.
#[derive(Debug)]
struct Backfill {
    since: Position,
    cursors: Cursors,
    has_gap: bool,
}

/// A listener.
#[derive(Debug)]
pub struct Subscription {
    events: Events,
    queues: BTreeSet<QueueName>,
    ring: broadcast::Receiver<Arc<Batch>>,
    catch_up: Option<Backfill>,
    /// Everything before this moment was heard by catching up.
    caught_up_ms: u64,
    heard: Option<Position>,
    waiting: VecDeque<Heard>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.events.listeners.leave(&self.queues);
    }
}

/// Takes back a listener that never came to be.
struct Entered<'a> {
    listeners: &'a Listeners,
    queues: Option<BTreeSet<QueueName>>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(queues) = &self.queues {
            self.listeners.leave(queues);
        }
    }
}

impl Events {
    /// Listens to the changes of these queues (empty: of all but the internal ones), from now on, or
    /// since a position. `None`: too many listen here already.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn subscribe(
        &self,
        queues: BTreeSet<QueueName>,
        since: Option<Position>,
    ) -> Result<Option<Subscription>, StoreError> {
        let listeners = &self.listeners;
        let Ok(place) = Arc::clone(&listeners.places).try_acquire_owned() else { return Ok(None) };
        let version = listeners.enter(&queues);
        let mut entered = Entered { listeners, queues: Some(queues) };
        let mut served = listeners.served.subscribe();
        let is_served = served.wait_for(|served| *served >= version);
        // Only from then on everything comes by the ring.
        if tokio::time::timeout(SERVED_PATIENCE, is_served).await.is_err() {
            return Err(StoreError::Unavailable("changes cannot be read now".to_owned()));
        }
        let ring = listeners.ring.subscribe();
        let catch_up = match since {
            Some(since) => Some(self.begin_catch_up(entered.queues.as_ref(), since).await?),
            None => None,
        };
        Ok(Some(Subscription {
            events: self.clone(),
            queues: entered.queues.take().unwrap_or_default(),
            ring,
            heard: catch_up.as_ref().map(|catch_up| catch_up.since.clone()),
            catch_up,
            caught_up_ms: 0,
            waiting: VecDeque::new(),
            _place: place,
        }))
    }

    async fn begin_catch_up(
        &self,
        queues: Option<&BTreeSet<QueueName>>,
        since: Position,
    ) -> Result<Backfill, StoreError> {
        let mut catch_up = Backfill { since, cursors: Cursors::new(), has_gap: false };
        for (_, shard) in self.shards_of(queues.filter(|queues| !queues.is_empty())) {
            let (_, may_miss) = self.listen_to(&shard, Some(catch_up.since.ms)).await?;
            catch_up.has_gap |= may_miss;
            catch_up.cursors.insert(shard.tag().to_owned(), catch_up.since.ms.to_string());
        }
        Ok(catch_up)
    }
}

impl Subscription {
    /// How far it has heard; `None`: nothing yet.
    #[must_use]
    pub fn heard(&self) -> Option<&Position> {
        self.heard.as_ref()
    }

    /// What comes next; waits for it. May be given up at any time without losing anything.
    pub async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.waiting.pop_front() {
                return heard;
            }
            if self.catch_up.is_some() {
                self.catch_up().await;
                continue;
            }
            match self.ring.recv().await {
                Ok(batch) => self.take(&batch),
                Err(RecvError::Lagged(_)) => return Heard::Lost,
                // The events hold the other end.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    fn take(&mut self, batch: &Batch) {
        let is_new = |change: &&Change| change.at.ms >= self.caught_up_ms;
        let is_mine = |change: &&Change| {
            if self.queues.is_empty() {
                change.queue.callbacks_of().is_none()
            } else {
                self.queues.contains(&change.queue)
            }
        };
        let changes: Vec<Change> =
            batch.changes.iter().filter(is_new).filter(is_mine).cloned().collect();
        self.reach(changes, batch.until_ms);
    }

    fn reach(&mut self, changes: Vec<Change>, until_ms: u64) {
        let last = changes.last().map(|change| change.at.clone());
        let until = Position::before(until_ms);
        self.heard = self.heard.take().max(last).max(Some(until));
        if !changes.is_empty() {
            self.waiting.push_back(Heard::Changes(changes));
        }
    }

    /// A page of what was missed.
    async fn catch_up(&mut self) {
        let Some(catch_up) = &mut self.catch_up else { return };
        if std::mem::take(&mut catch_up.has_gap) {
            self.waiting.push_back(Heard::Gap);
            return;
        }
        let events = self.events.clone();
        let queues = Some(&self.queues).filter(|queues| !queues.is_empty());
        let shards = events.shards_of(queues);
        // One that came to be meanwhile is heard by the ring.
        let known = |tag: &str| catch_up.cursors.contains_key(tag);
        let shards: Vec<_> = shards.into_iter().filter(|(_, shard)| known(shard.tag())).collect();
        // Never closed.
        let _turn = events.listeners.catch_ups.acquire().await;
        // Given up in the middle, the same page is read again.
        let mut cursors = catch_up.cursors.clone();
        match events.changes_since(&shards, &mut cursors).await {
            Ok(ReadWindow { mut changes, until_ms, more }) => {
                catch_up.cursors = cursors;
                changes.retain(|change| change.at > catch_up.since);
                if !more {
                    self.catch_up = None;
                    self.caught_up_ms = until_ms;
                }
                self.reach(changes, until_ms);
            }
            Err(error) => {
                self.waiting.push_back(Heard::Failed(error));
            }
        }
    }
}
