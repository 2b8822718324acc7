//! One command, many messages.
//!
//! Owns where ids come from and what a failure among many means. Refuses to know what is done.

use std::io::Read;

use super::Session;
use super::exit::{Exit, Failure};
use super::plain::plain;
use super::screen::Screen;

/// The ids given, `-` replaced by the lines of standard input.
fn all(given: &[String], screen: &mut Screen) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    for id in given {
        if id != "-" {
            ids.push(id.clone());
            continue;
        }
        let mut bytes = Vec::new();
        screen
            .input
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
        // A line that cannot be an id is one that is not found, and stops no other.
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        ids.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
    }
    Ok(ids)
}

/// Does `step` for every id. One that fails is shown and does not stop the others, unless the
/// daemon is away; the exit code is that of the first failure.
pub(crate) async fn each(
    given: &[String],
    session: &mut Session,
    mut step: impl AsyncFnMut(&str, &mut Session) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let ids = all(given, &mut session.screen)?;
    let mut exit = Exit::Ok;
    for id in &ids {
        let Err(mut failure) = step(id, session).await else { continue };
        let is_over = failure.what.is_empty() || failure.exit == Exit::Unreachable;
        if ids.len() == 1 || is_over {
            return Err(failure);
        }
        failure.what = format!("{}: {}", plain(id), failure.what);
        session.screen.failure(&failure);
        exit = exit.or(failure.exit);
    }
    Ok(exit)
}
