//! Handing over one message, or one event, so that it is stored once, however often it is sent.
//!
//! Owns the key that a message gets where its sender gave none, and the repeating while the store or the daemon is
//! away. Refuses to know what is handed over (`send`, `topics`).

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use tokio::time::Instant;

use super::Session;
use super::client::{Answer, Target};
use super::exit::{Exit, Failure};
use crate::domain::human::lasting;
use crate::wire::problem::{ProblemCode, ProblemView};

/// How long it is tried again.
const PATIENCE: Duration = Duration::from_secs(15);
/// The first pause between two tries; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// The key of a message: its sender's, or one of our own.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The key.
    pub(crate) text: String,
    /// Whether the sender did not give it.
    pub(crate) is_own: bool,
}

impl Key {
    /// This key; without one, a key that nobody else has.
    pub(crate) fn of(given: Option<&String>) -> Self {
        match given {
            Some(text) => Self { text: text.clone(), is_own: false },
            None => Self { text: format!("cli-{}", ulid::Ulid::new()), is_own: true },
        }
    }
}

/// Hands over a body that carries `key`, and repeats it while the outcome is unknown.
///
/// A daemon that cannot be reached at all is not waited for, unless an earlier try reached it.
pub(crate) async fn hand_over(
    target: &Target,
    body: &impl Serialize,
    key: &Key,
    session: &mut Session,
) -> Result<Answer, Failure> {
    let body = serde_json::to_vec(body)
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot write JSON: {error}")))?;
    let body = Bytes::from(body);
    let give_up_at = Instant::now() + PATIENCE;
    let (mut pause, mut was_there) = (PAUSE_FIRST, false);
    loop {
        let (failure, asked) = match attempt(target, &body, session).await {
            Tried::Done(answer) => return Ok(answer),
            Tried::Refused(failure) => return Err(failure),
            Tried::Unknown(failure, _) if failure.is_nobody_there && !was_there => {
                return Err(failure);
            }
            Tried::Unknown(failure, asked) => (failure, asked),
        };
        was_there = true;
        let wait = asked.unwrap_or(pause).clamp(PAUSE_FIRST, PAUSE_MAX);
        if Instant::now() + wait > give_up_at {
            return Err(gave_up(failure, key));
        }
        if pause == PAUSE_FIRST {
            session.screen.note(&format!(
                "trying again for {}: {}",
                lasting(PATIENCE),
                failure.what
            ))?;
        }
        pause = (pause * 2).min(PAUSE_MAX);
        tokio::time::sleep(wait).await;
    }
}

enum Tried {
    Done(Answer),
    /// It will not be taken, however often it is sent.
    Refused(Failure),
    /// It was stored or not; and how long the daemon asks to wait.
    Unknown(Failure, Option<Duration>),
}

async fn attempt(target: &Target, body: &Bytes, session: &Session) -> Tried {
    let body = Some(("application/json", body.clone()));
    match session.client.exchange(Method::POST, target, body, Duration::ZERO).await {
        Ok(answer) if is_away(&answer) => {
            let asked = answer.retry_after();
            Tried::Unknown(Failure::from_answer(answer.status, &answer.body), asked)
        }
        Ok(answer) => answer.ok().map_or_else(Tried::Refused, Tried::Done),
        Err(failure) if matches!(failure.exit, Exit::Unreachable | Exit::TimedOut) => {
            Tried::Unknown(failure, None)
        }
        Err(failure) => Tried::Refused(failure),
    }
}

/// A store or a daemon that is away comes back by itself; a full store does not.
fn is_away(answer: &Answer) -> bool {
    let is_full = || {
        let problem = serde_json::from_slice::<ProblemView>(&answer.body);
        problem.is_ok_and(|problem| problem.code.is(ProblemCode::StoreFull))
    };
    match answer.status.as_u16() {
        502 | 504 => true,
        503 => !is_full(),
        _ => false,
    }
}

fn gave_up(failure: Failure, key: &Key) -> Failure {
    let key = &key.text;
    failure.next(format!(
        "it is unknown whether this was stored; the same command with --key {key} stores it once in any case"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_key_is_kept_and_own_ones_differ() {
        let given = Key::of(Some(&"order-42".to_owned()));
        assert_eq!((given.text.as_str(), given.is_own), ("order-42", false));
        let own = [Key::of(None), Key::of(None)];
        assert!(own.iter().all(|key| key.is_own && key.text.starts_with("cli-")));
        assert_ne!(own[0].text, own[1].text);
    }
}
