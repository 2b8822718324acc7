//! Which nodes live: each node shows itself once a second.

use serde::{Deserialize, Serialize};

use super::record::RECORD_VERSION_OLDEST;
use super::reply::Reply;
use super::script::{call, fields};
use super::wire::Wire;
use super::{StoreError, keys};
use crate::domain::id::base32;

/// A node that has not shown itself for so long is gone.
const PRESENCE_MS_MAX: u64 = 5000;

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

/// The ids of the nodes, by whether they have shown themselves lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollCall {
    /// Lately.
    pub living: Vec<String>,
    /// Not any more, and not by a graceful stop.
    pub gone: Vec<String>,
}

/// The nodes that share the namespace; cheap to clone.
#[derive(Debug, Clone)]
pub struct Nodes {
    wire: Wire,
}

impl Nodes {
    pub(super) fn new(wire: &Wire) -> Self {
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
        let seen_ms = self.wire.clock().now_ms();
        let json = serde_json::to_string(&info).unwrap_or_default();
        let known = self.wire.format.known();
        let call = call!(Beat, node = &info.id, info = json, seen_ms = seen_ms, known = known);
        let keys = keys::of_nodes(namespace);
        let mut reply = Reply::new(self.wire.plain(&call.by_text(&keys)).await?)?;
        fields!(
            reply as Beat;
            alarm: String, before: String, nodes: Reply, schema: u64, version: u64, behind: Reply
        );
        self.wire.format.hear(schema, version, &behind.texts());
        let nodes = seen_nodes(nodes);
        let found = serde_json::from_str::<NodeInfo>(&before).ok().map(|before| before.beats);
        self.wire.judge_mark(found, beats, &keys::node_info(namespace));
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
            let now_ms = self.wire.clock().now_ms();
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

impl Wire {
    async fn forget_node(&self, id: &str) -> Result<(), StoreError> {
        self.plain(redis::cmd("ZREM").arg(keys::nodes(self.namespace())).arg(id)).await?;
        self.plain(redis::cmd("HDEL").arg(keys::node_info(self.namespace())).arg(id)).await?;
        Ok(())
    }

    /// The ids of the nodes that live.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn living_nodes(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.roll_call().await?.living)
    }

    /// Who lives and who is gone; those long gone are forgotten on the way.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn roll_call(&self) -> Result<RollCall, StoreError> {
        self.call_the_roll(self.presence().await?).await
    }

    async fn call_the_roll(&self, nodes: Vec<(String, u64)>) -> Result<RollCall, StoreError> {
        let now_ms = self.clock().now_ms();
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

    pub(super) async fn presence(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let key = keys::nodes(self.namespace());
        let value =
            self.plain(redis::cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES")).await?;
        Ok(seen_nodes(Reply::new(value)?))
    }
}

/// Members and scores, as far as they are a node's: the moment of another one would be taken for a sign of
/// life, and for a step of the clock.
fn seen_nodes(reply: Reply) -> Vec<(String, u64)> {
    let pairs = reply.pairs().into_iter().filter(|(id, _)| NodeId::is_one(id));
    pairs.filter_map(|(id, seen)| Some((id, seen.parse().ok()?))).collect()
}
