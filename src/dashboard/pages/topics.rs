//! Topics: which queues each has, and the events that a queue does not have yet.

use askama::Template;
use axum::response::Response;

use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::{encoded, grouped};
use crate::domain::human::span;
use crate::wire::topic::TopicList;

/// A queue of a topic.
#[derive(Debug)]
struct TopicQueue {
    name: String,
    path: String,
    is_waited_for: bool,
}

/// A topic in a line.
#[derive(Debug)]
struct TopicRow {
    name: String,
    is_retired: bool,
    queues: Vec<TopicQueue>,
    pending: String,
    oldest: Option<String>,
}

#[derive(Template)]
#[template(path = "topics.html")]
struct TopicsPage {
    frame: Frame,
    rows: Vec<TopicRow>,
}

pub(in crate::dashboard) async fn page(visit: Visit) -> Result<Response, ShownProblem> {
    let list: TopicList = visit.read("/v1/topics").await?;
    let rows = list.topics.into_iter().map(|view| {
        let queues = view.queues.iter().map(|queue| TopicQueue {
            name: queue.clone(),
            path: encoded(queue),
            is_waited_for: view.waits_for.contains(queue),
        });
        TopicRow {
            queues: queues.collect(),
            name: view.topic,
            is_retired: view.retired,
            pending: grouped(view.pending),
            oldest: view.oldest_pending_age_ms.map(span),
        }
    });
    let rows = rows.collect();
    Ok(html(&TopicsPage { frame: visit.frame("Topics", "/ui/topics").followed(), rows }))
}
