//! `health`: whether the daemon takes messages, for health checks of containers.

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::args_admin::HealthArgs;
use super::client::{Answer, Target};
use super::exit::{Exit, Failure};
use super::queues::as_it_came;
use super::times::span;

/// Between two questions while it waits.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// `health`. `/readyz` needs no token.
pub(crate) async fn health(args: &HealthArgs, session: &mut Session) -> Result<Exit, Failure> {
    let answer = match args.wait {
        None => ask(session).await?,
        Some(wait_ms) => wait(wait_ms, session).await?,
    };
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    session.screen.line("ready")?;
    Ok(Exit::Ok)
}

async fn ask(session: &Session) -> Result<Answer, Failure> {
    session.client.get(&Target::new(&["readyz"])).await
}

/// Asks until the daemon is ready, or the time is over: then the last reason is the failure.
async fn wait(wait_ms: u64, session: &Session) -> Result<Answer, Failure> {
    let end = Instant::now() + Duration::from_millis(wait_ms);
    loop {
        let failure = match ask(session).await {
            Ok(answer) => return Ok(answer),
            // Another server does not become a daemon.
            Err(failure) if !passes(failure.exit) => return Err(failure),
            Err(failure) => failure,
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(failure.because(&format!("not ready after {}", span(wait_ms))));
        }
        tokio::time::sleep(ASK_EVERY.min(left)).await;
    }
}

fn passes(exit: Exit) -> bool {
    matches!(exit, Exit::Unreachable | Exit::TimedOut)
}
