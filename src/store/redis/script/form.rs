//! In which forms a script is called: what a queue, or a message, does not use costs it nothing.

/// The forms of a script. Queues without keys are called in one that knows nothing of lanes, and calls without collapse keys in
/// one that knows nothing of those: they pay nothing for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum ScriptForm {
    /// For queues without keys, and for all that is not a queue.
    Plain,
    /// For queues with keys: lines that begin with `-- keyed` count.
    Keyed,
    /// For messages with a collapse key: lines that begin with `-- collapsing` count.
    Collapsing,
    /// For such messages in queues with keys: both count.
    KeyedCollapsing,
}

impl ScriptForm {
    /// Every form.
    pub(in crate::store) const ALL: [Self; 4] =
        [Self::Plain, Self::Keyed, Self::Collapsing, Self::KeyedCollapsing];

    /// The word for it.
    #[cfg(feature = "failpoints")]
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Keyed => "keyed",
            Self::Collapsing => "collapsing",
            Self::KeyedCollapsing => "keyed_collapsing",
        }
    }

    /// This form for messages with a collapse key.
    pub(in crate::store) const fn collapsing(self) -> Self {
        match self {
            Self::Plain | Self::Collapsing => Self::Collapsing,
            Self::Keyed | Self::KeyedCollapsing => Self::KeyedCollapsing,
        }
    }

    /// Whether lines that begin with `-- keyed` count.
    pub(super) const fn is_keyed(self) -> bool {
        matches!(self, Self::Keyed | Self::KeyedCollapsing)
    }

    /// Whether lines that begin with `-- collapsing` count.
    pub(super) const fn is_collapsing(self) -> bool {
        matches!(self, Self::Collapsing | Self::KeyedCollapsing)
    }
}
