//! What every page shares.

use std::fmt;

use axum::Router;
use tokio_util::sync::CancellationToken;

use crate::api::PageGuard;

/// What every page shares.
pub(super) struct Dashboard {
    pub(super) api: Router,
    pub(super) guard: PageGuard,
    /// What stands before every path behind a proxy, for example `/tidegate`; may be empty.
    pub(super) base: String,
    /// Origins whose pages may send forms besides the daemon's own: those of proxies that hide the host.
    pub(super) origins: Vec<String>,
    /// Largest body of a message, in bytes.
    pub(super) body_limit_bytes: usize,
    /// Binds forms to this process where there are no tokens.
    pub(super) secret: [u8; 32],
    pub(super) draining: CancellationToken,
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard").field("base", &self.base).finish_non_exhaustive()
    }
}
