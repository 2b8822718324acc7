//! What this node sees of the store, the nodes and the ways in.

use crate::api::Door;
use crate::api::auth::Caller;
use crate::domain::doctor::nodes::NodeFacts;
use crate::domain::doctor::store::{IntakeRefusal, StoreFacts};
use crate::domain::doctor::{About, Finding, not_checked, ways_in};
use crate::store::{NodeInfo, StoreError};

/// What is seen of the store; and why it cannot be reached, if nothing more can be asked.
pub(super) async fn of_store(door: &Door) -> (StoreFacts, Option<String>) {
    let store = door.store();
    let refusal = match door.open_for_intake() {
        Err(_) => Some(IntakeRefusal::Draining),
        Ok(()) => door.readiness.probe(door).await.err().as_ref().map(refusal),
    };
    let health = store.servers.health();
    let facts = StoreFacts {
        is_up: health.is_up(),
        unfit: health.why_unfit(),
        short_of: store.servers.short_of(),
        durability: health.achieved(),
        has_clock_alarm: store.clock_alarms.standing().is_some(),
        was_erased: store.metrics().store.store_erased.get() > 0,
        refusal,
    };
    let why_away = match &facts.refusal {
        Some(IntakeRefusal::NotDurable(why) | IntakeRefusal::Unfit(why)) if !facts.is_up => {
            Some(why.clone())
        }
        _ => None,
    };
    (facts, why_away)
}

fn refusal(error: &StoreError) -> IntakeRefusal {
    let why = error.to_string();
    match error {
        StoreError::Full(_) => IntakeRefusal::Full(why),
        StoreError::Unfit(_) => IntakeRefusal::Unfit(why),
        _ => IntakeRefusal::NotDurable(why),
    }
}

/// What is wrong with topics and streams that the caller reaches.
pub(super) async fn of_ways_in(door: &Door, caller: &Caller) -> Vec<Finding> {
    let store = door.store();
    let mut findings = Vec::new();
    for topic in store.topics.all() {
        if !caller.reaches_topic(&topic.policy) {
            continue;
        }
        let name = topic.policy.name.as_str();
        match store.topics.outstanding(&topic).await {
            Ok(outstanding) => {
                findings.extend(ways_in::of_topic(name, outstanding.oldest_age_ms.unwrap_or(0)));
            }
            Err(error) => {
                findings.push(not_checked(About::Topic(name.to_owned()), &error.to_string()));
            }
        }
    }
    if store.inbox.is_enabled() {
        match of_inbox(door, caller).await {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(not_checked(About::Inbox, &error.to_string())),
        }
    }
    findings
}

async fn of_inbox(door: &Door, caller: &Caller) -> Result<Vec<Finding>, StoreError> {
    let store = door.store();
    let queues = store.queues.all();
    let names = queues.iter().filter(|queue| !queue.retired).map(|queue| &queue.policy.name);
    let names: Vec<_> = names.filter(|name| caller.reaches(name)).cloned().collect();
    let backlogs = store.inbox.glance(&names).await?;
    let now_ms = store.clock().require_ms()?;
    let late = backlogs.iter().filter(|(_, backlog)| backlog.entries > 0);
    let late = late.filter_map(|(name, backlog)| {
        ways_in::of_stream(name, now_ms.saturating_sub(backlog.oldest_ms?))
    });
    let mut findings: Vec<_> = late.collect();
    let stray = store.inbox.stray_streams().await?.unwrap_or(0);
    findings.extend(ways_in::of_inbox(store.inbox.rejected().await?, stray));
    Ok(findings)
}

/// What is seen of a node.
pub(super) fn node(node: NodeInfo) -> NodeFacts {
    let NodeInfo { id, host, config_hash, record_version, .. } = node;
    NodeFacts { id, host, config_hash, record_version }
}
