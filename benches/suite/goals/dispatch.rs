//! Goal 5: HTTP dispatch against a bare pooled client.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::backlog::Backlog;
use crate::kit::figures::{Figures, Pair, float};
use crate::kit::http::Client;
use crate::kit::meter::{Cost, Meter};
use crate::kit::process::{Process, once, stay};
use crate::kit::redis::Server;
use crate::kit::report::{Report, Wanted};
use crate::kit::turns::in_turns;
use crate::kit::{free_port, until};
use crate::plan::Plan;

const CALLS: usize = 60_000;
const IN_FLIGHT: usize = 128;

/// A downstream in a process of its own.
pub(crate) struct Sink {
    _process: Process,
    pub(crate) address: String,
}

impl Sink {
    pub(crate) async fn start() -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let process = stay("sink", std::slice::from_ref(&address))?;
        until("the sink answers", Duration::from_millis(10), async || {
            Ok(Client::connect(&address).await.is_ok())
        })
        .await?;
        Ok(Self { _process: process, address })
    }

    /// What came since the last question.
    pub(crate) async fn report(&self) -> Result<Value> {
        let (_, body) = Client::connect(&self.address).await?.get("/report").await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// How many calls came since then.
    pub(crate) async fn count(&self) -> Result<u64> {
        let (_, body) = Client::connect(&self.address).await?.get("/count").await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// A queue that calls it, with these settings.
    pub(crate) fn queue(&self, name: &str, settings: &str, path: &str) -> String {
        let address = &self.address;
        format!(
            "[queues.{name}]\n{settings}\n[queues.{name}.downstream]\nurl = \"http://{address}{path}\"\n"
        )
    }
}

/// Calls a second from the first arrival to the last, and what each costs.
async fn dispatched(server: &mut Server, sink: &Sink, calls: usize) -> Result<(f64, Cost)> {
    let queues = sink.queue("bench", &format!("concurrency = {IN_FLIGHT}"), "/take");
    let backlog = Backlog::take_in(server, &queues, calls).await?;
    sink.report().await?;
    backlog.until_due(server).await?;
    let before = Meter::read(server, &backlog.daemon).await?;
    backlog.daemon.until_delivered(calls, Duration::from_millis(20)).await?;
    let cost = before.cost(server, &backlog.daemon, calls).await?;
    let seen = sink.report().await?;
    let [first_us, last_us] = ["first_us", "last_us"].map(|name| seen[name].as_u64());
    let span_us = last_us.context("last")? - first_us.context("first")?;
    Ok((float(calls) / (float(span_us) / 1e6), cost))
}

pub(super) async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let calls = plan.count(CALLS);
    let (mut pair, mut scripts) = (Pair::default(), Figures::default());
    let (mut daemon, mut redis) = (Figures::default(), Figures::default());
    let sink = Sink::start().await?;
    let words = [format!("http://{}/take", sink.address), IN_FLIGHT.to_string(), calls.to_string()];
    for round in 0..plan.rounds {
        plan.tell(5, round, &format!("{calls} calls, {IN_FLIGHT} in flight"));
        let mut server = Server::start(false).await?;
        let limit =
            async |_: &mut Server| once("caller", &words).await?["rate"].as_f64().context("a rate");
        let ours = async |server: &mut Server| dispatched(server, &sink, calls).await;
        let (limit, (rate, cost)) = in_turns(round, &mut server, limit, ours).await?;
        pair.add(limit, rate);
        daemon.add(cost.daemon_us);
        redis.add(cost.redis_us);
        scripts.add(cost.scripts);
    }
    let what = "HTTP dispatch, 128 in flight / bare hyper client";
    report.pair(5, what, "1/s", &pair, Wanted::AtLeast(0.5));
    report.figure(5, "daemon CPU of a dispatched message", "µs", daemon, Wanted::Told);
    report.figure(5, "Redis CPU of a dispatched message", "µs", redis, Wanted::Told);
    report.figure(5, "script calls of a dispatched message", "", scripts, Wanted::Told);
    Ok(())
}
