//! `nodes`: the daemons that share one Redis.
//!
//! Owns the table and what it means that a node is missing. Refuses to know what is wrong (`doctor`).

use super::Session;
use super::client::Target;
use super::describe::count;
use super::exit::{Exit, Failure};
use super::plain::plain;
use super::queues::as_it_came;
use super::table::{whole, words};
use super::times::Times;
use crate::wire::node::{NodeList, NodeView};

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
    let answer: NodeList = answer.read()?;
    let nodes = &answer.nodes;
    let reads_alike = nodes.windows(2).all(|pair| pair[0].record_version == pair[1].record_version);
    let times = session.times();
    let rows = nodes.iter().map(|node| {
        let mut row = row(node, &times);
        // What is alike is left out: an empty column is not shown.
        row.push(if answer.config_agrees { String::new() } else { node.config_hash.clone() });
        row.push(if reads_alike { String::new() } else { node.record_version.to_string() });
        row.push(node.follows.iter().map(|queue| plain(queue)).collect::<Vec<_>>().join(", "));
        row
    });
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
        whole("RECORD VERSION"),
        words("FOLLOWS"),
    ];
    session.screen.rows(&columns, rows.collect())?;
    session.screen.line("")?;
    let (all, own) = (count(nodes.len() as u64, "node"), plain(&answer.answered_by));
    session.screen.sentence(0, &format!("{all}; this answer is from node {own}."))?;
    session.screen.sentence(0, MEANING)?;
    session.screen.sentence(0, MISSING)?;
    if !answer.config_agrees {
        session.screen.note("note: the nodes run different configs; see `tidegate doctor`")?;
    }
    if nodes.iter().any(|node| !node.follows.is_empty()) {
        session.screen.note(
            "note: a node follows another one in the ordering, fairness and limits by key of the queues under FOLLOWS, since its own configuration says otherwise; see `tidegate doctor`",
        )?;
    }
    if !reads_alike {
        session.screen.note(
            "note: not all nodes read the newest version of stored messages; see `tidegate doctor`",
        )?;
    }
    Ok(Exit::Ok)
}

/// Its row in the table: all but what is alike in all nodes.
pub(super) fn row(node: &NodeView, times: &Times) -> Vec<String> {
    vec![
        node.id.clone(),
        node.host.clone(),
        node.version.clone(),
        format!("{} of {}", node.in_flight, node.slots),
        node.queues.to_string(),
        node.listen.clone(),
        node.pid.to_string(),
        times.at_and_distance(node.started_at.0),
    ]
}
