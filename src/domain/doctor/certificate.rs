//! That a certificate with which a downstream is called is out of date.

use super::finding::{About, Finding, FindingCode};
use crate::domain::id::QueueName;

/// Calls fail by it, or will at the next connection. `key` is the setting that names its file; `what` is wrong with it.
#[must_use]
pub fn of_certificate(queue: &QueueName, key: &str, what: &str, remedy: &str) -> Finding {
    Finding::problem(
        FindingCode::CertificateOutOfDate,
        About::Queue(queue.clone()),
        format!("{key}: {what}"),
        remedy,
    )
}
