//! What can be wrong between a message and its indexes.
//!
//! Owns the kinds, their words and their codes.

/// A kind of disagreement. The record is the truth; an index is mended by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A message that does not stand where its record says: nothing would ever move it.
    Unplaced,
    /// A member of an index whose message is gone or stands elsewhere.
    Misplaced,
    /// A state entry or past attempts of a message that is gone.
    Leftover,
    /// A waiting message with a ttl whose expiry is not known, or known wrongly.
    Expiry,
    /// The size by which claims keep within their bytes is too small.
    Largest,
    /// A record or state entry that is cut or of an unknown version: reported, never touched.
    Unreadable,
    /// A message that stands in its ready list twice.
    Duplicate,
    /// Counts that differ from the records.
    Count,
    /// Bytes of final messages that differ from what is there.
    Weight,
    /// A member of the index of a queue with keys that belongs to no lane.
    Stray,
    /// A lane that does not stand where its head says.
    Lane,
    /// A lane that is busy for a message that is not on its way: nothing behind it would ever go.
    Busy,
    /// A key of a limit that holds messages and is looked at by no claim, or the reverse.
    Blocker,
    /// A lane that a key of a limit has let go, and that is not open.
    Lent,
    /// A share that has a turn without a message that could go, or none with one.
    Turn,
    /// What a message takes of its key, noted although it is not on its way, or not noted although it is.
    Held,
    /// Calls in flight of a key that differ from those of its messages.
    Flight,
    /// How many keys a limit holds, counted wrongly.
    HeldKeys,
    /// A message that is counted wrongly in the backlog, or a wrong sum.
    Backlog,
}

impl Fault {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 19] = [
        Self::Unplaced,
        Self::Misplaced,
        Self::Leftover,
        Self::Expiry,
        Self::Largest,
        Self::Unreadable,
        Self::Duplicate,
        Self::Count,
        Self::Weight,
        Self::Stray,
        Self::Lane,
        Self::Busy,
        Self::Blocker,
        Self::Lent,
        Self::Turn,
        Self::Held,
        Self::Flight,
        Self::HeldKeys,
        Self::Backlog,
    ];

    /// The word in metrics and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unplaced => "unplaced",
            Self::Misplaced => "misplaced",
            Self::Leftover => "leftover",
            Self::Expiry => "expiry",
            Self::Largest => "largest",
            Self::Unreadable => "unreadable",
            Self::Duplicate => "duplicate",
            Self::Count => "count",
            Self::Weight => "weight",
            Self::Stray => "stray",
            Self::Lane => "lane",
            Self::Busy => "busy",
            Self::Blocker => "blocker",
            Self::Lent => "lent",
            Self::Turn => "turn",
            Self::Held => "held",
            Self::Flight => "flight",
            Self::HeldKeys => "held_keys",
            Self::Backlog => "backlog",
        }
    }

    /// From 1: 0 is an entry that is no fault.
    #[must_use]
    pub const fn code(self) -> u64 {
        self as u64 + 1
    }

    /// The kind of a code.
    #[must_use]
    pub fn of_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_count_from_one() {
        for (at, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault.code(), at as u64 + 1);
            assert_eq!(Fault::of_code(fault.code()), Some(fault));
        }
        assert_eq!(Fault::of_code(0), None);
    }
}
