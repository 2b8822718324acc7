//! `health`: whether the daemon takes messages, for health checks of containers.

use super::Session;
use super::client::Target;
use super::exit::{Exit, Failure};
use super::queues::as_it_came;

/// `health`. `/readyz` needs no token.
pub(crate) async fn health(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["readyz"])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    session.screen.line("ready")?;
    Ok(Exit::Ok)
}
