//! Which nodes live: each node shows itself once a second.

use serde::{Deserialize, Serialize};

use super::format::shown;
use crate::store::StoreError;
use crate::store::record::RECORD_VERSION_OLDEST;
use crate::store::redis::keys;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{call, fields};
use crate::store::wire::Wire;
use crate::store::wire::presence::{NodeId, PRESENCE_MS_MAX, RollCall, seen_nodes};

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its id.
    pub id: String,
    /// Its host's name.
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Where its API listens.
    pub listen: String,
    /// When it started, ms by Redis.
    pub started_at_ms: u64,
    /// Hash of its queue configuration: nodes should agree.
    pub config_hash: String,
    /// Queues that it works for.
    #[serde(default)]
    pub queues: u64,
    /// Calls that it may have in flight: what its queues allow together.
    #[serde(default)]
    pub slots: u64,
    /// Calls that it has in flight.
    #[serde(default)]
    pub in_flight: u64,
    /// The newest version of records that it reads.
    #[serde(default = "oldest_version")]
    pub record_version: u8,
    /// The queues of which it follows the structure of another node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follows: Vec<String>,
    /// The number of its last beat; filled in by the beat.
    #[serde(default)]
    pub beats: u64,
    /// When it was last seen, ms by Redis; filled in by the reader.
    #[serde(default)]
    pub seen_at_ms: u64,
}

/// That of programs which do not say it.
const fn oldest_version() -> u8 {
    RECORD_VERSION_OLDEST
}

/// The nodes that share the namespace; cheap to clone.
#[derive(Debug, Clone)]
pub struct Nodes {
    wire: Wire,
}

impl Nodes {
    pub(in crate::store) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone() }
    }

    /// The id of this process among the nodes.
    #[must_use]
    pub fn own_id(&self) -> &NodeId {
        self.wire.node()
    }

    /// Shows that this node lives, and sets the clock.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn show(&self, info: &NodeInfo) -> Result<(), StoreError> {
        let now_ms = self.wire.read_time().await? / 1000;
        let json = serde_json::to_string(info).unwrap_or_default();
        let (id, now) = (info.id.as_bytes(), now_ms.to_string());
        self.wire
            .keep("HSET", keys::node_info(self.wire.namespace()), &[id, json.as_bytes()])
            .await?;
        self.wire.keep("ZADD", keys::nodes(self.wire.namespace()), &[now.as_bytes(), id]).await
    }

    /// Shows that this node lives, looks at the clock alarm of all nodes, and tells who else lives; once a
    /// second.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn beat(&self, info: &NodeInfo) -> Result<RollCall, StoreError> {
        let namespace = self.wire.namespace();
        let beats = self.wire.mark.next();
        let info = NodeInfo { beats, ..info.clone() };
        let seen_ms = self.wire.time_ms().await?;
        let json = serde_json::to_string(&info).unwrap_or_default();
        let known = self.wire.format.known();
        let call = call!(Beat, node = &info.id, info = json, seen_ms = seen_ms, known = known);
        let keys = keys::of_nodes(namespace);
        let mut reply = Reply::new(self.wire.plain(&call.by_text(&keys)).await?)?;
        fields!(
            reply as Beat;
            alarm: String, before: String, nodes: Reply, schema: u64, version: u64, behind: Reply
        );
        let behind = behind.texts().iter().map(|node| shown(node)).collect();
        self.wire.format.hear(schema, version, behind);
        let nodes = seen_nodes(nodes);
        let found = serde_json::from_str::<NodeInfo>(&before).ok().map(|before| before.beats);
        self.wire.judge_mark(found, beats, &keys::node_info(namespace))?;
        self.wire.meet_alarm(serde_json::from_str(&alarm).ok()).await?;
        self.wire.call_the_roll(nodes).await
    }

    /// Takes this node off the list, at a graceful stop.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.wire.forget_node(self.wire.node.as_str()).await
    }

    /// The nodes that live, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn list(&self) -> Result<Vec<NodeInfo>, StoreError> {
        let mut infos = Vec::new();
        for (id, seen_at_ms) in self.wire.presence().await? {
            let now_ms = self.wire.time_ms().await?;
            if now_ms.abs_diff(seen_at_ms) > PRESENCE_MS_MAX {
                continue;
            }
            let key = keys::node_info(self.wire.namespace());
            let value = self.wire.plain(redis::cmd("HGET").arg(key).arg(&id)).await?;
            let text: Option<String> = redis::from_redis_value(value).unwrap_or_default();
            let Some(mut info) = text.and_then(|text| serde_json::from_str::<NodeInfo>(&text).ok())
            else {
                continue;
            };
            info.seen_at_ms = seen_at_ms;
            infos.push(info);
        }
        infos.sort_by_key(|info| info.started_at_ms);
        Ok(infos)
    }

    /// The ids of the nodes that live.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn living(&self) -> Result<Vec<String>, StoreError> {
        self.wire.living_nodes().await
    }
}
