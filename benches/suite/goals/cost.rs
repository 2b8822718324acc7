//! Goals 7 and 10: what a message costs Redis, in bytes and in CPU. They do not depend on the machine.

use std::time::Duration;

use anyhow::Result;

use super::backlog::Backlog;
use super::drain::{KEEPS, KEEPS_NOTHING};
use super::raw;
use crate::kit::daemon::Daemon;
use crate::kit::figures::{Figures, Pair, float};
use crate::kit::meter::{Cost, Meter};
use crate::kit::redis::Server;
use crate::kit::report::{Report, Wanted};
use crate::kit::turns::in_turns;
use crate::plan::Plan;

/// Messages that wait, due at random over an hour.
const SCHEDULED: usize = 1_000_000;
const HOUR_MS: u64 = 3_600_000;
/// Messages of one life.
const LIVES: usize = 100_000;

pub(super) async fn bytes(plan: &Plan, report: &mut Report) -> Result<()> {
    let messages = plan.count(SCHEDULED);
    plan.tell(7, 0, &format!("{messages} messages scheduled over an hour, once"));
    let mut server = Server::start(false).await?;
    let daemon = Daemon::start(&server, KEEPS).await?;
    let before = server.info("used_memory").await?;
    let due_ms = server.now_ms().await? + HOUR_MS;
    daemon.fill(messages, due_ms, HOUR_MS).await?;
    // What the measurement itself keeps is no message's.
    server.forget_slow_scripts().await?;
    let bytes = (server.info("used_memory").await? - before) / float(messages);
    let what = format!("Redis bytes of a scheduled message, of {messages}");
    report.figure(7, &what, "bytes", bytes, Wanted::AtMost(330.0));
    Ok(())
}

/// What a message costs from the door to its end.
async fn one_life(server: &mut Server, queue: &str, messages: usize) -> Result<Cost> {
    let backlog = Backlog::take_in(server, queue, messages).await?;
    // Waiting costs nothing that belongs to a message.
    backlog.until_due(server).await?;
    let before = Meter::read(server, &backlog.daemon).await?;
    let kept = if queue == KEEPS { messages } else { 0 };
    backlog.daemon.until_delivered(kept, Duration::from_millis(50)).await?;
    Ok(backlog.intake + before.cost(server, &backlog.daemon, messages).await?)
}

pub(super) async fn life(plan: &Plan, report: &mut Report) -> Result<()> {
    let messages = plan.count(LIVES);
    let (mut cpu, mut kept) = (Pair::default(), Pair::default());
    let (mut calls, mut daemon) = (Figures::default(), Figures::default());
    for round in 0..plan.rounds {
        plan.tell(10, round, &format!("{messages} lives, by raw scripts and through the daemon"));
        let mut server = Server::start(false).await?;
        let limit = async |server: &mut Server| raw::measure(server, messages).await;
        let ours = async |server: &mut Server| {
            let bare = one_life(server, KEEPS_NOTHING, messages).await?;
            server.clear().await?;
            anyhow::Ok((bare, one_life(server, KEEPS, messages).await?))
        };
        let (limit, (cost, with_outcome)) = in_turns(round, &mut server, limit, ours).await?;
        cpu.add(limit.life_us, cost.redis_us);
        kept.add(limit.life_us, with_outcome.redis_us);
        calls.add(cost.scripts);
        daemon.add(cost.daemon_us);
    }
    let what = "Redis CPU of a life, nothing kept / raw life";
    report.pair(10, what, "µs", &cpu, Wanted::AtMost(1.6));
    let what = "Redis CPU of a life, outcome kept / raw life";
    report.pair(10, what, "µs", &kept, Wanted::AtMost(1.6));
    report.figure(10, "script calls of a message, at load", "", calls, Wanted::AtMost(0.06));
    report.figure(10, "daemon CPU of a life", "µs", daemon, Wanted::Told);
    Ok(())
}
