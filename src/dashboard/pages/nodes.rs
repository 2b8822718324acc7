//! The daemons on this Redis: what each can do, and whether they agree.

use askama::Template;
use axum::response::Response;

use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::grouped;
use crate::wire::node::NodeList;

/// A node in a line.
#[derive(Debug)]
struct NodeRow {
    id: String,
    is_here: bool,
    host: String,
    pid: u32,
    version: String,
    listen: String,
    queues: String,
    in_flight: String,
    slots: String,
    config_hash: String,
    follows: Vec<String>,
    started: String,
    seen: String,
}

#[derive(Template)]
#[template(path = "nodes.html")]
struct NodesPage {
    frame: Frame,
    config_agrees: bool,
    rows: Vec<NodeRow>,
}

pub(in crate::dashboard) async fn page(visit: Visit) -> Result<Response, ShownProblem> {
    let list: NodeList = visit.read("/v1/nodes").await?;
    let rows = list.nodes.into_iter().map(|node| NodeRow {
        is_here: node.id == list.answered_by,
        id: node.id,
        host: node.host,
        pid: node.pid,
        version: node.version,
        listen: node.listen,
        queues: grouped(node.queues),
        in_flight: grouped(node.in_flight),
        slots: grouped(node.slots),
        config_hash: node.config_hash.chars().take(12).collect(),
        follows: node.follows,
        started: visit.zones.brief(node.started_at),
        seen: visit.zones.brief(node.seen_at),
    });
    Ok(html(&NodesPage {
        rows: rows.collect(),
        frame: visit.frame("Nodes", "/ui/nodes").followed(),
        config_agrees: list.config_agrees,
    }))
}
