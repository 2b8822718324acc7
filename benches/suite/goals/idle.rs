//! Goal 9: what nothing costs.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::kit::daemon::Daemon;
use crate::kit::pause;
use crate::kit::redis::Server;
use crate::kit::report::{Report, Wanted};
use crate::plan::Plan;

/// Until the start is over.
const SETTLE: Duration = Duration::from_secs(8);
const WATCHED: Duration = Duration::from_secs(30);

pub(super) async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    for (queues, bound) in [(10, 0.25), (plan.several(1000), 1.0)] {
        plan.tell(9, 0, &format!("{queues} queues and nothing to do, once"));
        // Redis alone costs something as well; beside ours, in the same seconds.
        let (mut server, mut alone) = (Server::start(false).await?, Server::start(false).await?);
        let mut config = String::new();
        for number in 0..queues {
            writeln!(config, "[queues.q{number}.downstream]\ntype = \"null\"")?;
        }
        let daemon = Daemon::start(&server, &config).await?;
        pause(plan.time(SETTLE)).await;
        let (ours, redis) = (daemon.process.cpu_us()?, server.cpu_us().await?);
        let (bare, started) = (alone.cpu_us().await?, Instant::now());
        pause(plan.time(WATCHED)).await;
        let watched_us = started.elapsed().as_secs_f64() * 1e6;
        let share = |now: f64, before: f64| (now - before) / watched_us * 100.0;
        let daemon = share(daemon.process.cpu_us()?, ours);
        let redis = share(server.cpu_us().await?, redis);
        let bare = share(alone.cpu_us().await?, bare);
        let what = |who: &str| format!("{queues} idle queues: {who}");
        let unit = "% of a core";
        report.figure(9, &what("daemon and Redis"), unit, daemon + redis, Wanted::AtMost(bound));
        report.figure(9, &what("of that, Redis"), unit, redis, Wanted::Told);
        report.figure(9, "a redis-server that nobody speaks to", unit, bare, Wanted::Told);
    }
    Ok(())
}
