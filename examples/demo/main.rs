//! The main job, live: `make demo`.
//!
//! A real daemon on its own managed Redis stands between two files of rows and two difficult
//! downstreams of the demo's own: an SMS gateway that bears 20 calls a second and sometimes breaks,
//! and an ERP link that is open for 4 seconds in every 10, takes batches, and refuses one bad
//! order. The rows go in through the real command line. The summary is computed from what the two
//! downstreams saw; the demo ends with 1 if a promise was broken.

mod daemon;
mod erp;
mod gateway;
mod hours;
mod sms;
mod summary;
mod view;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use tidegate::shutdown::Tasks;
use tokio::time::Instant;

use daemon::Daemon;
use hours::Hours;

/// The rows that go in: one SMS each.
const SMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/demo/sms.ndjson");
/// The rows that go in: one order each.
const ORDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/demo/orders.ndjson");
/// The demo takes about 25 s; longer than this, something is wrong.
const DEMO_MAX: Duration = Duration::from_secs(120);
/// The time between two looks at the queues.
const LOOK_EVERY: Duration = Duration::from_millis(400);

#[tokio::main]
async fn main() -> ExitCode {
    match demo().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The whole demo; whether all promises held. However it ends, the daemon is stopped in order, so
/// that nothing stays behind.
async fn demo() -> anyhow::Result<bool> {
    let tasks = Tasks::new();
    let hours = Hours::starting_at(hours::now_us());
    let sms = sms::Gateway::start(&tasks).await?;
    let erp = erp::Link::start(hours, &tasks).await?;
    say("starting a daemon on a Redis of its own")?;
    let mut daemon = Daemon::start(&config(&sms.url, &erp.url, hours))?;
    let told = tokio::select! {
        told = story(&mut daemon, &sms, &erp) => told,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let stopped = daemon.stop().await.context("stopping the daemon");
    tasks.stop();
    let parts = told?;
    stopped?;
    summary::show(&parts)
}

/// Rows go in, the downstreams see them, and the dead are asked for their reasons.
async fn story(
    daemon: &mut Daemon,
    sms: &sms::Gateway,
    erp: &erp::Link,
) -> anyhow::Result<[summary::Part; 2]> {
    daemon.wait_until_ready().await?;
    let (sms_rows, order_rows) = (view::rows_of(SMS)?, view::rows_of(ORDERS)?);
    for (queue, file) in [("sms", SMS), ("erp", ORDERS)] {
        say(&format!("$ tidegate send-batch {queue} {}", view::shown(file)))?;
        daemon.show(&["send-batch", queue, file]).await?;
    }
    let mut view = view::View::new(sms_rows, order_rows);
    let end = Instant::now() + DEMO_MAX;
    loop {
        let queues = view::counts(&daemon.ask(&["queues"]).await?)?;
        view.show(&queues, &sms.brief(), &erp.brief())?;
        if queues.are_settled(sms_rows, order_rows) {
            break;
        }
        if Instant::now() >= end {
            view.clear();
            bail!("rows were left after {} s{}", DEMO_MAX.as_secs(), daemon.log_tail());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    view.clear();
    let sms_dead = daemon.ask(&["list", "sms", "--state", "dead"]).await?;
    let erp_dead = daemon.ask(&["list", "erp", "--state", "dead"]).await?;
    Ok([
        summary::of_sms(&sms.seen(), &sms_dead, sms_rows),
        summary::of_erp(&erp.seen(), &erp_dead, order_rows),
    ])
}

/// The configuration, as an operator would write it.
fn config(sms_url: &str, erp_url: &str, hours: Hours) -> String {
    format!(
        r#"
[queues.sms]
rate = "{rate}/s"
priority_levels = 3
[queues.sms.downstream]
type = "http"
url = "{sms_url}/send"
timeout = "2s"
headers = {{ Authorization = "Bearer demo" }}
signing_secret = "whsec_dGlkZWdhdGUgZGVtbyBzZWNyZXQgb2YgMzIgYnl0ZXM="
[queues.sms.retry]
initial = "500ms"

[queues.erp]
concurrency = 1
[queues.erp.window]
time_zone = "UTC"
open = [
{rules}]
min_remaining = "1s"
[queues.erp.batch]
max_items = 50
max_wait = "1s"
[queues.erp.downstream]
type = "http"
url = "{erp_url}/orders"
timeout = "1s"
[queues.erp.retry]
initial = "500ms"
"#,
        rate = sms::RATE_PER_S,
        rules = hours.rules(),
    )
}

/// A line of the story.
fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}
