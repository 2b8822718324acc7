//! The part of `doctor` that looks into the store: records against indexes, queue by queue.
//!
//! Owns the progress. Refuses to judge: the daemon does.

use http::Method;

use super::Session;
use super::client::Target;
use super::exit::Failure;
use super::progress::Progress;
use crate::domain::doctor::{FindingCode, Weight};
use crate::wire::audit::AuditLine;
use crate::wire::doctor::FindingView;

/// Has the daemon look through a queue, and mend what it finds if `repair`.
pub(crate) async fn of_queue(
    queue: &str,
    repair: bool,
    session: &mut Session,
) -> Result<Vec<FindingView>, Failure> {
    let method = if repair { Method::POST } else { Method::GET };
    let target = Target::new(&["v1", "queues", queue, "audit"]);
    let mut lines = session.client.lines(method, &target).await?;
    let mut progress = Progress::new(&session.screen, 0);
    let mut found = None;
    while let Some(line) = lines.next().await? {
        match line {
            // The findings at the end name some of them.
            AuditLine::Fault(_) => {}
            AuditLine::Progress(line) => {
                progress.grow(line.of);
                let text = format!("{queue}: {} of {} checked", line.looked, line.of);
                progress.show(line.looked, &text, &mut session.screen)?;
            }
            AuditLine::End(line) => found = Some(line.findings),
        }
    }
    progress.clear();
    Ok(found.unwrap_or_else(|| vec![broke_off(queue)]))
}

/// The daemon did not come to its last line.
fn broke_off(queue: &str) -> FindingView {
    FindingView {
        code: FindingCode::NotChecked.into(),
        queue: Some(queue.to_owned()),
        weight: Weight::Problem.into(),
        about: queue.to_owned(),
        detail: "it could not be checked completely: the answer broke off".to_owned(),
        remedy: "run `tidegate doctor` again".to_owned(),
        runbook: None,
        at: None,
    }
}
