//! The tokens in force, and what one of them reaches.
//!
//! Owns their change at a reload, when they expire, and which queues, topics, schedules and operations a caller
//! sees. What a caller does not reach is not there for it: 404, never 403. Refuses to know scopes (`auth`).

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::Door;
use super::problem::{Code, Problem};
use crate::config::{Scope, Token};
use crate::domain::id::QueueName;
use crate::domain::operation::Operation;
use crate::domain::topic::TopicPolicy;

/// Who may call; a reload replaces them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<ArcSwap<Vec<Arc<Token>>>>);

impl Tokens {
    /// These tokens; none: everybody on this machine.
    #[must_use]
    pub fn new(tokens: &[Token]) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(shared(tokens))))
    }

    /// From the next request on, these tokens hold; streams of tokens that are gone end.
    pub fn replace(&self, tokens: &[Token]) {
        self.0.store(Arc::new(shared(tokens)));
    }

    pub(super) fn load(&self) -> Guard<Arc<Vec<Arc<Token>>>> {
        self.0.load()
    }
}

fn shared(tokens: &[Token]) -> Vec<Arc<Token>> {
    tokens.iter().cloned().map(Arc::new).collect()
}

/// Whether a token has expired; the time is asked for only where it can.
///
/// # Errors
/// As `now_ms`: while nobody knows the time, a token that expires is neither valid nor expired.
pub(super) fn is_expired(
    token: &Token,
    now_ms: impl FnOnce() -> Result<u64, Problem>,
) -> Result<bool, Problem> {
    token.expires_ms.map_or(Ok(false), |expires_ms| Ok(now_ms()? >= expires_ms))
}

/// Who is asking: the holder of a token, or anybody where there are none.
#[derive(Debug, Clone)]
pub(super) struct Caller(Option<Arc<Token>>);

impl Caller {
    pub(super) const ANONYMOUS: Self = Self(None);

    pub(super) const fn of(token: Arc<Token>) -> Self {
        Self(Some(token))
    }

    pub(super) fn name(&self) -> &str {
        self.0.as_ref().map_or("anonymous", |token| &token.name)
    }

    /// Whether this caller may do what needs the scope.
    pub(super) fn has(&self, needed: Scope) -> bool {
        let covers = |token: &Arc<Token>| token.scopes.iter().any(|scope| scope.covers(needed));
        self.0.as_ref().is_none_or(covers)
    }

    /// Whether every queue is reached: most tokens.
    pub(super) fn reaches_all(&self) -> bool {
        self.0.as_ref().is_none_or(|token| token.queues.is_none())
    }

    /// Whether this caller sees the queue.
    pub(super) fn reaches(&self, queue: &QueueName) -> bool {
        let queues = self.0.as_ref().and_then(|token| token.queues.as_ref());
        queues.is_none_or(|queues| queues.iter().any(|pattern| pattern.matches(queue)))
    }

    /// A topic is reached if all its queues are.
    pub(super) fn reaches_topic(&self, topic: &TopicPolicy) -> bool {
        topic.queues.iter().all(|queue| self.reaches(queue))
    }

    /// An operation is reached if the queue that it works on is, and the one that it moves to.
    pub(super) fn reaches_operation(&self, operation: &Operation) -> bool {
        self.reaches(&operation.queue) && operation.to.as_ref().is_none_or(|to| self.reaches(to))
    }

    /// For what needs more than its route does.
    ///
    /// # Errors
    /// 403 for a token without the scope.
    pub(super) fn must_have(&self, scope: Scope, what: &str) -> Result<(), Problem> {
        let Some(token) = &self.0 else { return Ok(()) };
        if token.scopes.iter().any(|own| own.covers(scope)) {
            return Ok(());
        }
        Err(Problem::new(
            Code::Forbidden,
            format!(
                "{what} needs the scope \"{}\", which the token \"{}\" lacks; leave it out, or use another token",
                scope.as_str(),
                token.name
            ),
        ))
    }

    /// For what acts on every queue at once.
    ///
    /// # Errors
    /// 403 for a token of some queues.
    pub(super) fn must_reach_all(&self) -> Result<(), Problem> {
        if self.reaches_all() {
            return Ok(());
        }
        Err(Problem::new(
            Code::Forbidden,
            format!(
                "this acts on every queue, and the token \"{}\" is for some of them; use a token without queues",
                self.name()
            ),
        ))
    }

    /// Whether this caller would still be let in: its token stands in the configuration as it did, and has
    /// not expired.
    pub(super) fn is_still_valid(&self, door: &Door) -> bool {
        match &self.0 {
            None => door.state.tokens.load().is_empty(),
            Some(own) => {
                is_expired(own, || door.now_ms()).is_ok_and(|is_expired| !is_expired)
                    && door.state.tokens.load().iter().any(|token| token == own)
            }
        }
    }
}
