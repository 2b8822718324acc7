//! Which nodes have shown themselves lately.
//!
//! Owns the id of a node, and the reading of the list. Refuses to know what a node says of itself (see `server::nodes`).

use serde::{Deserialize, Serialize};

use super::Wire;
use crate::domain::id::base32;
use crate::store::StoreError;
use crate::store::redis::keys;
use crate::store::redis::reply::Reply;

/// A node that has not shown itself for so long is gone.
pub(in crate::store) const PRESENCE_MS_MAX: u64 = 5000;

/// How long the id of a node is.
const NODE_ID_BYTES: usize = 12;

/// The id of a running daemon: new at each start, so that a token tells the boot it came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeId(String);

impl NodeId {
    pub(crate) fn random() -> Self {
        Self(base32(rand::random(), NODE_ID_BYTES))
    }

    /// Whether a text may be the id of a node.
    fn is_one(text: &str) -> bool {
        text.len() == NODE_ID_BYTES && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    /// Twelve characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The ids of the nodes, by whether they have shown themselves lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollCall {
    /// Lately.
    pub living: Vec<String>,
    /// Not any more, and not by a graceful stop.
    pub gone: Vec<String>,
}

impl Wire {
    pub(in crate::store) async fn forget_node(&self, id: &str) -> Result<(), StoreError> {
        self.plain(redis::cmd("ZREM").arg(keys::nodes(self.namespace())).arg(id)).await?;
        self.plain(redis::cmd("HDEL").arg(keys::node_info(self.namespace())).arg(id)).await?;
        Ok(())
    }

    /// The ids of the nodes that live.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(in crate::store) async fn living_nodes(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.roll_call().await?.living)
    }

    /// Who lives and who is gone; those long gone are forgotten on the way.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn roll_call(&self) -> Result<RollCall, StoreError> {
        self.call_the_roll(self.presence().await?).await
    }

    pub(in crate::store) async fn call_the_roll(
        &self,
        nodes: Vec<(String, u64)>,
    ) -> Result<RollCall, StoreError> {
        let now_ms = self.time_ms().await?;
        let mut roll = RollCall::default();
        for (id, seen_at_ms) in nodes {
            if now_ms.abs_diff(seen_at_ms) <= PRESENCE_MS_MAX {
                roll.living.push(id);
                continue;
            }
            if now_ms.abs_diff(seen_at_ms) > 60 * PRESENCE_MS_MAX {
                self.forget_node(&id).await?;
            }
            roll.gone.push(id);
        }
        Ok(roll)
    }

    pub(in crate::store) async fn presence(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let key = keys::nodes(self.namespace());
        let value =
            self.plain(redis::cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES")).await?;
        Ok(seen_nodes(Reply::new(value)?))
    }
}

/// Members and scores, as far as they are a node's: the moment of another one would be taken for a sign of
/// life, and for a step of the clock.
pub(in crate::store) fn seen_nodes(reply: Reply) -> Vec<(String, u64)> {
    let pairs = reply.pairs().into_iter().filter(|(id, _)| NodeId::is_one(id));
    pairs.filter_map(|(id, seen)| Some((id, seen.parse().ok()?))).collect()
}
