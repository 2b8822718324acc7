//! What a queue promises about limits and order.
//!
//! Owns the keys and limits, and the lines of the configuration that ask for them, so that the daemon and the
//! checker are told the same. Refuses to judge.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::history::Sent;

/// The name of a queue's own rate.
const OWN_RATE: &str = "rate";

/// A value of a message by which queues order and limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Key {
    Group,
    /// A label.
    Customer,
}

impl Key {
    /// As a configuration names it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Customer => "labels.customer",
        }
    }

    /// The value that a message has.
    pub(crate) fn of(self, sent: &Sent) -> Option<u32> {
        match self {
            Self::Group => sent.group,
            Self::Customer => sent.customer,
        }
    }
}

/// A limit over all nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) kind: LimitKind,
    /// For each value of this key; all messages without it share one. None: for the whole queue.
    pub(crate) per: Option<Key>,
    /// A batch takes what all its messages cost, and not one unit.
    pub(crate) counts_messages: bool,
    /// An account over all queues that have it.
    #[serde(default)]
    pub(crate) shared: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum LimitKind {
    /// An even pace.
    Rate { units_per_s: f64, burst: u32 },
    /// Units in each hour, in UTC.
    Quota { units: u64 },
    /// Calls in flight.
    Concurrency { calls: u32 },
}

impl Limit {
    /// The queue's own rate.
    pub(crate) fn rate(units_per_s: f64, burst: u32) -> Self {
        Self::of(OWN_RATE, LimitKind::Rate { units_per_s, burst })
    }

    pub(crate) fn of(name: &str, kind: LimitKind) -> Self {
        Self { name: name.to_owned(), kind, per: None, counts_messages: false, shared: false }
    }

    /// The same for each value of a key.
    pub(crate) fn per(self, key: Key) -> Self {
        Self { per: Some(key), ..self }
    }

    /// The same, over all queues that have it.
    pub(crate) fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// The same, by messages.
    pub(crate) fn by_messages(self) -> Self {
        Self { counts_messages: true, ..self }
    }

    pub(crate) fn is_quota(&self) -> bool {
        matches!(self.kind, LimitKind::Quota { .. })
    }

    fn entry(&self) -> String {
        if self.shared {
            return format!("\"{}\"", self.name);
        }
        let name = format!("name = \"{}\"", self.name);
        let fields: Vec<String> = std::iter::once(name).chain(self.fields()).collect();
        format!("{{ {} }}", fields.join(", "))
    }

    /// The section of a shared limit.
    fn section(&self) -> String {
        format!("[limits.{}]\n{}\n", self.name, self.fields().join("\n"))
    }

    fn fields(&self) -> Vec<String> {
        let mut fields = Vec::new();
        match self.kind {
            LimitKind::Rate { units_per_s, burst } => {
                fields.push(format!("rate = \"{}/min\"", units_per_s * 60.0));
                fields.push(format!("burst = {burst}"));
            }
            LimitKind::Quota { units } => fields.push(format!("quota = \"{units}/hour\"")),
            LimitKind::Concurrency { calls } => fields.push(format!("concurrency = {calls}")),
        }
        fields.extend(self.per.map(|key| format!("per = \"{}\"", key.word())));
        if self.counts_messages {
            fields.push("unit = \"messages\"".to_owned());
        }
        fields
    }
}

/// The sections of the limits that are shared, each once.
pub(crate) fn sections<'a>(limits: impl Iterator<Item = &'a Limit>) -> String {
    let shared = limits.filter(|limit| limit.shared);
    let by_name: BTreeMap<&str, String> =
        shared.map(|limit| (limit.name.as_str(), limit.section())).collect();
    by_name.into_values().collect()
}

/// The lines of a queue that ask for this order and these limits.
pub(crate) fn toml(order: Option<Key>, limits: &[Limit]) -> String {
    let mut lines = String::new();
    if let Some(key) = order {
        writeln!(lines, "ordering = \"{}\"", key.word()).expect("to a String");
    }
    let mut further = Vec::new();
    for limit in limits {
        match limit.kind {
            LimitKind::Rate { units_per_s, burst } if limit.name == OWN_RATE => {
                writeln!(lines, "rate = \"{units_per_s}/s\"\nburst = {burst}")
                    .expect("to a String");
            }
            _ => further.push(limit.entry()),
        }
    }
    if !further.is_empty() {
        writeln!(lines, "limits = [{}]", further.join(", ")).expect("to a String");
    }
    lines
}
