//! The operator of a run: asks any node that answers, decides what is uncertain, and reads in the end
//! what became of everything.
//!
//! Owns the questions, the decisions, what is moved and cancelled, and the receipts that the downstream owes. A message that
//! the recorder has is delivered, another one may leave again. Refuses to judge.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tidegate::domain::time::parse_rfc3339;

use super::history::{Arrival, Decision, Final, Move, Moved, Queue, Receipt, Resolved, body_hash};
use super::message::moment;
use super::recorder::reference;
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
    queues: Vec<Queue>,
    arrivals: Tail<Arrival>,
    /// What the recorder has taken.
    taken: HashSet<String>,
    pub(crate) arrived: usize,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) moves: Vec<Move>,
    /// What was accepted, and nothing was said of yet.
    to_tell: VecDeque<Arrival>,
    pub(crate) receipts: Vec<Receipt>,
}

impl Operator {
    pub(crate) fn new(nodes: &[Http], queues: Vec<Queue>, arrivals: Tail<Arrival>) -> Self {
        let (taken, decisions, moves) = (HashSet::new(), Vec::new(), Vec::new());
        let (nodes, to_tell, receipts) = (nodes.to_vec(), VecDeque::new(), Vec::new());
        Self { nodes, queues, arrivals, taken, arrived: 0, decisions, moves, to_tell, receipts }
    }

    /// How many messages are not final, if a node could tell.
    pub(crate) async fn waiting(&self) -> Option<u64> {
        let reply = self.get("/v1/queues").await?.json();
        let queues = reply["queues"].as_array()?;
        let count = |queue: &Value| -> Option<u64> {
            WAITING.iter().map(|state| queue["counts"][state].as_u64()).sum()
        };
        let waiting: u64 = queues.iter().map(count).sum::<Option<u64>>()?;
        // And events that have not come to each of their queues.
        let reply = self.get("/v1/topics").await?.json();
        let topics = reply["topics"].as_array()?.iter();
        let events: u64 = topics.map(|topic| topic["pending"].as_u64()).sum::<Option<u64>>()?;
        Some(waiting + events)
    }

    /// Decides what waits for a decision now; what cannot be decided waits for the next time.
    pub(crate) async fn decide(&mut self) {
        self.look();
        // First of all: decisions take their time, and end where nobody answers.
        self.disturb().await;
        for queue in self.names(|queue| queue.parks) {
            for id in self.some(&queue, "uncertain", 200).await {
                if !self.resolve(&id).await {
                    return;
                }
            }
        }
        // A final state that the downstream has no part in.
        for queue in self.names(|queue| queue.tells && !queue.accepts) {
            for id in self.some(&queue, "scheduled", 1).await {
                self.ask(Method::DELETE, &format!("/v1/messages/{id}"), "").await;
            }
        }
        self.cancel_held().await;
        self.tell().await;
    }

    /// Cancels what a quota holds, or no run would drain.
    async fn cancel_held(&mut self) {
        for queue in self.queues.clone() {
            let quotas = queue.limits.iter().filter(|limit| limit.is_quota());
            let gates: Vec<_> = quotas.map(|limit| format!("limit:{}", limit.name)).collect();
            if gates.is_empty() {
                continue;
            }
            let path = format!("/v1/queues/{}/messages?state=ready&limit=100", queue.name);
            let Some(page) = self.get(&path).await.map(|reply| reply.json()) else { return };
            for message in page["messages"].as_array().into_iter().flatten() {
                let mut held_by = message["held_by"].as_array().into_iter().flatten();
                if held_by.any(|gate| gates.iter().any(|name| gate == name)) {
                    let id = message["id"].as_str().expect("an id");
                    self.move_it(id, Moved::Cancelled, "").await;
                }
            }
        }
    }

    /// Takes some messages of a queue with order out of their places.
    async fn disturb(&mut self) {
        for queue in self.names(|queue| queue.order.is_some()) {
            let path = format!("/v1/queues/{queue}/messages?state=scheduled&limit=3");
            let Some(page) = self.get(&path).await.map(|reply| reply.json()) else { return };
            let messages: Vec<_> = page["messages"].as_array().into_iter().flatten().collect();
            let id_of = |message: &Value| message["id"].as_str().expect("an id").to_owned();
            if let [first, ..] = messages[..] {
                self.move_it(&id_of(first), Moved::Run, "").await;
            }
            if let [_, second, ..] = messages[..] {
                let due = second["due_at"].as_str().and_then(|due| parse_rfc3339(due).ok());
                let later = moment(due.expect("a due time").max(wall_us() / 1000) + 300);
                let body = json!({ "due_at": later }).to_string();
                self.move_it(&id_of(second), Moved::Rescheduled, &body).await;
            }
            if let [_, _, third] = messages[..] {
                self.move_it(&id_of(third), Moved::Cancelled, "").await;
                self.move_it(&id_of(third), Moved::Requeued, "").await;
            }
        }
    }

    /// Whether it was done or not, its place is not known any more.
    async fn move_it(&mut self, id: &str, how: Moved, body: &str) {
        let (method, verb) = match how {
            Moved::Run => (Method::POST, "/run"),
            Moved::Requeued => (Method::POST, "/requeue"),
            Moved::Rescheduled => (Method::PATCH, ""),
            Moved::Cancelled => (Method::DELETE, ""),
        };
        self.moves.push(Move { at_us: wall_us(), id: id.to_owned(), how });
        self.ask(method, &format!("/v1/messages/{id}{verb}"), body).await;
    }

    /// Gives the receipts that are owed, each once; what nobody takes waits for the next time.
    async fn tell(&mut self) {
        while let Some(arrival) = self.to_tell.front() {
            let id = arrival.id.clone();
            // Always the same of one message, however often it came.
            let dice = body_hash(id.as_bytes());
            let status = if dice.is_multiple_of(4) { "dead" } else { "delivered" };
            let is_by_reference = !arrival.call.is_multiple_of(2);
            let body = match is_by_reference {
                false => json!({ "id": id, "status": status }),
                true => json!({ "ref": reference(arrival.call), "status": status }),
            };
            let path = format!("/v1/queues/{}/receipts", self.queues[arrival.queue].name);
            let Some(reply) = self.ask(Method::POST, &path, &body.to_string()).await else {
                return;
            };
            let verdict = match reply.status {
                200 | 202 => reply.json()["verdict"].as_str().expect("a word").to_owned(),
                // Our 202 got lost: it is sent again, and we say so again.
                409 if is_waiting(&reply.json()["state"]) => "waits".to_owned(),
                status => format!("{status}: {}", reply.text()),
            };
            let (at_us, status) = (wall_us(), status.to_owned());
            self.receipts.push(Receipt { at_us, id, is_by_reference, status, verdict });
            self.to_tell.pop_front();
        }
    }

    fn names(&self, are_meant: fn(&Queue) -> bool) -> Vec<String> {
        let meant = self.queues.iter().filter(|queue| are_meant(queue));
        meant.map(|queue| queue.name.clone()).collect()
    }

    /// The ids of some messages in a state, if a node could tell.
    async fn some(&self, queue: &str, state: &str, limit: usize) -> Vec<String> {
        let path = format!("/v1/queues/{queue}/messages?state={state}&limit={limit}");
        let Some(page) = self.get(&path).await.map(|reply| reply.json()) else { return Vec::new() };
        let messages = page["messages"].as_array().into_iter().flatten();
        messages.map(|message| message["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Whether nothing is owed any more.
    pub(crate) fn has_told(&mut self) -> bool {
        self.look();
        self.to_tell.is_empty()
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
            if arrival.answer.is_booking() {
                if self.queues[arrival.queue].accepts {
                    self.to_tell.push_back(arrival.clone());
                }
                self.taken.insert(arrival.id);
            }
        }
    }

    /// Every final record, as often as it is listed.
    pub(crate) async fn finals(&self) -> Vec<Final> {
        let mut finals = Vec::new();
        for queue in &self.names(|_| true) {
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
        let callbacks = self.names(|queue| queue.tells);
        let callbacks = callbacks.iter().map(|name| format!("{name}~callbacks"));
        for queue in self.names(|_| true).into_iter().chain(callbacks) {
            for state in WAITING {
                for message in self.list(&queue, state).await {
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

/// For its next attempt.
fn is_waiting(state: &Value) -> bool {
    state == "scheduled" || state == "ready"
}
