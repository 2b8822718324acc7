//! Goals 1 and 2: how fast messages come in.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::raw;
use crate::kit::daemon::Daemon;
use crate::kit::figures::{Figures, Pair};
use crate::kit::http::Client;
use crate::kit::meter::{Cost, Meter};
use crate::kit::process::{once, stay};
use crate::kit::redis::Server;
use crate::kit::report::{Report, Wanted};
use crate::kit::turns::in_turns;
use crate::kit::{free_port, until};
use crate::plan::Plan;

/// Messages of one measurement in batches.
pub(super) const BATCHED: usize = 200_000;
/// Messages of one measurement, one a request.
const SINGLE: usize = 60_000;
/// Keep-alive connections of single messages.
const CONNECTIONS: usize = 64;
const HOUR_MS: u64 = 3_600_000;
/// A queue whose messages stay where they are.
const QUEUE: &str = "[queues.bench.downstream]\ntype = \"null\"\n";

/// NDJSON of messages that are due in an hour: messages a second, and what each costs.
pub(super) async fn ndjson(server: &mut Server, messages: usize) -> Result<(f64, Cost)> {
    let daemon = Daemon::start(server, QUEUE).await?;
    let due_ms = server.now_ms().await? + HOUR_MS;
    let before = Meter::read(server, &daemon).await?;
    let rate = daemon.fill(messages, due_ms, 0).await?;
    Ok((rate, before.cost(server, &daemon, messages).await?))
}

pub(super) async fn batched(plan: &Plan, report: &mut Report) -> Result<()> {
    let messages = plan.count(BATCHED);
    let (mut pair, mut daemon, mut redis) =
        (Pair::default(), Figures::default(), Figures::default());
    for round in 0..plan.rounds {
        plan.tell(1, round, &format!("{messages} messages, raw scripts and NDJSON over HTTP"));
        let mut server = Server::start(false).await?;
        let limit = async |server: &mut Server| raw::measure(server, messages).await;
        let ours = async |server: &mut Server| ndjson(server, messages).await;
        let (limit, (rate, cost)) = in_turns(round, &mut server, limit, ours).await?;
        pair.add(limit.enqueue_rate, rate);
        daemon.add(cost.daemon_us);
        redis.add(cost.redis_us);
    }
    let what = "NDJSON intake, 1,000 a call / raw enqueue";
    report.pair(1, what, "1/s", &pair, Wanted::AtLeast(0.5));
    report.figure(1, "daemon CPU of a message", "µs", daemon, Wanted::Told);
    report.figure(1, "Redis CPU of a message", "µs", redis, Wanted::Told);
    Ok(())
}

pub(super) async fn single(plan: &Plan, report: &mut Report) -> Result<()> {
    let messages = plan.count(SINGLE);
    let (mut pair, mut scripts) = (Pair::default(), Figures::default());
    let (mut daemon, mut redis) = (Figures::default(), Figures::default());
    for round in 0..plan.rounds {
        plan.tell(2, round, &format!("{messages} requests over {CONNECTIONS} connections"));
        let mut server = Server::start(false).await?;
        let limit = async |_: &mut Server| echo(messages).await;
        let ours = async |server: &mut Server| one_by_one(server, messages).await;
        let (limit, (rate, cost)) = in_turns(round, &mut server, limit, ours).await?;
        pair.add(limit, rate);
        daemon.add(cost.daemon_us);
        redis.add(cost.redis_us);
        scripts.add(cost.scripts);
    }
    let what = "single POST, 64 connections / bare echo";
    report.pair(2, what, "1/s", &pair, Wanted::AtLeast(0.45));
    report.figure(2, "daemon CPU of a message", "µs", daemon, Wanted::Told);
    report.figure(2, "Redis CPU of a message", "µs", redis, Wanted::AtMost(5.0));
    report.figure(2, "script calls of a message", "", scripts, Wanted::Told);
    Ok(())
}

/// Messages a second, one a request; and what each costs.
async fn one_by_one(server: &mut Server, messages: usize) -> Result<(f64, Cost)> {
    let daemon = Daemon::start(server, QUEUE).await?;
    // Ready at once, and held: what is measured is the way in.
    daemon.tell("bench", "pause").await?;
    let before = Meter::read(server, &daemon).await?;
    let rate = requests(&daemon.address, &Daemon::path("bench"), messages).await?;
    Ok((rate, before.cost(server, &daemon, messages).await?))
}

/// The same requests to a server that does nothing with them.
async fn echo(messages: usize) -> Result<f64> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let _echo = stay("echo", std::slice::from_ref(&address))?;
    until("the echo answers", Duration::from_millis(10), async || {
        Ok(Client::connect(&address).await.is_ok())
    })
    .await?;
    requests(&address, "/echo", messages).await
}

/// Sends single messages from a process of their own; returns the rate.
async fn requests(address: &str, path: &str, messages: usize) -> Result<f64> {
    let words =
        [address.to_owned(), path.to_owned(), CONNECTIONS.to_string(), messages.to_string()];
    once("single", &words).await?["rate"].as_f64().context("a rate")
}
