//! The structure of a shard: what this node proposes, and what is in force.
//!
//! Owns the text of a structure as scripts read it (see `lua/include/lanes/structure.lua`) and what the node knows of the one that is
//! in force. Refuses to know how messages move from one to another; the scripts do.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::domain::keys::{KeyRules, LimitCap, LimitValue, MessageKey, Structure};
use crate::domain::limit::{LimitKind, LimitRule};
use crate::domain::policy::QueuePolicy;
use crate::store::StoreError;
use crate::store::queue::rules::StoredRule;
use crate::store::record::{key_name_hash, key_value_hash};
use crate::store::redis::script::ScriptForm;

/// What a node proposes for a queue.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) struct Proposal {
    /// The structure as scripts read it, each limit without its byte; empty: messages stand in ready lists.
    pub(in crate::store) lines: String,
    /// What another node needs to know to follow it.
    pub(in crate::store) rules: String,
    /// `collapse` as it stands in meta; empty: there is none.
    pub(in crate::store) collapse: String,
    /// The weights of the shares, by the hash of their value, in thousandths.
    pub(in crate::store) weights: Vec<([u8; 8], u32)>,
    /// The weight of all others.
    pub(in crate::store) default_weight: u32,
    /// The key that messages are divided among several shards by.
    shard_key: Option<MessageKey>,
}

/// What stands in Redis beside the structure, for nodes whose configuration says otherwise.
#[derive(Debug, Serialize, Deserialize)]
struct StoredRules {
    structure: Structure,
    limits: Vec<StoredRule>,
}

/// The structure in force.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct InForce {
    /// 0: there has never been one with keys or with times of `collapse`.
    pub(in crate::store) number: u64,
    /// As scripts read it, each limit without its byte.
    pub(in crate::store) lines: String,
    /// What a node needs to know that follows it, as JSON.
    pub(in crate::store) rules: String,
    /// `collapse` as it stands in meta; empty: there is none.
    pub(in crate::store) collapse: String,
    /// Messages are moving over to it.
    pub(in crate::store) is_switching: bool,
}

/// What a node knows of the structure of a shard.
#[derive(Debug, Default)]
pub(in crate::store) struct ShardStructure {
    /// The next call has to ask, or to propose, first.
    is_pending: AtomicBool,
    /// Scripts are called in the form for queues with keys.
    is_keyed: AtomicBool,
    // A plain mutex: held to compute, never across an await.
    inner: Mutex<KnownStructure>,
}

#[derive(Debug, Default)]
struct KnownStructure {
    own: Option<Proposal>,
    own_rules: Vec<LimitRule>,
    own_fair_by: Option<MessageKey>,
    proposes: bool,
    /// The limits of this node have other values than those it went by.
    has_other_values: bool,
    in_force: InForce,
    /// The limits by key that hold, in force.
    keyed: Vec<LimitRule>,
    /// What settings of single keys can be about, in force.
    key_rules: KeyRules,
    /// Another node's structure is in force, and this node goes by it.
    follows: bool,
    /// The key that messages are divided among the shards by, in force.
    shard_key: Option<MessageKey>,
}

/// What follows for a node from the structure in force.
#[derive(Debug, Default)]
pub(in crate::store) struct Learned {
    /// The limits that hold, where they are others than before.
    pub(in crate::store) limits: Option<Vec<LimitRule>>,
    /// Whether the node follows another one, where that has changed.
    pub(in crate::store) follows: Option<bool>,
}

/// How a node stands to the structure in force of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StructureStanding {
    /// The number of the structure.
    pub number: u64,
    /// It is that of the configuration of this node, which else follows another node's.
    pub is_own: bool,
    /// Messages are moving over to it.
    pub is_switching: bool,
}

impl KnownStructure {
    /// Whether the structure in force is that of this node's configuration. Where this node has none, or none is in force, nobody
    /// says otherwise.
    fn is_own(&self) -> bool {
        let own = self.own.as_ref();
        self.in_force.number == 0 || own.is_none_or(|own| own.is_in_force(&self.in_force))
    }
}

impl Proposal {
    fn is_in_force(&self, in_force: &InForce) -> bool {
        self.lines == in_force.lines && self.collapse == in_force.collapse
    }

    /// Whether a Redis that knows nothing of the queue has to be told of it.
    fn says_something(&self) -> bool {
        !self.lines.is_empty() || !self.collapse.is_empty()
    }

    pub(in crate::store) fn of(policy: &QueuePolicy) -> Self {
        let structure = policy.structure();
        let fairness = policy.fairness.as_ref();
        let weights = fairness.into_iter().flat_map(|fairness| &fairness.weights);
        let hashed = |(value, weight): (&String, &crate::domain::keys::Weight)| {
            // Messages without the key share the empty hash, which no value has.
            let hash = if value.is_empty() { [0; 8] } else { key_value_hash(value) };
            (hash, weight.thousandths())
        };
        let rules = StoredRules {
            limits: policy.limits.iter().map(StoredRule::from).collect(),
            structure: structure.clone(),
        };
        Self {
            lines: lines_of(&structure),
            collapse: structure.collapse.map_or_else(String::new, |collapse| {
                format!("{} {}", collapse.wait_ms, collapse.max_wait_ms)
            }),
            rules: serde_json::to_string(&rules).unwrap_or_default(),
            weights: weights.map(hashed).collect(),
            default_weight: fairness.map_or(1000, |fairness| fairness.weight.thousandths()),
            shard_key: structure.first_key().cloned(),
        }
    }
}

/// A structure as it stands in Redis; empty where messages stand in ready lists, and nothing is counted.
fn lines_of(structure: &Structure) -> String {
    let digits = |key: &MessageKey| {
        let [high, low] = key_name_hash(key);
        format!("{high:02x}{low:02x}")
    };
    let order = structure.order.as_ref().map(|order| {
        let (by, until, stall_ms) =
            (digits(&order.by), order.until.as_str(), order.stall_ms.unwrap_or(0));
        format!("order {by} {until} {stall_ms}\n")
    });
    let fair = structure.fair_by.as_ref().map(|by| format!("fair {}\n", digits(by)));
    let levels = format!("levels {}\n", structure.levels);
    let aging = structure.aging_ms.map(|aging_ms| format!("aging {aging_ms}\n"));
    let limits = structure.limits.iter().filter_map(|limit| {
        let per = limit.per.as_ref()?;
        Some(format!("limit {} {} {}\n", limit.kind.as_str(), digits(per), limit.name))
    });
    let backlog = structure.backlog.as_ref().map(|backlog| {
        format!("backlog {}\n", backlog.per.as_ref().map_or_else(|| "-".to_owned(), digits))
    });
    if !structure.has_lanes() {
        return backlog.unwrap_or_default();
    }
    let lanes = [order, fair, Some(levels), aging].into_iter().flatten().chain(limits);
    lanes.chain(backlog).collect()
}

/// A limit by key as claims take it at this moment.
fn line_of(
    rule: &LimitRule,
    now_ms: &dyn Fn() -> Result<u64, StoreError>,
) -> Result<String, StoreError> {
    let name = &rule.name;
    let cap = rule.cap.as_ref().map(cap_of).unwrap_or_default();
    Ok(match &rule.kind {
        LimitKind::Rate { rate, burst } => {
            format!("rate {name} {} {burst}{cap}\n", rate.period_us())
        }
        LimitKind::Quota(quota) => {
            let [from_ms, until_ms, end_ms] = quota.boundaries_ms(now_ms()?);
            let (units, period) = (quota.units(), quota.period().as_str());
            format!("quota {name} {units} {from_ms} {until_ms} {end_ms} {period}{cap}\n")
        }
        LimitKind::Concurrency(calls) => format!("concurrency {name} {calls}{cap}\n"),
    })
}

/// What an override allows single keys, as claims take it behind a limit.
fn cap_of(cap: &LimitCap) -> String {
    let word = if cap.above { "above" } else { "cap" };
    match &cap.value {
        LimitValue::Rate(rate) => format!(" {word} {}", rate.period_us()),
        LimitValue::Quota(quota) => format!(" {word} {}", quota.units()),
        LimitValue::Concurrency(calls) => format!(" {word} {calls}"),
    }
}

impl ShardStructure {
    /// From now on this is configured: the next call proposes it. `None`: the queue is not configured, and the node follows.
    pub(in crate::store) fn set(&self, policy: Option<&QueuePolicy>) {
        let mut inner = self.inner.lock();
        let before = std::mem::replace(&mut inner.own, policy.map(Proposal::of));
        let rules = |proposal: &Option<Proposal>| proposal.as_ref().map(|it| it.rules.clone());
        inner.has_other_values |= before.is_some() && rules(&before) != rules(&inner.own);
        inner.own_rules = policy.map(|policy| policy.limits.clone()).unwrap_or_default();
        inner.proposes = inner.own.is_some();
        inner.shard_key = inner.own.as_ref().and_then(|own| own.shard_key.clone());
        let fairness = policy.and_then(|policy| policy.fairness.as_ref());
        inner.own_fair_by = fairness.map(|fairness| fairness.by.clone());
        self.is_pending.store(true, Ordering::Release);
    }

    pub(in crate::store) fn is_pending(&self) -> bool {
        self.is_pending.load(Ordering::Acquire)
    }

    /// Another structure is in force than this node knows: the next call asks for it.
    pub(in crate::store) fn ask_again(&self) {
        self.is_pending.store(true, Ordering::Release);
    }

    /// In which form the scripts of this shard are called.
    pub(in crate::store) fn form(&self) -> ScriptForm {
        if self.is_keyed.load(Ordering::Acquire) { ScriptForm::Keyed } else { ScriptForm::Plain }
    }

    pub(in crate::store) fn is_switching(&self) -> bool {
        self.inner.lock().in_force.is_switching
    }

    /// How this node stands to the structure in force; `None`: there is none, and this node has none to propose.
    pub(in crate::store) fn standing(&self) -> Option<StructureStanding> {
        let inner = self.inner.lock();
        let InForce { number, lines, is_switching, .. } = &inner.in_force;
        let is_own = inner.is_own();
        let is_there = !lines.is_empty() || *is_switching || !is_own;
        is_there.then_some(StructureStanding {
            number: *number,
            is_own,
            is_switching: *is_switching,
        })
    }

    /// The number of the structure in force, as another reading told it.
    pub(in crate::store) fn compare(&self, number: u64) {
        if self.inner.lock().in_force.number != number {
            self.ask_again();
        }
    }

    /// All messages stand by the structure in force now.
    pub(in crate::store) fn switched(&self) {
        let mut inner = self.inner.lock();
        inner.in_force.is_switching = false;
        self.is_keyed.store(!inner.in_force.lines.is_empty(), Ordering::Release);
    }

    /// What the next call proposes, and whether the limits have other values than before; `None`: it only asks.
    pub(in crate::store) fn proposal(&self) -> Option<(Proposal, bool)> {
        let inner = self.inner.lock();
        let own = inner.own.clone().filter(|_| inner.proposes);
        own.map(|own| (own, inner.has_other_values))
    }

    /// Whether this node has something to propose where no structure is in force at all.
    pub(in crate::store) fn has_more_to_say(&self, in_force: &InForce) -> bool {
        let inner = self.inner.lock();
        let says_something = inner.own.as_ref().is_some_and(Proposal::says_something);
        in_force.number == 0 && says_something && !inner.proposes
    }

    pub(in crate::store) fn propose_again(&self) {
        self.inner.lock().proposes = true;
    }

    /// What Redis answered.
    ///
    /// # Errors
    /// [`StoreError::Reply`]: the rules in force cannot be read; this node cannot follow them.
    pub(in crate::store) fn learn(&self, in_force: InForce) -> Result<Learned, StoreError> {
        let mut inner = self.inner.lock();
        let has_own_keys = inner.own.as_ref().is_none_or(|own| own.lines == in_force.lines);
        let is_own = inner.own.as_ref().is_none_or(|own| own.is_in_force(&in_force));
        let followed = if has_own_keys { None } else { Some(read_rules(&in_force.rules)?) };
        if let Some((structure, _)) = &followed {
            inner.shard_key = structure.first_key().cloned();
        } else if let Some(own) = &inner.own {
            inner.shard_key = own.shard_key.clone();
        }
        let followed_fairness = followed.as_ref().map(|(structure, _)| structure.fair_by.clone());
        let followed = followed.map(|(_, rules)| rules);
        let rules = followed.as_ref().unwrap_or(&inner.own_rules).clone();
        inner.keyed = rules.iter().filter(|rule| rule.per.is_some()).cloned().collect();
        inner.key_rules = KeyRules {
            fair_by: followed_fairness.unwrap_or_else(|| inner.own_fair_by.clone()),
            limits: rules,
        };
        let is_keyed = !in_force.lines.is_empty() || in_force.is_switching;
        // An earlier switch has to end before this node's proposal can be in force.
        let waits = inner.proposes && !has_own_keys && in_force.is_switching;
        let follows = !is_own && !waits;
        let has_changed = std::mem::replace(&mut inner.follows, follows) != follows;
        let own_again = (has_changed && !follows).then(|| inner.own_rules.clone());
        inner.proposes = waits;
        inner.has_other_values &= waits;
        inner.in_force = in_force;
        self.is_keyed.store(is_keyed, Ordering::Release);
        self.is_pending.store(waits, Ordering::Release);
        Ok(Learned { limits: followed.or(own_again), follows: has_changed.then_some(follows) })
    }

    /// The key that messages are divided among several shards by; `None`: they go into any.
    pub(in crate::store) fn shard_key(&self) -> Option<MessageKey> {
        self.inner.lock().shard_key.clone()
    }

    /// What settings of single keys can be about, in force.
    pub(in crate::store) fn key_rules(&self) -> KeyRules {
        self.inner.lock().key_rules.clone()
    }

    /// Whether a rate or a quota by key holds.
    pub(in crate::store) fn has_keyed_rates(&self) -> bool {
        let inner = self.inner.lock();
        inner.keyed.iter().any(|rule| !matches!(rule.kind, LimitKind::Concurrency(_)))
    }

    /// The number of the structure, and the limits by key as claims take them at this moment.
    ///
    /// # Errors
    /// Redis has not told the time yet, by which quotas go.
    pub(in crate::store) fn keys_in_force(
        &self,
        now_ms: &dyn Fn() -> Result<u64, StoreError>,
    ) -> Result<String, StoreError> {
        let inner = self.inner.lock();
        let number = inner.in_force.number.to_string();
        if inner.keyed.is_empty() {
            return Ok(number);
        }
        let lines = inner.keyed.iter().map(|rule| line_of(rule, now_ms));
        std::iter::once(Ok(number + "\n")).chain(lines).collect()
    }
}

fn read_rules(text: &str) -> Result<(Structure, Vec<LimitRule>), StoreError> {
    let unreadable = |why: String| {
        StoreError::Reply(format!(
            "the structure in force of a queue cannot be read by this version ({why}); upgrade this node"
        ))
    };
    let stored: StoredRules =
        serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    let limits = stored.limits.into_iter().map(|rule| rule.read().map_err(&unreadable));
    Ok((stored.structure, limits.collect::<Result<_, _>>()?))
}
