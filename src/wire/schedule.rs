//! Schedules: how they are asked for, and how they stand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::new_message::{TargetMethod, TargetUrl};
use super::payload::present;
use super::retry::{RetryRequest, RetryView};
use super::schema::{schema_of, string_of};
use super::{
    ContentType, CostUnits, DurationMs, DurationText, Headers, Labels, Moment, Name, Payload,
    Priority, Reason, Text, Vocabulary, Word,
};
use crate::domain::schedule::{CatchUp, PATTERN_BYTES_MAX, Source};

/// A recurring message: cron with its `time_zone`, or every; and the message that each tick sends. Give payload or `payload_base64`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = NewSchedule)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// The queue that its messages go to
    #[schema(value_type = Name)]
    pub queue: String,
    /// When it ticks; or every
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CronPattern>)]
    pub cron: Option<String>,
    /// Of cron: an IANA name
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "UTC")]
    pub time_zone: Option<String>,
    /// 100ms to 366d, counted from 1970-01-01 00:00 UTC
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<DurationMs>,
    /// What becomes of missed ticks
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "one")]
    pub catch_up: Option<CatchUpWord>,
    /// Any JSON value
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    pub payload: Option<Payload<'static>>,
    /// Bytes in standard base64, padded or not
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    pub payload_base64: Option<String>,
    /// What the downstream gets as Content-Type; the default is application/json, and application/octet-stream with `payload_base64`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ContentType>)]
    pub content_type: Option<String>,
    /// For the downstream
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Headers>)]
    pub headers: Option<BTreeMap<String, String>>,
    /// Beside the label schedule, which every message of a schedule has
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Labels>)]
    pub labels: Option<BTreeMap<String, String>>,
    /// The key of order and fair shares
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text>)]
    pub group: Option<String>,
    /// 9 goes first
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Priority>)]
    pub priority: Option<u8>,
    /// How long after it fired a message is worth sending
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<DurationMs>,
    /// What its messages change in their queue's retry policy
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryRequest>,
    /// How long an attempt may take, 1ms to the `downstream.timeout` of its queue, which is the default; not where workers pull
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationMs>,
    /// Where it goes; required in a queue with `url = "message"`, refused in any other
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TargetUrl>)]
    pub url: Option<String>,
    /// By which method, beside `url`; the `downstream.method` of its queue, where it names none
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TargetMethod>)]
    pub method: Option<String>,
    /// Units that a message takes of the limits of its queue
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CostUnits>)]
    pub cost: Option<u16>,
    /// Of its messages: while that of an earlier tick waits, a newer one takes its place
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text>)]
    pub collapse_key: Option<String>,
}

/// Why a schedule is paused.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = PauseSchedule)]
#[serde(deny_unknown_fields)]
pub struct SchedulePauseRequest {
    /// Why, for the colleagues
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Reason>)]
    pub reason: Option<String>,
}

/// A pattern of cron.
#[derive(Debug)]
pub struct CronPattern;

schema_of!(
    CronPattern,
    "CronPattern",
    string_of(0..=PATTERN_BYTES_MAX)
        .description(Some("Five fields (minute hour day month weekday), six with seconds first, or @hourly, @daily, @weekly, @monthly, @yearly; L, W and # as in FRI#3 or 15W"))
        .examples([json!("30 0 * * *")])
);

/// What becomes of missed ticks, as a word.
pub type CatchUpWord = Word<CatchUp>;

impl Vocabulary for CatchUp {
    const NAME: &'static str = "CatchUp";
    const DESCRIPTION: &'static str = "What becomes of ticks that could not be sent within a minute: none of them, one message for all of them, or all (at most the newest 1000)";
    const ALL: &'static [Self] = &[Self::None, Self::One, Self::All];

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Who made a schedule, as a word.
pub type SourceWord = Word<Source>;

impl Vocabulary for Source {
    const NAME: &'static str = "ScheduleSource";
    const DESCRIPTION: &'static str = "Who made a schedule: each is changed only where it was made";
    const ALL: &'static [Self] = &[Self::Config, Self::Api];

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// How a schedule stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ScheduleSummary)]
pub struct ScheduleView {
    /// Its name
    pub name: String,
    /// Who made it
    pub source: SourceWord,
    /// The queue that its messages go to
    pub queue: String,
    /// The pattern; absent with every
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cron: Option<String>,
    /// Of cron
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub time_zone: Option<String>,
    /// The time between two ticks; absent with cron
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub every: Option<DurationText>,
    /// The cadence in words
    pub description: String,
    /// What becomes of missed ticks
    pub catch_up: CatchUpWord,
    /// null: it is not paused
    #[schema(required)]
    pub paused: Option<SchedulePausedView>,
    /// The next five times; while paused: as if it were resumed now
    pub next: Vec<Moment>,
    /// The last tick
    #[schema(required)]
    pub last: Option<TickView>,
    /// The oldest tick that has come and is not in its queue yet
    #[schema(required)]
    pub overdue: Option<OverdueView>,
    /// Ticks so far
    pub fired: u64,
    /// Ticks that were left out, as `catch_up` has it; of many at once, at least so many
    pub missed: u64,
}

/// That a schedule is paused.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SchedulePaused)]
pub struct SchedulePausedView {
    /// Since when
    pub since: Moment,
    /// Why; may be empty
    pub reason: String,
    /// The token's name, or anonymous
    pub by: String,
}

/// The last tick of a schedule.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ScheduleTick)]
pub struct TickView {
    /// When it was due
    pub nominal_at: Moment,
    /// When it fired
    pub fired_at: Moment,
    /// Its message
    pub message_id: String,
}

/// The oldest tick that has come and is not in its queue yet.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ScheduleOverdue)]
pub struct OverdueView {
    /// When it was due
    pub nominal_at: Moment,
    /// By how much it is late
    pub late_ms: u64,
}

/// A schedule as it stands, with the message that it sends.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Schedule)]
pub struct WholeScheduleView {
    /// How it stands.
    #[serde(flatten)]
    pub schedule: ScheduleView,
    /// Any JSON value
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    pub payload: Option<Payload<'static>>,
    /// In place of payload, for bytes
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, content_encoding = "base64")]
    pub payload_base64: Option<String>,
    /// What the downstream gets as Content-Type; null: application/json
    #[schema(required)]
    pub content_type: Option<String>,
    /// For the downstream
    pub headers: BTreeMap<String, String>,
    /// The producer's own words
    pub labels: BTreeMap<String, String>,
    /// The key of order and fair shares
    #[schema(required)]
    pub group: Option<String>,
    /// 9 goes first
    pub priority: u8,
    /// How long after it fired a message is worth sending; null: as long as it takes
    #[schema(required)]
    pub ttl: Option<DurationText>,
    /// What its messages change in their queue's retry policy
    #[schema(required)]
    pub retry: Option<RetryView>,
    /// How long an attempt may take; absent where the queue's timeout holds
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub timeout: Option<DurationText>,
    /// Where its messages go; absent where their queue says it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub url: Option<String>,
    /// By which method; absent where their queue says it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub method: Option<String>,
    /// Units that a message takes of the limits of its queue
    #[serde(default = "super::usual_cost")]
    #[schema(required)]
    pub cost: u16,
    /// Of its messages; absent where they have none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub collapse_key: Option<String>,
}

/// Schedules in the order of their names.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Schedules)]
pub struct ScheduleList {
    /// The schedules of this page
    pub schedules: Vec<ScheduleView>,
    /// Where the next page begins; null: this was the last one
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// The message of a schedule that was run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ScheduleRun)]
pub struct ScheduleRunAnswer {
    /// Its schedule
    pub schedule: String,
    /// The message's id
    pub id: String,
    /// The message's queue
    pub queue: String,
    /// The run of this key was made before
    pub duplicate: bool,
}

/// One cadence, and a payload.
pub(super) fn conditions() -> Value {
    json!({ "allOf": [
        { "oneOf": [
            { "required": ["cron"], "properties": { "cron": { "type": "string" } } },
            { "required": ["every"], "properties": { "every": { "type": ["string", "integer"] } } },
        ] },
        { "anyOf": [
            { "required": ["payload"] },
            { "required": ["payload_base64"], "properties": { "payload_base64": { "type": "string" } } },
        ] },
    ] })
}
