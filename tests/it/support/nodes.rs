//! Several daemons that share one queue on one Redis, and the history of what was done to them.
//!
//! Owns the small stage of the scenarios about nodes: everything runs in the test, so that a scenario
//! can say what happens in which order. Refuses to judge (see `rig::checker`); the large stage, with
//! its schedule and its own processes, is the rig.

use std::fmt::Write as _;

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::clocks::wall_us;
use super::daemon::Daemon;
use super::downstream::{Downstream, Request};
use super::redis::RedisServer;
use super::row::Row;
use super::scene::QUEUE;
use super::stalls::Stalls;
use super::wait::{eventually, poll_until, poll_until_within};
use crate::rig::flow::{self, Key, Limit};
use crate::rig::history::{
    Answer, Arrival, Fault, FaultKind, Final, History, Life, Move, Moved, Queue, Sent, Verdict,
    body_hash,
};

/// A lease, its grace and a backlog.
const DRAINED_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
const FINAL: [&str; 4] = ["delivered", "dead", "expired", "cancelled"];

/// What the nodes are to be.
#[derive(Debug, Clone)]
pub(crate) struct NodesOptions {
    pub(crate) count: usize,
    pub(crate) concurrency: u32,
    pub(crate) limits: Vec<Limit>,
    pub(crate) order: Option<Key>,
    /// Messages in one call at most; 1 without batches.
    pub(crate) batch_max: u32,
    pub(crate) timeout_ms: u64,
    pub(crate) lease_ms: u64,
    /// Further keys of the queue, dotted where they lie deeper.
    pub(crate) lines: &'static str,
    /// What is armed, by node.
    pub(crate) failpoints: Vec<(usize, &'static str)>,
}

impl Default for NodesOptions {
    /// Two nodes and the shortest lease for calls of half a second.
    fn default() -> Self {
        Self {
            count: 2,
            concurrency: 16,
            limits: Vec::new(),
            order: None,
            batch_max: 1,
            timeout_ms: 500,
            lease_ms: 5500,
            lines: "",
            failpoints: Vec::new(),
        }
    }
}

/// The nodes, and what they share.
#[derive(Debug)]
pub(crate) struct Nodes {
    // They end before their Redis does.
    nodes: Vec<Node>,
    pub(crate) downstream: Downstream,
    pub(crate) redis: RedisServer,
    began: (u64, Instant),
    stalls: Stalls,
    history: History,
}

#[derive(Debug)]
struct Node {
    daemon: Daemon,
    /// When each of its boots began.
    boots: Vec<Instant>,
}

impl Nodes {
    pub(crate) async fn start(redis: RedisServer, options: NodesOptions) -> Self {
        let downstream = Downstream::start().await;
        let started = (0..options.count).map(|node| {
            let armed = options.failpoints.iter().filter(|(at, _)| *at == node);
            let points: Vec<_> = armed.map(|(_, points)| *points).collect();
            let daemon = Daemon::with(options.toml(&downstream, node)).redis(&redis);
            daemon.environment("FAILPOINTS", &points.join(";")).start()
        });
        let daemons = futures_util::future::join_all(started).await;
        let boot = |daemon| Node { daemon, boots: vec![Instant::now()] };
        let history = History { queues: vec![options.queue()], ..History::default() };
        let nodes = daemons.into_iter().map(boot).collect();
        let (began, stalls) = ((wall_us(), Instant::now()), Stalls::watch());
        Self { nodes, downstream, redis, began, stalls, history }
    }

    pub(crate) fn daemon(&self, node: usize) -> &Daemon {
        &self.nodes[node].daemon
    }

    /// Which node made this call.
    pub(crate) fn caller(request: &Request) -> usize {
        request.path.trim_start_matches("/n").parse().expect("each node has a path of its own")
    }

    /// Sends so many messages through a node, in one request; their bodies say their numbers.
    pub(crate) async fn send(&mut self, node: usize, count: u64) -> Vec<Option<String>> {
        let count = usize::try_from(count).expect("few");
        self.send_rows(node, &vec![Row::default(); count]).await
    }

    /// The same with keys and costs.
    pub(crate) async fn send_rows(&mut self, node: usize, rows: &[Row]) -> Vec<Option<String>> {
        let first = self.history.sent.len() as u64;
        let keys = first..;
        let asked: Vec<_> = keys.clone().zip(rows).map(|(key, row)| row.json(key)).collect();
        let first_try_us = self.wall_us(Instant::now());
        let path = format!("/v1/queues/{QUEUE}/messages/batch");
        let headers = [("Content-Type", "application/json")];
        let http = self.nodes[node].daemon.http();
        let reply = http.try_send(Method::POST, &path, &headers, json!(asked).to_string()).await;
        let results = match reply {
            Ok(reply) if reply.status == 200 => reply.json()["results"].clone(),
            _ => Value::Null,
        };
        let mut ids = Vec::new();
        for (at, (key, row)) in keys.zip(rows).enumerate() {
            let id = results[at]["id"].as_str().filter(|_| results[at]["error"].is_null());
            let at_us = self.wall_us(Instant::now());
            let verdict =
                id.map_or(Verdict::Unknown, |id| Verdict::Accepted { id: id.into(), at_us });
            ids.push(id.map(str::to_owned));
            let body_hash = body_hash(json!({ "n": key }).to_string().as_bytes());
            self.history.sent.push(Sent {
                key,
                queue: 0,
                body_hash,
                due_ms: row.due_ms,
                expires_ms: 0,
                group: row.group,
                customer: row.customer,
                collapse_key: row.collapse_key,
                is_collapsed: results[at]["collapsed"] == true,
                cost: row.cost,
                first_try_us,
                request: id.is_some().then_some(first),
                verdict,
            });
        }
        ids
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self, node: usize) {
        self.fault(FaultKind::DaemonKill, Some(node));
        self.nodes[node].daemon.kill9().await;
    }

    /// Waits until a node has ended by itself, at a failpoint.
    pub(crate) async fn wait_killed(&mut self, node: usize) {
        self.nodes[node].daemon.wait_exit().await;
        self.fault(FaultKind::DaemonKill, Some(node));
    }

    /// Whether a node has ended by itself.
    pub(crate) fn has_ended(&self, node: usize) -> bool {
        self.nodes[node].daemon.has_ended()
    }

    /// SIGTERM, waited for.
    pub(crate) async fn stop(&mut self, node: usize) {
        self.fault(FaultKind::DaemonStop, Some(node));
        assert_eq!(self.nodes[node].daemon.sigterm().await, 0);
    }

    /// Starts a node that has ended, with nothing armed any more.
    pub(crate) async fn start_again(&mut self, node: usize) {
        self.start_again_armed(node, "").await;
    }

    /// Starts a node that has ended, with this armed.
    pub(crate) async fn start_again_armed(&mut self, node: usize, failpoints: &str) {
        let it = &mut self.nodes[node];
        it.boots.push(Instant::now());
        it.daemon.start_again_with(&[("FAILPOINTS", failpoints.to_owned())]);
        it.daemon.wait_ready().await;
    }

    /// `pause` or `resume` by this node, which may not live to answer.
    pub(crate) async fn queue_step(&self, node: usize, step: &str) {
        let path = format!("/v1/queues/{QUEUE}/{step}");
        let headers = [("Content-Type", "application/json")];
        let http = self.nodes[node].daemon.http();
        drop(http.try_send(Method::POST, &path, &headers, "{}").await);
    }

    /// Waits until one of the nodes stands still at a failpoint; returns which.
    pub(crate) async fn wait_stopped(&mut self) -> usize {
        let stopped = poll_until("a node stands still", async || {
            (0..self.nodes.len()).find(|node| self.nodes[*node].daemon.is_stopped())
        })
        .await;
        self.fault(FaultKind::DaemonPause, Some(stopped));
        stopped
    }

    /// SIGSTOP.
    pub(crate) fn pause(&mut self, node: usize) {
        self.fault(FaultKind::DaemonPause, Some(node));
        self.nodes[node].daemon.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn wake(&mut self, node: usize) {
        self.nodes[node].daemon.signal(Signal::CONT);
        let (now_us, life) = (self.wall_us(Instant::now()), self.life(node, Instant::now()));
        let pauses = self.history.faults.iter_mut().rev();
        let mut of_node =
            pauses.filter(|f| f.kind == FaultKind::DaemonPause && f.life == Some(life));
        of_node.next().expect("it was paused").until_us = now_us;
    }

    /// Notes what a scenario does to Redis by itself.
    pub(crate) fn fault(&mut self, kind: FaultKind, node: Option<usize>) {
        let now = Instant::now();
        let at_us = self.wall_us(now);
        let life = node.map(|node| self.life(node, now));
        self.history.faults.push(Fault {
            at_us,
            until_us: at_us,
            kind,
            life,
            detail: String::new(),
        });
    }

    /// Notes that the last fault is over.
    pub(crate) fn over(&mut self) {
        let now_us = self.wall_us(Instant::now());
        self.history.faults.last_mut().expect("there was one").until_us = now_us;
    }

    /// The longest time that this machine kept a ready thread waiting, so far.
    pub(crate) fn stall(&self) -> std::time::Duration {
        self.stalls.worst()
    }

    /// Waits until every node knows that every other one lives.
    pub(crate) async fn acquainted(&self) {
        // Whoever beats after the last one has shown itself has seen it.
        let mut all: Option<Vec<(String, u64)>> = None;
        eventually("every node has beaten with all of them there", async || {
            let key = "{tidegate}:nodes";
            let words = ["ZRANGE", key, "0", "-1", "WITHSCORES"];
            let beats: Vec<(String, u64)> = self.redis.cli(&words).await;
            let known = all.get_or_insert_with(|| beats.clone());
            if known.len() < self.nodes.len() {
                all = None;
                return false;
            }
            let newer = |(id, at): &(String, u64)| beats.iter().any(|(i, a)| i == id && a > at);
            known.iter().all(newer)
        })
        .await;
    }

    /// Waits until nothing of the queue waits any more, as this node sees it.
    pub(crate) async fn drained(&self, node: usize) {
        poll_until_within(DRAINED_WITHIN, "everything is final", async || {
            let counts = self.nodes[node].daemon.counts(QUEUE).await;
            let waiting = ["scheduled", "ready", "leased", "uncertain"];
            waiting.iter().all(|state| counts[state] == 0).then_some(())
        })
        .await;
    }

    /// Waits until nothing is under way and this limit holds what is left, and cancels that.
    pub(crate) async fn cancel_held(&mut self, node: usize, limit: &str) {
        let path = format!("/v1/queues/{QUEUE}/messages?state=ready&limit=1000");
        let gate = format!("limit:{limit}");
        let held = poll_until_within(DRAINED_WITHIN, "the limit holds what is left", async || {
            let daemon = self.daemon(node);
            let counts = daemon.counts(QUEUE).await;
            let is_quiet = counts["scheduled"] == 0 && counts["leased"] == 0;
            let page = daemon.get(&path).await.expect(200).json();
            let ready = page["messages"].as_array().expect("a page has messages").clone();
            let is_held = |message: &Value| {
                message["held_by"].as_array().is_some_and(|held| held.iter().any(|by| *by == gate))
            };
            (is_quiet && ready.iter().all(is_held)).then_some(ready)
        })
        .await;
        for message in held {
            let id = message["id"].as_str().expect("a message has an id").to_owned();
            let at_us = self.wall_us(Instant::now());
            let headers = [("Content-Type", "application/json")];
            let http = self.nodes[node].daemon.http();
            drop(http.try_send(Method::DELETE, &format!("/v1/messages/{id}"), &headers, "").await);
            self.history.moves.push(Move { at_us, id, how: Moved::Cancelled });
        }
    }

    /// Everything that happened, with what this node says became of the messages.
    pub(crate) async fn history(&self, node: usize) -> History {
        let mut history = self.history.clone();
        history.arrivals = self.downstream.requests().iter().map(|r| self.arrival(r)).collect();
        history.stall_us = u64::try_from(self.stalls.worst().as_micros()).expect("short");
        for state in FINAL {
            let mut cursor = String::new();
            loop {
                let path = format!("/v1/queues/{QUEUE}/messages?state={state}&limit=1000{cursor}");
                let page = self.nodes[node].daemon.get(&path).await.expect(200).json();
                let messages = page["messages"].as_array().expect("a page has messages");
                history.finals.extend(messages.iter().map(final_of));
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor.clear();
                write!(cursor, "&cursor={next}").expect("to a String");
            }
        }
        history
    }

    fn arrival(&self, request: &Request) -> Arrival {
        let node = Self::caller(request);
        let at_us = self.wall_us(request.arrived);
        let answered = request.answered.map_or(u64::MAX, |at| self.wall_us(at));
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        Arrival {
            at_us,
            call: request.index as u64,
            queue: 0,
            id: request.id().to_owned(),
            key: body["n"].as_u64(),
            attempt: request.attempt(),
            body_hash: body_hash(&request.body),
            by: self.life(node, request.arrived),
            answer: match request.status {
                Some(200..300) => Answer::Taken,
                Some(429) => Answer::Throttled,
                Some(_) => Answer::Failed,
                None => Answer::Unsaid,
            },
            answer_at_us: answered.max(at_us),
        }
    }

    /// A moment of the tests, by the wall clock.
    fn wall_us(&self, at: Instant) -> u64 {
        let (wall_us, began) = self.began;
        wall_us + u64::try_from((at - began).as_micros()).expect("short")
    }

    fn life(&self, node: usize, at: Instant) -> Life {
        let boot = self.nodes[node].boots.partition_point(|began| *began <= at).saturating_sub(1);
        let short = |number| u32::try_from(number).expect("few");
        Life { node: short(node), boot: short(boot) }
    }
}

fn final_of(message: &Value) -> Final {
    let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
    let attempts = message["attempts"].as_u64().and_then(|n| u32::try_from(n).ok());
    Final {
        id: text("id"),
        state: text("state"),
        attempts: attempts.expect("a message has attempts"),
        reason: text("reason"),
    }
}

impl NodesOptions {
    fn toml(&self, downstream: &Downstream, node: usize) -> String {
        let mut toml = flow::sections(self.limits.iter());
        write!(
            toml,
            "[queues.{QUEUE}]\nconcurrency = {}\nlease = \"{}ms\"\n{}\n",
            self.concurrency, self.lease_ms, self.lines
        )
        .expect("to a String");
        toml.push_str(&flow::toml(self.order, &self.limits));
        if self.batch_max > 1 {
            writeln!(toml, "batch = {{ max_items = {} }}", self.batch_max).expect("to a String");
        }
        let url = downstream.url(&format!("/n{node}"));
        writeln!(toml, "downstream = {{ url = \"{url}\", timeout = \"{}ms\" }}", self.timeout_ms)
            .expect("to a String");
        toml
    }

    fn queue(&self) -> Queue {
        Queue {
            name: QUEUE.to_owned(),
            concurrency: self.concurrency,
            batch_max: self.batch_max,
            limits: self.limits.clone(),
            order: self.order,
            open_ms: None,
            parks: self.lines.contains("park"),
            timeout_ms: self.timeout_ms,
            lease_ms: self.lease_ms,
            ..Queue::default()
        }
    }
}
