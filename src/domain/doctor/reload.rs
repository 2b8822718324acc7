//! That a new configuration was refused.

use super::finding::{About, Finding, FindingCode};
use crate::domain::time::rfc3339;

/// Characters of the reason that are told: the whole is in the log.
const WHY_CHARS_MAX: usize = 300;

/// A reload that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedReload {
    /// When, ms; `None`: nobody knew the time.
    pub at_ms: Option<u64>,
    /// Why; may have several lines.
    pub why: String,
}

/// The configuration on the disk is not the one in force, and the next start would fail by it. Who does not see all queues is not
/// told why (`shows_why`): the reason may name others.
#[must_use]
pub fn of_reload(refused: &RefusedReload, shows_why: bool) -> Finding {
    let lines = refused.why.lines().map(str::trim).filter(|line| !line.is_empty());
    let whole = match shows_why {
        true => lines.collect::<Vec<_>>().join("; "),
        false => "its log says why".to_owned(),
    };
    let why = match whole.char_indices().nth(WHY_CHARS_MAX) {
        None => whole,
        Some((end, _)) => format!("{}…", &whole[..end]),
    };
    let when = refused.at_ms.map_or_else(String::new, |at_ms| format!(" at {}", rfc3339(at_ms)));
    Finding::problem(
        FindingCode::ReloadFailed,
        About::Daemon,
        format!("the new configuration was refused{when}, and the old one stays in force: {why}"),
        "correct the file (`tidegate check FILE` tells every error), and reload again (SIGHUP); until then the daemon would not start with this file either",
    )
    .at(refused.at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_stands_in_one_line_and_is_never_long() {
        let refused = |why: &str| RefusedReload { at_ms: Some(0), why: why.to_owned() };
        assert_eq!(
            of_reload(&refused("2 errors:\n  a: b\n\n  c: d"), true).detail,
            "the new configuration was refused at 1970-01-01T00:00:00.000Z, and the old one stays in force: 2 errors:; a: b; c: d"
        );
        assert!(!of_reload(&refused("a: b"), false).detail.contains("a: b"));
        let long = of_reload(&refused(&"é".repeat(5000)), true).detail;
        assert!(long.ends_with("éé…") && long.chars().count() < 450, "{long}");
    }
}
