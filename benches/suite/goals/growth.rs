//! Goal 12: the cost of a message beside a small and beside a large backlog.
//!
//! CPU of daemon and Redis together, which does not swing as rates do. The backlog is due over a day that
//! begins tomorrow; what is measured passes it by. Beside it stands what Redis alone takes, and how much more
//! bare scripts take that touch the same kinds of structures, as large.

use std::time::Duration;

use anyhow::Result;

use super::drain::KEEPS;
use super::raw;
use crate::kit::daemon::Daemon;
use crate::kit::figures::Pair;
use crate::kit::meter::Meter;
use crate::kit::pause;
use crate::kit::redis::Server;
use crate::kit::report::{Report, Wanted};
use crate::plan::Plan;

const SMALL: usize = 100_000;
/// Without `--full`: what a minute allows.
const LARGE: usize = 1_000_000;
const FULL: usize = 10_000_000;
/// Messages that are measured beside the backlog.
const MEASURED: usize = 50_000;
const DAY_MS: u64 = 86_400_000;
/// From the start of the intake to the due time.
const LEAD_MS: u64 = 3000;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// CPU of a message, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Step {
    whole_us: f64,
    redis_us: f64,
}

/// What a message costs beside so many: taken in, promoted, drained.
async fn costs(backlog: usize, measured: usize, lead_ms: u64) -> Result<[Step; 3]> {
    let mut server = Server::start(false).await?;
    let daemon = Daemon::start(&server, KEEPS).await?;
    let now_ms = server.now_ms().await?;
    daemon.fill(backlog, now_ms + DAY_MS, DAY_MS).await?;
    // Promoted and drained one after the other, so that each can be told.
    daemon.tell("bench", "pause").await?;
    let before = Meter::read(&mut server, &daemon).await?;
    let due_ms = server.now_ms().await? + lead_ms;
    daemon.fill(measured, due_ms, 0).await?;
    let intake = before.cost(&mut server, &daemon, measured).await?;
    pause(Duration::from_millis(due_ms.saturating_sub(server.now_ms().await?))).await;
    let before = Meter::read(&mut server, &daemon).await?;
    daemon.until_held(&["ready"], measured, LOOK_EVERY).await?;
    let promote = before.cost(&mut server, &daemon, measured).await?;
    let before = Meter::read(&mut server, &daemon).await?;
    daemon.tell("bench", "resume").await?;
    daemon.until_held(&["delivered"], measured, LOOK_EVERY).await?;
    let drain = before.cost(&mut server, &daemon, measured).await?;
    Ok([intake, promote, drain]
        .map(|cost| Step { whole_us: cost.daemon_us + cost.redis_us, redis_us: cost.redis_us }))
}

/// The same of bare scripts.
async fn raw_costs(backlog: usize, measured: usize) -> Result<[f64; 3]> {
    raw::beside(&mut Server::start(false).await?, backlog, measured).await
}

pub(super) async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let large = plan.count(if plan.full { FULL } else { LARGE });
    let (small, measured) = (plan.count(SMALL), plan.count(MEASURED));
    let [mut whole, mut redis, mut raw] = [(); 3].map(|()| [(); 3].map(|()| Pair::default()));
    // Ten million take their time; once is enough for a figure that is CPU.
    let rounds = if plan.full { 1 } else { plan.rounds };
    for round in 0..rounds {
        plan.tell(12, round, &format!("{measured} messages beside {small} and beside {large}"));
        let lead_ms = plan.lead_ms(LEAD_MS);
        let beside_few = costs(small, measured, lead_ms).await?;
        let beside_many = costs(large, measured, lead_ms).await?;
        let raw_few = raw_costs(small, measured).await?;
        let raw_many = raw_costs(large, measured).await?;
        for at in 0..3 {
            whole[at].add(beside_few[at].whole_us, beside_many[at].whole_us);
            redis[at].add(beside_few[at].redis_us, beside_many[at].redis_us);
            raw[at].add(raw_few[at], raw_many[at]);
        }
    }
    for (at, step) in ["intake", "promote", "drain"].iter().enumerate() {
        let what = format!("{step} beside {large} / beside {small}, CPU");
        report.pair(12, &what, "µs", &whole[at], Wanted::AtMost(1.3));
        report.pair(12, &format!("of it Redis, {step}"), "µs", &redis[at], Wanted::Told);
        report.pair(12, &format!("Redis, {step} by bare scripts"), "µs", &raw[at], Wanted::Told);
    }
    Ok(())
}
