//! Query parameters, read so that one answer tells everything that is wrong.
//!
//! A name that is not known is refused like a field that is not known: `?states=dead` must not list
//! everything.

use std::borrow::Cow;

use super::problem::{FAULTS_MAX, Fault, Problem};
use crate::domain::suggest::did_you_mean;

/// What `view` may say: without payloads, which is the default, and with them.
pub(super) const VIEWS: [&str; 2] = ["basic", "full"];

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Query {
    /// Reads the query, which may have these names.
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Self {
        Self::read_with(query, known, &[])
    }

    /// The same, where these names may be given more than once.
    pub(super) fn read_with(query: Option<&str>, known: &[&str], repeated: &[&str]) -> Self {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut faults = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if faults.len() >= FAULTS_MAX {
                break;
            }
            let detail = if !known.contains(&&*name) {
                let shown: String = name.chars().take(60).collect();
                let meant = did_you_mean(&name, known.iter().copied());
                format!("unknown parameter \"{shown}\"{meant}")
            } else if pairs.iter().any(|(given, _)| *given == name) && !repeated.contains(&&*name) {
                format!("the parameter \"{name}\" is given twice; give it once")
            } else {
                pairs.push((name.into_owned(), value.into_owned()));
                continue;
            };
            faults.push(Fault::new(pointer(&name), detail));
        }
        Self { pairs, faults }
    }

    /// A parameter's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All texts of a parameter that may be repeated.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let given = self.pairs.iter().filter(|(given, _)| given == name);
        given.map(|(_, value)| value.clone()).collect()
    }

    /// A parameter's value; a bad one is noted and reads as absent.
    pub(super) fn read_as<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match read(self.text(name)?) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.fault(name, detail);
                None
            }
        }
    }

    /// `?view=full`: whether payloads are wanted.
    pub(super) fn view(&mut self) -> bool {
        let [basic, full] = VIEWS;
        let view = self.read_as("view", |text| match text {
            text if text == full => Ok(true),
            text if text == basic => Ok(false),
            other => Err(format!("found \"{other}\", expected {full} (with payload) or {basic}")),
        });
        view.unwrap_or(false)
    }

    /// A whole number from 1 to `most`.
    pub(super) fn count(&mut self, name: &str, most: u32) -> Option<u32> {
        self.read_as(name, |text| {
            let number = text.parse::<u32>().ok().filter(|number| (1..=most).contains(number));
            number.ok_or_else(|| format!("found \"{text}\", expected a whole number, 1 to {most}"))
        })
    }

    /// A yes or no.
    pub(super) fn truth(&mut self, name: &str) -> Option<bool> {
        self.read_as(name, |text| {
            text.parse().map_err(|_| format!("found \"{text}\", expected true or false"))
        })
    }

    /// Notes what is wrong with a parameter.
    pub(super) fn fault(&mut self, name: &str, detail: impl Into<String>) {
        self.faults.push(Fault::new(pointer(name), detail));
    }

    /// # Errors
    /// When anything was wrong.
    pub(super) fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}

fn pointer(name: &str) -> String {
    let shown: Cow<'_, str> = name.chars().take(60).collect();
    format!("?{shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_repeats_are_refused() {
        let query = Query::read(Some("state=dead&staet=1&state=x&limit=%35"), &["state", "limit"]);
        assert_eq!(query.text("limit"), Some("5"));
        let problem = query.finish().unwrap_err();
        let faults: Vec<_> =
            problem.faults().iter().map(|f| (f.pointer.as_str(), f.detail.as_str())).collect();
        assert_eq!(
            faults,
            [
                ("?staet", "unknown parameter \"staet\"; did you mean \"state\"?"),
                ("?state", "the parameter \"state\" is given twice; give it once"),
            ]
        );
    }

    #[test]
    fn counts_know_their_bounds() {
        for (text, count) in
            [("1", Some(1)), ("10", Some(10)), ("0", None), ("11", None), ("x", None), ("", None)]
        {
            let mut query = Query::read(Some(&format!("limit={text}")), &["limit"]);
            assert_eq!(query.count("limit", 10), count, "{text}");
            assert_eq!(query.finish().is_ok(), count.is_some(), "{text}");
        }
    }
}
