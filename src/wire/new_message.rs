//! A message on its way in, and what is asked for a message that is there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayItems, Object, SchemaFormat, Type};

use super::payload::present;
use super::retry::RetryRequest;
use super::schema::{list_of, schema_of, string_of};
use super::{
    ContentType, CostUnits, DurationMs, Headers, Labels, Moment, Payload, Priority, Reason,
    StateWord, Text, Vocabulary, Word,
};
use crate::domain::callback::{FINAL_WORDS_MAX, URL_BYTES_MAX};
use crate::domain::draft::IGNORE;
use crate::domain::message_target::METHODS;
use crate::domain::state::State;

/// Most messages of a batch.
pub const BATCH_MESSAGES_MAX: usize = 10_000;

/// A message on its way in; null counts as absent (for payload only beside `payload_base64`). Delay or `due_at`, at most 366 days ahead; ttl or `expires_at`, after the due time.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = NewMessage)]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// Any JSON value; leaves byte for byte as it came. A string under a `content_type` that is not JSON leaves as its text. Give payload or `payload_base64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    pub payload: Option<Payload<'static>>,
    /// Bytes in standard base64, padded or not
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    pub payload_base64: Option<String>,
    /// The media type that the downstream gets as Content-Type; the default is application/json, and application/octet-stream with `payload_base64`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ContentType>)]
    pub content_type: Option<String>,
    /// For the downstream
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Headers>)]
    pub headers: Option<BTreeMap<String, String>>,
    /// How long it waits before it is sent
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<DurationMs>,
    /// When it is to be sent
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Moment>,
    /// How long it is worth sending
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<DurationMs>,
    /// Until when it is worth sending
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Moment>,
    /// Until when it has to leave: it is refused where that cannot be any more, and expires then
    #[serde(skip_serializing_if = "Option::is_none")]
    pub must_dispatch_by: Option<Moment>,
    /// 9 goes first
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Priority>)]
    pub priority: Option<u8>,
    /// The key of order and fair shares
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text>)]
    pub group: Option<String>,
    /// Or the header Idempotency-Key; both must agree
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text>)]
    pub idempotency_key: Option<String>,
    /// The producer's own words
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Labels>)]
    pub labels: Option<BTreeMap<String, String>>,
    /// What it changes in its queue's retry policy
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryRequest>,
    /// Where a callback goes when it becomes final
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackRequest>,
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
    /// Units that it takes of the limits of its queue
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CostUnits>)]
    pub cost: Option<u16>,
    /// While a message with the same one waits and no attempt at it has begun, a newer one takes its place; not in queues with several shards
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text>)]
    pub collapse_key: Option<String>,
    /// Where its recipient is, as an IANA name such as Europe/Berlin; by its clock go the hours in which the recipient may be reached
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text>)]
    pub time_zone: Option<String>,
    /// ignore: it is sent outside of its recipient's hours too; needs the scope operate
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RecipientHoursWord>)]
    pub recipient_hours: Option<String>,
}

/// The url that a message brings.
#[derive(Debug)]
pub struct TargetUrl;

schema_of!(
    TargetUrl,
    "TargetUrl",
    string_of(0..=URL_BYTES_MAX).format(Some(SchemaFormat::Custom("uri".to_owned())))
);

/// The method by which a message is sent to the url that it brings.
#[derive(Debug)]
pub struct TargetMethod;

schema_of!(
    TargetMethod,
    "TargetMethod",
    Object::builder()
        .schema_type(Type::String)
        .enum_values(Some(METHODS.map(|method| method.as_str().to_owned())))
);

/// What a message says of its recipient's hours.
#[derive(Debug)]
pub struct RecipientHoursWord;

schema_of!(
    RecipientHoursWord,
    "RecipientHours",
    Object::builder().schema_type(Type::String).enum_values(Some([IGNORE]))
);

/// Where a `CloudEvents` 1.0 event goes when the message becomes final.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Callback)]
#[serde(deny_unknown_fields)]
pub struct CallbackRequest {
    /// In place of the queue's; on one of `server.callback_hosts`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CallbackUrl>)]
    pub url: Option<String>,
    /// The final states for which a callback is sent, in place of the queue's; an empty list: none is sent
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<FinalStates>)]
    pub on: Option<Vec<StateWord>>,
}

/// The address of a callback.
#[derive(Debug)]
pub struct CallbackUrl;

schema_of!(
    CallbackUrl,
    "CallbackUrl",
    string_of(0..=URL_BYTES_MAX).format(Some(SchemaFormat::Custom("uri".to_owned())))
);

/// Final states.
#[derive(Debug)]
pub struct FinalStates;

schema_of!(
    FinalStates,
    "FinalStates",
    Array::builder()
        .items(ArrayItems::from(
            Object::builder()
                .schema_type(Type::String)
                .enum_values(Some(
                    State::ALL.into_iter().filter(|state| state.is_final()).map(State::as_str)
                ))
                .build()
        ))
        .max_items(Some(FINAL_WORDS_MAX))
);

/// Messages on their way in.
#[derive(Debug)]
pub struct MessageRequests;

schema_of!(
    MessageRequests,
    "NewMessages",
    list_of::<MessageRequest>().max_items(Some(BATCH_MESSAGES_MAX)),
    uses MessageRequest
);

/// What is to change; `expires_at` null: never
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = MessagePatch)]
#[serde(deny_unknown_fields)]
pub struct MessagePatchRequest {
    /// When it is to be sent
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Moment>,
    /// How long it waits from now
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<DurationMs>,
    /// 9 goes first
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Priority>)]
    pub priority: Option<u8>,
    /// null: never
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Moment>)]
    pub expires_at: Option<Option<Moment>>,
    /// While scheduled, dead or uncertain; of the kind that the message came with
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    pub payload: Option<Payload<'static>>,
    /// The same for a message that came with bytes
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    pub payload_base64: Option<String>,
}

/// A decision on an uncertain message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveAs {
    /// It has arrived.
    Delivered,
    /// It is sent again.
    Resend,
    /// It is given up.
    Dead,
}

impl Vocabulary for ResolveAs {
    const NAME: &'static str = "ResolveAs";
    const DESCRIPTION: &'static str =
        "delivered: it has arrived; resend: it is sent again; dead: it is given up";
    const ALL: &'static [Self] = &[Self::Delivered, Self::Resend, Self::Dead];

    fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Resend => "resend",
            Self::Dead => "dead",
        }
    }
}

/// A decision, as a word.
pub type ResolveAsWord = Word<ResolveAs>;

/// A decision on an uncertain message, and why.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Resolve)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// What is decided
    pub r#as: ResolveAsWord,
    /// Why, for the colleagues
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Reason>)]
    pub reason: Option<String>,
}

/// A payload is needed.
pub(super) fn conditions() -> Value {
    json!({ "allOf": [{ "anyOf": [
        { "required": ["payload"] },
        { "required": ["payload_base64"], "properties": { "payload_base64": { "type": "string" } } },
    ] }] })
}

/// Something is to change.
pub(super) fn patch_conditions() -> Value {
    json!({ "minProperties": 1 })
}
