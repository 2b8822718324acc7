//! What is wrong with a daemon, its store and its queues, and what to do about it.
//!
//! Owns what counts as a problem and what as a note, and the words for both. Pure: what was seen comes in. What a queue
//! waits for is asked of its gates, which senders go by too. Refuses to know how it was seen.

mod certificate;
pub mod finding;
pub mod index;
pub mod nodes;
pub mod queue;
mod reload;
pub mod store;
mod traces;
pub mod ways_in;

pub use self::certificate::of_certificate;
pub use self::finding::{About, Finding, FindingCode, Weight};
pub use self::reload::{RefusedReload, of_reload};
pub use self::traces::of_traces;

/// What could not be looked at is unknown, and said so.
#[must_use]
pub fn not_checked(about: About, why: &str) -> Finding {
    Finding::problem(
        FindingCode::NotChecked,
        about,
        format!("it could not be checked: {why}"),
        "run `tidegate doctor` again; if it stays so, look at the daemon's log",
    )
}
