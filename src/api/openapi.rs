//! `/openapi.json`: the routes describe themselves, this file adds what they share.
//!
//! Owns the document's head, the shapes of requests and answers (`openapi.schemas.json`), the bounds of
//! parameters (`openapi.parameters.json`), and the problems that every route may answer.

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

/// Where the document is.
pub(super) const PATH: &str = "/openapi.json";

/// The shapes that the routes refer to.
const SCHEMAS: &str = include_str!("openapi.schemas.json");

/// What parameters may be, by name; an operation's own stands under `<operationId> <name>`.
const PARAMETERS: &str = include_str!("openapi.parameters.json");

/// The shapes of requests, in which null counts as absent.
const ASKED: [&str; 13] = [
    "Callback",
    "Claim",
    "MessagePatch",
    "NewMessage",
    "NewOperation",
    "NewSchedule",
    "OperationFilter",
    "Pause",
    "PauseSchedule",
    "Receipt",
    "Resolve",
    "Retry",
    "Settlement",
];

/// The shapes of bodies that may be left out.
const OPTIONAL: [&str; 3] = ["Claim", "Pause", "PauseSchedule"];

/// The document with everything that the routes share.
pub(super) fn complete(described: OpenApi) -> Bytes {
    let mut document = serde_json::to_value(described).expect("its keys are texts");
    let mut schemas = compiled_in(SCHEMAS);
    ASKED.iter().for_each(|name| take_null(&mut schemas[name]));
    let parameters = compiled_in(PARAMETERS);
    document["info"] = json!({
        "title": "Tidegate",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Takes messages from fast producers and sends them to slow downstreams, each when it is due.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    // Whatever host and port the daemon was reached at.
    document["servers"] = json!([{ "url": "/" }]);
    document["components"] = json!({
        "schemas": schemas,
        "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
    });
    // With server.tokens a token is needed; without them the door is open on loopback.
    document["security"] = json!([{ "token": [] }, {}]);
    document["paths"][PATH] = json!({ "get": {
        "tags": ["node"], "operationId": "openapi", "summary": "This document.",
        "responses": { "200": {
            "description": "The document", "content": { "application/json": { "schema": {} } },
        } },
    } });
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, item) in paths {
            let operations = item.as_object_mut().into_iter().flatten();
            for (_, operation) in operations {
                add_problems(path, operation);
                bound_parameters(operation, &parameters);
                // An empty body is the same as {}.
                if let Some(body) = operation.get_mut("requestBody") {
                    let shape = body["content"]["application/json"]["schema"]["$ref"].as_str();
                    let shape =
                        shape.and_then(|place| place.rsplit('/').next()).unwrap_or_default();
                    body["required"] = json!(!OPTIONAL.contains(&shape));
                }
            }
        }
    }
    Bytes::from(document.to_string())
}

/// Reads one of the files of this folder.
fn compiled_in(text: &str) -> Value {
    serde_json::from_str(text).expect("it is compiled in, and the tests below read it")
}

/// Lets every field of a shape be null that may be left out.
fn take_null(shape: &mut Value) {
    let required = shape["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in shape["properties"].as_object_mut().into_iter().flatten() {
        // Without a type it takes anything, and null may mean something.
        let is_bounded = ["type", "$ref", "oneOf"].iter().any(|key| field.get(key).is_some());
        if is_bounded && !required.iter().any(|required| required == name) {
            let given = field.take();
            *field = json!({ "anyOf": [given, { "type": "null" }] });
        }
    }
}

/// Puts what a parameter may be in the place of its bare type.
fn bound_parameters(operation: &mut Value, parameters: &Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let parameters_of = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters_of.into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let own = parameters.get(format!("{id} {name}"));
        let Some(schema) = own.or_else(|| parameters.get(name)) else { continue };
        let is_by_comma = own.is_some() && schema["type"] == "array";
        parameter["schema"] = schema.clone();
        if is_by_comma {
            parameter["explode"] = json!(false);
        }
    }
}

/// Every refusal is a problem; some may come from every route.
fn add_problems(path: &str, operation: &mut Value) {
    if matches!(path, "/livez" | "/readyz") {
        operation["security"] = json!([]);
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, description) in shared(path) {
        responses.entry(status).or_insert_with(|| json!({ "description": description }));
    }
    for (status, response) in responses {
        if status.starts_with(['4', '5']) || status == "default" {
            response["content"] = json!({
                "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
            });
        }
        if matches!(status.as_str(), "429" | "503") {
            response["headers"] = json!({
                "Retry-After": { "description": "Seconds", "schema": { "type": "integer" } },
            });
        }
    }
}

fn shared(path: &str) -> Vec<(&'static str, &'static str)> {
    let mut shared = vec![("default", "Any other refusal")];
    if matches!(path, "/livez" | "/readyz") {
        return shared;
    }
    shared.extend([
        ("401", "No valid token came with the request"),
        ("403", "The token lacks a scope, or an API without tokens was called from elsewhere"),
    ]);
    if path.starts_with("/v1/") {
        shared.push(("400", "The request is not valid; errors tells what and where"));
        shared.push(("503", "The store is unavailable or full, or the node is stopping"));
    }
    if path.contains('{') {
        let none =
            "There is no such queue, topic, schedule, message or operation; detail says which";
        shared.push(("404", none));
    }
    shared
}

/// The document.
pub(super) fn answer(document: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::problem::Code;
    use super::*;

    fn document() -> Value {
        let (_, described) = super::super::router::described().split_for_parts();
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
            "DELETE /v1/schedules/{name}",
            "GET /livez",
            "GET /metrics",
            "GET /openapi.json",
            "GET /readyz",
            "GET /v1/actions",
            "GET /v1/clock",
            "GET /v1/events",
            "GET /v1/messages/{id}",
            "GET /v1/messages/{id}/attempts",
            "GET /v1/nodes",
            "GET /v1/operations",
            "GET /v1/operations/{id}",
            "GET /v1/queues",
            "GET /v1/queues/{queue}",
            "GET /v1/queues/{queue}/audit",
            "GET /v1/queues/{queue}/messages",
            "GET /v1/queues/{queue}/windows",
            "GET /v1/rollbacks",
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
        let mut known: BTreeSet<_> = serde_json::from_str::<BTreeMap<String, Value>>(PARAMETERS)
            .unwrap()
            .into_keys()
            .collect();
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
    fn every_code_of_a_problem_is_named_and_no_other() {
        let document = document();
        let named = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
        let named: BTreeSet<_> =
            named.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        assert_eq!(named, Code::ALL.map(Code::as_str).into());
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
}
