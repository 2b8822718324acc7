//! Which queues are meant: a name, or a name with `*` in it.
//!
//! Owns the notation of `server.tokens`' `queues` and the match. Refuses to know who asks.

use std::fmt;
use std::str::FromStr;

use super::id::QueueName;

/// Longest pattern, in characters: as a queue's name.
const CHARS_MAX: usize = 63;

/// A name of a queue in which `*` stands for any characters, also for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuePattern(String);

impl QueuePattern {
    /// Whether this queue is meant. A queue's callbacks go with it.
    #[must_use]
    pub fn matches(&self, queue: &QueueName) -> bool {
        match queue.callbacks_of() {
            Some(of) => fits(&self.0, of.as_str()),
            None => fits(&self.0, queue.as_str()),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Each part between two `*` at the first place where it fits; the last part at the end.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in between.split('*') {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

impl fmt::Display for QueuePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid queue or pattern; expected for example \"sms\" or \"erp-*\" (a-z, 0-9, _, - and *, up to 63 characters)"
)]
pub struct BadQueuePattern(String);

impl FromStr for QueuePattern {
    type Err = BadQueuePattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_ours = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-*".contains(c);
        if text.is_empty() || text.len() > CHARS_MAX || !text.chars().all(is_ours) {
            return Err(BadQueuePattern(text.chars().take(CHARS_MAX + 1).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, queue: &str) -> bool {
        pattern.parse::<QueuePattern>().unwrap().matches(&QueueName::any(queue).unwrap())
    }

    #[test]
    fn a_name_means_that_queue_and_its_callbacks() {
        assert!(matches("sms", "sms") && matches("sms", "sms~callbacks"));
        for other in ["sms2", "s", "xsms", "sms-eu", "sms2~callbacks"] {
            assert!(!matches("sms", other), "{other}");
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, queue, means) in [
            ("erp-*", "erp-eu", true),
            ("erp-*", "erp-", true),
            ("erp-*", "erp-eu~callbacks", true),
            ("erp-*", "erp", false),
            ("erp-*", "xerp-eu", false),
            ("*", "anything", true),
            ("*-eu", "sms-eu", true),
            ("*-eu", "sms-eu-2", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a*ba*ba", "aba", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern, queue), means, "{pattern} {queue}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "Sms", "sms~callbacks", "erp.*", "a b", "erp?", "ü", &"a".repeat(64)] {
            let error = bad.parse::<QueuePattern>().unwrap_err();
            assert!(error.to_string().contains("for example"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_cut_out_of_a_name_is_matched_by_a_star(name in "[a-z0-9]{1,20}", a: usize, b: usize) {
            let (a, b) = (a % (name.len() + 1), b % (name.len() + 1));
            let (from, to) = (a.min(b), a.max(b));
            let pattern = format!("{}*{}", &name[..from], &name[to..]);
            prop_assert!(matches(&pattern, &name));
        }
    }
}
