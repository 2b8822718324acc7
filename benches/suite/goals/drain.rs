//! Goals 3, 4 and 11: everything due at one instant; and what disks add to it.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::backlog::Backlog;
use super::intake::{BATCHED, ndjson};
use super::raw;
use crate::kit::figures::{Figures, Pair, float};
use crate::kit::meter::{Cost, Meter};
use crate::kit::redis::Server;
use crate::kit::report::{Report, Wanted};
use crate::kit::turns::in_turns;
use crate::plan::Plan;

/// Messages due at one instant.
const MANY: usize = 100_000;
/// The same, ten times as many.
const MASS: usize = 1_000_000;
/// Outcomes are kept, as by default; the raw life keeps none.
pub(super) const QUEUE: &str =
    "[queues.bench]\nconcurrency = 1000\n[queues.bench.downstream]\ntype = \"null\"\n";
/// Scripts that take longer are too long.
const SCRIPT_MS_MOST: f64 = 2.0;

/// What draining came to.
struct Drained {
    rate: f64,
    cost: Cost,
    /// Scripts since the due time that took long.
    slow_ms: Figures,
    memory_mib: f64,
}

async fn drain(server: &mut Server, messages: usize, look_every: Duration) -> Result<Drained> {
    let backlog = Backlog::take_in(server, QUEUE, messages).await?;
    backlog.until_due(server).await?;
    server.slow_scripts_ms().await?;
    let before = Meter::read(server, &backlog.daemon).await?;
    let started = Instant::now();
    backlog.daemon.until_delivered(messages, look_every).await?;
    let rate = float(messages) / started.elapsed().as_secs_f64();
    Ok(Drained {
        rate,
        cost: before.cost(server, &backlog.daemon, messages).await?,
        slow_ms: server.slow_scripts_ms().await?,
        memory_mib: backlog.daemon.process.memory_mib_most()?,
    })
}

pub(super) async fn many(plan: &Plan, report: &mut Report) -> Result<()> {
    let messages = plan.count(MANY);
    let (mut pair, mut daemon, mut redis) =
        (Pair::default(), Figures::default(), Figures::default());
    for round in 0..plan.rounds {
        plan.tell(3, round, &format!("{messages} lives by raw scripts, and as many due at once"));
        let mut server = Server::start(false).await?;
        let limit = async |server: &mut Server| raw::measure(server, messages).await;
        let ours =
            async |server: &mut Server| drain(server, messages, Duration::from_millis(20)).await;
        let (limit, ours) = in_turns(round, &mut server, limit, ours).await?;
        pair.add(limit.life_rate, ours.rate);
        daemon.add(ours.cost.daemon_us);
        redis.add(ours.cost.redis_us);
    }
    report.pair(3, "drain, outcomes kept / raw life", "1/s", &pair, Wanted::AtLeast(0.55));
    report.figure(3, "daemon CPU of a drained message", "µs", daemon, Wanted::Told);
    report.figure(3, "Redis CPU of a drained message", "µs", redis, Wanted::Told);
    Ok(())
}

pub(super) async fn mass(plan: &Plan, report: &mut Report) -> Result<()> {
    let messages = plan.count(MASS);
    plan.tell(4, 0, &format!("{messages} due at one instant, once"));
    let mut server = Server::start(false).await?;
    // All of them are counted by the end, or it ends as a failure.
    let mass = drain(&mut server, messages, Duration::from_millis(250)).await?;
    let what = format!("{messages} due at one instant, all delivered");
    report.figure(4, &what, "1/s", mass.rate, Wanted::Told);
    let slowest = if mass.slow_ms.all().is_empty() { 0.0 } else { mass.slow_ms.most() };
    report.figure(4, "slowest script meanwhile", "ms", slowest, Wanted::AtMost(SCRIPT_MS_MOST));
    let above = mass.slow_ms.above(SCRIPT_MS_MOST);
    report.figure(4, "scripts that took more than 2 ms", "", above, Wanted::AtMost(0.0));
    let memory = mass.memory_mib;
    report.figure(4, "most memory of the daemon", "MiB", memory, Wanted::AtMost(128.0));
    Ok(())
}

pub(super) async fn on_disk(plan: &Plan, report: &mut Report) -> Result<()> {
    let (taken, drained) = (plan.count(BATCHED), plan.count(MANY));
    let [mut intake, mut drains, mut raw_intake, mut raw_lives] = [(); 4].map(|()| Pair::default());
    for round in 0..plan.rounds {
        plan.tell(11, round, "intake, drain and raw scripts, in memory and on disk");
        let mut figures = [[0.0; 4]; 2];
        // Both on their own servers: a server is one or the other.
        for aof in [round.is_multiple_of(2), !round.is_multiple_of(2)] {
            let mut server = Server::start(aof).await?;
            let raw = raw::measure(&mut server, taken).await?;
            server.clear().await?;
            let (rate, _) = ndjson(&mut server, taken).await?;
            server.clear().await?;
            let drain = drain(&mut server, drained, Duration::from_millis(20)).await?.rate;
            figures[usize::from(aof)] = [rate, drain, raw.enqueue_rate, raw.life_rate];
        }
        let [memory, disk] = figures;
        intake.add(memory[0], disk[0]);
        drains.add(memory[1], disk[1]);
        raw_intake.add(memory[2], disk[2]);
        raw_lives.add(memory[3], disk[3]);
    }
    let what = "NDJSON intake, appendfsync always / in memory";
    report.pair(11, what, "1/s", &intake, Wanted::AtLeast(0.6));
    let what = "drain, appendfsync always / in memory";
    report.pair(11, what, "1/s", &drains, Wanted::AtLeast(0.6));
    report.pair(11, "the same of raw enqueue", "1/s", &raw_intake, Wanted::Told);
    report.pair(11, "the same of raw lives", "1/s", &raw_lives, Wanted::Told);
    Ok(())
}
