//! `nodes`: the daemons that share one Redis.
//!
//! Owns the table and what it means that a node is missing. Refuses to know what is wrong (`doctor`).

use serde_json::Value;

use super::Session;
use super::client::Target;
use super::describe::{count, word};
use super::exit::{Exit, Failure};
use super::queues::{as_it_came, list};
use super::table::{whole, words};
use super::times::{Times, of_answer};

/// What the list means.
const MEANING: &str = "Each node takes messages and sends for all of its queues; the nodes share the limits. CALLS \
    are under way now, of those that the queues of the node allow.";
/// What it means that one is not in it.
const MISSING: &str = "A node that is stopped, or has not shown itself for 5 seconds, is not listed: the others go \
    on with its messages. If one is missing that should run, look at its log and whether it reaches this Redis with \
    the same redis.namespace.";

/// `nodes`.
pub(crate) async fn nodes(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "nodes"])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let document: Value = answer.read()?;
    let nodes = list(&document, "nodes");
    let answered_by = document["answered_by"].as_str().unwrap_or_default();
    let agrees = document["config_agrees"] != false;
    let times = session.times();
    let mut rows: Vec<_> = nodes.iter().map(|node| row(node, &times)).collect();
    if agrees {
        rows.iter_mut().for_each(|row| row.truncate(row.len() - 1));
    }
    let columns = [
        whole("NODE"),
        whole("HOST"),
        whole("VERSION"),
        whole("CALLS"),
        whole("QUEUES"),
        whole("LISTENS"),
        whole("PROCESS"),
        words("STARTED"),
        whole("CONFIG"),
    ];
    session.screen.rows(&columns, rows)?;
    session.screen.line("")?;
    if !answered_by.is_empty() {
        let nodes = count(nodes.len() as u64, "node");
        session.screen.sentence(0, &format!("{nodes}; this answer is from node {answered_by}."))?;
    }
    session.screen.sentence(0, MEANING)?;
    session.screen.sentence(0, MISSING)?;
    if !agrees {
        session.screen.note("note: the nodes run different configs; see `tidegate doctor`")?;
    }
    Ok(Exit::Ok)
}

fn row(node: &Value, times: &Times) -> Vec<String> {
    let text = |name: &str| word(&node[name]);
    let calls = match (&node["in_flight"], &node["slots"]) {
        (Value::Null, _) | (_, Value::Null) => String::new(),
        (under_way, allowed) => format!("{under_way} of {allowed}"),
    };
    let started = of_answer(&node["started_at"]).map(|at| times.at_and_distance(at));
    vec![
        text("id"),
        text("host"),
        text("version"),
        calls,
        text("queues"),
        text("listen"),
        text("pid"),
        started.unwrap_or_default(),
        text("config_hash"),
    ]
}
