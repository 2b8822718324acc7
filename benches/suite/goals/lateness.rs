//! Goal 6: how late a call starts after its due time.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::dispatch::Sink;
use crate::kit::daemon::Daemon;
use crate::kit::figures::Figures;
use crate::kit::redis::Server;
use crate::kit::report::{Report, Wanted};
use crate::plan::Plan;

/// Two thousand a second for ten seconds.
const MESSAGES: usize = 20_000;
const A_SECOND: u64 = 2000;
/// Before the first of them.
const LEAD_MS: u64 = 1500;

pub(super) async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let messages = plan.count(MESSAGES);
    let spread_ms = messages as u64 * 1000 / A_SECOND;
    let [mut p50, mut p99, mut max] = [(); 3].map(|()| Figures::default());
    for round in 0..plan.rounds {
        plan.tell(6, round, &format!("{messages} messages, {A_SECOND} due a second"));
        let (mut server, sink) = (Server::start(false).await?, Sink::start().await?);
        let queue = sink.queue("bench", "concurrency = 128", "/take");
        let daemon = Daemon::start(&server, &queue).await?;
        let due_ms = server.now_ms().await? + plan.lead_ms(LEAD_MS);
        daemon.fill(messages, due_ms, spread_ms).await?;
        daemon.until_delivered(messages, Duration::from_millis(200)).await?;
        let seen = sink.report().await?;
        ensure!(seen["count"] == messages, "{} calls arrived", seen["count"]);
        for (figures, name) in
            [(&mut p50, "late_p50_ms"), (&mut p99, "late_p99_ms"), (&mut max, "late_max_ms")]
        {
            figures.add(seen[name].as_f64().context("a lateness")?);
        }
    }
    report.figure(6, "lateness at 2,000 due a second, p50", "ms", p50, Wanted::AtMost(2.0));
    report.figure(6, "lateness, p99", "ms", p99, Wanted::AtMost(10.0));
    report.figure(6, "lateness, most", "ms", max, Wanted::AtMost(50.0));
    Ok(())
}
