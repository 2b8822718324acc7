//! Goal 8: a limit of 100/s with a burst of 1 and 30 s of backlog, on one node and on three.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::dispatch::Sink;
use crate::kit::daemon::Daemon;
use crate::kit::figures::float;
use crate::kit::redis::Server;
use crate::kit::report::{Report, Wanted};
use crate::plan::Plan;

const MESSAGES: usize = 3000;
const RATE: f64 = 100.0;

pub(super) async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let messages = plan.count(MESSAGES);
    for nodes in [1, 3] {
        plan.tell(8, 0, &format!("{messages} calls at 100/s from {nodes} node(s), once"));
        let (server, sink) = (Server::start(false).await?, Sink::start().await?);
        let queue = sink.queue("bench", "rate = \"100/s\"\nburst = 1", "/take");
        let mut daemons = Vec::new();
        for _ in 0..nodes {
            daemons.push(Daemon::start(&server, &queue).await?);
        }
        daemons[0].fill(messages, 0, 0).await?;
        daemons[0].until_delivered(messages, Duration::from_millis(200)).await?;
        let seen = sink.report().await?;
        let number = |name: &str| seen[name].as_u64().map(float).context("a count");
        let span_s = (number("last_us")? - number("first_us")?) / 1e6;
        let what = |figure: &str| format!("100/s over {nodes} node(s): {figure}");
        let (second, tenth) = (number("worst_second")?, number("worst_100_ms")?);
        report.figure(8, &what("worst second"), "calls", second, Wanted::AtMost(102.0));
        report.figure(8, &what("worst 100 ms"), "calls", tenth, Wanted::AtMost(12.0));
        let used = float(messages - 1) / span_s / RATE;
        report.figure(8, &what("used"), "", used, Wanted::AtLeast(0.99));
    }
    Ok(())
}
