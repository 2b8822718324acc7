//! Goal 14: what keys cost a queue that has them, and what keys that are held cost the others.
//!
//! CPU of Redis for each message, which does not swing as rates do. Beside a queue with keys stands one without, which gets the
//! same messages.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::backlog::Backlog;
use super::drain::KEEPS_NOTHING;
use crate::kit::daemon::Daemon;
use crate::kit::figures::{Pair, float};
use crate::kit::meter::Meter;
use crate::kit::pause;
use crate::kit::redis::Server;
use crate::kit::report::{Report, Wanted};
use crate::plan::Plan;

/// Messages due at one instant.
const MANY: usize = 100_000;
/// Values of the key that have messages waiting at once.
const BUSY: [usize; 3] = [10, 1_000, 100_000];
/// Values of the key that their limit holds.
const HELD: [usize; 2] = [10, 100_000];
/// Messages to other values beside them.
const FREE: usize = 10_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a message costs.
struct Keyed {
    intake_us: f64,
    drain_us: f64,
    rate: f64,
}

fn with(line: &str) -> String {
    KEEPS_NOTHING.replacen("concurrency", &format!("{line}\nconcurrency"), 1)
}

/// Messages of so many values of a key, taken in and drained.
async fn costs(queue: &str, messages: usize, keys: usize) -> Result<Keyed> {
    let mut server = Server::start(false).await?;
    let backlog = Backlog::take_in_keyed(&mut server, queue, messages, 0..keys).await?;
    backlog.until_due(&mut server).await?;
    let (before, started) = (Meter::read(&mut server, &backlog.daemon).await?, Instant::now());
    backlog.daemon.until_delivered(0, LOOK_EVERY).await?;
    let rate = float(messages) / started.elapsed().as_secs_f64();
    let drain = before.cost(&mut server, &backlog.daemon, messages).await?;
    Ok(Keyed { intake_us: backlog.intake.redis_us, drain_us: drain.redis_us, rate })
}

/// Waits until hardly any script is called.
async fn until_quiet(server: &mut Server) -> Result<()> {
    loop {
        let before = server.script_calls().await?;
        pause(Duration::from_millis(500)).await;
        if server.script_calls().await? - before < 10.0 {
            return Ok(());
        }
    }
}

/// CPU of Redis and script calls of a message to a value of its own, beside so many values whose quota is used.
async fn beside(held: usize, free: usize) -> Result<(f64, f64)> {
    let mut server = Server::start(false).await?;
    let queue = with("limits = [{ quota = \"1/month\", per = \"labels.k\" }]");
    let daemon = Daemon::start(&server, &queue).await?;
    daemon.fill_keyed(2 * held, (0, 0), 0..held).await?;
    daemon.until_held(&["scheduled", "ready", "leased"], held, LOOK_EVERY).await?;
    // Each value is set aside once, when a claim meets it: that is not what it costs while it is held.
    until_quiet(&mut server).await?;
    let before = Meter::read(&mut server, &daemon).await?;
    daemon.fill_keyed(free, (0, 0), held..held + free).await?;
    daemon.until_held(&["scheduled", "ready", "leased"], held, LOOK_EVERY).await?;
    let cost = before.cost(&mut server, &daemon, free).await?;
    Ok((cost.redis_us, cost.scripts))
}

pub(super) async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let messages = plan.count(MANY);
    let shares = with("fairness = \"labels.k\"");
    for busy in BUSY {
        let keys = busy.min(messages);
        let [mut intake, mut drain, mut rate] = [(); 3].map(|()| Pair::default());
        for round in 0..plan.rounds {
            plan.tell(
                14,
                round,
                &format!("{messages} messages of {keys} keys, without and with shares"),
            );
            let [plain, keyed] = if round.is_multiple_of(2) {
                [costs(KEEPS_NOTHING, messages, keys).await?, costs(&shares, messages, keys).await?]
            } else {
                let keyed = costs(&shares, messages, keys).await?;
                [costs(KEEPS_NOTHING, messages, keys).await?, keyed]
            };
            intake.add(plain.intake_us, keyed.intake_us);
            drain.add(plain.drain_us, keyed.drain_us);
            rate.add(plain.rate, keyed.rate);
        }
        let what = |what: &str| format!("{what}, {keys} busy keys / no keys");
        report.pair(14, &what("Redis CPU of intake"), "µs", &intake, Wanted::Told);
        report.pair(14, &what("Redis CPU of promotion and drain"), "µs", &drain, Wanted::Told);
        report.pair(14, &what("drain"), "1/s", &rate, Wanted::Told);
    }
    let [few, many] = HELD.map(|held| plan.count(held));
    let free = plan.count(FREE);
    let [mut cpu, mut calls] = [(); 2].map(|()| Pair::default());
    for round in 0..plan.rounds {
        plan.tell(14, round, &format!("{free} free keys beside {few} and beside {many} held ones"));
        let beside_few = beside(few, free).await?;
        let beside_many = beside(many, free).await?;
        cpu.add(beside_few.0, beside_many.0);
        calls.add(beside_few.1, beside_many.1);
    }
    let what = format!("Redis CPU of a free key beside {many} held / {few} held");
    report.pair(14, &what, "µs", &cpu, Wanted::AtMost(1.3));
    let what = format!("script calls of a free key beside {many} held / {few} held");
    report.pair(14, &what, "", &calls, Wanted::Told);
    Ok(())
}
