//! One run: everything is started, loaded, harmed by schedule, mended, drained and read.
//!
//! Owns that order. Its seed and its plan say all of it. Refuses to judge what comes out.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::drive::{World, drive};
use super::fleet::Fleet;
use super::history::{FaultKind, History};
use super::journal::Journal;
use super::operator::Operator;
use super::producer::{Producer, Target};
use super::queues::{Cast, Kind, TOPIC};
use super::recorder::{Mood, Recorder};
use super::schedule::{Pace, Step, draw};
use super::stage::{Shape, Stage};
use super::{canary, queues, ticks};
use crate::support::Daemon;

const NODES: usize = 3;
const TICK: Duration = Duration::from_millis(300);
const SAID_EVERY: Duration = Duration::from_secs(5);
/// A lease and its grace, an outage and a long backlog: only a system that hangs meets it.
const DRAINED_WITHIN: Duration = Duration::from_secs(90);

/// What a run is to be.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) cast: Cast,
    pub(crate) shape: Shape,
    pub(crate) paces: Vec<Pace>,
    pub(crate) mood: Mood,
    /// `redis.settle = "replicas"`.
    pub(crate) settles_at_replicas: bool,
    pub(crate) size: Size,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Of each queue; a lease is the shortest that goes with it.
    pub(crate) timeout_ms: u64,
    /// For so long there is harm.
    pub(crate) length: Duration,
    /// Harm comes so much faster than its scenario says: a short run has room for little.
    pub(crate) haste: u32,
    /// Messages a second.
    pub(crate) per_s: u64,
    /// Producers wait while so many messages are not final.
    pub(crate) waiting_max: u64,
    /// Idle clients at once.
    pub(crate) clients: usize,
    /// Says every few seconds how far it is.
    pub(crate) is_loud: bool,
}

impl Size {
    /// For every test run, beside other tests.
    pub(crate) const SMALL: Self = Self {
        timeout_ms: 2000,
        length: Duration::from_secs(6),
        haste: 1,
        per_s: 250,
        waiting_max: 1000,
        clients: 300,
        is_loud: false,
    };

    /// The same where there are callbacks to wait for, too.
    pub(crate) const SHORT: Self = Self {
        timeout_ms: 500,
        length: Duration::from_secs(3),
        haste: 2,
        per_s: 150,
        ..Self::SMALL
    };

    /// For the campaign.
    pub(crate) const LARGE: Self = Self {
        timeout_ms: 1000,
        length: Duration::from_secs(100),
        haste: 1,
        per_s: 700,
        waiting_max: 4000,
        clients: 10_000,
        is_loud: true,
    };
}

impl Size {
    /// About how many messages go to a queue that gets this part of them.
    pub(crate) fn messages(&self, percent: u32) -> u64 {
        self.per_s * self.length.as_secs() * u64::from(percent) / 100
    }
}

/// What it left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) history: History,
    /// What each daemon wrote.
    pub(crate) logs: Vec<String>,
}

pub(crate) async fn run(plan: &Plan, seed: u64) -> Done {
    let journal = Journal::default();
    let mut kinds = queues::all(plan.cast, plan.shape.shards(), &plan.size);
    for kind in &mut kinds {
        kind.queue.settles_at_replicas = plan.settles_at_replicas;
    }
    let (stage, recorder) = tokio::join!(Stage::start(plan.shape), Recorder::start(seed));
    let toml = queues::toml(&kinds, recorder.port());
    let wires = if plan.harms_wires() { stage.wires(NODES).await } else { Vec::new() };
    let settle = if plan.settles_at_replicas { "replicas" } else { "level" };
    let options = (0..NODES).map(|node| {
        stage.daemon(&toml, wires.get(node)).environment("TIDEGATE__REDIS__SETTLE", settle)
    });
    let options = options.collect();
    let fleet = Fleet::start(options, &journal).await;
    recorder.set_mood(&plan.mood).await;

    let queues: Vec<_> = kinds.iter().map(|kind| kind.queue.clone()).collect();
    let mut operator = Operator::new(fleet.http(), queues.clone(), recorder.arrivals());
    let producer = producer(plan.size.per_s, seed, &fleet, &kinds);
    let ports = fleet.ports();
    let (mood, cast, clients) = (plan.mood, plan.cast, plan.size.clients);
    let stage = tokio::sync::Mutex::new(stage);
    let journal_of_world = journal.clone();
    let world = World { fleet, stage, wires, recorder, mood, cast, ports, clients, journal };
    let (world, journal) = (Arc::new(world), journal_of_world);

    let steps = draw(seed, &plan.paces, plan.size.length, NODES);
    let harming = async {
        let ticked_until_us = harm(&world, &steps, plan).await;
        producer.is_over.store(true, Ordering::Relaxed);
        ticked_until_us
    };
    let producing = Arc::clone(&producer).run();
    let watching = async {
        let is_drained = watch(plan, &mut operator, &producer, &journal).await;
        (is_drained, operator)
    };
    let mut lags = Vec::new();
    let running = async { tokio::join!(harming, producing, watching) };
    let (ticked_until_us, (), (is_drained, operator)) = tokio::select! {
        ended = running => ended,
        () = canary::ask(world.recorder.port(), &mut lags) => unreachable!("it never ends"),
    };

    let mut left = if is_drained { Vec::new() } else { operator.left().await };
    if !is_drained && left.is_empty() {
        left.push("an event of a topic, or a receipt".to_owned());
    }
    let arrivals = world.recorder.arrivals().read();
    let mut sent = producer.take_ledger();
    sent.extend(ticks::owed(&queues, &arrivals, ticked_until_us));
    let history = History {
        queues,
        finals: operator.finals().await,
        sent,
        arrivals,
        told: world.recorder.told(),
        probes: world.recorder.probes(),
        receipts: operator.receipts,
        faults: journal.faults(),
        decisions: operator.decisions,
        moves: operator.moves,
        left,
        stall_us: 0,
        lags,
    };
    let world = Arc::into_inner(world).expect("nobody else holds it any more");
    let daemons = world.fleet.dismiss().await;
    Done { history, logs: daemons.iter().map(Daemon::log).collect() }
}

/// Harms by schedule and mends; returns until when a schedule has ticked.
async fn harm(world: &Arc<World>, steps: &[Step], plan: &Plan) -> u64 {
    let end = Instant::now() + plan.size.length;
    drive(world, steps).await;
    tokio::time::sleep_until(end).await;
    world.mend().await;
    match plan.cast {
        Cast::Usual => 0,
        Cast::Outcomes => ticks::end(world.fleet.http()).await,
    }
}

fn producer(per_s: u64, seed: u64, fleet: &Fleet, kinds: &[Kind]) -> Arc<Producer> {
    Arc::new(Producer {
        seed,
        nodes: fleet.http().to_vec(),
        targets: targets(kinds),
        per_s,
        ledger: Mutex::default(),
        accepted: AtomicUsize::new(0),
        is_held: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        keys: AtomicU64::new(0),
        requests: AtomicUsize::new(0),
        has_ended: AtomicBool::new(false),
    })
}

/// A queue each, and one topic for all that subscribe.
fn targets(kinds: &[Kind]) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for (number, Kind { queue, percent, subscribes, .. }) in kinds.iter().enumerate() {
        if let Some(topic) = targets.last_mut().filter(|last| *subscribes && last.is_topic) {
            topic.queues.push(number);
            topic.names.push(queue.name.clone());
            continue;
        }
        let of =
            if *subscribes { format!("topics/{TOPIC}") } else { format!("queues/{}", queue.name) };
        targets.push(Target {
            path: format!("/v1/{of}/messages"),
            queues: vec![number],
            names: vec![queue.name.clone()],
            percent: *percent,
            is_topic: *subscribes,
            is_batched: queue.batch_max > 1,
            has_keys: queue.has_keys(),
            has_costs: queue.limits.len() > 1,
            collapses: queue.collapses,
        });
    }
    targets
}

impl Plan {
    fn harms_wires(&self) -> bool {
        self.paces.iter().any(|(harm, _)| harm.is_on_a_wire())
    }
}

/// Keeps an eye on a run until it is drained; says whether it was.
async fn watch(
    plan: &Plan,
    operator: &mut Operator,
    producer: &Producer,
    journal: &Journal,
) -> bool {
    let (mut over_at, mut said_at, began) = (None, Instant::now(), Instant::now());
    loop {
        tokio::time::sleep(TICK).await;
        let waiting = operator.waiting().await;
        if let Some(waiting) = waiting {
            producer.is_held.store(waiting > plan.size.waiting_max, Ordering::Relaxed);
        }
        operator.decide().await;
        if plan.size.is_loud && said_at.elapsed() > SAID_EVERY {
            said_at = Instant::now();
            eprintln!(
                "  {:>4} s  {} accepted, {} arrived, {} waiting, {} daemon kills, {} Redis kills",
                began.elapsed().as_secs(),
                producer.accepted.load(Ordering::Relaxed),
                operator.arrived,
                waiting.map_or("?".to_owned(), |waiting| waiting.to_string()),
                journal.count(FaultKind::DaemonKill),
                journal.count(FaultKind::RedisKill),
            );
        }
        if producer.has_ended.load(Ordering::Relaxed) {
            if waiting == Some(0) && operator.has_told() {
                return true;
            }
            let over_at = *over_at.get_or_insert_with(Instant::now);
            if over_at.elapsed() > DRAINED_WITHIN {
                return false;
            }
        }
    }
}
