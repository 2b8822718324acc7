//! The connections that are there for the next call.
//!
//! Owns how long an unused one is kept and how many of them, and who opens the next one where calls share connections.
//! Refuses to know how a connection is made.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::handover::IDLE;
use super::line::LeftLine;
use super::one::DrivenLine;
use super::two::{SharedLine, StreamPlace};

/// Unused connections kept for each host; the queue's `concurrency` bounds those in use.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// Connections to one host that calls share: more than one where it takes few calls on each.
const SHARED_CONNECTIONS_MAX: usize = 16;

/// How long it is remembered of a host that connections to it can be shared.
const KNOWN: Duration = Duration::from_secs(600);

/// Where a connection leads.
pub(super) type Place = (Option<Scheme>, Option<Authority>);

#[derive(Default)]
pub(super) struct KeptConnections {
    // A plain mutex: held to put and to take, never across an await.
    kept: Mutex<KeptByPlace>,
}

#[derive(Default)]
struct KeptByPlace {
    places: HashMap<Place, AtPlace>,
    /// Whether somebody looks after those that nobody uses.
    is_swept: bool,
}

/// What leads to one place.
#[derive(Default)]
struct AtPlace {
    /// Until when each is kept. The one last used is at the end, and the next to be used.
    idle: Vec<(Instant, Box<DrivenLine>)>,
    shared: Vec<Arc<SharedLine>>,
    /// There once it is known that connections to this place can be shared.
    opening: Option<Arc<Opening>>,
    /// Until when that is remembered although none is left.
    known_until: Option<Instant>,
}

/// The opening of shared connections to a place, one at a time.
#[derive(Debug, Default)]
pub(super) struct Opening {
    /// Held by whoever opens one.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Told when another call may go over one of them.
    pub(super) freed: Arc<Notify>,
    count: AtomicU64,
    /// Whether what was known of this place holds no more.
    is_over: AtomicBool,
}

impl Opening {
    /// Whether one has been opened, or nothing is known any more, since there were so many.
    pub(super) fn has_moved(&self, since: u64) -> bool {
        self.is_over.load(Ordering::Acquire) || self.count.load(Ordering::Acquire) != since
    }
}

/// What there is for a call.
pub(super) enum Found {
    One(Box<DrivenLine>),
    Two(StreamPlace),
    /// Every stream is taken, and there are as many connections as there may be: one comes free when this is told.
    AllTaken(Arc<Notify>),
    /// Another shared connection is to be opened; so many have been opened before.
    Next(Arc<Opening>, u64),
    Nothing,
}

impl KeptConnections {
    /// What there is for a call to a place; `is_shared`: it is known that connections to it can be shared. With `left`, a call begins
    /// anew that was not taken there: an unused connection may be as old, and another shared one is better.
    pub(super) fn find(
        self: &Arc<Self>,
        place: &Place,
        is_shared: bool,
        left: Option<&LeftLine>,
    ) -> Found {
        let mut kept = self.lock();
        if is_shared && !kept.places.contains_key(place) {
            let opening = Some(Arc::default());
            kept.places.insert(place.clone(), AtPlace { opening, ..AtPlace::default() });
            self.see_to_sweeping(&mut kept);
        }
        let Some(at) = kept.places.get_mut(place) else { return Found::Nothing };
        if left.is_none()
            && let Some(line) = at.take_idle()
        {
            return Found::One(line);
        }
        at.find_shared(left)
    }

    /// It is known now that connections to a place can be shared.
    pub(super) fn opening(self: &Arc<Self>, place: &Place) -> Arc<Opening> {
        let mut kept = self.lock();
        let at = kept.places.entry(place.clone()).or_default();
        let opening = Arc::clone(at.opening.get_or_insert_default());
        self.see_to_sweeping(&mut kept);
        opening
    }

    /// Keeps an unused connection.
    pub(super) fn put(self: &Arc<Self>, place: Place, line: Box<DrivenLine>, until: Instant) {
        let mut kept = self.lock();
        let idle = &mut kept.places.entry(place).or_default().idle;
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push((until, line));
        }
        self.see_to_sweeping(&mut kept);
    }

    /// Keeps a new connection that calls share, and takes a place on it. Where others opened one at the same time (there were
    /// `count` before), a place on theirs is enough. `None`: there are enough connections without any.
    pub(super) fn share(
        self: &Arc<Self>,
        place: Place,
        line: Arc<SharedLine>,
        opening: Arc<Opening>,
        count: u64,
    ) -> Option<StreamPlace> {
        let mut kept = self.lock();
        let at = kept.places.entry(place).or_default();
        if opening.has_moved(count)
            && let Some(spare) = at.spare(None)
        {
            return Some(spare);
        }
        if at.shared.len() >= SHARED_CONNECTIONS_MAX {
            return None;
        }
        let first = line.place();
        opening.count.fetch_add(1, Ordering::AcqRel);
        // What was forgotten while this one was opened is known again.
        opening.is_over.store(false, Ordering::Release);
        at.opening.get_or_insert(opening);
        at.known_until = Some(Instant::now() + KNOWN);
        at.shared.push(line);
        self.see_to_sweeping(&mut kept);
        first
    }

    /// While nothing is shared that leads to this place, nothing is known of it any more: whoever waits for a connection
    /// opens one.
    pub(super) fn forget(&self, place: &Place) {
        let mut kept = self.lock();
        if let Some(at) = kept.places.get_mut(place)
            && at.shared.is_empty()
            && let Some(opening) = at.opening.take()
        {
            opening.is_over.store(true, Ordering::Release);
            at.known_until = None;
        }
    }

    /// Closes what nobody used for too long. Returns when to look again; `None`: nothing is left.
    fn sweep(&self) -> Option<Instant> {
        let mut kept = self.lock();
        let now = Instant::now();
        kept.places.retain(|_, at| {
            at.idle.retain(|(until, _)| now < *until);
            at.shared.retain(|line| line.is_fit());
            let is_remembered = at.known_until.is_some_and(|until| now < until);
            is_remembered || !at.idle.is_empty() || !at.shared.is_empty()
        });
        let idle = kept.places.values().flat_map(|at| at.idle.iter().map(|(until, _)| *until));
        let shared = kept.places.values().flat_map(|at| &at.shared);
        let shared = shared.map(|line| line.unused_until().unwrap_or(now + IDLE));
        let known = kept.places.values().filter_map(|at| at.known_until);
        let next = idle.chain(shared).chain(known).min();
        kept.is_swept = next.is_some();
        next
    }

    fn see_to_sweeping(self: &Arc<Self>, kept: &mut KeptByPlace) {
        if !std::mem::replace(&mut kept.is_swept, true) {
            sweep(Arc::downgrade(self));
        }
    }

    fn lock(&self) -> MutexGuard<'_, KeptByPlace> {
        self.kept.lock()
    }
}

impl AtPlace {
    fn take_idle(&mut self) -> Option<Box<DrivenLine>> {
        let now = Instant::now();
        while let Some((until, line)) = self.idle.pop() {
            if now < until {
                return Some(line);
            }
        }
        None
    }

    fn spare(&mut self, left: Option<&LeftLine>) -> Option<StreamPlace> {
        self.shared.retain(|line| line.is_fit());
        let is_better = |line: &&Arc<SharedLine>| !left.is_some_and(|left| left.is_on(line));
        self.shared.iter().filter(is_better).find_map(SharedLine::place)
    }

    fn find_shared(&mut self, left: Option<&LeftLine>) -> Found {
        if let Some(spare) = self.spare(left) {
            return Found::Two(spare);
        }
        let Some(opening) = &self.opening else { return Found::Nothing };
        if self.shared.len() < SHARED_CONNECTIONS_MAX {
            return Found::Next(Arc::clone(opening), opening.count.load(Ordering::Acquire));
        }
        match self.shared.iter().find_map(SharedLine::place) {
            Some(found) => Found::Two(found),
            None => Found::AllTaken(Arc::clone(&opening.freed)),
        }
    }
}

/// Closes what nobody uses, until nothing is kept and known or the pool is gone.
#[expect(
    clippy::disallowed_methods,
    reason = "a drain has nothing to wait for: it only closes connections that nobody uses"
)]
fn sweep(kept: Weak<KeptConnections>) {
    tokio::spawn(async move {
        let mut at = Instant::now() + IDLE;
        loop {
            tokio::time::sleep_until(at).await;
            match kept.upgrade().and_then(|kept| kept.sweep()) {
                Some(next) => at = next,
                None => return,
            }
        }
    });
}
