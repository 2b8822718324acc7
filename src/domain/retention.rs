//! How long, how many and how much of what is finished is kept.
//!
//! Pure: refuses to know who prunes, and when.

/// What is kept of final messages, beside each other: their age, and limits of their number and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// For delivered, expired and cancelled messages, in milliseconds.
    pub delivered_ms: u64,
    /// For dead messages, in milliseconds.
    pub dead_ms: u64,
    /// For delivered, expired and cancelled messages together.
    pub delivered: KeepLimits,
    /// For dead messages.
    pub dead: KeepLimits,
}

/// Beyond these the oldest go before their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeepLimits {
    /// Most messages; `None`: any number.
    pub messages_max: Option<u64>,
    /// Most bytes of records, outcomes and past attempts; `None`: any size.
    pub bytes_max: Option<u64>,
}

impl Retention {
    /// By age alone.
    #[must_use]
    pub const fn by_age(delivered_ms: u64, dead_ms: u64) -> Self {
        let none = KeepLimits { messages_max: None, bytes_max: None };
        Self { delivered_ms, dead_ms, delivered: none, dead: none }
    }

    /// Whether anything but age counts.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        let none = KeepLimits::default();
        self.delivered != none || self.dead != none
    }

    /// Whether bytes count, so that they have to be weighed.
    #[must_use]
    pub fn is_weighed(&self) -> bool {
        self.delivered.bytes_max.or(self.dead.bytes_max).is_some()
    }
}

impl KeepLimits {
    /// The share of one of so many shards, each at least one: none asks what others hold.
    #[must_use]
    pub fn share(self, shards: u16) -> Self {
        let share = |most: u64| (most / u64::from(shards.max(1))).max(1);
        Self { messages_max: self.messages_max.map(share), bytes_max: self.bytes_max.map(share) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_never_keep_more_than_the_whole() {
        let limits = KeepLimits { messages_max: Some(10), bytes_max: None };
        assert_eq!(limits.share(1), limits);
        assert_eq!(limits.share(4).messages_max, Some(2));
        assert_eq!(limits.share(4).bytes_max, None);
    }

    #[test]
    fn only_what_is_set_counts() {
        let mut retention = Retention::by_age(1, 2);
        assert!(!retention.is_limited() && !retention.is_weighed());
        retention.dead.messages_max = Some(1);
        assert!(retention.is_limited() && !retention.is_weighed());
        retention.dead.bytes_max = Some(1);
        assert!(retention.is_weighed());
    }
}
