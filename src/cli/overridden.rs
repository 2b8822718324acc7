//! An override as a sentence, wherever one is shown.
//!
//! Refuses to know commands.

use super::plain::plain;
use super::times::Times;
use crate::wire::overrides::OverrideView;

/// What an override says, as a sentence.
pub(crate) fn sentence(it: &OverrideView, times: &Times) -> String {
    let until = format!("until {} ({})", times.at(it.until.0), times.distance(it.until.0));
    let (kind, value) = (plain(&it.kind), plain(&it.value));
    let configured = or_none(it.configured.as_ref());
    if it.in_force.as_ref().is_some_and(|in_force| *in_force != it.value) {
        return format!(
            "{kind} {value} {until}; the configuration says {configured}, which is less and stays in force (--above lifts that)"
        );
    }
    format!("{kind} {value} {until}; the configuration says {configured}")
}

/// What the configuration says, or that it says nothing.
pub(crate) fn or_none(said: Option<&String>) -> String {
    said.map_or_else(|| "nothing".to_owned(), |said| plain(said))
}
