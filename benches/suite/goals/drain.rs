//! Goals 3, 4 and 11: everything due at one instant; and what disks add to it.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::backlog::Backlog;
use super::intake::{BATCHED, ndjson};
use super::raw;
use crate::kit::cores::LastLeft;
use crate::kit::figures::{Figures, Pair, float};
use crate::kit::meter::{Cost, Meter};
use crate::kit::redis::{Server, SlowScripts};
use crate::kit::report::{Report, Wanted};
use crate::kit::turns::in_turns;
use crate::plan::Plan;

/// Messages due at one instant.
const MANY: usize = 100_000;
/// The same, ten times as many.
const MASS: usize = 1_000_000;
/// Outcomes are kept, as by default.
pub(super) const KEEPS: &str =
    "[queues.bench]\nconcurrency = 1000\n[queues.bench.downstream]\ntype = \"null\"\n";
/// Nothing is kept of what is delivered, as in the raw life.
pub(super) const KEEPS_NOTHING: &str = "[queues.bench]\nconcurrency = 1000\n\
    retention = { delivered = \"0s\" }\n[queues.bench.downstream]\ntype = \"null\"\n";
/// Scripts that take longer are too long.
const SCRIPT_MS_MOST: f64 = 2.0;
/// How often it is asked whether all are delivered.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const MASS_LOOK_EVERY: Duration = Duration::from_millis(250);

/// What draining came to.
struct Drained {
    rate: f64,
    cost: Cost,
    /// Scripts that took long before the due time.
    slow_intake: SlowScripts,
    /// Those since then.
    slow: SlowScripts,
    /// How long Redis had no core meanwhile.
    kept_waiting_ms: f64,
    memory_mib: f64,
}

async fn drain(
    server: &mut Server,
    queue: &str,
    messages: usize,
    look_every: Duration,
) -> Result<Drained> {
    let backlog = Backlog::take_in(server, queue, messages).await?;
    backlog.until_due(server).await?;
    let slow_intake = server.slow_scripts().await?;
    let kept_waiting_ms = server.kept_waiting_ms()?;
    let before = Meter::read(server, &backlog.daemon).await?;
    let started = Instant::now();
    let kept = if queue == KEEPS { messages } else { 0 };
    backlog.daemon.until_delivered(kept, look_every).await?;
    let rate = float(messages) / started.elapsed().as_secs_f64();
    Ok(Drained {
        rate,
        cost: before.cost(server, &backlog.daemon, messages).await?,
        slow_intake,
        slow: server.slow_scripts().await?,
        kept_waiting_ms: server.kept_waiting_ms()? - kept_waiting_ms,
        memory_mib: backlog.daemon.process.memory_mib_most()?,
    })
}

pub(super) async fn many(plan: &Plan, report: &mut Report) -> Result<()> {
    let messages = plan.count(MANY);
    let (mut pair, mut kept) = (Pair::default(), Pair::default());
    let (mut daemon, mut redis) = (Figures::default(), Figures::default());
    for round in 0..plan.rounds {
        plan.tell(3, round, &format!("{messages} lives by raw scripts, and as many due at once"));
        let mut server = Server::start(false).await?;
        let limit = async |server: &mut Server| raw::measure(server, messages).await;
        let ours = async |server: &mut Server| {
            let bare = drain(server, KEEPS_NOTHING, messages, LOOK_EVERY).await?;
            server.clear().await?;
            anyhow::Ok((bare, drain(server, KEEPS, messages, LOOK_EVERY).await?))
        };
        let (limit, (ours, with_outcomes)) = in_turns(round, &mut server, limit, ours).await?;
        pair.add(limit.life_rate, ours.rate);
        kept.add(limit.life_rate, with_outcomes.rate);
        daemon.add(ours.cost.daemon_us);
        redis.add(ours.cost.redis_us);
    }
    report.pair(3, "drain, nothing kept / raw life", "1/s", &pair, Wanted::AtLeast(0.55));
    report.pair(3, "drain, outcomes kept / raw life", "1/s", &kept, Wanted::AtLeast(0.55));
    report.figure(3, "daemon CPU of a drained message", "µs", daemon, Wanted::Told);
    report.figure(3, "Redis CPU of a drained message", "µs", redis, Wanted::Told);
    Ok(())
}

pub(super) async fn mass(plan: &Plan, report: &mut Report) -> Result<()> {
    let messages = plan.count(MASS);
    plan.tell(4, 0, &format!("{messages} due at one instant, once"));
    let mut server = Server::start(false).await?;
    // All of them are counted by the end, or it ends as a failure.
    let mass = drain(&mut server, KEEPS, messages, MASS_LOOK_EVERY).await?;
    drop(server);
    let what = format!("{messages} due at one instant, all delivered");
    report.figure(4, &what, "1/s", mass.rate, Wanted::Told);
    let (slowest, verb) = mass.slow.slowest_ms();
    let what = format!("slowest script meanwhile: {verb}");
    report.figure(4, &what, "ms", slowest, Wanted::AtMost(SCRIPT_MS_MOST));
    let (above, verbs) = mass.slow.above(SCRIPT_MS_MOST);
    let what = format!("scripts that took more than 2 ms: {verbs}");
    report.figure(4, &what, "", above, Wanted::AtMost(0.0));
    let (above, verbs) = mass.slow_intake.above(SCRIPT_MS_MOST);
    let what = format!("the same while they were taken in: {verbs}");
    report.figure(4, &what, "", above, Wanted::Told);
    // What SLOWLOG shows goes on while the kernel gives the core to somebody else.
    let what = "Redis could have run and had no core";
    report.figure(4, what, "ms", mass.kept_waiting_ms, Wanted::Told);
    let memory = mass.memory_mib;
    report.figure(4, "most memory of the daemon", "MiB", memory, Wanted::AtMost(128.0));
    undisturbed(plan, report, messages).await
}

/// The same with a core for Redis alone: what is slow here is the script.
async fn undisturbed(plan: &Plan, report: &mut Report, messages: usize) -> Result<()> {
    let Some(left) = LastLeft::leave()? else { return Ok(()) };
    plan.tell(4, 0, "the same with a core for Redis alone");
    let mut server = Server::start_on(false, Some(left.core)).await?;
    let mass = drain(&mut server, KEEPS, messages, MASS_LOOK_EVERY).await?;
    let (slowest, verb) = mass.slow.slowest_ms();
    let what = format!("Redis alone on a core: slowest script, {verb}");
    report.figure(4, &what, "ms", slowest, Wanted::Told);
    let (above, verbs) = mass.slow.above(SCRIPT_MS_MOST);
    let what = format!("Redis alone on a core: more than 2 ms: {verbs}");
    report.figure(4, &what, "", above, Wanted::Told);
    let what = "Redis alone on a core: could have run and had none";
    report.figure(4, what, "ms", mass.kept_waiting_ms, Wanted::Told);
    Ok(())
}

/// Rates of intake, drain, raw intake and raw lives. Each on a server of its own: a log that grew in one of
/// them would be rewritten in the next.
async fn rates(aof: bool, taken: usize, drained: usize) -> Result<[f64; 4]> {
    let (intake, _) = ndjson(&mut Server::start(aof).await?, taken).await?;
    let drain = drain(&mut Server::start(aof).await?, KEEPS, drained, LOOK_EVERY).await?.rate;
    let raw = raw::measure(&mut Server::start(aof).await?, drained).await?;
    Ok([intake, drain, raw.enqueue_rate, raw.life_rate])
}

pub(super) async fn on_disk(plan: &Plan, report: &mut Report) -> Result<()> {
    let (taken, drained) = (plan.count(BATCHED), plan.count(MANY));
    let mut pairs = [(); 4].map(|()| Pair::default());
    for round in 0..plan.rounds {
        plan.tell(11, round, "intake, drain and raw scripts, in memory and on disk");
        let disk_first = !round.is_multiple_of(2);
        let first = rates(disk_first, taken, drained).await?;
        let second = rates(!disk_first, taken, drained).await?;
        let (memory, disk) = if disk_first { (second, first) } else { (first, second) };
        for (at, pair) in pairs.iter_mut().enumerate() {
            pair.add(memory[at], disk[at]);
        }
    }
    let [intake, drain, raw_intake, raw_lives] = pairs;
    let what = "NDJSON intake, appendfsync always / in memory";
    report.pair(11, what, "1/s", &intake, Wanted::AtLeast(0.6));
    let what = "drain, appendfsync always / in memory";
    report.pair(11, what, "1/s", &drain, Wanted::AtLeast(0.6));
    report.pair(11, "the same of raw enqueue", "1/s", &raw_intake, Wanted::Told);
    report.pair(11, "the same of raw lives", "1/s", &raw_lives, Wanted::Told);
    Ok(())
}
