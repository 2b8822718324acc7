//! The daemon answers as `/openapi.json` says: every JSON answer that a scenario receives is held against the
//! schema of its route.
//!
//! Owns which schema an answer has. Stricter than the document in one thing: an answer has no field that the document
//! does not name, so that a generated client sees all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex, PoisonError};

use http::{HeaderMap, Method, header};
use jsonschema::Validator;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::seen;

/// The document, as a test of the API holds it to the one that is served.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");
/// Every answer of a daemon has it, and no answer of anybody else.
const REQUEST_ID: &str = "x-request-id";

static OPENAPI: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::from_str(DOCUMENT).expect("it is written as JSON");
    close(&mut document);
    document
});

/// The schemas that were needed so far, ready to be used.
static VALIDATORS: Mutex<BTreeMap<String, &'static Validator>> = Mutex::new(BTreeMap::new());

/// Fails the test if an answer of a daemon is not one that the document describes.
#[track_caller]
pub(crate) fn check(method: &Method, path: &str, status: u16, headers: &HeaderMap, body: &[u8]) {
    if !headers.contains_key(REQUEST_ID) || *method == Method::HEAD {
        return;
    }
    let content_type = headers.get(header::CONTENT_TYPE).map_or("", |it| it.to_str().unwrap_or(""));
    let what = format!("the answer {status} to {method} {path}");
    let Some(schema) = schema(&what, method, path, status, content_type, body) else { return };
    let essence = content_type.split(';').next().unwrap_or_default();
    let id = operation(method, path).and_then(|it| it["operationId"].as_str());
    let check_and_keep = |body: &[u8]| {
        let value = check_value(&what, &schema, body);
        if let (Some(id), Some(value)) = (id, value) {
            seen::keep(id, &status.to_string(), essence, &value);
        }
    };
    if essence.ends_with("ndjson") {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.for_each(check_and_keep);
    } else {
        check_and_keep(body);
    }
}

/// Fails the test if this event of the stream is not one that the document describes.
#[track_caller]
pub(crate) fn check_event(name: &str, data: &str) {
    let of_name = match name {
        "message" => "MessageChange",
        "queue" => "QueueChange",
        "ready" => "StreamReady",
        "gap" | "dropped" | "end" => "StreamNote",
        other => panic!("docs/openapi.json does not know the event {other}"),
    };
    let what = format!("the event {name}");
    check_value(
        &what,
        &json!({ "$ref": format!("#/components/schemas/{of_name}") }),
        data.as_bytes(),
    );
    let whole = &OPENAPI["paths"]["/v1/events"]["get"]["responses"]["200"]["content"];
    let (content_type, content) =
        whole.as_object().and_then(|it| it.iter().next()).expect("the stream has a content");
    if let Some(value) = check_value(&what, &content["schema"], data.as_bytes()) {
        seen::keep("events", "200", content_type, &value);
    }
}

/// Fails the test if this row of an export is not a message that a daemon takes.
#[track_caller]
pub(crate) fn check_row(row: &str) {
    let mut message: Value = serde_json::from_str(row).expect("a row is JSON");
    let fields = message.as_object_mut().expect("a row is an object");
    // send-batch leaves it out.
    assert!(fields.remove("id").is_some_and(|id| id.is_string()), "{row}");
    // One whose payload is not kept is told, and refused when it is sent.
    if !fields.contains_key("payload_base64") {
        fields.entry("payload").or_insert(Value::Null);
    }
    let schema = json!({ "$ref": "#/components/schemas/NewMessage" });
    check_value("a row of an export", &schema, message.to_string().as_bytes());
}

/// The value; fails the test if it is not one that the schema describes.
#[track_caller]
fn check_value(what: &str, schema: &Value, body: &[u8]) -> Option<Value> {
    let body: Value = match serde_json::from_slice(body) {
        Ok(body) => body,
        // A payload may hold numbers and halves of characters that this reader does not take, though JSON has them.
        Err(_) if serde_json::from_slice::<&RawValue>(body).is_ok() => return None,
        Err(error) => panic!("{what} is not valid JSON: {error}"),
    };
    let validator = validator(schema);
    let faults: Vec<String> = validator
        .iter_errors(&body)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        faults.is_empty(),
        "{what} is not as docs/openapi.json says ({schema}):\n{}\n{body:#}",
        faults.join("\n")
    );
    Some(body)
}

/// The schema of an answer; `None`: it is not JSON.
fn schema(
    what: &str,
    method: &Method,
    path: &str,
    status: u16,
    content_type: &str,
    body: &[u8],
) -> Option<Value> {
    let Some(operation) = operation(method, path) else {
        // No route, or no such method: a refusal like any other.
        return Some(json!({ "$ref": "#/components/schemas/Problem" }));
    };
    let responses = &operation["responses"];
    let response = match &responses[status.to_string()] {
        Value::Null if status >= 400 => &responses["default"],
        Value::Null => panic!("{what} has a status that docs/openapi.json does not name"),
        response => response,
    };
    if body.is_empty() {
        assert!(response["content"].is_null(), "{what} has no body, where one is described");
        return None;
    }
    let essence = content_type.split(';').next().unwrap_or_default();
    let content = &response["content"][essence];
    assert!(!content.is_null(), "{what} is {essence}, which docs/openapi.json does not say");
    essence.ends_with("json").then(|| content["schema"].clone())
}

/// What the document says of a route.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let is_it = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == parts.len()
            && template
                .iter()
                .zip(&parts)
                .all(|(known, part)| known.starts_with('{') || known == part)
    };
    let paths = OPENAPI["paths"].as_object().expect("paths");
    let (_, item) = paths.iter().find(|(template, _)| is_it(template))?;
    item.get(method.as_str().to_ascii_lowercase())
}

/// A schema of the document, ready to be used; kept, since compiling one takes longer than using it.
fn validator(schema: &Value) -> &'static Validator {
    let mut known = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(schema.to_string()).or_insert_with(|| {
        let mut whole = schema.clone();
        whole["components"] = OPENAPI["components"].clone();
        let options = jsonschema::options().should_validate_formats(true);
        let validator = options.build(&whole).expect("the document holds valid schemas");
        Box::leak(Box::new(validator))
    })
}

/// Lets no object have fields that it does not name.
fn close(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object_mut().expect("schemas");
    // A part of a larger object sees the fields of the other parts.
    let parts: BTreeSet<String> = schemas.values().flat_map(parts_of).collect();
    for (name, schema) in schemas {
        if schema["allOf"].is_array() && schema["properties"].is_null() {
            schema["unevaluatedProperties"] = json!(false);
        } else if schema["properties"].is_object()
            && schema["additionalProperties"].is_null()
            && !parts.contains(name)
        {
            schema["additionalProperties"] = json!(false);
        }
    }
}

fn parts_of(schema: &Value) -> Vec<String> {
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let names = parts.filter_map(|part| part["$ref"].as_str()?.rsplit('/').next());
    names.map(str::to_owned).collect()
}

#[test]
fn an_answer_that_the_document_does_not_describe_is_seen() {
    let mut headers = HeaderMap::new();
    headers.insert(REQUEST_ID, "01J".parse().expect("a header"));
    headers.insert(header::CONTENT_TYPE, "application/json".parse().expect("a header"));
    let check = |path: &str, status: u16, body: Value| {
        let body = body.to_string();
        let checked = || check(&Method::GET, path, status, &headers, body.as_bytes());
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(checked)).is_ok()
    };
    let schedules = json!({ "schedules": [], "next_cursor": null });
    assert!(check("/v1/schedules?limit=1", 200, schedules.clone()));
    for (name, value) in [("next_cursor", json!(1)), ("surprise", json!(null))] {
        let mut wrong = schedules.clone();
        wrong[name] = value;
        assert!(!check("/v1/schedules", 200, wrong), "{name}");
    }
    assert!(!check("/v1/schedules", 200, json!({ "schedules": [] })), "a field is missing");
    assert!(!check("/v1/schedules", 202, schedules.clone()), "no such status");
    assert!(!check("/v1/schedules", 404, schedules), "a refusal is a problem");
    let attempt = json!({ "attempt": 1, "started_at": "soon", "ended_at": "2026-11-21T09:00:00.000Z",
        "outcome": "retry", "status_code": null, "error": null });
    assert!(
        !check("/v1/messages/q_1/attempts", 200, json!({ "attempts": [attempt] })),
        "no moment"
    );
}
