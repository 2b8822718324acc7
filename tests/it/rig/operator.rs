//! The operator of a run: asks any node that answers, decides what is uncertain, and reads in the end
//! what became of everything.
//!
//! Owns the questions and the decisions. A message that the recorder has is delivered, another one may
//! leave again. Refuses to judge.

use std::collections::HashSet;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::history::{Answer, Arrival, Decision, Final, Resolved};
use super::queues::PARKED;
use super::tail::Tail;
use crate::support::clocks::wall_us;
use crate::support::http::{Http, Reply};

/// What is not final in the end is told of in full, as far as it helps.
const LEFT_SHOWN: usize = 3;
const PATIENCE: Duration = Duration::from_secs(2);
const FINALS: [&str; 4] = ["delivered", "dead", "expired", "cancelled"];
const WAITING: [&str; 5] = ["scheduled", "ready", "leased", "uncertain", "accepted"];

#[derive(Debug)]
pub(crate) struct Operator {
    nodes: Vec<Http>,
    queues: Vec<String>,
    arrivals: Tail<Arrival>,
    /// What the recorder has taken.
    taken: HashSet<String>,
    pub(crate) arrived: usize,
    pub(crate) decisions: Vec<Decision>,
}

impl Operator {
    pub(crate) fn new(nodes: &[Http], queues: Vec<String>, arrivals: Tail<Arrival>) -> Self {
        let (taken, decisions) = (HashSet::new(), Vec::new());
        Self { nodes: nodes.to_vec(), queues, arrivals, taken, arrived: 0, decisions }
    }

    /// How many messages are not final, if a node could tell.
    pub(crate) async fn waiting(&self) -> Option<u64> {
        let reply = self.get("/v1/queues").await?.json();
        let queues = reply["queues"].as_array()?;
        let count = |queue: &Value| -> Option<u64> {
            WAITING.iter().map(|state| queue["counts"][state].as_u64()).sum()
        };
        queues.iter().map(count).sum()
    }

    /// Decides what waits for a decision now; what cannot be decided waits for the next time.
    pub(crate) async fn decide(&mut self) {
        self.look();
        let path = format!("/v1/queues/{PARKED}/messages?state=uncertain&limit=200");
        let Some(page) = self.get(&path).await.map(|reply| reply.json()) else { return };
        for message in page["messages"].as_array().into_iter().flatten() {
            if !self.resolve(message["id"].as_str().expect("a message has an id")).await {
                return;
            }
        }
    }

    /// Says whether somebody heard it.
    async fn resolve(&mut self, id: &str) -> bool {
        // What is uncertain has been looked at before its lease ran out or its answer did not come:
        // the recorder had it by then, if ever.
        self.look();
        let (resolved, word) = match self.taken.contains(id) {
            true => (Resolved::Delivered, "delivered"),
            false => (Resolved::Resend, "resend"),
        };
        self.decisions.push(Decision { at_us: wall_us(), id: id.to_owned(), resolved });
        let body = json!({ "as": word, "reason": "looked it up" }).to_string();
        let path = format!("/v1/messages/{id}/resolve");
        self.ask(Method::POST, &path, &body).await.is_some()
    }

    /// Reads what has arrived since.
    fn look(&mut self) {
        for arrival in self.arrivals.read() {
            self.arrived += 1;
            if matches!(arrival.answer, Answer::Taken | Answer::TakenUnsaid | Answer::Garbage) {
                self.taken.insert(arrival.id);
            }
        }
    }

    /// Every final record, as often as it is listed.
    pub(crate) async fn finals(&self) -> Vec<Final> {
        let mut finals = Vec::new();
        for queue in &self.queues {
            for state in FINALS {
                for message in self.list(queue, state).await {
                    let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
                    finals.push(Final {
                        id: text("id"),
                        state: text("state"),
                        attempts: message["attempts"]
                            .as_u64()
                            .and_then(|n| n.try_into().ok())
                            .unwrap_or(0),
                        reason: text("reason"),
                    });
                }
            }
        }
        finals
    }

    /// The ids of what is not final.
    pub(crate) async fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for queue in &self.queues {
            for state in WAITING {
                for message in self.list(queue, state).await {
                    let id = message["id"].as_str().expect("a message has an id");
                    if left.len() < LEFT_SHOWN {
                        eprintln!("not final: {message}");
                    }
                    left.push(id.to_owned());
                }
            }
        }
        left
    }

    async fn list(&self, queue: &str, state: &str) -> Vec<Value> {
        let (mut messages, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/queues/{queue}/messages?state={state}&limit=1000{cursor}");
            let page = self.get_surely(&path).await;
            messages.extend(page["messages"].as_array().expect("a page").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return messages,
            }
        }
    }

    async fn get_surely(&self, path: &str) -> Value {
        for _ in 0..100 {
            if let Some(reply) = self.get(path).await {
                return reply.json();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no node answers {path}, long after everything was mended");
    }

    async fn get(&self, path: &str) -> Option<Reply> {
        self.ask(Method::GET, path, "").await.filter(|reply| reply.status == 200)
    }

    /// The first node that says anything but "not now".
    async fn ask(&self, method: Method, path: &str, body: &str) -> Option<Reply> {
        for node in &self.nodes {
            let headers = [("Content-Type", "application/json")];
            let sent = node.try_send(method.clone(), path, &headers, body.to_owned());
            if let Ok(Ok(reply)) = tokio::time::timeout(PATIENCE, sent).await
                && reply.status != 503
            {
                return Some(reply);
            }
        }
        None
    }
}
