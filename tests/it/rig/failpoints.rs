//! The places in the daemon at which it can be told to die.
//!
//! Owns their names and how a daemon is told. They exist only where the feature `failpoints` is
//! compiled in. Refuses to know what lies between them.

/// Read by the daemon when it starts.
pub(crate) const VARIABLE: &str = "FAILPOINTS";

/// What the daemon is told so that it dies at this place, after having passed it some times.
pub(crate) fn armed(name: &str) -> String {
    format!("{name}=1%return")
}

/// What happens under load. Not those of a graceful stop, of cancelling and of other rare verbs.
const POINTS: [&str; 20] = [
    "before-durable",
    "before-answer",
    "starting",
    "before-send",
    "after-send",
    "settled",
    "heartbeat",
    "before-schedule",
    "after-schedule",
    "before-claim",
    "after-claim",
    "before-ack",
    "after-ack",
    "before-retry",
    "after-retry",
    "before-promote",
    "after-promote",
    "before-release",
    "before-reap",
    "after-reap",
];

/// One of them.
pub(crate) fn some(dice: u64) -> String {
    POINTS[usize::try_from(dice % POINTS.len() as u64).expect("few")].to_owned()
}
