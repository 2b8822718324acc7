//! What is wrong, as `tidegate doctor --quick` says it.

use super::text::sentence;
use crate::cli::doctor::what;
use crate::cli::plain::plain;
use crate::cli::times::Times;
use crate::wire::doctor::DoctorAnswer;

/// Each finding with its remedy.
pub(super) fn lines(told: &DoctorAnswer, times: &Times, width: u16) -> Vec<String> {
    let width = usize::from(width);
    let mut lines = Vec::new();
    if let Some(store) = &told.store {
        lines.extend(sentence(&format!("Messages are kept in: {}", plain(store)), 0, width));
        lines.push(String::new());
    }
    if told.findings.is_empty() {
        lines.push("Nothing is wrong.".to_owned());
    }
    for finding in &told.findings {
        let (weight, about) = (finding.weight.as_str(), plain(&finding.about));
        lines.extend(sentence(&format!("{weight} {about}: {}", what(finding, times)), 0, width));
        lines.extend(sentence(&format!("→ {}", plain(&finding.remedy)), 2, width));
        if let Some(runbook) = &finding.runbook {
            lines.extend(sentence(&format!("more: {}", plain(runbook)), 4, width));
        }
        lines.push(String::new());
    }
    let about = "The stored messages are not checked here: `tidegate doctor` does that.";
    lines.extend(sentence(about, 0, width));
    lines
}
