//! No call holds Redis up: what a call of each verb costs the one thread of Redis that serves everybody.
//!
//! Counted is the time on a processor, as the kernel tells it: how long the machine let that thread wait for one is not the
//! call's. The aim is 5 ms; the bound here is wider, for slow machines. The figures are printed.

use std::sync::Arc;

use tidegate::domain::message::When;
use tidegate::domain::state::State;
use tidegate::store::{Audit, Lease, Verb};

use super::ground::Ground;
use super::node::{HOUR_MS, Node, With, message};

/// Due at one instant.
const MANY: usize = 20_000;
/// A call of a verb, in the mean of those that were made for one step below.
const CALL_US_MAX: u64 = 15_000;

/// What the thread that serves everybody has done since the server started.
#[derive(Debug, Clone, Copy)]
struct Done {
    calls: u64,
    cpu_us: u64,
}

impl Done {
    async fn of(ground: &Ground) -> Self {
        let server = ground.server();
        let cpu: String = server.cli(&["INFO", "cpu"]).await;
        let seconds = |name: &str| -> f64 {
            let line = cpu.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.expect("Redis 7 tells it").trim().parse().expect("seconds")
        };
        let seconds = seconds("used_cpu_sys_main_thread") + seconds("used_cpu_user_main_thread");
        let commands: String = server.cli(&["INFO", "commandstats"]).await;
        let calls = |line: &str| {
            let rest =
                line.strip_prefix("cmdstat_eval").and_then(|rest| rest.split_once(":calls="));
            rest.and_then(|(_, rest)| rest.split(',').next()?.parse::<u64>().ok())
        };
        let calls = commands.lines().filter_map(calls).sum();
        let cpu_us = std::time::Duration::from_secs_f64(seconds).as_micros();
        Self { calls, cpu_us: u64::try_from(cpu_us).expect("it has not run for so long") }
    }
}

/// Looks at the calls that were made since it was made or asked last.
struct Meter<'a> {
    ground: &'a Ground,
    before: Done,
}

impl<'a> Meter<'a> {
    async fn of(ground: &'a Ground) -> Self {
        Self { ground, before: Done::of(ground).await }
    }

    /// What was made before does not count.
    async fn reset(&mut self) {
        self.before = Done::of(self.ground).await;
    }

    async fn holds_nobody_up(&mut self, what: &str) {
        let now = Done::of(self.ground).await;
        let calls = now.calls - self.before.calls;
        assert!(calls > 0, "{what} made no call");
        let call_us = (now.cpu_us - self.before.cpu_us) / calls;
        println!("{what}: {call_us} us in the mean of {calls}");
        assert!(call_us < CALL_US_MAX, "{what} holds Redis up for {call_us} us");
        self.reset().await;
    }
}

async fn take(node: &Node) -> Vec<Lease> {
    let leases: Vec<_> = node.take(250).await.into_iter().map(|claimed| claimed.lease).collect();
    assert_eq!(leases.len(), 250);
    leases
}

#[tokio::test]
async fn no_call_holds_redis_up() {
    let ground = Ground::in_memory().await;
    let server = ground.server();
    let node = ground.node("concurrency = 100000").await;
    let hasty = ground.node_shaped("concurrency = 100000", |policy| policy.lease_ms = 1).await;
    let mut meter = Meter::of(&ground).await;
    let body = "x".repeat(1000);
    let due_ms = ground.now_ms().await + 5000;
    for _ in 0..MANY / 1000 {
        let sent = message(&body).due(When::At(due_ms)).expires(When::After(HOUR_MS));
        node.store.messages.schedule(&node.name, vec![sent; 1000]).await.unwrap();
    }
    meter.holds_nobody_up("schedule").await;
    ground.passes(due_ms).await;
    let mut moved = 0;
    while moved < MANY {
        moved += usize::try_from(node.promote().await).unwrap();
    }
    meter.holds_nobody_up("promote").await;

    for verb in
        [Verb::Ack, Verb::Retry, Verb::Release, Verb::Defer, Verb::Bury, Verb::Park, Verb::Renew]
    {
        for _ in 0..4 {
            let leases = take(&node).await;
            meter.holds_nobody_up("claim").await;
            node.settle(verb, &leases).await;
            meter.holds_nobody_up(verb.as_str()).await;
        }
    }
    for _ in 0..4 {
        take(&hasty).await;
    }
    ground.passes(ground.now_ms().await + 1).await;
    meter.reset().await;
    for _ in 0..4 {
        let reaped = node.store.messages.reap(&node.queue, node.shard()).await.unwrap().reaped;
        assert_eq!(reaped, 250);
    }
    meter.holds_nobody_up("reap").await;
    for state in State::ALL {
        node.store.messages.list(&node.name, state, 1000, None).await.unwrap();
    }
    meter.holds_nobody_up("list and get, 1000").await;
    node.counts().await;
    meter.holds_nobody_up("count").await;
    server.cli::<()>(&["LTRIM", &ground.key("ready:0"), "100", "-1"]).await;
    let mut audit = Audit::new(Arc::clone(&node.queue), Arc::clone(node.shard()), true);
    let mut found = 0;
    while !audit.is_done() {
        found += node.store.audits.step(&mut audit).await.unwrap().len();
    }
    assert_eq!(found, 100);
    meter.holds_nobody_up("books, audit, mend").await;
    node.store.messages.requeue_all(&node.name, State::Dead, MANY).await.unwrap();
    meter.holds_nobody_up("requeue").await;
    // From here on everything that waits has expired.
    let brief = message("m").due(When::After(HOUR_MS)).expires(When::After(0));
    node.store.messages.schedule(&node.name, vec![brief; 1000]).await.unwrap();
    meter.reset().await;
    assert_eq!(node.store.messages.expire(&node.queue, node.shard()).await.unwrap().moved, 250);
    meter.holds_nobody_up("expire").await;
    node.store.messages.purge(&node.name, State::Ready, u64::MAX).await.unwrap();
    meter.holds_nobody_up("purge ready").await;
    node.store.messages.purge(&node.name, State::Cancelled, u64::MAX).await.unwrap();
    meter.holds_nobody_up("purge cancelled").await;
}
