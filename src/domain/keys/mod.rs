//! Keys: values of a message that its queue goes by, for order, for shares and for limits.
//!
//! Owns what a queue says of its keys: which value each of them is, and which names of it stand in Redis (the structure).
//! Refuses to know what is kept under a key, and how messages with keys are found (see the store).

mod fairness;
mod key;
mod ordering;
mod settings;
mod structure;

pub use self::fairness::{BadWeight, Fairness, WEIGHT_MAX, WEIGHT_MIN, Weight};
pub use self::key::{BadMessageKey, MessageKey};
pub use self::ordering::{Ordering, Until};
pub use self::settings::{KeyPart, KeyRules, KeySettings, LimitCap, LimitValue, WithoutEffect};
pub use self::structure::{CountedBacklog, Structure, StructureLimit};
