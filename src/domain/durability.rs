//! How safe a message is before its producer is answered.

/// What must be safe before a producer is answered 201.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Whatever Redis has.
    Memory,
    /// AOF flushed every second: a Redis crash may take its last second or two.
    Everysec,
    /// On disk.
    Disk,
    /// On disk, and at all configured replicas.
    Replicas,
}

impl Durability {
    /// The word in config, metrics and HTTP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Everysec => "everysec",
            Self::Disk => "disk",
            Self::Replicas => "replicas",
        }
    }
}
