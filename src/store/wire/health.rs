//! Whether Redis can hold messages now, and how safely.
//!
//! Owns what came of the last look (`check`) at each master: which run of which server it is, the level
//! that holds, and what every write has to wait for. A write that was not safe in time shuts intake at
//! that master until a probe shows that the next one would be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Durability;
use crate::store::StoreError;
use crate::store::redis::link::slot;
use crate::store::redis::survey::{Level, Unmet, Wait};
use crate::telemetry::{LevelLabel, Metrics};

/// Why this Redis may not hold messages; the text names the remedy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartRefused {
    /// It can be reached, and it is not fit.
    #[error("{0}")]
    Unfit(String),
    /// It is fit, and cannot hold new messages as safely as it is to. What it holds goes on.
    #[error("{why}")]
    NotDurable {
        /// The reason and the remedy.
        why: String,
        /// It may come by itself: a replica still copies.
        is_passing: bool,
    },
    /// It cannot be reached (yet).
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A master as it was when last looked at.
#[derive(Debug, Clone)]
pub(in crate::store) struct Master {
    pub(in crate::store) address: String,
    /// Empty: it serves everything.
    pub(in crate::store) slots: Vec<(u16, u16)>,
    /// Which run of which server.
    pub(in crate::store) run: u64,
    /// The most replicas that were in step of late, and when they last were.
    pub(in crate::store) most: (u64, Instant),
    pub(in crate::store) level: Level,
    /// Why it may hold no new messages, whatever its level; the text names the remedy.
    pub(in crate::store) unfit: Option<String>,
}

impl Master {
    pub(in crate::store) fn serves(&self, key: &str) -> bool {
        self.slots.is_empty() || {
            let slot = slot(key);
            self.slots.iter().any(|(from, to)| (*from..=*to).contains(&slot))
        }
    }

    pub(in crate::store) fn is(&self, other: &Self) -> bool {
        self.address == other.address && self.run == other.run
    }

    /// Why it takes no new messages.
    fn refuses(&self) -> Option<Refusal<'_>> {
        let unmet = || self.level.wait.as_ref().err().map(|unmet| Refusal::Level(&unmet.why));
        self.unfit.as_deref().map(Refusal::Unfit).or_else(unmet)
    }
}

/// Why a master takes no new messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal<'a> {
    /// It is not fit to hold any.
    Unfit(&'a str),
    /// It does not meet the durability level.
    Level(&'a str),
}

impl Refusal<'_> {
    /// Once when it begins.
    fn say(self, master: &str) {
        match self {
            Self::Unfit(why) => {
                tracing::error!(
                    why,
                    master,
                    "this Redis is not fit to hold messages; intake is refused"
                );
            }
            Self::Level(why) => {
                tracing::error!(why, master, "the durability level is not met; intake is refused");
            }
        }
    }

    fn say_over(self, master: &str) {
        match self {
            Self::Unfit(_) => {
                tracing::info!(master, "this Redis is fit to hold messages again; intake goes on");
            }
            Self::Level(_) => {
                tracing::info!(master, "the durability level is met; intake goes on");
            }
        }
    }

    const fn is_same_kind(self, other: Self) -> bool {
        matches!((self, other), (Self::Unfit(_), Self::Unfit(_)) | (Self::Level(_), Self::Level(_)))
    }
}

/// The store's health as last seen.
#[derive(Debug, Default)]
pub struct Health {
    up: AtomicBool,
    /// Why it is not, once it was.
    down_why: ArcSwapOption<StoreError>,
    pub(in crate::store) seen: ArcSwap<Vec<Master>>,
    up_since: Mutex<Option<Instant>>,
    /// Redis has been seen away (or loading) since it was last seen up.
    was_away: AtomicBool,
    /// Rung when a look at Redis should not wait for the next second.
    doubt: Notify,
}

impl Health {
    /// Whether Redis answered last time.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// The durability level that every master meets now, at best the configured one; `None` before
    /// the first look.
    #[must_use]
    pub fn achieved(&self) -> Option<Durability> {
        self.seen.load().iter().map(|seen| seen.level.holds).min()
    }

    /// Why a server may hold no new messages, if one may not; the text names the remedy.
    #[must_use]
    pub fn why_unfit(&self) -> Option<String> {
        self.seen.load().iter().find_map(|seen| seen.unfit.clone())
    }

    /// How long Redis has been there without a restart, a failover or an outage, as far as this node
    /// knows: leases are not reaped before one lease of that.
    #[must_use]
    pub fn redis_up_for(&self) -> Duration {
        let since = *self.up_since.lock();
        since.filter(|_| self.is_up()).map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Returns when a look at Redis should not wait any longer.
    pub async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// Asks for a look at Redis before the next second.
    pub(in crate::store) fn look_at_once(&self) {
        self.doubt.notify_one();
    }

    /// What a write to this key has to wait for.
    pub(in crate::store) fn wait(&self, key: &str) -> Result<Wait, StoreError> {
        let seen = self.seen.load();
        let Some(master) = seen.iter().find(|seen| seen.serves(key)) else {
            return Err(StoreError::NotDurable("the store has not been checked yet".to_owned()));
        };
        match (&master.unfit, &master.level.wait) {
            (Some(why), _) => Err(StoreError::Unfit(why.clone())),
            (None, Ok(wait)) => Ok(*wait),
            (None, Err(unmet)) => Err(StoreError::NotDurable(unmet.why.clone())),
        }
    }

    /// Which run of which server holds this key; 0: not known.
    pub(in crate::store) fn run(&self, key: &str) -> u64 {
        self.seen.load().iter().find(|seen| seen.serves(key)).map_or(0, |seen| seen.run)
    }

    /// A write to this key was not safe in time: no more of them until a probe is.
    pub(in crate::store) fn doubt(&self, metrics: &Metrics, key: &str, why: &StoreError) {
        let StoreError::NotDurable(why) = why else { return };
        let mut all = Vec::clone(&self.seen.load());
        for seen in all.iter_mut().filter(|seen| seen.serves(key) && seen.level.wait.is_ok()) {
            seen.level = doubtful(&seen.level, why);
        }
        self.keep(metrics, all);
        self.doubt.notify_one();
    }

    /// Nobody may take messages in as things stand; whoever finds out says why sending stops as well.
    pub(in crate::store) fn refuse_all(&self, metrics: &Metrics, why: &str) {
        let mut all = Vec::clone(&self.seen.load());
        all.iter_mut().for_each(|seen| seen.unfit = Some(why.to_owned()));
        metrics.store.store_fit.set(0);
        self.seen.store(Arc::new(all));
    }

    /// Redis was looked for and did not take writes: its uptime says nothing about leases.
    pub(in crate::store) fn away(&self) {
        self.was_away.store(true, Ordering::Release);
    }

    /// Why Redis cannot be used, as far as is known.
    pub(in crate::store) fn why_down(&self) -> Option<StoreError> {
        self.down_why.load_full().map(|why| StoreError::clone(&why))
    }

    pub(in crate::store) fn down(&self, metrics: &Metrics, error: &StoreError) {
        self.down_why.store(Some(Arc::new(error.clone())));
        if self.up.swap(false, Ordering::AcqRel) {
            tracing::error!(%error, "Redis is away; sending stops until it is back");
            self.doubt.notify_one();
        }
        metrics.store.store_up.set(0);
    }

    /// Redis took a write. A server that was not there at the last look has been up since now, however
    /// long it ran as a replica; and so has one that did not answer for a while, however long it ran:
    /// living nodes could not renew.
    pub(in crate::store) fn up(&self, metrics: &Metrics, uptime_ms: u64, has_changed: bool) {
        let was_up = self.up.swap(true, Ordering::AcqRel);
        self.down_why.store(None);
        if !was_up {
            tracing::info!("Redis answers");
        }
        metrics.store.store_up.set(1);
        // It counts its loading as uptime as well, and no node could renew meanwhile.
        let was_away = self.was_away.swap(false, Ordering::AcqRel);
        let mut since = self.up_since.lock();
        let is_new = has_changed || was_away || (!was_up && since.is_some());
        let uptime = Duration::from_millis(if is_new { 0 } else { uptime_ms });
        let started = Instant::now().checked_sub(uptime);
        *since = match *since {
            Some(before) if !is_new => Some(started.map_or(before, |at| at.max(before))),
            // Nothing is known of what was before.
            _ => Some(started.unwrap_or_else(Instant::now)),
        };
    }

    /// Takes what was seen of the masters, and says what has changed for intake: one line when a master
    /// begins to refuse messages, and one when it takes them again.
    pub(in crate::store) fn keep(&self, metrics: &Metrics, seen: Vec<Master>) {
        say_changes(&self.seen.load(), &seen);
        metrics.store.store_fit.set(i64::from(seen.iter().all(|seen| seen.unfit.is_none())));
        let achieved = seen.iter().map(|seen| seen.level.holds).min();
        for level in
            [Durability::Memory, Durability::Everysec, Durability::Disk, Durability::Replicas]
        {
            let label = LevelLabel { level: level.as_str() };
            let holds = achieved == Some(level);
            metrics.store.durability_achieved.get_or_create(&label).set(i64::from(holds));
        }
        let is_met = !seen.is_empty() && seen.iter().all(|seen| seen.level.wait.is_ok());
        metrics.store.durability_met.set(i64::from(is_met));
        self.seen.store(Arc::new(seen));
    }
}

fn say_changes(before: &[Master], now: &[Master]) {
    if before.is_empty() {
        // The start says it itself.
        return;
    }
    for master in now {
        let known = before.iter().find(|known| known.address == master.address);
        let (was, is) = (known.and_then(Master::refuses), master.refuses());
        if let (Some(was), Some(is)) = (was, is)
            && was.is_same_kind(is)
        {
            continue;
        }
        if let Some(is) = is {
            is.say(&master.address);
        } else if let Some(was) = was {
            was.say_over(&master.address);
        }
    }
}

/// The level one below: what was to be waited for did not come in time.
pub(in crate::store) fn doubtful(level: &Level, why: &str) -> Level {
    let waits_for_replicas = level.wait.as_ref().is_ok_and(|wait| wait.replicas > 0);
    let holds = if waits_for_replicas { Durability::Disk } else { Durability::Everysec };
    let unmet = Unmet { why: why.to_owned(), is_passing: true };
    Level { holds: holds.min(level.holds), wait: Err(unmet) }
}
