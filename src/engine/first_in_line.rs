//! What held messages while they stood first in their lines: a limit of the queue, or the message of their order key before them.
//!
//! Owns what this node remembers of it, for `waited`; nothing is decided by it. What stood behind messages that another node sent is
//! told as waiting for its turn. Refuses to know what a wait is made of (see `domain::waited`).

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use ulid::Ulid;

use crate::domain::limit::{Limit, LimitName, LimitRule};
use crate::domain::policy::QueuePolicy;
use crate::domain::waited::{WAITED_MS, WaitedFor};
use crate::store::Claimed;

/// Of so many values of keys the last message is remembered; beyond them all are forgotten.
const VALUES_MAX: usize = 4096;
/// A quota that opens so near to the moment that a claim was told is the one that refused it.
const SAME_MOMENT_MS: u64 = 1000;

/// A slot that comes so much later than the rate would let it is another one, ms.
const SLOT_LATE_MS: u64 = 50;

/// What this node remembers of the lines of a queue.
#[derive(Debug, Default)]
pub(super) struct FirstInLine {
    limits: Mutex<AtLimits>,
    orders: Mutex<HashMap<String, InOrder>>,
    /// When the last message of a value left, ms by Redis, by the name of the limit and the value.
    by_key: Mutex<HashMap<(LimitName, String), u64>>,
}

/// The line before the limits of the queue.
#[derive(Debug, Default)]
struct AtLimits {
    /// Since when a limit refuses what stands first, and which one it is, ms by Redis.
    refused: Option<(u64, LimitName)>,
    /// When the last message left, ms by Redis.
    left_ms: u64,
}

/// The last message of an order key.
#[derive(Debug)]
struct InOrder {
    ulid: Ulid,
    began_ms: u64,
    ended_ms: u64,
}

impl FirstInLine {
    /// A claim got nothing, since a limit lets nothing pass for so long.
    pub(super) fn refused(&self, policy: &QueuePolicy, now_ms: u64, wait: Option<Duration>) {
        let mut limits = self.limits.lock();
        if limits.refused.is_none() {
            limits.refused = refusing(policy, now_ms, wait).map(|name| (now_ms, name));
        }
    }

    /// No limit holds what stands first any more: nothing stands there, or something else holds it.
    pub(super) fn free_of_limits(&self) {
        self.limits.lock().refused = None;
    }

    /// Messages were claimed, in the order of their slots: notes on each how long a limit held it while it stood first.
    pub(super) fn claimed(&self, policy: &QueuePolicy, messages: &mut [Claimed]) {
        if !policy.has_claim_limits() {
            return;
        }
        let pace = slowest(policy);
        let mut limits = self.limits.lock();
        for message in messages {
            let slot_ms = message.units.slot_us / 1000;
            let refused = limits.refused.take();
            // It stands first since the one before it left, unless something else held it at first.
            let first_since_ms = match &refused {
                Some((since_ms, _)) if *since_ms > limits.left_ms + SAME_MOMENT_MS => *since_ms,
                _ => limits.left_ms,
            };
            let held_ms = slot_ms.saturating_sub(first_since_ms.max(message.due_ms));
            let apart_ms = slot_ms.saturating_sub(limits.left_ms);
            limits.left_ms = limits.left_ms.max(slot_ms);
            let has_waited = slot_ms >= message.lease.ulid.timestamp_ms().saturating_add(WAITED_MS);
            let held = match (refused, pace) {
                (Some((_, name)), _) => Some((name, held_ms)),
                // Who takes the next slot of the rate was held by it, and who comes later by something else.
                (None, Some((rule, limit)))
                    if apart_ms <= period_ms(limit, message, rule) + SLOT_LATE_MS =>
                {
                    Some((rule.name.clone(), held_ms))
                }
                (None, _) => None,
            };
            let held = held.filter(|(_, ms)| *ms > 0 && has_waited);
            message.stood.extend(held.map(|(name, ms)| (WaitedFor::Limit(name), ms)));
        }
    }

    /// An attempt of a message has ended: what held it while it stood first, until it began, ms.
    pub(super) fn attempted(
        &self,
        policy: &QueuePolicy,
        message: &Claimed,
        times_ms: (u64, u64),
    ) -> Vec<(WaitedFor, u64)> {
        let order = (WaitedFor::Order, self.held_by_order(policy, message, times_ms));
        let by_key = self.held_by_keys(policy, message, times_ms.0);
        let stood = std::iter::once(order).chain(by_key).chain(message.stood.iter().cloned());
        stood.filter(|(_, ms)| *ms > 0).collect()
    }

    /// How long rates by key held a message: as long as they let units start apart by the configuration, from when the message of the
    /// same value before it left.
    fn held_by_keys(
        &self,
        policy: &QueuePolicy,
        message: &Claimed,
        began_ms: u64,
    ) -> Vec<(WaitedFor, u64)> {
        let mut held = Vec::new();
        for rule in policy.keyed_limits() {
            let (Some(limit), Some(key)) = (LimitRule::rate(rule), &rule.per) else { continue };
            let Some(value) = key.value_of(&message.details) else { continue };
            let mut by_key = self.by_key.lock();
            if by_key.len() >= VALUES_MAX {
                by_key.clear();
            }
            let before_ms = by_key.insert((rule.name.clone(), value.to_owned()), began_ms);
            let Some(before_ms) = before_ms else { continue };
            // Who comes much later than the rate would let it was held by something else at last.
            if began_ms - before_ms.min(began_ms)
                <= period_ms(limit, message, rule) + SAME_MOMENT_MS
            {
                let held_ms = began_ms.saturating_sub(before_ms.max(message.due_ms));
                held.push((WaitedFor::Limit(rule.name.clone()), held_ms));
            }
        }
        held
    }

    /// How long the message of its order key before it held a message.
    fn held_by_order(
        &self,
        policy: &QueuePolicy,
        message: &Claimed,
        (began_ms, ended_ms): (u64, u64),
    ) -> u64 {
        let by = policy.ordering.as_ref().map(|ordering| &ordering.by);
        let Some(value) = by.and_then(|by| by.value_of(&message.details)) else { return 0 };
        let mut orders = self.orders.lock();
        let ulid = message.lease.ulid;
        let before = orders.get_mut(value);
        let held_ms = match before {
            Some(own) if own.ulid == ulid => {
                own.ended_ms = ended_ms;
                return 0;
            }
            Some(before) => {
                let since_ms = before.began_ms.max(message.due_ms);
                let held_ms = before.ended_ms.min(began_ms).saturating_sub(since_ms);
                *before = InOrder { ulid, began_ms, ended_ms };
                return held_ms;
            }
            None => 0,
        };
        if orders.len() >= VALUES_MAX {
            orders.clear();
        }
        orders.insert(value.to_owned(), InOrder { ulid, began_ms, ended_ms });
        held_ms
    }
}

/// The limit that lets nothing pass until then: a quota whose period ends about then, or the slowest rate.
fn refusing(policy: &QueuePolicy, now_ms: u64, wait: Option<Duration>) -> Option<LimitName> {
    let wait_ms = wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    let opens_ms = now_ms.saturating_add(wait_ms);
    let has_rate = slowest(policy).is_some();
    let is_used = |rule: &&LimitRule| {
        let boundaries_ms = rule.quota().map(|quota| quota.boundaries_ms(now_ms));
        let ends_then = |ends_ms: u64| ends_ms.abs_diff(opens_ms) < SAME_MOMENT_MS;
        boundaries_ms.is_some_and(|[_, ends_ms, _]| !has_rate || ends_then(ends_ms))
    };
    let named = policy.claim_limits().filter(is_used);
    let quota = named.min_by_key(|rule| {
        let ends_ms = rule.quota().map_or(0, |quota| quota.boundaries_ms(now_ms)[1]);
        ends_ms.abs_diff(opens_ms)
    });
    quota.or_else(|| slowest(policy).map(|(rule, _)| rule)).map(|rule| rule.name.clone())
}

/// The rate that lets the least pass.
fn slowest(policy: &QueuePolicy) -> Option<(&LimitRule, Limit)> {
    policy
        .claim_limits()
        .filter_map(|rule| Some((rule, LimitRule::rate(rule)?)))
        .max_by(|(_, one), (_, other)| one.period_us().total_cmp(&other.period_us()))
}

/// How long a rate holds what stands first at most: as long as the units of the message before it take, which are about its own.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a time in whole milliseconds"
)]
fn period_ms(limit: Limit, message: &Claimed, rule: &LimitRule) -> u64 {
    let units = message.units.of(rule.unit).max(1);
    (limit.period_us() * units as f64 / 1000.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::time::Instant;

    use super::*;
    use crate::config::testing::queue_of;
    use crate::domain::limit::Units;
    use crate::domain::message::Details;
    use crate::store::Lease;

    const NOW_MS: u64 = 1_800_000_000_000;

    /// One that was handed over and due ten minutes before, and may start at this moment.
    fn message(number: u128, slot_ms: u64, group: &str) -> Claimed {
        let ulid = Ulid::from_parts(NOW_MS - 600_000, number);
        Claimed {
            lease: Lease { ulid, shard: 0, token: String::new() },
            slot: Instant::now(),
            start_before: Instant::now(),
            attempt: 1,
            rescues: 0,
            is_in_doubt: false,
            throttles: 0,
            first_attempt_ms: 0,
            paused_at_first_ms: 0,
            due_ms: NOW_MS - 600_000,
            previous_end_ms: None,
            expires_ms: None,
            details: Details { group: Some(group.to_owned()), ..Details::default() },
            payload: Bytes::new(),
            units: Units { slot_us: slot_ms * 1000, calls: 1, messages: 1 },
            stood: Vec::new(),
            span: None,
        }
    }

    fn told(stood: &[(WaitedFor, u64)]) -> String {
        let words: Vec<String> = stood.iter().map(|(what, ms)| format!("{what}={ms}")).collect();
        words.join(" ")
    }

    /// What is noted on a message that is claimed alone.
    #[tokio::main(flavor = "current_thread")]
    async fn claimed(line: &FirstInLine, policy: &QueuePolicy, slot_ms: u64) -> String {
        let mut messages = [message(1, slot_ms, "a")];
        line.claimed(policy, &mut messages);
        told(&messages[0].stood)
    }

    #[test]
    fn who_takes_the_next_slot_of_a_rate_was_held_by_it_and_who_comes_later_was_not() {
        let (line, policy) = (FirstInLine::default(), queue_of("rate = \"1/s\""));
        assert_eq!(claimed(&line, &policy, NOW_MS), "", "nothing is known of what was before");
        assert_eq!(claimed(&line, &policy, NOW_MS + 1000), "limit:rate=1000");
        assert_eq!(claimed(&line, &policy, NOW_MS + 9000), "", "something else held it");
    }

    #[test]
    fn a_quota_is_named_that_refused_until_another_gate_holds() {
        let (line, policy) =
            (FirstInLine::default(), queue_of("limits = [{ quota = \"5/hour\" }]"));
        let wait = Some(Duration::from_secs(60));
        line.refused(&policy, NOW_MS, wait);
        line.refused(&policy, NOW_MS + 30_000, wait);
        assert_eq!(claimed(&line, &policy, NOW_MS + 60_000), "limit:quota_hour=60000");
        line.refused(&policy, NOW_MS + 100_000, wait);
        line.free_of_limits();
        assert_eq!(claimed(&line, &policy, NOW_MS + 200_000), "");
    }

    #[tokio::test]
    async fn the_one_before_it_of_its_order_key_held_it_while_it_was_tried() {
        let (line, policy) = (FirstInLine::default(), queue_of("ordering = \"group\""));
        let attempted = |number, group: &str, from_ms, to_ms| {
            let message = message(number, NOW_MS, group);
            told(&line.attempted(&policy, &message, (NOW_MS + from_ms, NOW_MS + to_ms)))
        };
        assert_eq!(attempted(1, "a", 0, 1000), "");
        assert_eq!(attempted(1, "a", 5000, 6000), "", "it does not wait for itself");
        assert_eq!(attempted(9, "b", 6000, 6500), "", "nor for another key");
        assert_eq!(attempted(2, "a", 6500, 7000), "order=6000");
    }

    #[tokio::test]
    async fn a_rate_by_key_is_named_for_the_value_that_it_held() {
        let lines = "limits = [{ rate = \"1/min\", per = \"group\", name = \"each\" }]";
        let (line, policy) = (FirstInLine::default(), queue_of(lines));
        let attempted = |number, group: &str, from_ms| {
            let message = message(number, NOW_MS, group);
            told(&line.attempted(&policy, &message, (NOW_MS + from_ms, NOW_MS + from_ms)))
        };
        assert_eq!(attempted(1, "a", 0), "");
        assert_eq!(attempted(2, "b", 30_000), "");
        assert_eq!(attempted(3, "a", 60_000), "limit:each=60000");
        assert_eq!(attempted(4, "a", 300_000), "", "something else held it");
    }
}
