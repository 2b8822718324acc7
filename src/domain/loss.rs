//! How it comes about that Redis has less than it had confirmed.

/// How it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// Another run of Redis serves: after a restart or a failover.
    Restart,
    /// The data was deleted or replaced while Redis ran.
    Erased,
}

impl LossCause {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::Restart, Self::Erased];

    /// The word that is shown and logged.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Erased => "erased",
        }
    }
}
