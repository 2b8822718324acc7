//! What arrives in the queues of a configuration, gathered by second and by key, so that memory is bounded by time and keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::Settings;
use crate::domain::forecast::{DueMessages, ForecastFacts, LINES_MAX, ReadyLine, whole};
use crate::domain::gates::Snapshot;
use crate::domain::id::QueueName;
use crate::domain::policy::QueuePolicy;

const SECOND_MS: u64 = 1000;

/// What arrives in all queues.
pub(super) struct Arrivals {
    pub(super) settings: Settings,
    /// When virtual time begins.
    pub(super) from_ms: u64,
    queues: BTreeMap<QueueName, QueueArrivals>,
}

/// What arrives in one queue.
pub(super) struct QueueArrivals {
    pub(super) policy: Arc<QueuePolicy>,
    /// What is known of it at the beginning.
    pub(super) snapshot: Snapshot,
    /// Ready at the beginning.
    pub(super) ready: f64,
    lines: HashMap<String, usize>,
    /// By second of the due time, line, and second of the expiry (0: never).
    due: HashMap<(u64, usize, u64), f64>,
    messages: f64,
    cost: f64,
}

/// A message of a trace or a load.
pub(super) struct Arriving<'a> {
    /// When it is due.
    pub(super) due_ms: u64,
    /// When it expires.
    pub(super) expires_ms: Option<u64>,
    /// The values of its keys, as one text.
    pub(super) keys: &'a str,
    /// Units that it takes.
    pub(super) cost: f64,
    /// How many there are of it.
    pub(super) messages: f64,
}

impl Arrivals {
    pub(super) fn new(settings: &Settings, from_ms: u64) -> Self {
        Self { settings: settings.clone(), from_ms, queues: BTreeMap::new() }
    }

    /// One queue; `None`: the configuration has none of this name.
    pub(super) fn queue(&mut self, name: &str) -> Option<&mut QueueArrivals> {
        let name: QueueName = name.parse().ok()?;
        if !self.queues.contains_key(&name) {
            let policy = self.settings.queues.get(&name)?;
            self.queues.insert(name.clone(), QueueArrivals::new(Arc::clone(policy)));
        }
        self.queues.get_mut(&name)
    }

    /// What each queue begins with, for the model; `mean_call_ms`: how long a call takes.
    pub(super) fn facts(
        &self,
        mean_call_ms: Option<u64>,
    ) -> impl Iterator<Item = (&QueueName, ForecastFacts<'_>)> {
        self.queues.iter().map(move |(name, queue)| {
            let mean_call_ms = mean_call_ms.map(whole);
            (name, queue.facts(self.from_ms, mean_call_ms))
        })
    }
}

impl QueueArrivals {
    fn new(policy: Arc<QueuePolicy>) -> Self {
        Self {
            policy,
            snapshot: Snapshot::default(),
            ready: 0.0,
            lines: HashMap::new(),
            due: HashMap::new(),
            messages: 0.0,
            cost: 0.0,
        }
    }

    /// Whether lines are told apart by keys.
    pub(super) fn has_keys(&self) -> bool {
        self.policy.has_keys()
    }

    pub(super) fn add(&mut self, arriving: &Arriving<'_>) {
        let line = self.line(arriving.keys);
        let ttl_ms = self.policy.ttl_ms.map(|ttl_ms| arriving.due_ms.saturating_add(ttl_ms));
        let expires_ms = arriving.expires_ms.or(ttl_ms).unwrap_or(0);
        let at = (arriving.due_ms / SECOND_MS, line, expires_ms.div_ceil(SECOND_MS));
        *self.due.entry(at).or_insert(0.0) += arriving.messages;
        self.messages += arriving.messages;
        self.cost += arriving.cost * arriving.messages;
    }

    /// The line of these keys, from 1 on; 0 stands for all that are not told apart.
    fn line(&mut self, keys: &str) -> usize {
        if !self.has_keys() {
            return 0;
        }
        if let Some(line) = self.lines.get(keys) {
            return *line;
        }
        let next = self.lines.len() + 1;
        if next >= LINES_MAX {
            return 0;
        }
        self.lines.insert(keys.to_owned(), next);
        next
    }

    fn facts(&self, now_ms: u64, mean_call_ms: Option<f64>) -> ForecastFacts<'_> {
        let rest = ReadyLine { messages: self.ready, share: 1.0, is_of_key: false };
        let of_key = ReadyLine { messages: 0.0, share: 1.0, is_of_key: true };
        let mut due: Vec<DueMessages> = self
            .due
            .iter()
            .map(|((at_s, line, expires_s), messages)| DueMessages {
                at_ms: (at_s * SECOND_MS).max(now_ms),
                line: *line,
                messages: *messages,
                expires_ms: (*expires_s > 0).then_some(expires_s * SECOND_MS),
            })
            .collect();
        // The order of a hash map is another one each time.
        due.sort_by_key(|it| (it.at_ms, it.line, it.expires_ms));
        ForecastFacts {
            policy: &self.policy,
            later: &[],
            snapshot: &self.snapshot,
            ready: std::iter::once(rest)
                .chain(std::iter::repeat_n(of_key, self.lines.len()))
                .collect(),
            due,
            mean_call_ms,
            mean_cost: if self.messages > 0.0 { self.cost / self.messages } else { 1.0 },
            now_ms,
        }
    }
}
