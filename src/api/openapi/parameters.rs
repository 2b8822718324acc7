//! What parameters may be: their schemas, with the bounds that the check uses.
//!
//! Owns which schema a parameter has, by its name. Refuses to know where it is (see the routes).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use crate::api::{doctor, events, forecast, idempotency, messages, query, windows};
use crate::domain::change::POSITION_PATTERN;
use crate::domain::forecast::HOURS_MAX;
use crate::domain::minutes::MINUTES_MAX;
use crate::wire::key::KeyText;
use crate::wire::operation::OperationStateWord;
use crate::wire::{MessageIdText, Moment, Name, QueueNameText, StateWord, Text, reference_to};

/// The id of an operation.
const OPERATION_ID: &str = "^op_[0-7][0-9A-HJKMNP-TV-Z]{25}$";
/// `NAME=VALUE`.
const LABEL: &str = "=";

/// The schemas by the name of the parameter; an operation's own stands under `<operationId> <name>`.
pub(super) fn schemas() -> BTreeMap<&'static str, Value> {
    let moments = [
        "created_after",
        "created_before",
        "due_after",
        "due_before",
        "final_after",
        "final_before",
    ];
    let moments = moments.map(|name| (name, of::<Moment>()));
    let position = json!({ "type": "string", "pattern": POSITION_PATTERN });
    let operation = json!({ "type": "string", "pattern": OPERATION_ID });
    BTreeMap::from([
        ("queue", of::<QueueNameText>()),
        ("topic", of::<Name>()),
        ("name", of::<Name>()),
        ("id", of::<MessageIdText>()),
        ("get_operation id", operation.clone()),
        ("stop_operation id", operation),
        ("limit", count(LIMIT_MAX, LIMIT_DEFAULT)),
        ("days", count(windows::DAYS_MAX, windows::DAYS_DEFAULT)),
        ("estimate", json!({ "type": "boolean", "default": false })),
        ("hours", count(HOURS_MAX, forecast::HOURS_DEFAULT)),
        ("minutes", count(MINUTES_MAX, MINUTES_MAX)),
        ("cursor", json!({ "type": "string" })),
        ("about", json!({ "type": "string", "enum": [doctor::INTAKE] })),
        ("view", json!({ "type": "string", "enum": query::VIEWS, "default": query::VIEWS[0] })),
        (
            "wait",
            json!({
                "type": "string", "pattern": messages::WAIT_PATTERN,
                "description": "A duration as in bodies, up to 60s",
            }),
        ),
        ("key", of::<KeyText>()),
        ("idempotency_key", of::<Text>()),
        ("group", of::<Text>()),
        ("error_contains", of::<Text>()),
        ("ref", of::<Text>()),
        ("send_receipt id", of::<Text>()),
        ("send_receipt status", of::<Text>()),
        ("detail", of::<Text>()),
        ("token", json!({ "type": "string" })),
        ("label", json!({ "type": "array", "items": { "type": "string", "pattern": LABEL } })),
        ("list_operations state", of::<OperationStateWord>()),
        ("list_messages state", some_of::<StateWord>(None)),
        ("events queue", some_of::<Name>(Some(events::QUEUES_MAX))),
        ("events state", some_of::<StateWord>(None)),
        ("after", position.clone()),
        ("Last-Event-ID", position),
        // One that is not valid is ignored, and so has no pattern.
        ("traceparent", json!({ "type": "string" })),
        ("Idempotency-Key", json!({ "type": "string", "pattern": idempotency::pattern() })),
    ])
    .into_iter()
    .chain(moments)
    .collect()
}

/// A value that bodies have as well.
fn of<T: ToSchema>() -> Value {
    json!({ "$ref": reference_to(&T::name()) })
}

/// At least one of them, by comma.
fn some_of<T: ToSchema>(most: Option<usize>) -> Value {
    let mut schema = json!({ "type": "array", "items": of::<T>(), "minItems": 1 });
    if let Some(most) = most {
        schema["maxItems"] = most.into();
    }
    schema
}

/// A whole number from 1.
fn count(most: u32, default: u32) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": most, "default": default })
}
