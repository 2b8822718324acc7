//! The label sets of the metrics.

use prometheus_client::encoding::EncodeLabelSet;

/// `{queue}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QueueLabel {
    /// The queue.
    pub queue: String,
}

/// `{topic}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TopicLabel {
    /// The topic.
    pub topic: String,
}

/// `{queue,event}`, where the event is the verb.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EventLabel {
    /// The queue.
    pub queue: String,
    /// The verb.
    pub event: &'static str,
}

/// `{queue,state}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabel {
    /// The queue.
    pub queue: String,
    /// The state's word.
    pub state: &'static str,
}

/// `{queue,state,reason}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PrunedLabel {
    /// The queue.
    pub queue: String,
    /// The final state's word.
    pub state: &'static str,
    /// `age`: its retention was over; `messages`, `bytes`: it went early, beyond that limit.
    pub reason: &'static str,
}

/// `{queue,outcome}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// The queue.
    pub queue: String,
    /// The outcome's word.
    pub outcome: &'static str,
}

/// `{queue,reason}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// The queue.
    pub queue: String,
    /// Why, one of a few words.
    pub reason: &'static str,
}

/// `{queue,fault}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FaultLabel {
    /// The queue.
    pub queue: String,
    /// What was wrong, one of a few words.
    pub fault: &'static str,
}

/// `{queue,verdict}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabel {
    /// The queue.
    pub queue: String,
    /// `late`: a success that still counted; `stale`: nothing changed.
    pub verdict: &'static str,
}

/// `{queue,found}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FoundLabel {
    /// The queue.
    pub queue: String,
    /// What the downstream said of an uncertain message: `delivered`, `absent` or `unknown`.
    pub found: &'static str,
}

/// `{queue,gate}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GateLabel {
    /// The queue.
    pub queue: String,
    /// The gate's word.
    pub gate: &'static str,
}

/// `{queue,limit}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LimitLabel {
    /// The queue.
    pub queue: String,
    /// The limit's name.
    pub limit: String,
}

/// `{schedule}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ScheduleLabel {
    /// The schedule.
    pub schedule: String,
}

/// `{schedule,reason}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ScheduleErrorLabel {
    /// The schedule.
    pub schedule: String,
    /// Why, one of a few words.
    pub reason: &'static str,
}

/// `{verb}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerbLabel {
    /// The script.
    pub verb: &'static str,
}

/// `{level}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LevelLabel {
    /// The durability level.
    pub level: &'static str,
}

/// `{resource}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResourceLabel {
    /// What is scarce: memory or disk.
    pub resource: &'static str,
}

/// `{action,result}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabel {
    /// What the operation does.
    pub action: &'static str,
    /// `done` or `skipped`.
    pub result: &'static str,
}

/// `{action,end}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationEndLabel {
    /// What the operation did.
    pub action: &'static str,
    /// `done`, `stopped` or `failed`.
    pub end: &'static str,
}

/// `{version}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VersionLabel {
    /// The version of the program.
    pub version: &'static str,
}

/// `{address}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AddressLabel {
    /// Which Redis, without its password.
    pub address: String,
}
