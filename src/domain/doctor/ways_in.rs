//! What is wrong with the ways in beside the API of a queue: topics, and the streams of the inbox.

use super::finding::{About, Finding, FindingCode};
use crate::domain::human::span;
use crate::domain::id::QueueName;

/// An event that a queue has lacked for so long is no matter of a moment any more.
const PENDING_MS_MAX: u64 = 30_000;
/// An entry that has lain in its stream for so long is not just under way.
const LAG_MS_MAX: u64 = 60_000;

/// A topic whose oldest event has lacked a queue for so long.
#[must_use]
pub fn of_topic(topic: &str, oldest_age_ms: u64) -> Option<Finding> {
    (oldest_age_ms >= PENDING_MS_MAX).then(|| {
        Finding::problem(
            FindingCode::TopicIncomplete,
            About::Topic(topic.to_owned()),
            format!(
                "events could not be handed to all of its queues, the oldest for {}",
                span(oldest_age_ms)
            ),
            "they are kept and completed later; `tidegate topics` names the queue: free space, bring its master back, or put it back into the configuration",
        )
    })
}

/// A queue whose stream has held its oldest entry for so long.
#[must_use]
pub fn of_stream(queue: &QueueName, lag_ms: u64) -> Option<Finding> {
    (lag_ms >= LAG_MS_MAX).then(|| {
        Finding::problem(
            FindingCode::InboxLate,
            queue,
            format!("the oldest entry of its stream has waited for {}", span(lag_ms)),
            "the daemon's log says why (a full store, a Redis that is away); entries stay in their stream and are taken in later",
        )
    })
}

/// Entries of streams that were rejected, and streams whose queue is not configured.
#[must_use]
pub fn of_inbox(rejected: u64, stray_streams: u64) -> Vec<Finding> {
    let rejected = (rejected > 0).then(|| {
        let entries =
            if rejected == 1 { "1 entry".to_owned() } else { format!("{rejected} entries") };
        Finding::problem(
            FindingCode::InboxRejected,
            About::Inbox,
            format!("{entries} were rejected"),
            "redis-cli XRANGE <namespace>:inbox:rejected - + shows them with the reasons; correct the producer, add them again, then XTRIM the stream",
        )
    });
    let stray = (stray_streams > 0).then(|| {
        Finding::problem(
            FindingCode::InboxStray,
            About::Inbox,
            match stray_streams {
                1 => "1 stream whose queue is not configured".to_owned(),
                n => format!("{n} streams whose queues are not configured"),
            },
            "the daemon's log names them; add the queue to the configuration, or correct the producer and XDEL the entries",
        )
    });
    rejected.into_iter().chain(stray).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_long_is_found() {
        let queue: QueueName = "sms".parse().unwrap();
        assert!(of_topic("paid", 1500).is_none() && of_stream(&queue, 20_000).is_none());
        assert!(of_inbox(0, 0).is_empty());
        let topic = of_topic("paid", 60_500).unwrap();
        assert_eq!(
            (topic.about.name(), topic.detail.as_str()),
            ("paid", "events could not be handed to all of its queues, the oldest for 1m 1s")
        );
        let late = of_stream(&queue, 90_000).unwrap();
        assert_eq!(late.detail, "the oldest entry of its stream has waited for 1m 30s");
        let details: Vec<_> = of_inbox(2, 1).into_iter().map(|f| f.detail).collect();
        assert_eq!(details, ["2 entries were rejected", "1 stream whose queue is not configured"]);
    }
}
