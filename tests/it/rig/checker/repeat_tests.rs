//! What a failover may repeat where slots wait for the replicas.

use super::super::history::{Arrival, FaultKind, History};
use super::Rule;
use super::tests::{FIRST, SECOND_US, arrival, breaks, fault, good};

/// A failover after which each of the messages comes once more.
fn repeated(messages: u64) -> History {
    let mut history = good();
    history.queues[0].settles_at_replicas = true;
    let failover_us = arrival(4).at_us + SECOND_US / 2;
    history.faults = vec![fault(FaultKind::FailoverKill, failover_us, 1)];
    history.arrivals.extend((0..messages).map(|key| {
        let at_us = failover_us + 2 * SECOND_US + key * 1000;
        Arrival { at_us, answer_at_us: at_us + 1000, call: 90 + key, ..arrival(key) }
    }));
    history
}

#[test]
fn a_failover_repeats_at_most_what_was_in_flight() {
    let mut history = repeated(4);
    breaks(&history, &[]);
    history.queues[0].concurrency = 3;
    breaks(&history, &[Rule::RepeatsInFlight]);
    // The slot of a batch holds all its messages.
    history.queues[0].batch_max = 2;
    breaks(&history, &[]);
    history.queues[0].batch_max = 1;
    history.queues[0].settles_at_replicas = false;
    breaks(&history, &[]);
}

#[test]
fn what_the_death_of_a_node_repeats_is_not_the_failovers() {
    let mut history = repeated(4);
    history.queues[0].concurrency = 3;
    let mut kill = fault(FaultKind::DaemonKill, arrival(4).at_us, 0);
    kill.life = Some(FIRST);
    history.faults.push(kill);
    // Its leases had not ended, and so its slots were taken.
    breaks(&history, &[Rule::RepeatsInFlight]);
    history.queues[0].lease_ms = 500;
    breaks(&history, &[]);
}
