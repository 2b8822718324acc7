//! Nodes: whether one lives and is ready, who else is there, what Redis' clock says, and what Redis forgot.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::queue::DurabilityWord;
use super::{Moment, Vocabulary, Word};
use crate::domain::loss::LossCause;

/// The process lives.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Alive)]
pub struct AliveAnswer {
    /// live
    pub status: String,
}

/// The node takes messages.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Ready)]
pub struct ReadyAnswer {
    /// ready
    pub status: String,
    /// How safe what it takes in is now; null: the configured level is not met everywhere
    #[schema(required)]
    pub durability: Option<DurabilityWord>,
    /// The node's id
    pub node: String,
}

/// A node that lives.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Node)]
pub struct NodeView {
    /// Its id
    pub id: String,
    /// The name of its host
    pub host: String,
    /// Its process id
    pub pid: u32,
    /// Its version
    pub version: String,
    /// Where its API listens
    pub listen: String,
    /// Of its queues; nodes should agree
    pub config_hash: String,
    /// Queues that it works for
    #[serde(default)]
    pub queues: u64,
    /// Calls that it may have in flight, over its queues
    #[serde(default)]
    pub slots: u64,
    /// Calls that it has in flight
    #[serde(default)]
    pub in_flight: u64,
    /// The newest version of stored messages that it reads
    #[serde(default)]
    pub record_version: u8,
    /// Queues of which it follows the ordering, fairness and limits by key of another node, since its own configuration says otherwise
    #[serde(default)]
    #[schema(required)]
    pub follows: Vec<String>,
    /// When it started
    pub started_at: Moment,
    /// When it was last seen
    pub seen_at: Moment,
}

/// The nodes that live, the oldest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Nodes)]
pub struct NodeList {
    /// The nodes
    pub nodes: Vec<NodeView>,
    /// Whether all nodes run the same queues
    pub config_agrees: bool,
    /// The id of the node that gives this answer
    pub answered_by: String,
}

/// What Redis' clock says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Clock)]
pub struct ClockAnswer {
    /// The time
    pub now: Moment,
    /// Stands after a step of more than a second: promotion, reaping, expiry and pruning wait
    #[schema(required)]
    pub alarm: Option<ClockAlarmView>,
}

/// That Redis' clock stepped.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ClockAlarm)]
pub struct ClockAlarmView {
    /// By how much; negative: back
    pub step_ms: i64,
    /// When it ends, if the clock stays steady
    pub ends_at: Moment,
}

impl Vocabulary for LossCause {
    const NAME: &'static str = "RollbackCause";
    const DESCRIPTION: &'static str = "restart: another run of Redis serves (a restart or a failover); erased: the data was deleted or replaced while Redis ran";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// How it came about, as a word.
pub type LossCauseWord = Word<LossCause>;

/// What Redis forgot of one shard after it had confirmed it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Rollback)]
pub struct RollbackView {
    /// When it was noticed
    pub at: Moment,
    /// How it came about
    pub cause: LossCauseWord,
    /// The queue
    pub queue: String,
    /// Which of its shards
    pub shard: u16,
    /// Messages that were accepted, and are gone
    pub lost: Vec<String>,
    /// Messages that were delivered, and wait again
    pub sent_again: Vec<String>,
}

/// What one node has seen since it started, the newest last.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Rollbacks)]
pub struct RollbackList {
    /// The node's id
    pub node: String,
    /// The rollbacks
    pub rollbacks: Vec<RollbackView>,
}
