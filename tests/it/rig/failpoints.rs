//! The places in the daemon at which it can be told to die.
//!
//! Owns their names and how a daemon is told. They exist only where the feature `failpoints` is
//! compiled in. Refuses to know what lies between them.

use super::queues::Cast;

/// Read by the daemon when it starts.
pub(crate) const VARIABLE: &str = "FAILPOINTS";

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

/// What follows a delivery or comes before it: ends and their callbacks, receipts, probes, events, ticks.
const OUTCOMES: [&str; 22] = [
    "before-ack",
    "after-ack",
    "before-bury",
    "after-bury",
    "before-cancel",
    "after-cancel",
    "before-accept",
    "after-accept",
    "before-receive",
    "after-receive",
    "before-park",
    "after-park",
    "after-probe",
    "probed",
    "before-resolve",
    "after-resolve",
    "before-publish",
    "after-publish",
    "handing-out",
    "handed-out",
    "before-fire",
    "after-fire",
];

/// What a daemon is told so that it dies at some place where these queues pass by, after having passed it some
/// times; what is rarer, sooner.
pub(crate) fn some(cast: Cast, dice: u64) -> String {
    let (points, percent): (&[&str], _) = match cast {
        Cast::Usual => (&POINTS, 1),
        Cast::Outcomes => (&OUTCOMES, 30),
    };
    let point = points[usize::try_from(dice % points.len() as u64).expect("few")];
    format!("{point}={percent}%return")
}
