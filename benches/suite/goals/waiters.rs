//! Goal 13: many who wait, and many queues beside a hung one.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::dispatch::Sink;
use crate::kit::daemon::Daemon;
use crate::kit::figures::float;
use crate::kit::http::Client;
use crate::kit::process::once;
use crate::kit::redis::Server;
use crate::kit::report::{Report, Wanted};
use crate::kit::{open_files_most, pause, payload, until};
use crate::plan::Plan;

const WAITERS: usize = 10_000;
/// Until the last of them waits.
const SETTLE: Duration = Duration::from_secs(3);
/// While nothing happens.
const WATCHED: Duration = Duration::from_secs(5);
const QUEUES: usize = 200;
/// Messages of each of them, and the time between them.
const ROWS: usize = 50;
const EVERY_MS: u64 = 100;
/// Before the first of them.
const LEAD_MS: u64 = 3000;

async fn waiters(plan: &Plan, report: &mut Report) -> Result<()> {
    let waiters = plan.count(WAITERS);
    plan.tell(13, 0, &format!("{waiters} requests that wait for a result, once"));
    // The daemon has as many open files as we have.
    open_files_most()?;
    let mut server = Server::start(false).await?;
    let daemon = Daemon::start(&server, "[queues.bench.downstream]\ntype = \"null\"\n").await?;
    // They are let go when all of them wait.
    daemon.tell("bench", "pause").await?;
    let words = [daemon.address.clone(), "bench".to_owned(), waiters.to_string()];
    let waiting = once("waiters", &words);
    let watching = async {
        daemon.until_held(&["ready"], waiters, Duration::from_millis(100)).await?;
        pause(plan.time(SETTLE)).await;
        let (before, started) = (server.script_calls().await?, Instant::now());
        pause(plan.time(WATCHED)).await;
        let calls = (server.script_calls().await? - before) / started.elapsed().as_secs_f64();
        daemon.tell("bench", "resume").await?;
        anyhow::Ok(calls)
    };
    let (told, calls) = tokio::try_join!(waiting, watching)?;
    let answered = told["answered"].as_u64().context("a count")?;
    ensure!(answered == waiters as u64, "{answered} of {waiters} were answered");
    let what = |figure: &str| format!("{waiters} waiters, all answered: {figure}");
    let figure = what("script calls meanwhile");
    report.figure(13, &figure, "1/s", calls, Wanted::AtMost(100.0));
    let memory = daemon.process.memory_mib_most()?;
    report.figure(13, &what("most memory of the daemon"), "MiB", memory, Wanted::Told);
    Ok(())
}

async fn beside_a_hung_one(plan: &Plan, report: &mut Report) -> Result<()> {
    let (queues, rows) = (plan.several(QUEUES) as u64, plan.several(ROWS) as u64);
    plan.tell(13, 0, &format!("{queues} queues beside a hung one, once"));
    let (mut server, sink) = (Server::start(false).await?, Sink::start().await?);
    let mut config = sink.queue("hung", "concurrency = 64", "/hang");
    config.push_str("timeout = \"20s\"\n");
    for number in 0..queues {
        config.push_str(&sink.queue(&format!("q{number}"), "", "/take"));
    }
    let daemon = Daemon::start(&server, &config).await?;
    let due_ms = server.now_ms().await? + plan.lead_ms(LEAD_MS);
    let mut client = Client::connect(&daemon.address).await?;
    let names = (0..queues).map(|number| format!("q{number}"));
    for (number, queue) in (0..).zip(names.chain(["hung".to_owned()])) {
        let mut lines = String::new();
        for row in 0..rows {
            // Evenly over all queues.
            let at_ms = due_ms + row * EVERY_MS + number * EVERY_MS / queues;
            let at = jiff::Timestamp::from_millisecond(i64::try_from(at_ms)?)?;
            writeln!(lines, "{{\"payload\":{},\"due_at\":\"{at:.3}\"}}", payload())?;
        }
        let path = format!("{}/batch", Daemon::path(&queue));
        let (status, _) = client.post(&path, "application/x-ndjson", lines.into()).await?;
        ensure!(status == 200, "status {status}");
    }
    let wanted = queues * rows;
    until("every call arrives", Duration::from_millis(250), async || {
        Ok(sink.count().await? >= wanted)
    })
    .await?;
    let seen = sink.report().await?;
    ensure!(seen["count"] == wanted, "{} calls of {wanted} arrived", seen["count"]);
    for (name, what, bound) in [("late_p50_ms", "p50", 2.0), ("late_p99_ms", "p99", 10.0)] {
        let late_ms = seen[name].as_f64().context("a lateness")?;
        let a_second = float(queues * 1000 / EVERY_MS);
        let what = format!("{queues} queues beside a hung one, {a_second}/s: lateness {what}");
        report.figure(13, &what, "ms", late_ms, Wanted::AtMost(bound));
    }
    Ok(())
}

pub(super) async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    waiters(plan, report).await?;
    beside_a_hung_one(plan, report).await
}
