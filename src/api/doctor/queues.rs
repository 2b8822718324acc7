//! What this node sees of the queues, and what is wrong with each.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use super::IdleTime;
use crate::api::auth::Caller;
use crate::api::{Door, backlog};
use crate::config::certificates_of_queue;
use crate::domain::doctor::queue::{PauseFacts, QueueFacts, RefusedFacts, ShutFacts, of_queue};
use crate::domain::doctor::{About, Finding, not_checked, of_certificate};
use crate::domain::gates::{Gates, gates};
use crate::domain::human::why_failed;
use crate::domain::id::QueueName;
use crate::domain::keys::WithoutEffect;
use crate::domain::limit::{LimitName, LimitRule};
use crate::domain::message::Message;
use crate::domain::policy::QueuePolicy;
use crate::domain::state::State;
use crate::store::{Part, Queue, Store, StoreError};
use crate::telemetry::QueueLabel;
use crate::wire::queue::{GateKind, GateKindWord};

/// The time between two looks at a queue whose oldest message is old: does its age grow?
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// Queues looked at at once.
const LOOKED_AT_ONCE: usize = 16;

/// Everything that is wrong with the queues that the caller reaches, by name, and how long nothing was done between two looks.
pub(super) async fn findings(door: &Door, caller: &Caller) -> (Vec<Finding>, IdleTime) {
    let mut queues = door.store().queues.all();
    queues.retain(|queue| caller.reaches(&queue.policy.name));
    let looks = queues.into_iter().map(|queue| Seen::now(door, queue, None));
    let mut seen: Vec<Seen> = stream::iter(looks).buffered(LOOKED_AT_ONCE).collect().await;
    let mut idle = IdleTime::default();
    if seen.iter().any(|seen| seen.age_ms_to_compare().is_some()) {
        tokio::time::sleep(SECOND_LOOK).await;
        idle = IdleTime(SECOND_LOOK);
        let looks = seen.into_iter().map(|seen| seen.again(door));
        seen = stream::iter(looks).buffered(LOOKED_AT_ONCE).collect().await;
    }
    (judged(seen, &door.store().clock().require_ms()), idle)
}

fn of_certificates(policy: &QueuePolicy, now_ms: u64) -> impl Iterator<Item = Finding> {
    let faults = certificates_of_queue(policy, now_ms).into_iter();
    faults.map(|it| of_certificate(&policy.name, &it.key, &it.what, it.remedy))
}

fn judged(seen: Vec<Seen>, now_ms: &Result<u64, StoreError>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut why_away = None;
    for Seen { queue, facts } in seen {
        match (facts, now_ms) {
            (Ok(facts), Ok(now_ms)) => {
                findings.extend(of_certificates(&queue.policy, *now_ms));
                findings.extend(of_queue(&facts, *now_ms));
            }
            // It is the same for all of them, and said once.
            (Err(error @ StoreError::Unavailable(_)), _) => why_away = Some(error.to_string()),
            (Err(error), _) => {
                findings.push(not_checked((&queue.policy.name).into(), &error.to_string()));
            }
            (Ok(_), Err(error)) => why_away = Some(error.to_string()),
        }
    }
    findings.extend(why_away.map(|why| not_checked(About::Store, &why)));
    findings
}

/// A queue, and what was seen of it.
struct Seen {
    queue: Arc<Queue>,
    facts: Result<QueueFacts, StoreError>,
}

impl Seen {
    async fn now(door: &Door, queue: Arc<Queue>, age_ms_before: Option<u64>) -> Self {
        let facts = facts(door, &queue, age_ms_before).await;
        Self { queue, facts }
    }

    /// The age of its oldest message, if a second look is to show whether it grows.
    fn age_ms_to_compare(&self) -> Option<u64> {
        let facts = self.facts.as_ref().ok().filter(|facts| facts.needs_second_look());
        facts.and_then(|facts| facts.oldest_free_age_ms)
    }

    async fn again(self, door: &Door) -> Self {
        match self.age_ms_to_compare() {
            None => self,
            before_ms => Self::now(door, self.queue, before_ms).await,
        }
    }
}

async fn facts(
    door: &Door,
    queue: &Queue,
    age_ms_before: Option<u64>,
) -> Result<QueueFacts, StoreError> {
    let (store, policy) = (door.store(), &queue.policy);
    let name = &policy.name;
    let counts = store.queues.counts(name).await?;
    let gates = gates(policy, &counts.snapshot(policy), Some(store.clock().require_ms()?));
    let quotas = if counts.of(State::Ready) > 0 && policy.quotas().next().is_some() {
        quotas_of_first(door, name, &gates).await
    } else {
        Vec::new()
    };
    let has_quota_by_key =
        policy.limits.iter().any(|limit| limit.per.is_some() && limit.quota().is_some());
    let too_costly = if counts.of(State::Ready) > 0 && has_quota_by_key {
        too_costly(door, policy).await
    } else {
        Vec::new()
    };
    let dead_example =
        if counts.of(State::Dead) > 0 { dead_example(door, name).await } else { None };
    let label = QueueLabel { queue: name.to_string() };
    let metrics = &store.metrics().queue;
    let left_alone = [&metrics.callback_hosts_left_alone, &metrics.hosts_left_alone];
    let left_alone: i64 =
        left_alone.iter().filter_map(|hosts| hosts.get(&label)).map(|hosts| hosts.get()).sum();
    Ok(QueueFacts {
        name: name.clone(),
        is_pulled: policy.downstream.capabilities().is_pulled,
        is_retired: queue.retired,
        gates,
        quotas,
        waiting: counts.of(State::Scheduled) + counts.of(State::Ready),
        leased: counts.of(State::Leased),
        dead: counts.of(State::Dead),
        dead_example,
        uncertain: counts.of(State::Uncertain),
        oldest_free_age_ms: counts.oldest_free_age_ms,
        oldest_free_age_ms_before: age_ms_before,
        pause: counts.paused.map(|paused| PauseFacts { by: paused.by, reason: paused.reason }),
        shut: counts.gate.map(|(_, kind, reason)| ShutFacts {
            is_throttle: GateKindWord::of(&kind).is(GateKind::Throttle),
            reason,
        }),
        failing: counts.failing,
        lost: metrics.rollback_lost.get(&label).map_or(0, |lost| lost.get()),
        hosts_left_alone: u64::try_from(left_alone).unwrap_or(0),
        follows: queue.structure().is_some_and(|structure| !structure.is_own),
        refused: queue.refusals.standing(queue).map(|refusals| RefusedFacts {
            count: refusals.count,
            what: backlog::reason(&refusals.full, policy),
        }),
        too_costly,
        keys_without_effect: keys_without_effect(store, name).await?,
    })
}

/// The quotas that hold the first ready message; where it cannot be read, those that are used.
async fn quotas_of_first(
    door: &Door,
    name: &QueueName,
    gates: &Gates,
) -> Vec<(LimitName, Option<u64>)> {
    let page = door.store().messages.list_part(name, State::Ready, Part::Head, 1, None).await;
    let first = page.ok().and_then(|page| page.messages.into_iter().next());
    let gates = first.map_or_else(|| gates.clone(), |message| gates.of_message(&message));
    gates.used_quotas().map(|(limit, until_ms)| (limit.clone(), until_ms)).collect()
}

/// Ready messages looked at for one that costs more than a quota by key.
const COSTS_LOOKED_AT: usize = 100;

/// The quotas by key that are smaller than the cost of a message, of those that are ready and listed first.
async fn too_costly(door: &Door, policy: &QueuePolicy) -> Vec<(LimitName, String)> {
    let messages = &door.store().messages;
    let page = messages.list_part(&policy.name, State::Ready, Part::Head, COSTS_LOOKED_AT, None);
    let found = page.await.map(|page| page.messages).unwrap_or_default();
    // What a key was given at run time counts, so that the scripts are asked: of a message that never passes nobody knows when.
    let holds = messages.key_holds(&policy.name, &found).await.unwrap_or_default();
    let quotas = policy.limits.iter().filter(|limit| limit.per.is_some());
    let quotas = quotas.filter(|limit| limit.quota().is_some());
    let each = quotas.filter_map(|LimitRule { name, .. }| {
        let never_passes = |message: &&Message| {
            let hold = holds.get(&message.id.ulid);
            hold.is_some_and(|hold| hold.limits.contains(&(name.clone(), None)))
        };
        Some((name.clone(), found.iter().find(never_passes)?.id.to_string()))
    });
    each.collect()
}

/// What keys of a queue were given at run time and has no effect.
async fn keys_without_effect(
    store: &Store,
    name: &QueueName,
) -> Result<Vec<(u64, WithoutEffect)>, StoreError> {
    let parts = store.queues.key_parts(name).await?;
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let rules = store.queues.key_rules(name).await?;
    let judged = parts.into_iter().filter_map(|(part, keys)| {
        let why = part.why_no_effect(&rules)?;
        Some((keys, WithoutEffect { part, why }))
    });
    Ok(judged.collect())
}

/// One dead message and why it is dead; where it cannot be read, the finding goes without it.
async fn dead_example(door: &Door, name: &QueueName) -> Option<(String, String)> {
    let page = door.store().messages.list_part(name, State::Dead, Part::Head, 1, None).await;
    let message = page.ok()?.messages.into_iter().next()?;
    let last = message.last_attempt.as_ref();
    let why = why_failed(
        message.reason.as_deref(),
        last.and_then(|last| last.status_code),
        last.and_then(|last| last.error.as_deref()),
    )?;
    Some((message.id.to_string(), why))
}
