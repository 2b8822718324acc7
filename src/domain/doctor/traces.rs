//! That traces are lost.

use super::finding::{About, Finding, FindingCode};

/// The collector of this node does not take all spans, for this reason. Messages do not notice.
#[must_use]
pub fn of_traces(why: &str) -> Finding {
    Finding::note(
        FindingCode::TracesLost,
        About::Daemon,
        why,
        "look at the collector that telemetry.otlp names; a smaller telemetry.sample makes fewer spans; messages are not affected",
    )
}
