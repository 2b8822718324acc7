//! The list of what operators did: every step that needs the scope `operate` or `admin`, written down in one place.
//!
//! Owns what is noted and when: before the step is done, and refused if it cannot be written; what came
//! of it afterwards. Refuses to know what a step does. Steps that a machine repeats all day (pulls,
//! receipts) are no operator's actions.

use axum::RequestExt as _;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use super::auth::{self, Caller};
use super::fields::json_of;
use super::page::{LIMIT_DEFAULT, LIMIT_MAX};
use super::problem::Problem;
use super::query::Query;
use super::reached::reached_actions;
use super::{Door, Shared, cursor, keys};
use crate::config::Scope;
use crate::store::{ActionOutcome, NewAction, NotedAction};
use crate::wire::Moment;
use crate::wire::action::{ActionList, ActionOutcomeView, ActionView};

/// The header in which the command line says who sits there.
const USER: &str = "tidegate-user";
const USER_CHARS_MAX: usize = 100;
/// What is kept of what was asked for, in bytes of JSON.
const DETAIL_BYTES_MAX: usize = 2000;
/// What is never kept: it is the message's, not the operator's.
const CONTENTS: [&str; 3] = ["payload", "payload_base64", "headers"];
/// Machines' daily work, whatever scope it needs.
const NO_ACTIONS: [&str; 3] =
    ["/v1/queues/{queue}/claim", "/v1/queues/{queue}/settle", "/v1/queues/{queue}/receipts"];

/// What the cursors of the list belong to.
const LIST: &str = "actions";

/// The actions, the newest first.
#[utoipa::path(
    get, path = "/v1/actions", operation_id = "list_actions", tag = "operations",
    params(
        ("limit" = Option<u32>, Query, description = "Actions on a page, 1 to 1000; default 100"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page", body = ActionList)),
)]
pub(super) async fn list(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["limit", "cursor"]);
    let limit = query.count("limit", LIMIT_MAX).unwrap_or(LIMIT_DEFAULT);
    let cursor = query.read_as("cursor", |text| cursor::open(LIST, text));
    query.finish()?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let actions = door.store().actions.list(most, cursor.as_deref()).await?;
    let last = actions.last().filter(|_| actions.len() >= most);
    let next_cursor = last.map(|action| cursor::seal(LIST, &action.id));
    let reached = reached_actions(&door, &caller, actions).await?;
    let actions = reached.into_iter().map(view).collect();
    Ok(Json(ActionList { actions, next_cursor }).into_response())
}

fn view(noted: NotedAction) -> ActionView {
    let NotedAction { id, at_ms, action, outcome } = noted;
    ActionView {
        id,
        at: Moment(at_ms),
        by: action.by,
        user: action.user,
        action: action.what,
        on: action.on,
        reason: action.reason,
        detail: action.detail,
        outcome: outcome.map(|ActionOutcome { status, made }| ActionOutcomeView {
            done: status < 400,
            status,
            made,
        }),
    }
}

/// Runs a request that was let in; if it is an operator's action, it is written down first.
pub(super) async fn run(door: &Door, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    match route.filter(|route| is_action(request.method(), route.as_str())) {
        None => next.run(request).await,
        // Boxed: other requests need not carry its room.
        Some(route) => Box::pin(run_noted(door, request, next, route.as_str())).await,
    }
}

async fn run_noted(door: &Door, request: Request, next: Next, route: &str) -> Response {
    match note(door, request, route).await {
        Ok((request, id)) => {
            let response = next.run(request).await;
            let outcome = outcome_of(&response);
            tell_outcome(door, &id, &outcome).await;
            response
        }
        Err(problem) => problem.into_response(),
    }
}

fn is_action(method: &Method, route: &str) -> bool {
    let needed = auth::scope_needed(method, Some(route));
    matches!(needed, Some(Scope::Operate | Scope::Admin)) && !NO_ACTIONS.contains(&route)
}

async fn note(
    door: &Door,
    mut request: Request,
    route: &str,
) -> Result<(Request, String), Problem> {
    let caller = request.extensions().get::<Caller>().map(|caller| caller.name().to_owned());
    let params = request.extract_parts::<Path<Vec<(String, String)>>>().await;
    let on = params.ok().and_then(|Path(params)| params.into_iter().next().map(|(_, value)| value));
    let (head, body) = request.into_parts();
    let bytes = door.bodies.read(body, door.state.server.body_limit_bytes).await?;
    let (reason, mut detail) = said(&bytes);
    let query = head.uri.query().filter(|_| route == keys::PATH);
    if let Some(key) = query.and_then(keys::named) {
        detail.insert("key".to_owned(), key.into());
    }
    let action = NewAction {
        by: caller.unwrap_or_default(),
        user: user(&head.headers),
        what: what(&head.method, route),
        on: on.unwrap_or_default().chars().take(100).collect(),
        reason,
        detail,
    };
    let noted = door.store().actions.note(&action).await;
    let id = noted.map_err(|error| {
        tracing::warn!(%error, by = action.by, action = action.what, on = action.on, "refused: the action cannot be recorded");
        let detail = format!("nothing was done: an operator's action must be recorded first, and {error}");
        Problem::store_unavailable(detail)
    })?;
    Ok((Request::from_parts(head, Body::from(bytes)), id))
}

/// Who sat there, by their own word: it is shown, and decides nothing.
fn user(headers: &HeaderMap) -> Option<String> {
    let text = String::from_utf8_lossy(headers.get(USER)?.as_bytes());
    let name: String =
        text.trim().chars().filter(|c| !c.is_control()).take(USER_CHARS_MAX).collect();
    (!name.is_empty()).then_some(name)
}

fn outcome_of(response: &Response) -> ActionOutcome {
    let place = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    ActionOutcome { status: response.status().as_u16(), made: place.map(str::to_owned) }
}

async fn tell_outcome(door: &Door, id: &str, outcome: &ActionOutcome) {
    if let Err(error) = door.store().actions.note_outcome(id, outcome).await {
        tracing::error!(
            action = id, status = outcome.status, %error,
            "the outcome of an operator's action could not be recorded"
        );
    }
}

/// What a request does, in the words of its route: `pause`, `clock resume`, `cancel`.
fn what(method: &Method, route: &str) -> String {
    let words: Vec<&str> = route
        .split('/')
        .skip(2)
        .filter(|word| !word.is_empty() && !word.starts_with('{'))
        .collect();
    match (method, words.as_slice()) {
        (&Method::PATCH, ["messages"]) => "edit".to_owned(),
        (&Method::DELETE, ["messages"]) => "cancel".to_owned(),
        (&Method::POST, ["operations"]) => "start operation".to_owned(),
        (&Method::POST, ["operations", step]) => format!("{step} operation"),
        (&Method::POST, ["limits", step]) => format!("{step} limit"),
        (&Method::POST, ["queues", "audit"]) => "repair".to_owned(),
        (&Method::PUT, ["queues", "keys"]) => "put key".to_owned(),
        (&Method::DELETE, ["queues", "keys"]) => "delete key".to_owned(),
        (&Method::POST, ["queues", "overrides"]) => "put override".to_owned(),
        (&Method::DELETE, ["queues", "overrides"]) => "end override".to_owned(),
        (&Method::POST, ["queues" | "messages", rest @ ..]) => rest.join(" "),
        (&Method::POST, words) => words.join(" "),
        (method, words) => format!("{} {}", method.as_str().to_lowercase(), words.join(" ")),
    }
}

/// The reason, and what else was asked for, as far as it is short and no message's contents.
fn said(body: &Bytes) -> (Option<String>, Map<String, Value>) {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(json_of(body)) else {
        return (None, Map::new());
    };
    let reason = match fields.remove("reason") {
        Some(Value::String(reason)) if !reason.is_empty() => {
            Some(reason.chars().take(1000).collect())
        }
        _ => None,
    };
    for name in CONTENTS {
        if fields.contains_key(name) {
            fields.insert(name.to_owned(), json!("..."));
        }
    }
    if json!(fields).to_string().len() > DETAIL_BYTES_MAX {
        let names: Vec<_> =
            fields.keys().take(20).map(|name| name.chars().take(60).collect::<String>()).collect();
        fields = Map::from_iter([("fields".to_owned(), json!(names))]);
    }
    (reason, fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_its_word() {
        for (method, route, word) in [
            (Method::POST, "/v1/queues/{queue}/pause", "pause"),
            (Method::POST, "/v1/queues/{queue}/requeue-all", "requeue-all"),
            (Method::POST, "/v1/queues/{queue}/audit", "repair"),
            (Method::POST, "/v1/messages/{id}/resolve", "resolve"),
            (Method::PATCH, "/v1/messages/{id}", "edit"),
            (Method::DELETE, "/v1/messages/{id}", "cancel"),
            (Method::POST, "/v1/clock/resume", "clock resume"),
            (Method::POST, "/v1/operations", "start operation"),
            (Method::POST, "/v1/operations/{id}/stop", "stop operation"),
            (Method::POST, "/v1/limits/{name}/charge", "charge limit"),
            (Method::PUT, "/v1/schedules/{name}", "put schedules"),
            (Method::PUT, "/v1/queues/{queue}/keys", "put key"),
            (Method::DELETE, "/v1/queues/{queue}/keys", "delete key"),
            (Method::POST, "/v1/queues/{queue}/overrides", "put override"),
            (Method::DELETE, "/v1/queues/{queue}/overrides/{id}", "end override"),
            (Method::POST, "/v1/schedules/{name}/run", "schedules run"),
        ] {
            assert!(is_action(&method, route), "{route}");
            assert_eq!(what(&method, route), word);
        }
    }

    #[test]
    fn reading_and_sending_are_no_actions() {
        for (method, route) in [
            (Method::GET, "/v1/queues/{queue}/audit"),
            (Method::POST, "/v1/queues/{queue}/messages"),
            (Method::POST, "/v1/queues/{queue}/claim"),
        ] {
            assert!(!is_action(&method, route), "{route}");
        }
    }

    #[test]
    fn what_was_asked_for_is_kept_without_contents() {
        let (reason, detail) = said(&Bytes::from_static(
            br#"{"reason": "maintenance", "for": "1h", "payload": {"to": "+49"}}"#,
        ));
        assert_eq!(reason.as_deref(), Some("maintenance"));
        assert_eq!(Value::Object(detail), json!({ "for": "1h", "payload": "..." }));
        let long = json!({ "due_at": "x".repeat(3000) }).to_string();
        assert_eq!(Value::Object(said(&Bytes::from(long)).1), json!({ "fields": ["due_at"] }));
        assert_eq!(said(&Bytes::from_static(b"no json")), (None, Map::new()));
    }
}
