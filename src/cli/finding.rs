//! What `doctor` finds: how much it weighs, what it is about, and what to do.

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Somebody must act.
    Problem,
    /// Worth knowing.
    Note,
}

impl Weight {
    /// The word that is shown.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Note => "note",
        }
    }
}

/// One thing found, with its remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// How much it weighs.
    pub(crate) weight: Weight,
    /// What it is about: a queue, the store, the nodes.
    pub(crate) about: String,
    /// What was found.
    pub(crate) what: String,
    /// What to do.
    pub(crate) remedy: String,
    /// The section of the runbook that says more.
    pub(crate) section: Option<&'static str>,
}

impl Finding {
    /// Somebody must act.
    pub(crate) fn problem(about: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (what, remedy) = (what.into(), remedy.into());
        Self { weight: Weight::Problem, about: about.to_owned(), what, remedy, section: None }
    }

    /// Worth knowing.
    pub(crate) fn note(about: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { weight: Weight::Note, ..Self::problem(about, what, remedy) }
    }

    /// The same with the section of the runbook that says more: the name of its alert.
    pub(crate) fn section(self, alert: &'static str) -> Self {
        Self { section: Some(alert), ..self }
    }

    /// Where the runbook says more, written as the alerting rules write it.
    pub(crate) fn runbook(&self) -> Option<String> {
        self.section.map(|alert| format!("docs/runbook.md#{}", alert.to_lowercase()))
    }
}
