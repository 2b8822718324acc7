//! The API as a page, made of the document that describes it (`/openapi.json`).

use askama::Template;
use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;

/// The methods, in the order in which they are shown.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The routes of one kind.
#[derive(Debug)]
struct RouteGroup {
    tag: String,
    routes: Vec<RouteRow>,
}

/// A route with one of its methods.
#[derive(Debug)]
struct RouteRow {
    id: String,
    method: String,
    path: String,
    summary: String,
    description: String,
    parameters: Vec<FieldRow>,
    body: Option<TypeShown>,
    answers: Vec<AnswerRow>,
}

/// What a route may answer.
#[derive(Debug)]
struct AnswerRow {
    status: String,
    description: String,
    body: Option<TypeShown>,
}

/// A parameter, or a field of a shape.
#[derive(Debug)]
struct FieldRow {
    name: String,
    place: String,
    kind: TypeShown,
    is_required: bool,
    description: String,
}

/// A type in words, and the shape that it names.
#[derive(Debug)]
struct TypeShown {
    text: String,
    shape: Option<String>,
}

/// A shape that routes refer to.
#[derive(Debug)]
struct ShapeRow {
    name: String,
    description: String,
    fields: Vec<FieldRow>,
    values: Vec<String>,
}

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    frame: Frame,
    version: String,
    description: String,
    groups: Vec<RouteGroup>,
    shapes: Vec<ShapeRow>,
}

pub(in crate::dashboard) async fn page(visit: Visit) -> Result<Response, ShownProblem> {
    let document: Value = visit.read("/openapi.json").await?;
    Ok(html(&DocsPage {
        frame: visit.frame("API", "/docs"),
        version: text(&document["info"]["version"]),
        description: text(&document["info"]["description"]),
        groups: groups(&document),
        shapes: shapes(&document),
    }))
}

/// The document itself, for a browser that is signed in.
pub(in crate::dashboard) async fn document(visit: Visit) -> Result<Response, ShownProblem> {
    let document: Value = visit.read("/openapi.json").await?;
    Ok(Json(document).into_response())
}

fn groups(document: &Value) -> Vec<RouteGroup> {
    let mut groups: Vec<RouteGroup> = Vec::new();
    for (path, item) in object(&document["paths"]) {
        for method in METHODS {
            let operation = &item[method];
            if operation.is_null() {
                continue;
            }
            let tag = text(&operation["tags"][0]);
            let route = route(path, method, operation);
            match groups.iter_mut().find(|group| group.tag == tag) {
                Some(group) => group.routes.push(route),
                None => groups.push(RouteGroup { tag, routes: vec![route] }),
            }
        }
    }
    groups
}

fn route(path: &str, method: &str, operation: &Value) -> RouteRow {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.map(|parameter| FieldRow {
        name: text(&parameter["name"]),
        place: text(&parameter["in"]),
        kind: kind(&parameter["schema"]),
        is_required: parameter["required"].as_bool().unwrap_or_default(),
        description: text(&parameter["description"]),
    });
    let answers = object(&operation["responses"]).map(|(status, answer)| AnswerRow {
        status: status.clone(),
        description: text(&answer["description"]),
        body: content(&answer["content"]),
    });
    RouteRow {
        id: text(&operation["operationId"]),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        description: text(&operation["description"]),
        parameters: parameters.collect(),
        body: content(&operation["requestBody"]["content"]),
        answers: answers.filter(|answer| answer.status != "default").collect(),
    }
}

/// The shape of a body: that of its first media type.
fn content(content: &Value) -> Option<TypeShown> {
    let (media, body) = object(content).next()?;
    let shown = kind(&body["schema"]);
    let text = if shown.text == "any" { media.clone() } else { shown.text };
    Some(TypeShown { text, ..shown })
}

fn shapes(document: &Value) -> Vec<ShapeRow> {
    let shapes = object(&document["components"]["schemas"]).map(|(name, shape)| ShapeRow {
        name: name.clone(),
        description: text(&shape["description"]),
        fields: fields(shape),
        values: values(shape),
    });
    shapes.collect()
}

/// The fields of a shape, of all its parts.
fn fields(shape: &Value) -> Vec<FieldRow> {
    let required: Vec<_> = shape["required"].as_array().into_iter().flatten().collect();
    let own = object(&shape["properties"]).map(|(name, field)| FieldRow {
        name: name.clone(),
        place: String::new(),
        kind: kind(field),
        is_required: required.iter().any(|needed| *needed == name),
        description: text(&field["description"]),
    });
    let parts = shape["allOf"].as_array().into_iter().flatten();
    own.chain(parts.flat_map(fields)).collect()
}

fn values(shape: &Value) -> Vec<String> {
    shape["enum"].as_array().into_iter().flatten().map(text).collect()
}

/// A type in words.
fn kind(schema: &Value) -> TypeShown {
    if let Some(place) = schema["$ref"].as_str() {
        let name = place.rsplit('/').next().unwrap_or_default().to_owned();
        return TypeShown { text: name.clone(), shape: Some(name) };
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(parts) = schema[choice].as_array() {
            let parts: Vec<_> = parts.iter().map(kind).collect();
            let texts: Vec<_> = parts.iter().map(|part| part.text.as_str()).collect();
            let shape = parts.iter().find_map(|part| part.shape.clone());
            return TypeShown { text: texts.join(" or "), shape };
        }
    }
    if !schema["items"].is_null() {
        let of = kind(&schema["items"]);
        return TypeShown { text: format!("list of {}", of.text), shape: of.shape };
    }
    let named = match &schema["type"] {
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(" or "),
        other => text(other),
    };
    let text = if named.is_empty() { "any".to_owned() } else { named };
    TypeShown { text, shape: None }
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
