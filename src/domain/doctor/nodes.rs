//! What is wrong between nodes that share a store.

use std::collections::BTreeSet;

use super::finding::{About, Finding, FindingCode};
use crate::domain::human::count;

/// What was seen of a node.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// Its id.
    pub id: String,
    /// The name of its host.
    pub host: String,
    /// The hash of its configuration of queues.
    pub config_hash: String,
    /// The newest version of stored messages that it reads.
    pub record_version: u8,
}

/// Nodes that run different configurations, or that cannot read what the others write.
#[must_use]
pub fn of_nodes(nodes: &[NodeFacts]) -> Vec<Finding> {
    [of_configs(nodes), of_versions(nodes)].into_iter().flatten().collect()
}

fn of_configs(nodes: &[NodeFacts]) -> Option<Finding> {
    let hashes: BTreeSet<&str> = nodes.iter().map(|node| node.config_hash.as_str()).collect();
    if hashes.len() < 2 {
        return None;
    }
    Some(Finding::problem(
        FindingCode::ConfigsDiffer,
        About::Nodes,
        format!("the {} run {} different configs", count(nodes.len() as u64, "node"), hashes.len()),
        "give all nodes the same config and reload them (SIGHUP); `tidegate nodes` shows them",
    ))
}

/// Nodes that read older versions of stored messages only.
fn of_versions(nodes: &[NodeFacts]) -> Option<Finding> {
    let newest = nodes.iter().map(|node| node.record_version).max()?;
    let behind: Vec<_> = nodes
        .iter()
        .filter(|node| node.record_version < newest)
        .map(|node| format!("{} on {}", node.id, node.host))
        .collect();
    if behind.is_empty() {
        return None;
    }
    Some(Finding::problem(
        FindingCode::RecordVersionsDiffer,
        About::Nodes,
        format!(
            "{} cannot read messages of version {newest}, which the other nodes read: {}",
            count(behind.len() as u64, "node"),
            behind.join(", ")
        ),
        "upgrade or stop it; until then it may hold up messages, and new ones are written in the older version",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, config_hash: &str, record_version: u8) -> NodeFacts {
        let (id, host) = (id.to_owned(), "h".to_owned());
        NodeFacts { id, host, config_hash: config_hash.to_owned(), record_version }
    }

    #[test]
    fn nodes_must_run_the_same_config_and_read_the_same_messages() {
        assert!(of_nodes(&[]).is_empty());
        assert!(of_nodes(&[node("N1", "a", 3), node("N2", "a", 3)]).is_empty());
        let found = of_nodes(&[node("N1", "a", 3), node("N2", "b", 3)]);
        assert_eq!(found[0].detail, "the 2 nodes run 2 different configs");
        let found = of_nodes(&[node("N1", "a", 2), node("N2", "a", 3)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].detail.contains("version 3, which the other nodes read: N1 on h"));
    }
}
