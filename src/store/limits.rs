//! The limits that queues share.
//!
//! Owns what operators see of them, and what they charge. Refuses to know how calls take units (see `messages::shared`).

use std::sync::Arc;

use crate::domain::limit::{LimitName, LimitRule, LimitStanding, StackedLimits, Units};
use crate::store::StoreError;
use crate::store::redis::script::{call, fields};
use crate::store::wire::Wire;
use crate::store::wire::standing::{CHARGED, SharedStanding};

/// For how long the idempotency key of a charge is recognised, at least, in milliseconds.
const KEYS_KEPT_MS: u64 = 86_400_000;

/// The limits that queues share; cheap to clone.
#[derive(Debug, Clone)]
pub struct Limits {
    wire: Wire,
}

/// How a shared limit stands.
#[derive(Debug, Clone)]
pub struct SharedLimit {
    /// What is configured.
    pub rule: Arc<LimitRule>,
    /// How it stands.
    pub standing: LimitStanding,
    /// What each queue has used: of a quota in this period, of a rate in the last minute.
    pub by_queue: Vec<(String, u64)>,
    /// Of a quota: what was charged in this period.
    pub charged: u64,
}

/// What came of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charged {
    /// It counts now.
    Done,
    /// It had been charged under this key already.
    Already,
    /// Something else had been charged under this key.
    OtherContent,
}

impl Limits {
    pub(super) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone() }
    }

    /// All that are configured, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<LimitRule>> {
        self.wire.accounts.configured().into_values().collect()
    }

    /// One that is configured.
    #[must_use]
    pub fn get(&self, name: &LimitName) -> Option<Arc<LimitRule>> {
        self.wire.accounts.configured().remove(name)
    }

    /// How a limit stands.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn standing(&self, rule: Arc<LimitRule>) -> Result<SharedLimit, StoreError> {
        let now_ms = self.wire.time_ms().await?;
        let SharedStanding { kept, used } = self.wire.shared_standing(&rule).await?;
        let standing = of_rule(&rule, (&kept.standing, &kept.debt), now_ms)?;
        let (mut by_queue, mut charged) = (Vec::new(), 0);
        for (who, text) in used {
            let units = of_rule(&rule, (&text, ""), now_ms)?.used_units(now_ms);
            if who == CHARGED {
                charged = units;
            } else if units > 0 {
                by_queue.push((who, units));
            }
        }
        by_queue.sort();
        Ok(SharedLimit { rule, standing, by_queue, charged })
    }

    /// Charges units of a quota that others used or, below zero, gave back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: without a key nobody can know whether it was charged.
    pub async fn charge(
        &self,
        rule: &LimitRule,
        units: i64,
        (key, fingerprint): (&str, &str),
    ) -> Result<Charged, StoreError> {
        let account = self.wire.account(rule);
        let limit_lines = account.shard.limits().quota_lines(self.wire.time_ms().await?);
        let call = call!(
            Charge,
            node = self.wire.node().as_str(),
            limit_lines = &*limit_lines,
            units = units,
            key = key,
            fingerprint = fingerprint,
            keep_ms = KEYS_KEPT_MS,
        );
        let mut reply = self.wire.call_durably(&account.shard, &call).await?;
        fields!(reply as Charge; code: i64, now_ms: u64);
        match code {
            0 => {
                if let Ok(units) = u64::try_from(units) {
                    let units = Units { slot_us: now_ms * 1000, calls: units, messages: units };
                    account.shard.limits().started(units);
                }
                self.wake_queues(rule);
                Ok(Charged::Done)
            }
            1 => Ok(Charged::Already),
            _ => Ok(Charged::OtherContent),
        }
    }

    /// What waits for the limit looks again: it may have more units now.
    fn wake_queues(&self, rule: &LimitRule) {
        for queue in self.wire.queues() {
            if queue.policy.limits.iter().any(|limit| limit.shared && limit.name == rule.name) {
                queue.look_everywhere();
                queue.ready.notify_one();
            }
        }
    }
}

/// A limit as it is kept.
fn of_rule(
    rule: &LimitRule,
    (kept, debt): (&str, &str),
    now_ms: u64,
) -> Result<LimitStanding, StoreError> {
    #[expect(clippy::cast_precision_loss, reason = "microseconds stay below 2^53 until 2255")]
    let now_us = (now_ms * 1000) as f64;
    let stacked = StackedLimits::read([(rule, kept, debt)], (now_us, 0.0), now_ms);
    let limit = stacked.limits().first().map(|limit| limit.standing.clone());
    limit.ok_or_else(|| StoreError::Reply("a shared limit is a rate or a quota".to_owned()))
}
