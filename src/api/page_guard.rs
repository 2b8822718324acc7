//! What pages that are served beside the API need to know of it: whether a request may come from where it comes from,
//! and who holds a token.
//!
//! Owns no rule: each is the one by which the API lets requests in (`loopback`, `auth`). Refuses to know pages.

use std::sync::Arc;

use axum::http::{HeaderMap, Uri};

use super::tokens::Tokens;
use super::{auth, loopback};
use crate::config::{Scope, Token};
use crate::domain::queue_pattern::QueuePattern;
use crate::domain::web_place::WebOrigin;
use crate::store::Store;
use crate::wire::problem::ProblemView;

/// Who may see pages, by the rules of the API. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PageGuard {
    tokens: Tokens,
    store: Store,
    origins: Arc<[WebOrigin]>,
}

impl PageGuard {
    /// By these tokens and by the clock of this store; `origins`: those that the configuration names.
    #[must_use]
    pub fn new(tokens: Tokens, store: Store, origins: &[WebOrigin]) -> Self {
        Self { tokens, store, origins: origins.into() }
    }

    /// What time it is at Redis; `None` while it was never reached.
    #[must_use]
    pub fn now_ms(&self) -> Option<u64> {
        self.store.clock().require_ms().ok()
    }

    /// Whether everybody on this machine may call, because there are no tokens.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.load().is_empty()
    }

    /// Whether a request may come from where it comes from.
    ///
    /// # Errors
    /// 403 where there are no tokens and another machine or a foreign web page asks.
    pub fn check_place(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Box<ProblemView>> {
        if !self.is_open() {
            return Ok(());
        }
        loopback::check(uri, headers, &self.origins).map_err(|problem| Box::new(problem.view()))
    }

    /// Who holds this token.
    ///
    /// # Errors
    /// 401 for a token that is not known or has expired, 503 where nobody can tell whether it has.
    pub fn holder(&self, token: &[u8]) -> Result<Holder, Box<ProblemView>> {
        let tokens = self.tokens.load();
        let now_ms = || Ok(self.store.clock().require_ms()?);
        let known =
            auth::valid(&tokens, token, now_ms).map_err(|problem| Box::new(problem.view()))?;
        Ok(Holder(Some(Arc::clone(known))))
    }
}

/// Who looks at a page: the holder of a token, or anybody where there are no tokens.
#[derive(Debug, Clone)]
pub struct Holder(Option<Arc<Token>>);

impl Holder {
    /// Anybody, where there are no tokens.
    pub const ANYBODY: Self = Self(None);

    /// The name of the token; `None`: there are no tokens.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|token| token.name.as_str())
    }

    /// Whether the holder may do what needs the scope.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.0.as_ref().is_none_or(|token| token.scopes.iter().any(|own| own.covers(scope)))
    }

    /// The scopes of the token, in words.
    #[must_use]
    pub fn scopes(&self) -> Vec<&'static str> {
        let scopes = self.0.as_ref().map_or(&[][..], |token| &token.scopes);
        scopes.iter().map(|scope| scope.as_str()).collect()
    }

    /// The queues that the token is limited to; empty: all.
    #[must_use]
    pub fn queues(&self) -> Vec<&str> {
        let queues = self.0.as_ref().and_then(|token| token.queues.as_deref());
        queues.unwrap_or_default().iter().map(QueuePattern::as_str).collect()
    }
}
