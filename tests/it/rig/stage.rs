//! The Redis of a run, in one of three shapes, and the harm that can be done to it.
//!
//! Owns the servers and the wires before them. A harm returns when it is over and Redis takes writes
//! again. Refuses to know when it is asked for.

use std::time::Duration;

use redis::Value;
use rustix::process::Signal;

use super::history::FaultKind;
use super::schedule::{Harm, Step};
use crate::support::clocks::wall_us;
use crate::support::daemon::{Daemon, DaemonOptions};
use crate::support::redis::RedisOptions;
use crate::support::wait::poll_until_within;
use crate::support::{Cluster, RedisServer, SentinelSet, Wire, eventually};

/// All nodes are one Tidegate.
const NAMESPACE: &str = "rig";
/// The sentinels look at each server every ten seconds.
const GAVE_WAY_WITHIN: Duration = Duration::from_secs(40);
/// Two on each master.
const SHARDS: u32 = 6;

/// Which shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Single,
    /// One master and two replicas, three sentinels.
    Sentinel,
    /// Three masters and their replicas.
    Cluster,
}

impl Shape {
    /// Shards of each queue: a cluster is there to spread them.
    pub(crate) fn shards(self) -> u32 {
        if self == Self::Cluster { SHARDS } else { 1 }
    }
}

#[derive(Debug)]
pub(crate) enum Stage {
    Single(RedisServer),
    Sentinel(SentinelSet),
    Cluster(Cluster),
}

/// How a harm went: what to call it, its words, and when Redis took writes again.
#[derive(Debug)]
pub(crate) struct Harmed {
    pub(crate) at_us: u64,
    pub(crate) until_us: u64,
    pub(crate) kind: FaultKind,
    pub(crate) detail: String,
}

impl Harmed {
    /// It began then and is over now.
    fn since(at_us: u64, kind: FaultKind, detail: &str) -> Self {
        Self { at_us, until_us: wall_us(), kind, detail: detail.to_owned() }
    }
}

impl Stage {
    pub(crate) async fn start(shape: Shape) -> Self {
        match shape {
            Shape::Single => Self::Single(RedisOptions::default().with_faults().start().await),
            Shape::Sentinel => Self::Sentinel(SentinelSet::start().await),
            Shape::Cluster => Self::Cluster(Cluster::with_replicas().await),
        }
    }

    /// A wire of its own for each node, where there is one server to put it before.
    pub(crate) async fn wires(&self, nodes: usize) -> Vec<Wire> {
        let Self::Single(server) = self else { return Vec::new() };
        let mut wires = Vec::new();
        for _ in 0..nodes {
            wires.push(Wire::to(server).await);
        }
        wires
    }

    /// A daemon with these queues, at the level that this shape is for.
    pub(crate) fn daemon(&self, queues: &str, wire: Option<&Wire>) -> DaemonOptions {
        match self {
            Self::Single(server) => {
                let url = wire.map_or_else(|| server.url(), Wire::url);
                Daemon::with(queues).redis_at(&url)
            }
            // All of them: of two failovers in a row, the second may promote either.
            Self::Sentinel(set) => Daemon::with(queues)
                .sentinel(set)
                .environment("TIDEGATE__REDIS__REPLICAS", "2")
                .durability("replicas"),
            Self::Cluster(cluster) => Daemon::with(queues)
                .cluster(cluster)
                .environment("TIDEGATE__REDIS__NAMESPACE", NAMESPACE)
                .durability("replicas"),
        }
    }

    /// Does it and waits until Redis takes writes again.
    pub(crate) async fn suffer(&mut self, step: &Step) -> Vec<Harmed> {
        match self {
            Self::Single(server) => single(server, step).await,
            Self::Sentinel(set) => vec![sentinel(set, step.harm).await],
            Self::Cluster(cluster) => vec![in_cluster(cluster, step).await],
        }
    }
}

async fn single(server: &mut RedisServer, step: &Step) -> Vec<Harmed> {
    let at_us = wall_us();
    let (kind, detail) = match step.harm {
        Harm::KillRedis => {
            let detail = if step.dice.is_multiple_of(2) {
                server.kill9().await;
                ""
            } else {
                server.power_cut().await;
                "power cut"
            };
            tokio::time::sleep(step.length).await;
            server.restart().await;
            (FaultKind::RedisKill, detail)
        }
        Harm::FillMemory => {
            let used = server.info("used_memory").await;
            server.cli::<()>(&["CONFIG", "SET", "maxmemory", &used]).await;
            tokio::time::sleep(step.length).await;
            server.cli::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
            (FaultKind::MemoryFull, "")
        }
        Harm::FillDisk => {
            server.faults().fill_disk(true);
            tokio::time::sleep(step.length).await;
            server.faults().fill_disk(false);
            // With every write on disk, Redis ends itself when the disk takes no more.
            if server.try_cli::<Value>(&["PING"]).await.is_err() {
                server.restart().await;
            }
            (FaultKind::DiskFull, "")
        }
        Harm::StepClock => {
            // Forth and back, so that the sum stays near nothing.
            let ms = i64::try_from(step.dice % 1000).expect("below 1000");
            let mut steps = Vec::new();
            for ms in [ms, -ms] {
                let at_us = wall_us();
                server.faults().step_clock(ms);
                steps.push(Harmed::since(at_us, FaultKind::ClockStep, &ms.to_string()));
                tokio::time::sleep(Duration::from_millis(step.dice / 1000 % 3000)).await;
            }
            return steps;
        }
        other => panic!("a single server knows no {other:?}"),
    };
    vec![Harmed::since(at_us, kind, detail)]
}

async fn sentinel(set: &mut SentinelSet, harm: Harm) -> Harmed {
    let at_us = wall_us();
    let of = |kind| Harmed::since(at_us, kind, "");
    match harm {
        Harm::FailoverKill => {
            let old = set.kill_master().await;
            set.wait_new_master(old).await;
            let harmed = of(FaultKind::FailoverKill);
            set.restart_as_replica(old).await;
            harmed
        }
        Harm::FailoverPause => {
            let old = set.stop_master().await;
            set.wait_new_master(old).await;
            set.servers()[old].signal(Signal::CONT);
            gave_way(&set.servers()[old]).await;
            let harmed = of(FaultKind::FailoverPause);
            set.wait_in_step(old).await;
            harmed
        }
        Harm::FailoverPlanned => {
            let (old, _) = set.failover().await;
            gave_way(&set.servers()[old]).await;
            let harmed = of(FaultKind::FailoverPlanned);
            set.wait_in_step(old).await;
            harmed
        }
        other => panic!("a watched set knows no {other:?}"),
    }
}

async fn in_cluster(cluster: &mut Cluster, step: &Step) -> Harmed {
    let at_us = wall_us();
    let of = |kind| Harmed::since(at_us, kind, "");
    let slot =
        cluster.slot(&format!("{{{NAMESPACE}:fast.{}}}", step.dice % u64::from(SHARDS))).await;
    let master = cluster.owner(slot, 0).await;
    let replica = (master + 3) % 6;
    match step.harm {
        Harm::FailoverKill => {
            cluster.node_mut(master).kill9().await;
            cluster.wait_master(replica).await;
            let harmed = of(FaultKind::FailoverKill);
            cluster.node_mut(master).restart().await;
            in_step(cluster, replica).await;
            harmed
        }
        Harm::FailoverPause => {
            cluster.nodes()[master].signal(Signal::STOP);
            cluster.wait_master(replica).await;
            cluster.nodes()[master].signal(Signal::CONT);
            gave_way(&cluster.nodes()[master]).await;
            let harmed = of(FaultKind::FailoverPause);
            in_step(cluster, replica).await;
            harmed
        }
        Harm::FailoverPlanned => {
            cluster.failover_to(replica).await;
            let harmed = of(FaultKind::FailoverPlanned);
            in_step(cluster, replica).await;
            harmed
        }
        Harm::Reshard => {
            let mut to = step.node;
            if master % 3 == to {
                to = (to + 1) % 3;
            }
            if cluster.nodes()[to].info("role").await != "master" {
                to += 3;
            }
            cluster.move_slot(slot, to).await;
            let detail = format!("slot {slot} from {master} to {to}");
            Harmed::since(at_us, FaultKind::Reshard, &detail)
        }
        other => panic!("a cluster knows no {other:?}"),
    }
}

/// Waits until a master that another one took over from says that it is none: until then it lets whoever still speaks with it
/// write, and there are two.
async fn gave_way(old: &RedisServer) {
    poll_until_within(GAVE_WAY_WITHIN, "the old master is a replica", async || {
        let info = old.try_cli::<String>(&["INFO", "replication"]).await;
        info.is_ok_and(|info| info.contains("role:slave")).then_some(())
    })
    .await;
}

async fn in_step(cluster: &Cluster, master: usize) {
    eventually("the old master is a replica in step", async || {
        let info = cluster.nodes()[master].try_cli::<String>(&["INFO", "replication"]).await;
        info.is_ok_and(|info| info.contains("state=online"))
    })
    .await;
    cluster.wait_whole().await;
}
