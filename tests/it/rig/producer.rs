//! Producers that do what the contract asks of them: one idempotency key a message, and the same
//! request again until there is a definite answer.
//!
//! Owns what is sent and the ledger of it. Every request goes to a node by chance, dead or alive.
//! Refuses to know what is done to the system.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::history::{Sent, Verdict};
use super::message::{Draft, draft};
use crate::support::clocks::wall_us;
use crate::support::http::{Http, Reply};

const WORKERS: u64 = 8;
/// Longer than the daemon waits for its store.
const PATIENCE: Duration = Duration::from_secs(12);
const PAUSE_MS_MAX: u64 = 300;
/// One request in three is a single message.
const MESSAGES_MAX: usize = 40;

/// Where messages are sent to: a queue or a topic.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) path: String,
    /// Where they go from there.
    pub(crate) queues: Vec<usize>,
    /// The names of these.
    pub(crate) names: Vec<String>,
    /// Its part of all messages.
    pub(crate) percent: u32,
    pub(crate) is_topic: bool,
    /// They leave in batches.
    pub(crate) is_batched: bool,
    /// Its queue orders or limits by keys.
    pub(crate) has_keys: bool,
    /// Its queue counts units.
    pub(crate) has_costs: bool,
    /// Its messages have collapse keys.
    pub(crate) collapses: bool,
}

/// What the producers share.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) seed: u64,
    pub(crate) nodes: Vec<Http>,
    pub(crate) targets: Vec<Target>,
    pub(crate) per_s: u64,
    pub(crate) ledger: Mutex<Vec<Sent>>,
    pub(crate) accepted: AtomicUsize,
    /// Held back while the daemons have enough to do.
    pub(crate) is_held: AtomicBool,
    /// Nothing new from now on; what is under way is brought to its end.
    pub(crate) is_over: AtomicBool,
    pub(crate) keys: AtomicU64,
    /// Requests that were made.
    pub(crate) requests: AtomicUsize,
    pub(crate) has_ended: AtomicBool,
}

impl Producer {
    /// Sends until it is over; returns when every message has its verdict.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let seed = self.seed.wrapping_add(worker.wrapping_mul(0x9e37_79b9));
            workers.spawn(Arc::clone(&self).work(StdRng::seed_from_u64(seed)));
        }
        while let Some(ended) = workers.join_next().await {
            ended.expect("a producer panicked, see above");
        }
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// What was sent, with its verdicts.
    pub(crate) fn take_ledger(&self) -> Vec<Sent> {
        std::mem::take(&mut self.ledger.lock().expect("nobody panics"))
    }

    async fn work(self: Arc<Self>, mut random: StdRng) {
        let per_message = Duration::from_secs_f64(WORKERS as f64 / self.per_s as f64);
        let mut next = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            if self.is_held.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                next = Instant::now();
                continue;
            }
            let (target, is_first) = self.next_target(&mut random);
            let is_single = target.is_topic || (!is_first && random.random_ratio(1, 3));
            let least = if is_first { MESSAGES_MAX / 2 } else { 2 };
            let count = if is_single { 1 } else { random.random_range(least..=MESSAGES_MAX) };
            let first_key = self.keys.fetch_add(count as u64, Ordering::Relaxed);
            let drafts =
                (0..count as u64).map(|n| draft(&mut random, target, first_key + n)).collect();
            self.bring(&mut random, target, drafts).await;
            next += per_message * u32::try_from(count).expect("few");
            tokio::time::sleep_until(next).await;
        }
    }

    /// Each target once that has a part of all messages, so that even a short run meets all of them; then some target, by its part.
    /// Whether it is the first time.
    fn next_target(&self, random: &mut StdRng) -> (&Target, bool) {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut with_a_part = self.targets.iter().filter(|target| target.percent > 0);
        let first = with_a_part.nth(request);
        (first.unwrap_or_else(|| self.some_target(random)), first.is_some())
    }

    fn some_target(&self, random: &mut StdRng) -> &Target {
        let mut left =
            random.random_range(0..self.targets.iter().map(|target| target.percent).sum());
        let falls = |target: &&Target| {
            let hit = left < target.percent;
            left = left.wrapping_sub(target.percent);
            hit
        };
        self.targets.iter().find(falls).expect("parts add up")
    }

    /// The same request again and again, each time to some node, until nothing is open.
    async fn bring(&self, random: &mut StdRng, target: &Target, mut open: Vec<Draft>) {
        let (mut pause_ms, began) = (10, Instant::now());
        let request = open[0].sent.key;
        while !open.is_empty() {
            let node = &self.nodes[random.random_range(0..self.nodes.len())];
            let answers = match ask(node, &target.path, &open).await {
                Some(reply) if target.is_topic => vec![answer_of_topic(&reply, target)],
                Some(reply) => answers(&reply, open.len()),
                None => vec![Said::Nothing; open.len()],
            };
            let at_us = wall_us();
            let mut still_open = Vec::new();
            for (mut draft, said) in open.into_iter().zip(answers) {
                match said {
                    Said::Accepted { ids, is_collapsed } => {
                        let accepted = |id| Verdict::Accepted { id, at_us };
                        let verdicts =
                            ids.into_iter().map(|id| id.map_or(Verdict::Unknown, accepted));
                        draft.sent.request = (!draft.may_be_in).then_some(request);
                        draft.sent.is_collapsed = is_collapsed;
                        self.note(&draft, target, verdicts);
                    }
                    Said::Refused if !draft.may_be_in => {
                        self.note(&draft, target, std::iter::repeat(Verdict::Refused));
                    }
                    Said::Refused => self.note(&draft, target, std::iter::repeat(Verdict::Unknown)),
                    Said::Nothing if began.elapsed() > self.give_up_after() => {
                        self.note(&draft, target, std::iter::repeat(Verdict::Unknown));
                    }
                    Said::Nothing => {
                        draft.may_be_in = true;
                        still_open.push(draft);
                    }
                }
            }
            open = still_open;
            if !open.is_empty() {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
            }
        }
    }

    fn give_up_after(&self) -> Duration {
        // Above the longest outage of any schedule.
        Duration::from_secs(90)
    }

    /// A verdict for each of the target's queues.
    fn note(&self, draft: &Draft, target: &Target, verdicts: impl Iterator<Item = Verdict>) {
        let mut ledger = self.ledger.lock().expect("nobody panics");
        for (queue, verdict) in target.queues.iter().zip(verdicts) {
            if matches!(verdict, Verdict::Accepted { .. }) {
                self.accepted.fetch_add(1, Ordering::Relaxed);
            }
            ledger.push(Sent { verdict, queue: *queue, ..draft.sent.clone() });
        }
    }
}

/// What an answer says about one message.
#[derive(Debug, Clone)]
enum Said {
    /// In each of the target's queues under this id (`None`: it did not say), in the place of another message or not.
    Accepted {
        ids: Vec<Option<String>>,
        is_collapsed: bool,
    },
    Refused,
    /// 503, or no answer: unknown.
    Nothing,
}

async fn ask(node: &Http, path: &str, drafts: &[Draft]) -> Option<Reply> {
    let (path, kind, body) = if let [draft] = drafts {
        (path.to_owned(), "application/json", draft.line.clone())
    } else {
        let lines: Vec<_> = drafts.iter().map(|draft| draft.line.as_str()).collect();
        (format!("{path}/batch"), "application/x-ndjson", lines.join("\n"))
    };
    let headers = [("Content-Type", kind)];
    let sent = node.try_send(Method::POST, &path, &headers, body);
    tokio::time::timeout(PATIENCE, sent).await.ok()?.ok()
}

fn answers(reply: &Reply, count: usize) -> Vec<Said> {
    let body: Value = match reply.status {
        200 | 201 => reply.json(),
        400..500 => return vec![Said::Refused; count],
        _ => return vec![Said::Nothing; count],
    };
    if count == 1 {
        return vec![accepted(&body)];
    }
    let results = body["results"].as_array().expect("a batch has results");
    assert_eq!(results.len(), count, "one result an item: {body}");
    results.iter().map(accepted).collect()
}

fn answer_of_topic(reply: &Reply, target: &Target) -> Said {
    let event: Value = match reply.status {
        200 | 201 => reply.json(),
        400..500 => return Said::Refused,
        _ => return Said::Nothing,
    };
    let messages = event["messages"].as_array().expect("an event has messages");
    let id_in = |name: &String| {
        let message = messages.iter().find(|message| message["queue"] == *name)?;
        Some(message["id"].as_str()?.to_owned())
    };
    Said::Accepted { ids: target.names.iter().map(id_in).collect(), is_collapsed: false }
}

fn accepted(message: &Value) -> Said {
    if let Some(id) = message["id"].as_str() {
        let is_collapsed = message["collapsed"] == true;
        return Said::Accepted { ids: vec![Some(id.to_owned())], is_collapsed };
    }
    let status = message["problem"]["status"].as_u64().expect("an id or a problem");
    if status == 503 { Said::Nothing } else { Said::Refused }
}
