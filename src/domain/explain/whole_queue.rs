//! What gates say that hold a whole queue: the same sentences for one of its messages and for the queue.
//!
//! Moments come in as they are to be shown.

use super::details::unended;
use crate::domain::id::QueueName;
use crate::domain::overrides::{Override, OverrideChange, WindowChange};
use crate::domain::policy::QueuePolicy;

/// Of a queue that is not configured any more.
pub const RETIRED: &str =
    "The queue is not in the configuration any more, and nothing of it is sent.";

/// Of a pause, by whom and why; `until`: `None`, until somebody resumes it.
#[must_use]
pub fn paused(queue: &QueueName, (by, reason): (&str, &str), until: Option<&str>) -> String {
    let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
    let why = if reason.is_empty() { String::new() } else { format!(" ({})", unended(reason)) };
    let until = until.unwrap_or("somebody resumes it");
    format!(
        "The queue was paused{by}{why} until {until}; `tidegate resume {queue}` ends the pause."
    )
}

/// Of a gate that the downstream's answers have shut, by its kind and the answer; `until`: when it opens.
#[must_use]
pub fn shut(queue: &QueueName, (kind, why): (&str, &str), until: &str) -> String {
    let what = match kind {
        "throttle" => "The downstream asked for fewer calls, or no token for it could be got",
        _ => "The downstream refused our credentials or our address",
    };
    let why = match why {
        "" => String::new(),
        why => format!(" (it answered: {})", unended(why)),
    };
    format!(
        "{what}{why}; it is called again at {until}, or at once after `tidegate resume {queue}`."
    )
}

/// Of a window that is closed; `until`: when it opens, `None`: not within two years. `at` shows a moment, in ms.
#[must_use]
pub fn closed(policy: &QueuePolicy, until: Option<&str>, at: impl Fn(u64) -> String) -> String {
    let closes = |it: &&Override| it.change == OverrideChange::Window(WindowChange::Closed);
    match (policy.overrides.iter().find(closes), until) {
        (Some(it), _) => by_override(it, &at(it.until_ms)),
        (None, Some(until)) => format!("The window is closed and opens at {until}."),
        (None, None) => "The window is closed and does not open within two years.".to_owned(),
    }
}

fn by_override(it: &Override, until: &str) -> String {
    let why = match it.reason.as_str() {
        "" => String::new(),
        reason => format!(" ({})", unended(reason)),
    };
    format!(
        "An override by {} keeps the window closed until {until}{why}; `tidegate override {} end {}` ends it.",
        it.by, it.queue, it.id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_names_who_why_until_when_and_what_helps() {
        let sms: QueueName = "sms".parse().unwrap();
        assert_eq!(
            paused(&sms, ("ann", "deploy."), None),
            "The queue was paused by ann (deploy) until somebody resumes it; `tidegate resume sms` ends the pause."
        );
        assert_eq!(
            paused(&sms, ("", ""), Some("noon")),
            "The queue was paused until noon; `tidegate resume sms` ends the pause."
        );
        assert_eq!(
            shut(&sms, ("alarm", "status 401: bad token"), "noon"),
            "The downstream refused our credentials or our address (it answered: status 401: bad token); it is called again at noon, or at once after `tidegate resume sms`."
        );
        assert!(
            shut(&sms, ("throttle", ""), "noon").starts_with(
                "The downstream asked for fewer calls, or no token for it could be got;"
            )
        );
        let policy = QueuePolicy::retired(sms, 1);
        let at = |_| "noon".to_owned();
        assert_eq!(closed(&policy, Some("noon"), at), "The window is closed and opens at noon.");
    }
}
