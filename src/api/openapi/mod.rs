//! `/openapi.json`: the routes describe themselves, this file adds what they share.
//!
//! Owns the document's head, and the problems that every route may answer. Requests and answers are described by their structs (`wire`).

mod parameters;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use crate::api::policy_schema;
use crate::wire;

/// Where the document is.
pub(in crate::api) const PATH: &str = "/openapi.json";

/// The shapes of bodies that may be left out.
const OPTIONAL: [&str; 3] = ["Claim", "Pause", "PauseSchedule"];

/// The document with everything that the routes share.
pub(in crate::api) fn complete(described: OpenApi) -> Bytes {
    let mut document = serde_json::to_value(described).expect("its keys are texts");
    let schemas = schemas(&mut document);
    let parameters = parameters::schemas();
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

/// The shapes of the structs that the routes name (`wire`).
fn schemas(document: &mut Value) -> Value {
    let mut schemas = document["components"]["schemas"].take();
    drop_widths(&mut schemas);
    for (name, shape) in wire::shared() {
        schemas[name] = serde_json::to_value(shape).expect("its keys are texts");
    }
    for (name, shape) in policy_schema::schemas() {
        schemas[name] = shape;
    }
    for name in wire::OVERLAPPING {
        if let Some(shape) = schemas[name].as_object_mut()
            && let Some(shapes) = shape.remove("oneOf")
        {
            shape.insert("anyOf".to_owned(), shapes);
        }
    }
    for (name, conditions) in wire::conditions() {
        for (keyword, value) in conditions.as_object().into_iter().flatten() {
            schemas[name][keyword] = value.clone();
        }
    }
    schemas
}

/// Leaves out how wide integers are: OpenAPI knows no unsigned ones, and an `int32` would be too narrow.
fn drop_widths(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("format").is_some_and(|format| format == "int32" || format == "int64") {
                fields.remove("format");
            }
            fields.values_mut().for_each(drop_widths);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_widths),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Puts what a parameter may be in the place of its bare type.
fn bound_parameters(operation: &mut Value, parameters: &BTreeMap<&str, Value>) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let parameters_of = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters_of.into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let own = parameters.get(format!("{id} {name}").as_str());
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
pub(in crate::api) fn answer(document: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}
