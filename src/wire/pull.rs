//! Messages that workers pull: how they ask for them, get them, and say what became of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::payload::present;
use super::problem::ProblemView;
use super::schema::{list_of, schema_of, whole};
use super::{DurationMs, MessageIdText, Moment, Pairs, Payload, Reason, Vocabulary, Word};

/// Most messages of one claim, and most settlements of one request.
pub const MESSAGES_MAX: u16 = 1000;

/// What a worker asks for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Claim)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// How many messages at most
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ClaimCount>)]
    pub max: Option<u64>,
    /// How long to wait for something to come, up to 60s
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<DurationMs>,
    /// 1s to 12h; default: the queue's lease
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<DurationMs>,
}

/// How many messages a claim asks for.
#[derive(Debug)]
pub struct ClaimCount;

schema_of!(
    ClaimCount,
    "ClaimCount",
    whole(1..=MESSAGES_MAX.into())
        .default(Some(1.into()))
        .description(Some("How many messages at most"))
);

/// Messages for a worker; none, if nothing came in time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ClaimedMessages)]
pub struct ClaimedList<'a> {
    /// The messages, each under a lease
    pub messages: Vec<ClaimedView<'a>>,
}

/// A message as a worker gets it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ClaimedMessage)]
pub struct ClaimedView<'a> {
    /// `<queue>_<ULID>`
    pub id: String,
    /// To be shown when the message is settled; new with each claim
    pub token: String,
    /// From 1; above it, somebody may have had the message before
    pub attempt: u32,
    /// As it was handed over
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    pub payload: Option<Payload<'a>>,
    /// In place of payload, for bytes
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, content_encoding = "base64")]
    pub payload_base64: Option<String>,
    /// The media type of the payload
    pub content_type: Cow<'a, str>,
    /// The message's own
    #[schema(value_type = BTreeMap<String, String>)]
    pub headers: Pairs<'a>,
    /// The key of order and fair shares
    #[schema(required)]
    pub group: Option<Cow<'a, str>>,
    /// The producer's own words
    pub labels: Cow<'a, BTreeMap<String, String>>,
    /// When it was due
    pub due_at: Moment,
    /// When it expires; null: never
    #[schema(required)]
    pub expires_at: Option<Moment>,
    /// Until then it belongs to the worker
    pub lease_until: Moment,
}

/// What a worker says of a message that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleAs {
    /// It is done.
    Delivered,
    /// It is to be tried again.
    Retry,
    /// It is given up.
    Dead,
    /// It goes back unsent.
    Release,
    /// It takes longer.
    Renew,
}

impl Vocabulary for SettleAs {
    const NAME: &'static str = "SettleAs";
    const DESCRIPTION: &'static str = "What became of it: delivered, retry (after delay, or by the queue's policy), dead, release (unsent, at the head), or renew (a later deadline)";
    const ALL: &'static [Self] =
        &[Self::Delivered, Self::Retry, Self::Dead, Self::Release, Self::Renew];

    fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "retry",
            Self::Dead => "dead",
            Self::Release => "release",
            Self::Renew => "renew",
        }
    }
}

/// What a worker says, as a word.
pub type SettleAsWord = Word<SettleAs>;

/// What became of a message that a worker holds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Settlement)]
#[serde(deny_unknown_fields)]
pub struct SettlementRequest {
    /// The message
    #[schema(value_type = MessageIdText)]
    pub id: String,
    /// As the claim gave it
    pub token: String,
    /// What became of it
    pub r#as: SettleAsWord,
    /// With retry: in place of the queue's policy
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<DurationMs>,
    /// With renew: 1s to 12h from now; default: the queue's lease
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<DurationMs>,
    /// With delivered or dead: any JSON, kept up to `keep_response`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    pub result: Option<Payload<'static>>,
    /// With retry or dead: what went wrong
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Reason>)]
    pub detail: Option<String>,
}

/// What became of messages that a worker holds.
#[derive(Debug)]
pub struct SettlementRequests;

schema_of!(
    SettlementRequests,
    "Settlements",
    list_of::<SettlementRequest>().max_items(Some(MESSAGES_MAX.into())),
    uses SettlementRequest
);

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleVerdict {
    /// It counts.
    Ok,
    /// It had been said before.
    Already,
    /// The lease had run out.
    Stale,
    /// There is no such message any more.
    Gone,
    /// It could not be read.
    Invalid,
}

impl Vocabulary for SettleVerdict {
    const NAME: &'static str = "SettleVerdict";
    const DESCRIPTION: &'static str = "stale: the lease had run out, nothing changed (a late delivered still counts, and is ok); invalid: see problem, nothing changed";
    const ALL: &'static [Self] = &[Self::Ok, Self::Already, Self::Stale, Self::Gone, Self::Invalid];

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Already => "already",
            Self::Stale => "stale",
            Self::Gone => "gone",
            Self::Invalid => "invalid",
        }
    }
}

/// A verdict on a settlement, as a word.
pub type SettleVerdictWord = Word<SettleVerdict>;

/// The verdict on a settlement.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Verdict)]
pub struct SettledView {
    /// As it was given; null if there was none
    #[schema(required)]
    pub id: Option<String>,
    /// What became of it
    pub verdict: SettleVerdictWord,
    /// Why it is invalid
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<ProblemView>,
}

/// The verdicts on settlements, in order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Verdicts)]
pub struct SettledList {
    /// One for each settlement
    pub results: Vec<SettledView>,
}
