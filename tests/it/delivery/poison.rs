//! A message that kills whoever sends it: three nodes, not more, and nobody beside it suffers.

use serde_json::json;

use crate::support::{Nodes, NodesOptions, QUEUE, RedisServer};

const POISON: &str = "before-send=return(poison)";
const NEIGHBOURS: u64 = 12;

/// Sends poison among neighbours, with a supervisor that starts each node again; returns how many
/// nodes it cost.
async fn nodes_that_it_costs(lines: &'static str) -> usize {
    let failpoints = vec![(0, POISON), (1, POISON)];
    let options = NodesOptions { failpoints, lines, concurrency: 4, ..Default::default() };
    let mut nodes = Nodes::start(RedisServer::start().await, options).await;
    nodes.queue_step(0, "pause").await;
    nodes.send(0, NEIGHBOURS / 2).await;
    let poison = nodes.daemon(0).send(QUEUE, &json!({ "payload": "poison" })).await;
    nodes.send(0, NEIGHBOURS / 2).await;
    nodes.queue_step(0, "resume").await;

    let mut killed = 0;
    let dead = loop {
        for node in 0..2 {
            if nodes.has_ended(node) {
                killed += 1;
                nodes.wait_killed(node).await;
                nodes.start_again_armed(node, POISON).await;
            }
        }
        // Whoever is asked may be about to die.
        let path = format!("/v1/messages/{poison}");
        let reply = nodes.daemon(0).http().try_send(http::Method::GET, &path, &[], "").await;
        let message = reply.map(|reply| reply.json()).unwrap_or_default();
        if message["state"] == "dead" {
            break message;
        }
        assert!(killed <= 3, "it goes on killing");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };

    let reason = dead["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("poison"), "{dead}");
    nodes.drained(0).await;
    assert_eq!(nodes.daemon(0).counts(QUEUE).await["delivered"], NEIGHBOURS);
    let arrived = nodes.downstream.requests();
    assert!(
        arrived.iter().all(|request| !String::from_utf8_lossy(&request.body).contains("poison"))
    );
    killed
}

#[tokio::test]
async fn a_message_that_cost_its_node_three_times_is_dead_and_its_neighbours_are_delivered() {
    // In a batch it is not known which of them it was, until each goes alone.
    let (alone, in_a_batch) =
        tokio::join!(nodes_that_it_costs(""), nodes_that_it_costs("batch = { max_items = 5 }"));
    assert_eq!((alone, in_a_batch), (3, 3));
}
