//! Whether the daemon takes new messages: what it answers to `/readyz`, and what its metrics say.
//!
//! Owns the two questions, for `doctor` and for `queues`. Refuses to judge (`diagnosis_metrics`).

use std::time::Duration;

use http::{Method, StatusCode};

use super::client::{Answer, Client, Target};
use super::diagnosis_metrics;
use super::exit::Failure;
use super::finding::Finding;

/// What the daemon said.
pub(crate) struct Intake {
    /// Why it is not ready; `None`: it is.
    why_not: Option<Failure>,
    metrics: String,
}

impl Intake {
    /// Asks the daemon. Neither question costs a store that is away anything.
    pub(crate) async fn ask(client: &Client) -> Result<Self, Failure> {
        let ready = ask(client, "readyz").await?;
        let metrics = ask(client, "metrics").await?;
        // A daemon that has never reached Redis has none, and answers 503 with a problem that holds no samples.
        // Any other refusal must not be taken for metrics without a finding.
        if !metrics.status.is_success() && metrics.status != StatusCode::SERVICE_UNAVAILABLE {
            return Err(Failure::from_answer(metrics.status, &metrics.body));
        }
        let metrics = if metrics.status.is_success() { metrics.ok()? } else { metrics };
        let why_not = if ready.status.is_success() {
            ready.ok()?;
            None
        } else {
            Some(Failure::from_answer(ready.status, &ready.body))
        };
        Ok(Self { why_not, metrics: String::from_utf8_lossy(&metrics.body).into_owned() })
    }

    /// Why nothing more can be asked: only the store knows the rest, and it is away.
    pub(crate) fn store_away(&self) -> Option<&Failure> {
        let is_away = |why: &&Failure| {
            code(why) == "store-unavailable" && !diagnosis_metrics::is_store_up(&self.metrics)
        };
        self.why_not.as_ref().filter(is_away)
    }

    /// Which Redis the daemon uses; `None`: it does not say.
    pub(crate) fn store_address(&self) -> Option<String> {
        diagnosis_metrics::store_address(&self.metrics)
    }

    /// What is wrong, as far as these two answers say it.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = diagnosis_metrics::of_metrics(&self.metrics);
        if let Some(why) = &self.why_not {
            diagnosis_metrics::add_not_ready(&mut findings, code(why), &why.what);
        }
        findings
    }

    /// Of these, what keeps new messages out.
    pub(crate) fn refusals(&self) -> Vec<Finding> {
        let mut findings = self.findings();
        findings.retain(|finding| finding.what.starts_with(diagnosis_metrics::REFUSED));
        findings
    }
}

async fn ask(client: &Client, path: &str) -> Result<Answer, Failure> {
    client.exchange(Method::GET, &Target::new(&[path]), None, Duration::ZERO).await
}

/// The code of a problem.
fn code(why: &Failure) -> &str {
    why.problem.as_ref().map_or("", |problem| problem.code.as_str())
}
