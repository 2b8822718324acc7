//! What the document promises, and that it is the one that is checked in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::api::fields::Shape;
use crate::api::pull::{claim, settle};
use crate::api::{
    change, key_wish, operation_wish, queues, receipts, router, schedule_fields, schedules,
};
use crate::domain::change::Position;
use crate::domain::draft;

fn document() -> Value {
    let (_, described) = router::described().split_for_parts();
    serde_json::from_slice(&complete(described)).unwrap()
}

fn operations() -> Vec<(String, Value)> {
    let document = document();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push((format!("{} {path}", method.to_uppercase()), operation.clone()));
        }
    }
    found
}

#[test]
fn every_route_of_the_contract_is_described() {
    let found: BTreeSet<_> = operations().into_iter().map(|(name, _)| name).collect();
    let expected = [
        "DELETE /v1/messages/{id}",
        "DELETE /v1/queues/{queue}/keys",
        "DELETE /v1/queues/{queue}/overrides/{id}",
        "DELETE /v1/schedules/{name}",
        "GET /livez",
        "GET /metrics",
        "GET /openapi.json",
        "GET /readyz",
        "GET /v1/actions",
        "GET /v1/clock",
        "GET /v1/doctor",
        "GET /v1/events",
        "GET /v1/messages/{id}",
        "GET /v1/messages/{id}/attempts",
        "GET /v1/messages/{id}/explain",
        "GET /v1/nodes",
        "GET /v1/operations",
        "GET /v1/operations/{id}",
        "GET /v1/queues",
        "GET /v1/queues/{queue}",
        "GET /v1/queues/{queue}/audit",
        "GET /v1/queues/{queue}/forecast",
        "GET /v1/queues/{queue}/history",
        "GET /v1/queues/{queue}/keys",
        "GET /v1/queues/{queue}/messages",
        "GET /v1/queues/{queue}/overrides",
        "GET /v1/queues/{queue}/receipts",
        "GET /v1/queues/{queue}/windows",
        "GET /v1/rollbacks",
        "GET /v1/limits",
        "GET /v1/limits/{name}",
        "POST /v1/limits/{name}/charge",
        "GET /v1/topics",
        "GET /v1/topics/{topic}",
        "GET /v1/schedules",
        "GET /v1/schedules/{name}",
        "PATCH /v1/messages/{id}",
        "POST /v1/clock/resume",
        "POST /v1/messages/{id}/requeue",
        "POST /v1/messages/{id}/resolve",
        "POST /v1/messages/{id}/run",
        "POST /v1/operations",
        "POST /v1/operations/{id}/stop",
        "POST /v1/queues/{queue}/audit",
        "POST /v1/queues/{queue}/claim",
        "POST /v1/queues/{queue}/messages",
        "POST /v1/queues/{queue}/messages/batch",
        "POST /v1/queues/{queue}/overrides",
        "POST /v1/queues/{queue}/pause",
        "POST /v1/queues/{queue}/purge",
        "POST /v1/queues/{queue}/receipts",
        "POST /v1/queues/{queue}/requeue-all",
        "POST /v1/queues/{queue}/resume",
        "POST /v1/queues/{queue}/settle",
        "POST /v1/queues/{queue}/try",
        "POST /v1/topics/{topic}/messages",
        "POST /v1/schedules/{name}/pause",
        "POST /v1/schedules/{name}/resume",
        "POST /v1/schedules/{name}/run",
        "PUT /v1/queues/{queue}/keys",
        "PUT /v1/schedules/{name}",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let operations = operations();
    let names: BTreeSet<_> =
        operations.iter().map(|(_, operation)| operation["operationId"].to_string()).collect();
    assert_eq!(names.len(), operations.len(), "{names:?}");
}

#[test]
fn every_parameter_has_its_bounds() {
    let mut known: BTreeSet<_> = parameters::schemas().into_keys().map(str::to_owned).collect();
    let mut used = BTreeSet::new();
    for (name, operation) in operations() {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = parameter["name"].as_str().unwrap();
            let own = format!("{} {parameter}", operation["operationId"].as_str().unwrap());
            let key = if known.contains(&own) { own } else { parameter.to_owned() };
            assert!(known.contains(&key), "{name}: {parameter}");
            used.insert(key);
        }
    }
    known.retain(|key| !used.contains(key));
    assert!(known.is_empty(), "described and never used: {known:?}");
}

#[test]
fn the_pattern_of_a_position_takes_what_is_read() {
    let schema = &parameters::schemas()["after"];
    let validator = jsonschema::validator_for(schema).unwrap();
    for text in [
        "1795251600000",
        "1795251600000-3-0-2-sms",
        "1795251600000-3-0-2-sms~callbacks",
        "0",
        "",
        "x",
        "1795251600000-3",
        "1795251600000-3-0-2-",
        "-1",
    ] {
        let is_read = text.parse::<Position>().is_ok();
        assert_eq!(validator.is_valid(&json!(text)), is_read, "{text}");
    }
}

#[test]
fn every_refusal_is_a_problem() {
    for (name, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let is_refusal = status.starts_with(['4', '5']) || status == "default";
            let is_problem = response["content"]["application/problem+json"].is_object();
            assert_eq!(is_refusal, is_problem, "{name} {status}");
        }
    }
}

#[test]
fn the_head_is_ours_and_every_reference_leads_somewhere() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["info"]["title"], "Tidegate");
    let text = document.to_string();
    assert!(!text.contains(":null"), "what is not there is left out");
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut used = BTreeSet::new();
    for rest in text.split("\"#/components/schemas/").skip(1) {
        let name = rest.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
        used.insert(name.to_owned());
    }
    let known: BTreeSet<_> = schemas.keys().cloned().collect();
    assert_eq!(used, known, "a shape is described and never used");
}

/// Where the document is checked in, so that each change of it is seen in a diff.
const CHECKED_IN: &str = "docs/openapi.json";
/// Set to write the file anew.
const WRITE: &str = "TIDEGATE_WRITE_OPENAPI";

#[test]
fn the_document_is_the_one_that_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CHECKED_IN);
    let now = format!("{:#}\n", document());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        now == before,
        "/openapi.json has changed:\n{}\nif it is meant to, write {CHECKED_IN} anew:\n\
         {WRITE}=1 cargo test --locked --features failpoints --lib the_document_is_the_one",
        changed_lines(&before, &now)
    );
}

/// The lines that are not the same, each with its number, without what is common before and after them.
fn changed_lines(before: &str, now: &str) -> String {
    let (before, now): (Vec<_>, Vec<_>) = (before.lines().collect(), now.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(one, other)| one == other).count()
    };
    let start = same(&mut before.iter().zip(&now));
    let end = same(&mut before[start..].iter().rev().zip(now[start..].iter().rev()));
    let shown = |lines: &[&str], sign: char| -> String {
        let changed = &lines[start..lines.len() - end];
        let numbered = changed.iter().zip(start + 1..).take(60);
        numbered.map(|(line, number)| format!("{sign} {number:5} {line}\n")).collect()
    };
    shown(&before, '-') + &shown(&now, '+')
}

/// The schemas that are reached from the bodies of requests, or from those of answers.
fn reached(of_requests: bool) -> BTreeMap<String, Value> {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut left: Vec<Value> = Vec::new();
    for (_, operation) in operations() {
        left.push(if of_requests {
            operation["requestBody"].clone()
        } else {
            operation["responses"].clone()
        });
    }
    let mut found = BTreeMap::new();
    while let Some(value) = left.pop() {
        let text = value.to_string();
        for rest in text.split("\"#/components/schemas/").skip(1) {
            let name = rest.split('"').next().unwrap();
            if found.insert(name.to_owned(), schemas[name].clone()).is_none() {
                left.push(schemas[name].clone());
            }
        }
    }
    found
}

/// The objects with fields in a schema: itself, or its parts.
fn objects(schema: &Value) -> Vec<&Value> {
    let parts = schema["allOf"].as_array().into_iter().flatten();
    parts.chain([schema]).filter(|part| part["properties"].is_object()).collect()
}

/// Fields that are absent where another one is given, and null where there is nothing at all; and those that are absent where
/// nobody asked for an estimate, and null where nobody can know.
const ABSENT_OR_NULL: [&str; 5] = [
    "ExchangeAnswer.body",
    "ExchangeRequest.body",
    "Result.body",
    "Message.earliest_at",
    "Message.expected_at",
];

fn may_be_null(field: &Value) -> bool {
    let is_null = |of: &Value| of == "null" || of["type"] == "null";
    [&field["type"], &field["oneOf"], &field["anyOf"]]
        .into_iter()
        .any(|of| of.as_array().is_some_and(|of| of.iter().any(is_null)))
}

fn is_required(object: &Value, name: &str) -> bool {
    object["required"].as_array().is_some_and(|required| required.iter().any(|it| it == name))
}

#[test]
fn a_field_of_an_answer_is_absent_or_null_and_never_both() {
    for (name, schema) in reached(false) {
        for object in objects(&schema) {
            for (field, of_field) in object["properties"].as_object().unwrap() {
                assert!(
                    is_required(object, field)
                        || !may_be_null(of_field)
                        || ABSENT_OR_NULL.contains(&format!("{name}.{field}").as_str()),
                    "{name}.{field} may be null and is not required: `#[schema(required)]` where it is always there, else `#[schema(nullable = false)]`"
                );
            }
        }
    }
}

#[test]
fn a_field_of_a_request_that_may_be_left_out_may_be_null() {
    for (name, schema) in reached(true) {
        for object in objects(&schema) {
            assert_eq!(object["additionalProperties"], false, "{name} takes unknown fields");
            for (field, of_field) in object["properties"].as_object().unwrap() {
                let takes_anything =
                    ["type", "$ref", "oneOf"].iter().all(|key| of_field.get(key).is_none());
                assert!(
                    is_required(object, field) || takes_anything || may_be_null(of_field),
                    "{name}.{field} may be left out and may not be null"
                );
            }
        }
    }
}

#[test]
fn a_request_has_the_fields_that_its_parser_knows() {
    let parsers: [(&str, &Shape); 16] = [
        ("Callback", &draft::CALLBACK),
        ("Claim", &claim::CLAIM),
        ("MessagePatch", &change::PATCH),
        ("NewMessage", &draft::MESSAGE),
        ("OfState", &queues::OF_STATE),
        ("Pause", &queues::PAUSE),
        ("PutKey", &key_wish::KEY),
        ("PutKeyLimit", &key_wish::LIMIT),
        ("NewOperation", &operation_wish::START),
        ("OperationFilter", &operation_wish::FILTER),
        ("Receipt", &receipts::RECEIPT),
        ("Resolve", &change::RESOLVE),
        ("Settlement", &settle::ITEM),
        ("NewSchedule", &schedule_fields::SHAPE),
        ("PauseSchedule", &schedules::PAUSE),
        ("Retry", &draft::RETRY),
    ];
    let document = document();
    for (name, shape) in parsers {
        let fields = document["components"]["schemas"][name]["properties"].as_object().unwrap();
        let described: BTreeSet<_> = fields.keys().map(String::as_str).collect();
        let known: BTreeSet<_> = shape.known.iter().copied().collect();
        assert_eq!(described, known, "{name}");
    }
}
