//! Receipts: a downstream that accepts now and tells later what became of a message.
//!
//! Owns what such an answer and such a word look like, also in the words of others. Refuses to know how they arrive and where
//! they are kept.

use std::sync::Arc;

use super::id::MessageId;

/// Longest reference of a downstream, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 256;
/// Longest detail of a receipt that is kept, in bytes.
pub const DETAIL_BYTES_MAX: usize = 1000;

/// How long a receipt is waited for, and what follows if none comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptPolicy {
    /// From the acceptance, in milliseconds.
    pub timeout_ms: u64,
    /// What the message is then.
    pub on_timeout: OnTimeout,
    /// How the downstream writes its receipts; `None`: as the API says.
    pub names: Option<Arc<ReceiptNames>>,
}

/// How a downstream writes its receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptNames {
    /// The field with the message's id.
    pub id: Option<String>,
    /// The field with the downstream's own reference.
    pub reference: Option<String>,
    /// The field that says what became of the message.
    pub status: String,
    /// What it says of a message that was delivered.
    pub delivered: Vec<String>,
    /// What it says of one that never will be.
    pub dead: Vec<String>,
    /// The field with the reason, for people.
    pub detail: Option<String>,
}

impl ReceiptNames {
    /// What a status says. One that is in neither list says nothing, and is taken for neither.
    #[must_use]
    pub fn said(&self, status: &str) -> Option<ReceiptSaid> {
        let has = |words: &[String]| words.iter().any(|word| word == status);
        match (has(&self.delivered), has(&self.dead)) {
            (true, false) => Some(ReceiptSaid::Delivered),
            (false, true) => Some(ReceiptSaid::Dead),
            _ => None,
        }
    }
}

impl ReceiptPolicy {
    /// What holds for queues that do not say.
    pub const DEFAULT: Self =
        Self { timeout_ms: 86_400_000, on_timeout: OnTimeout::Uncertain, names: None };
}

/// What a message is for which no receipt came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTimeout {
    /// Nobody knows: it waits for a decision, or is asked about.
    Uncertain,
    /// Given up.
    Dead,
    /// Whoever accepts and says nothing more has it.
    Delivered,
}

impl OnTimeout {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Uncertain, Self::Dead, Self::Delivered];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uncertain => "uncertain",
            Self::Dead => "dead",
            Self::Delivered => "delivered",
        }
    }
}

/// An answer that says: accepted, a receipt will follow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pending {
    /// Under which name the receipt may come, beside the message's id.
    pub reference: Option<String>,
    /// Whether the answer names one that cannot be kept.
    pub is_unfit: bool,
}

/// What is said of a reference that is not kept.
pub const UNFIT_REFERENCE: &str = "the reference in the answer is empty, has more than 256 bytes or a control character, and is not kept; a receipt has to name the message by its id";

impl Pending {
    /// A reference that can be kept; a receipt under any other has to name the id.
    #[must_use]
    pub fn of(reference: Option<&str>) -> Self {
        let kept = reference.filter(|text| is_reference(text));
        Self { reference: kept.map(str::to_owned), is_unfit: reference.is_some() && kept.is_none() }
    }
}

/// Whether a text can be a reference: 1 to [`REFERENCE_BYTES_MAX`] bytes, no control characters.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    (1..=REFERENCE_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptSaid {
    /// The downstream has done it.
    Delivered,
    /// It never will.
    Dead,
}

impl ReceiptSaid {
    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// A receipt, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which message.
    pub of: ReceiptOf,
    /// What became of it.
    pub said: ReceiptSaid,
    /// Why, for people.
    pub detail: Option<String>,
}

/// By which name a receipt comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptOf {
    /// The message's own id.
    Id(MessageId),
    /// The downstream's reference.
    Reference(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_that_cannot_be_kept_is_none() {
        let of = |text: &str| Pending::of(Some(text)).reference;
        assert_eq!(of("A-77/ü"), Some("A-77/ü".to_owned()));
        assert_eq!(of(""), None);
        assert_eq!(of("a\nb"), None);
        assert_eq!(of(&"x".repeat(256)).map(|text| text.len()), Some(256));
        assert_eq!(of(&"x".repeat(257)), None);
        assert_eq!(Pending::of(None), Pending::default());
        assert!(Pending::of(Some("a\nb")).is_unfit && !Pending::of(Some("a")).is_unfit);
    }
}
