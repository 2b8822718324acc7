//! Where the settings of a configuration come from: a file and a line, a variable of the environment, or a flag.
//!
//! Owns the lookup. Refuses to know how settings are read (see `config`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where each setting of a configuration comes from, by its key, for example `queues.sms.rate`.
#[derive(Clone, Default)]
pub struct Origins(Arc<BTreeMap<String, String>>);

impl Origins {
    /// The origins of single values, by their keys. Items of lists have keys like `queues.sms.limits[0].rate`.
    #[must_use]
    pub fn new(of_values: BTreeMap<String, String>) -> Self {
        Self(Arc::new(of_values))
    }

    /// Where a setting comes from: a value, or the first value of a table or list; where the whole table was given as one text,
    /// where that came from. `None`: it was not set, and its default holds.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&str> {
        if let Some(origin) = self.0.get(key) {
            return Some(origin);
        }
        let within = self.0.range(key.to_owned()..).take_while(|(at, _)| at.starts_with(key));
        let inner = within.filter(|(at, _)| at[key.len()..].starts_with(['.', '[']));
        let first = inner.map(|(_, origin)| origin.as_str()).min_by_key(|origin| line(origin));
        first.or_else(|| self.of_whole(key))
    }

    /// Where the table that this setting is in was given as one text.
    fn of_whole(&self, key: &str) -> Option<&str> {
        let mut key = key;
        while let Some(end) = key.rfind(['.', '[']) {
            key = &key[..end];
            if let Some(origin) = self.0.get(key) {
                return Some(origin);
            }
        }
        None
    }
}

/// The line of an origin; what has none comes last.
fn line(origin: &str) -> u64 {
    origin.rsplit_once(':').and_then(|(_, line)| line.parse().ok()).unwrap_or(u64::MAX)
}

/// Two configurations that say the same are equal, wherever they say it.
impl PartialEq for Origins {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Only how many there are: the whole list would be in each policy.
impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} origins", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_from_where_its_first_value_does() {
        let of = |key: &str, line: &str| (key.to_owned(), line.to_owned());
        let origins = Origins::new(BTreeMap::from([
            of("queues.q.rate", "f:2"),
            of("queues.q.rates", "f:9"),
            of("queues.q.window.open[0].from", "f:5"),
            of("queues.q.window.time_zone", "f:4"),
            of("queues.q.batch", "TIDEGATE__QUEUES__Q__BATCH"),
        ]));
        for (key, expected) in [
            ("queues.q.rate", Some("f:2")),
            ("queues.q.window", Some("f:4")),
            ("queues.q.window.open", Some("f:5")),
            ("queues.q.window.open[0]", Some("f:5")),
            ("queues.q.batch.max_items", Some("TIDEGATE__QUEUES__Q__BATCH")),
            ("queues.q.rat", None),
            ("queues.q.concurrency", None),
            ("queues.other.rate", None),
        ] {
            assert_eq!(origins.of(key), expected, "{key}");
        }
    }
}
