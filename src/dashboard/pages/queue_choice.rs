//! The choice of a queue, for pages that are about the messages of one.

use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::wire::queue::{QueueList, QueueView};

/// A queue that may be chosen.
#[derive(Debug)]
pub(super) struct QueueChoice {
    pub(super) name: String,
    pub(super) is_chosen: bool,
}

/// Every queue, with the chosen one marked.
pub(super) async fn choices(
    visit: &Visit,
    chosen: &str,
) -> Result<(Vec<QueueChoice>, Vec<QueueView>), ShownProblem> {
    let queues = visit.read::<QueueList>("/v1/queues").await?.queues;
    let choices = queues
        .iter()
        .map(|queue| QueueChoice { name: queue.name.clone(), is_chosen: queue.name == chosen });
    Ok((choices.collect(), queues))
}
