//! What the rig does to the daemon: each scenario small in every test run, large in the campaign.
//!
//! Owns the table of scenarios and the judging of a run. Refuses to know how harm is done.

use std::time::Duration;

use super::checker::{Report, check};
use super::history::History;
use super::keeping::keep;
use super::met::{assert_met, assert_met_limits, assert_met_order};
use super::queues::Cast;
use super::recorder::Mood;
use super::run::{Done, Plan, Size, run};
use super::schedule::Harm;
use super::stage::Shape;

/// Seeds that every test run repeats: one that was chosen, and those that failed once.
const SEEDS: &str = include_str!("seeds.txt");

/// One thing that may happen to the system, or several at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    shape: Shape,
    /// Each harm and its mean distance in milliseconds.
    harms: &'static [(Harm, u64)],
    cast: Cast,
    mood: Mood,
    settles_at_replicas: bool,
    /// In the campaign, of all time, in percent.
    pub(crate) percent: u32,
}

pub(crate) const SCENARIOS: [Scenario; 22] = [
    on(SINGLE, "single", 30, &[(Harm::KillDaemon, 1700), (Harm::KillRedis, 5500)]),
    outcomes("outcomes", 10, &[(Harm::KillDaemon, 1700), (Harm::KillRedis, 5500)]),
    outcomes("outcome-points", 5, &[(Harm::ArmDaemon, 1200)]),
    on(SINGLE, "daemons", 4, &[(Harm::KillDaemon, 1000), (Harm::StopDaemon, 4000)]),
    on(SINGLE, "failpoints", 8, &[(Harm::ArmDaemon, 1200)]),
    on(SINGLE, "pauses", 4, &[(Harm::PauseDaemon, 9000), (Harm::KillDaemon, 8000)]),
    on(
        SINGLE,
        "wires",
        6,
        &[
            (Harm::CutWire, 1500),
            (Harm::HalveReply, 1500),
            (Harm::BlackholeWire, 9000),
            (Harm::DelayWire, 6000),
        ],
    ),
    on(SINGLE, "clocks", 4, &[(Harm::StepClock, 3000)]),
    on(SINGLE, "memory", 2, &[(Harm::FillMemory, 5000)]),
    on(SINGLE, "disk", 2, &[(Harm::FillDisk, 7000)]),
    on(SINGLE, "downstream", 4, &[(Harm::SpoilDownstream, 4500)]),
    on(SINGLE, "clients", 4, &[(Harm::IdleClients, 4000), (Harm::KillDaemon, 5000)]),
    on(SENTINEL, "sentinel-kill", 5, &[(Harm::FailoverKill, 7000)]),
    on(SENTINEL, "sentinel-pause", 5, &[(Harm::FailoverPause, 7000)]),
    on(SENTINEL, "sentinel-planned", 5, &[(Harm::FailoverPlanned, 7000)]),
    on(CLUSTER, "cluster-kill", 5, &[(Harm::FailoverKill, 7000)]),
    on(CLUSTER, "cluster-pause", 5, &[(Harm::FailoverPause, 7000)]),
    on(CLUSTER, "cluster-planned", 5, &[(Harm::FailoverPlanned, 6000)]),
    settled(SENTINEL, "sentinel-kill-settled", 3, &[(Harm::FailoverKill, 7000)]),
    settled(SENTINEL, "sentinel-pause-settled", 3, &[(Harm::FailoverPause, 7000)]),
    settled(CLUSTER, "cluster-kill-settled", 3, &[(Harm::FailoverKill, 7000)]),
    on(CLUSTER, "reshard", 4, &[(Harm::Reshard, 3000), (Harm::KillDaemon, 6000)]),
];

const SINGLE: Shape = Shape::Single;
const SENTINEL: Shape = Shape::Sentinel;
const CLUSTER: Shape = Shape::Cluster;

const fn on(
    shape: Shape,
    name: &'static str,
    percent: u32,
    harms: &'static [(Harm, u64)],
) -> Scenario {
    Scenario {
        name,
        shape,
        harms,
        cast: Cast::Usual,
        mood: Mood::EVERYDAY,
        settles_at_replicas: false,
        percent,
    }
}

/// The same with `redis.settle = "replicas"`: a failover repeats at most what was in flight.
const fn settled(
    shape: Shape,
    name: &'static str,
    percent: u32,
    harms: &'static [(Harm, u64)],
) -> Scenario {
    Scenario { settles_at_replicas: true, ..on(shape, name, percent, harms) }
}

/// Callbacks, receipts, probes, a topic and a schedule, before a downstream that books in silence.
const fn outcomes(name: &'static str, percent: u32, harms: &'static [(Harm, u64)]) -> Scenario {
    Scenario { cast: Cast::Outcomes, mood: Mood::COSTLY, ..on(SINGLE, name, percent, harms) }
}

impl Scenario {
    pub(crate) fn of(name: &str) -> Self {
        let found = SCENARIOS.into_iter().find(|scenario| scenario.name == name);
        found.unwrap_or_else(|| {
            let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            panic!("no scenario {name:?}; there are {}", names.join(", "))
        })
    }

    pub(crate) fn plan(&self, size: Size) -> Plan {
        let every = |(harm, ms): &(Harm, u64)| (*harm, Duration::from_millis(*ms) / size.haste);
        Plan {
            cast: self.cast,
            shape: self.shape,
            paces: self.harms.iter().map(every).collect(),
            mood: self.mood,
            settles_at_replicas: self.settles_at_replicas,
            size,
        }
    }
}

/// Judges a run; keeps its history where something is wrong.
pub(crate) fn judge(scenario: &Scenario, seed: u64, done: &Done) -> Report {
    let report = check(&done.history);
    if !report.breaches.is_empty() {
        let folder = keep(scenario.name, seed, done);
        eprintln!("{} with seed {seed}: {report}history: {}", scenario.name, folder.display());
    }
    report
}

/// The small version of a scenario, with each of its seeds.
async fn holds(name: &str) -> Vec<History> {
    let scenario = Scenario::of(name);
    let lines = SEEDS.lines().filter_map(|line| line.split_once(' '));
    let seeds: Vec<u64> = lines
        .filter(|(scenario, _)| *scenario == name)
        .map(|(_, seed)| seed.parse().expect("a seed is a number"))
        .collect();
    assert!(!seeds.is_empty(), "{name} has no seed in seeds.txt");
    let mut histories = Vec::new();
    for seed in seeds {
        let size = if scenario.cast == Cast::Outcomes { Size::SHORT } else { Size::SMALL };
        let done = run(&scenario.plan(size), seed).await;
        judge(&scenario, seed, &done).expect_good();
        histories.push(done.history);
    }
    histories
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_daemons_and_a_killed_redis() {
    for history in holds("single").await {
        assert_met_limits(&history);
        assert_met_order(&history);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_daemons_and_a_killed_redis_and_all_that_follows_a_delivery() {
    holds("outcomes").await.iter().for_each(assert_met);
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_die_at_each_boundary_of_what_follows_a_delivery() {
    holds("outcome-points").await.iter().for_each(assert_met);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_stopped_daemons() {
    holds("daemons").await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_die_at_each_boundary() {
    holds("failpoints").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_stand_still_for_longer_than_a_lease() {
    holds("pauses").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wires_to_redis_that_break_and_fall_silent() {
    holds("wires").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps() {
    holds("clocks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_memory() {
    holds("memory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_disk() {
    holds("disk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downstream_in_bad_moods() {
    holds("downstream").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_say_nothing() {
    holds("clients").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_master_that_dies() {
    holds("sentinel-kill").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_master_that_dies_where_slots_wait_for_the_replicas() {
    holds("sentinel-kill-settled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_master_that_stands_still() {
    holds("sentinel-pause").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_master_that_gives_way() {
    holds("sentinel-planned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_that_dies() {
    holds("cluster-kill").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_that_stands_still() {
    holds("cluster-pause").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_cluster_that_gives_way() {
    holds("cluster-planned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move() {
    holds("reshard").await;
}
