//! What is wrong with a configuration: every problem, each with where, what and what instead.
//!
//! Owns the wording's frame and "did you mean". Refuses to know the settings.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file with its line, the environment variable, or the flag.
    pub origin: String,
    /// The full key path, for example `queues.sms.rate`; empty where there is none.
    pub key: String,
    /// What was found and what is expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.origin, self.message)
        } else {
            write!(f, "{}: {}: {}", self.origin, self.key, self.message)
        }
    }
}

impl std::error::Error for Problem {}

/// Everything that is wrong with a configuration, at least one problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    /// `None` when nothing is wrong.
    pub(in crate::config) fn of(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// The problems, in the order in which the settings are read.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl From<Problem> for ConfigErrors {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One problem a line.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_where_and_what() {
        let problem = Problem {
            origin: "tidegate.toml:3".to_owned(),
            key: "queues.sms.burst".to_owned(),
            message: "found 0, expected a whole number from 1 to 9".to_owned(),
        };
        let two = ConfigErrors(vec![problem.clone(), Problem { key: String::new(), ..problem }]);
        assert_eq!(
            two.to_string(),
            "tidegate.toml:3: queues.sms.burst: found 0, expected a whole number from 1 to 9\n\
             tidegate.toml:3: found 0, expected a whole number from 1 to 9"
        );
    }
}
