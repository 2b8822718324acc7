//! Who may be called now: slots and a breaker for each host that the messages of a queue name, on this node.
//!
//! A host that hangs, fails or says "too fast" holds up its own messages and no others: it never has
//! more than its share of the slots, and after failures in a row none at all for a while, then one call
//! at a time until one succeeds. Messages that meet a closed host go back for later, unless it answers
//! so quickly that the wait is worth it. Pure but for the lock: `now` and randomness come in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::domain::policy::QueuePolicy;
use crate::domain::retry::{alarm_pause_ms, throttle_pause_ms};
use crate::domain::spread::lengthened;

/// Most calls under way at one host.
const CALLS_MAX: usize = 32;
/// A host whose calls all began later than so long ago is quick: its next slot is worth waiting for.
const QUICK: Duration = Duration::from_millis(250);
/// Failures in a row after which a host is left alone, and for how long.
const FAILURES_MAX: u32 = 5;
const LEFT_ALONE: Duration = Duration::from_secs(30);
/// When to ask again at a host that is busy, or being tried.
const BUSY: Duration = Duration::from_secs(1);
/// Longest time for which a message goes back: a long line costs little while its host is away.
const LATER_MAX: Duration = Duration::from_secs(600);
/// Hosts that are remembered without a call under way.
const REMEMBERED_MAX: usize = 10_000;

/// The hosts that the messages of one queue name.
#[derive(Debug)]
pub(super) struct Hosts {
    /// Calls that may be under way at all of them together.
    calls_max: usize,
    // A plain mutex: held for a look-up, never across an await.
    state: Arc<Mutex<HostsState>>,
    /// One permit of the rate is asked for at a time: who waits for the first needs no second.
    pub(super) pace: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct HostsState {
    hosts: HashMap<String, Host>,
    calls: usize,
    number: u64,
}

#[derive(Debug, Default)]
struct Host {
    /// When the calls under way began, by their number: the first is the oldest.
    calls: BTreeMap<u64, Instant>,
    failures: u32,
    /// How often in a row it was shut: pauses grow.
    shuts: u32,
    shut_until: Option<Instant>,
    /// What shut it.
    shut_by: Option<HostSign>,
    /// The one call at a time that tries a host that had failed.
    tried_by: Option<u64>,
    freed: Arc<Notify>,
    /// The log says that it is left alone, and not yet that it takes calls again.
    is_logged: bool,
}

/// What is to be logged of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostNews {
    /// It is left alone.
    LeftAlone,
    /// It takes calls again.
    Back,
}

/// What a message meets at its host.
#[derive(Debug)]
pub(super) enum Admission {
    /// It may go.
    Go(HostSlot),
    /// A slot will come free soon, or it is over by this moment.
    Soon(Arc<Notify>, Instant),
    /// Not now; what holds it, and for how long at least.
    Later(&'static str, Duration),
}

/// What a call said of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostSign {
    /// It works.
    Well,
    /// It does not.
    Failed,
    /// Too fast; how long it asked for, in milliseconds.
    TooFast(u64),
    /// It does not know us.
    Denied,
}

/// A place among the calls under way at a host.
#[derive(Debug)]
pub(super) struct HostSlot {
    state: Arc<Mutex<HostsState>>,
    host: String,
    number: u64,
}

impl Hosts {
    /// Those of a queue whose messages have a host each.
    pub(super) fn of(policy: &QueuePolicy) -> Option<Self> {
        policy.downstream.capabilities().is_by_host.then(|| Self::new(policy.concurrency))
    }

    fn new(calls_max: u32) -> Self {
        let calls_max = usize::try_from(calls_max).unwrap_or(usize::MAX);
        Self { calls_max, state: Arc::default(), pace: tokio::sync::Mutex::default() }
    }

    /// A slot at this host, if it takes calls.
    pub(super) fn enter(&self, name: &str, now: Instant) -> Admission {
        let mut state = lock(&self.state);
        let HostsState { hosts, calls, number } = &mut *state;
        if hosts.len() > REMEMBERED_MAX {
            hosts.retain(|_, host| !host.calls.is_empty() || host.shut_until.is_some());
        }
        let host = hosts.entry(name.to_owned()).or_default();
        let is_trial = match host.shut_until {
            Some(until) if until > now => {
                return Admission::Later(why_shut(host.shut_by), until - now);
            }
            Some(_) if host.tried_by.is_some() => {
                return Admission::Later("it is being tried after failures", BUSY);
            }
            shut => shut.is_some(),
        };
        // However many hosts hang, each leaves as much as it takes.
        let most = CALLS_MAX.min(self.calls_max.saturating_sub(*calls)).max(1);
        if host.calls.len() >= most {
            let oldest = host.calls.values().next().copied().unwrap_or(now);
            return match oldest + QUICK {
                until if until > now => Admission::Soon(Arc::clone(&host.freed), until),
                _ => Admission::Later("it is busy and slow", BUSY),
            };
        }
        *number += 1;
        *calls += 1;
        host.calls.insert(*number, now);
        host.tried_by = is_trial.then_some(*number);
        Admission::Go(HostSlot {
            state: Arc::clone(&self.state),
            host: name.to_owned(),
            number: *number,
        })
    }
}

impl Hosts {
    /// How many hosts are left alone, or tried by one call at a time.
    pub(super) fn left_alone(&self) -> i64 {
        let count =
            lock(&self.state).hosts.values().filter(|host| host.shut_until.is_some()).count();
        i64::try_from(count).unwrap_or(i64::MAX)
    }
}

impl HostSlot {
    /// The call begins only now: what was waited for is not the host's fault.
    pub(super) fn begin(&self, now: Instant) {
        let mut state = lock(&self.state);
        let call =
            state.hosts.get_mut(&self.host).and_then(|host| host.calls.get_mut(&self.number));
        if let Some(began) = call {
            *began = now;
        }
    }

    /// What the call said of the host; returns for how long the host is left alone, if that begins now.
    pub(super) fn learn(&self, said: HostSign, now: Instant) -> Option<Duration> {
        let mut state = lock(&self.state);
        let host = state.hosts.get_mut(&self.host)?;
        let was_trial = host.tried_by == Some(self.number);
        let pause = match said {
            HostSign::Well => {
                (host.failures, host.shuts, host.shut_until) = (0, 0, None);
                return None;
            }
            HostSign::Failed => {
                host.failures = host.failures.saturating_add(1);
                (was_trial || host.failures >= FAILURES_MAX).then_some(LEFT_ALONE)?
            }
            HostSign::TooFast(asked_ms) => {
                // As at a queue's gate, zero names no time.
                let by_streak_ms = throttle_pause_ms(host.shuts + 1);
                Duration::from_millis(if asked_ms > 0 { asked_ms } else { by_streak_ms })
            }
            HostSign::Denied => Duration::from_millis(alarm_pause_ms(host.shuts + 1)),
        };
        if was_trial {
            host.tried_by = None;
        }
        let is_open = host.shut_until.is_none_or(|until| until <= now);
        // A volley of failures counts once.
        host.shuts = host.shuts.saturating_add(u32::from(is_open));
        let until = Some(now + pause);
        if until > host.shut_until {
            (host.shut_until, host.shut_by) = (until, Some(said));
        }
        is_open.then_some(pause)
    }
}

impl HostSlot {
    /// What is to be logged after a call taught us this: each beginning once, and its end.
    pub(super) fn news(&self, said: HostSign, pause: Option<Duration>) -> Option<HostNews> {
        let mut state = lock(&self.state);
        let host = state.hosts.get_mut(&self.host)?;
        match (said, host.is_logged) {
            (HostSign::Well, true) => {
                host.is_logged = false;
                Some(HostNews::Back)
            }
            (_, false) if pause.is_some() => {
                host.is_logged = true;
                Some(HostNews::LeftAlone)
            }
            _ => None,
        }
    }
}

impl Drop for HostSlot {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.calls = state.calls.saturating_sub(1);
        let Some(host) = state.hosts.get_mut(&self.host) else { return };
        host.calls.remove(&self.number);
        if host.tried_by == Some(self.number) {
            host.tried_by = None;
        }
        host.freed.notify_one();
    }
}

/// Why no calls are made to a host, for people.
const fn why_shut(by: Option<HostSign>) -> &'static str {
    match by {
        Some(HostSign::TooFast(_)) => {
            "no calls are made to this host for a while, because it asked for fewer, or because no token for it could be got"
        }
        Some(HostSign::Denied) => {
            "no calls are made to this host for a while, because it refused our credentials or our address"
        }
        Some(HostSign::Well | HostSign::Failed) | None => {
            "no calls are made to this host for a while, because its calls failed"
        }
    }
}

/// How long a message goes back that its host does not take for `least`, after so many times: longer
/// each time, and spread by `random` in [0, 1), so that a long line neither spins nor comes at once.
pub(super) fn later_ms(least: Duration, times: u32, random: f64) -> u64 {
    let grown = BUSY * (1 << times.min(9));
    let base = least.max(grown.min(LATER_MAX)).min(LATER_MAX.max(least));
    u64::try_from(lengthened(base, 0.5, random).as_millis()).unwrap_or(u64::MAX)
}

fn lock(state: &Mutex<HostsState>) -> MutexGuard<'_, HostsState> {
    state.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(hosts: &Hosts, name: &str, now: Instant) -> HostSlot {
        match hosts.enter(name, now) {
            Admission::Go(slot) => slot,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Why the host "a" takes no calls.
    fn why(hosts: &Hosts, now: Instant) -> &'static str {
        match hosts.enter("a", now) {
            Admission::Later(why, _) => why,
            other => panic!("{other:?}"),
        }
    }

    fn is_later(hosts: &Hosts, name: &str, now: Instant) -> bool {
        matches!(hosts.enter(name, now), Admission::Later(..))
    }

    /// So many calls of `name` under way.
    fn fill(hosts: &Hosts, name: &str, now: Instant) -> Vec<HostSlot> {
        let mut slots = Vec::new();
        while let Admission::Go(slot) = hosts.enter(name, now) {
            slots.push(slot);
        }
        slots
    }

    #[tokio::test]
    async fn however_many_hosts_hang_the_next_one_has_room() {
        let (hosts, now) = (Hosts::new(64), Instant::now());
        let first = fill(&hosts, "a", now);
        assert_eq!(first.len(), CALLS_MAX);
        let mut hung = vec![first];
        for name in ["b", "c", "d", "e"] {
            let slots = fill(&hosts, name, now);
            assert!(!slots.is_empty(), "{name}");
            hung.push(slots);
        }
        drop(go(&hosts, "good", now));
        hung.clear();
        assert_eq!(fill(&hosts, "good", now).len(), CALLS_MAX);
    }

    #[tokio::test]
    async fn a_quick_host_is_waited_for_and_a_slow_one_is_not() {
        let (hosts, now) = (Hosts::new(64), Instant::now());
        let mut slots = fill(&hosts, "a", now);
        let Admission::Soon(freed, until) = hosts.enter("a", now) else { panic!("it is quick") };
        assert_eq!(until, now + QUICK);
        drop(slots.pop());
        freed.notified().await;
        slots.push(go(&hosts, "a", now));
        assert!(is_later(&hosts, "a", now + QUICK));
        slots.iter().for_each(|slot| slot.begin(now + QUICK));
        assert!(matches!(hosts.enter("a", now + QUICK), Admission::Soon(..)));
    }

    #[tokio::test]
    async fn after_failures_in_a_row_one_call_at_a_time_tries_it() {
        let (hosts, now) = (Hosts::new(64), Instant::now());
        for _ in 1..FAILURES_MAX {
            assert_eq!(go(&hosts, "a", now).learn(HostSign::Failed, now), None);
        }
        go(&hosts, "a", now).learn(HostSign::Well, now);
        for _ in 1..FAILURES_MAX {
            assert_eq!(go(&hosts, "a", now).learn(HostSign::Failed, now), None);
        }
        assert_eq!(go(&hosts, "a", now).learn(HostSign::Failed, now), Some(LEFT_ALONE));
        assert!(is_later(&hosts, "a", now));
        drop(go(&hosts, "b", now));
        let later = now + LEFT_ALONE;
        let trial = go(&hosts, "a", later);
        assert!(is_later(&hosts, "a", later));
        assert_eq!(trial.learn(HostSign::Failed, later), Some(LEFT_ALONE));
        drop(trial);
        assert!(is_later(&hosts, "a", later));
        let later = later + LEFT_ALONE;
        go(&hosts, "a", later).learn(HostSign::Well, later);
        assert_eq!(fill(&hosts, "a", later).len(), CALLS_MAX);
    }

    #[tokio::test]
    async fn a_trial_that_never_was_leaves_the_next_one_its_turn() {
        let (hosts, now) = (Hosts::new(64), Instant::now());
        assert!(go(&hosts, "a", now).learn(HostSign::TooFast(10), now).is_some());
        let later = now + Duration::from_millis(10);
        drop(go(&hosts, "a", later));
        drop(go(&hosts, "a", later));
    }

    #[tokio::test]
    async fn pauses_that_a_host_asks_for_are_its_own() {
        let (hosts, now) = (Hosts::new(64), Instant::now());
        let slot = go(&hosts, "a", now);
        assert_eq!(slot.learn(HostSign::TooFast(0), now), Some(Duration::from_secs(1)));
        // One of the same volley changes nothing.
        assert_eq!(slot.learn(HostSign::TooFast(0), now), None);
        drop(slot);
        assert!(
            why(&hosts, now)
                .ends_with("it asked for fewer, or because no token for it could be got")
        );
        let later = now + Duration::from_secs(2);
        let slot = go(&hosts, "a", later);
        assert_eq!(slot.learn(HostSign::Denied, later), Some(Duration::from_secs(10)));
        assert!(why(&hosts, later).ends_with("it refused our credentials or our address"));
    }

    #[test]
    fn messages_go_back_for_longer_each_time() {
        let second = Duration::from_secs(1);
        assert_eq!(later_ms(second, 0, 0.0), 1000);
        assert_eq!(later_ms(second, 3, 0.5), 10_000);
        assert_eq!(later_ms(Duration::from_secs(30), 0, 0.0), 30_000);
        assert_eq!(later_ms(second, u32::MAX, 0.0), 512_000);
        assert_eq!(later_ms(Duration::from_secs(3600), 9, 0.0), 3_600_000);
    }
}
