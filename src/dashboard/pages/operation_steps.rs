//! Starting an operation, first as a preview, and stopping one.

use std::sync::Arc;

use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use crate::dashboard::cookies::see;
use crate::dashboard::form::{FormBody, FormFields};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::state::Dashboard;
use crate::dashboard::step::Step;
use crate::dashboard::words::encoded;
use crate::domain::operation::Action;
use crate::domain::state::State as MessageState;
use crate::wire::Moment;
use crate::wire::operation::{FilterRequest, FilterView, OperationRequest, OperationView};

/// The filters that are texts.
const TEXTS: [&str; 8] = [
    "group",
    "error_contains",
    "created_after",
    "created_before",
    "due_after",
    "due_before",
    "final_after",
    "final_before",
];

pub(in crate::dashboard) async fn start(step: Step) -> Result<Response, ShownProblem> {
    let Step { visit, fields } = step;
    let made: OperationView = visit.post("/v1/operations", &wish(&fields)).await?;
    Ok(see(&format!("/ui/operations/{}", encoded(&made.id))))
}

/// Does what a preview showed, to what was there when the preview began. The form cannot change which messages are meant.
pub(in crate::dashboard) async fn carry_out(
    State(dashboard): State<Arc<Dashboard>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let Step { visit, fields } = match Step::from_request(request, &dashboard).await {
        Ok(step) => step,
        Err(response) => return response,
    };
    let made = async {
        let preview: OperationView =
            visit.read(&format!("/v1/operations/{}", encoded(&id))).await?;
        let wish = serde_json::to_string(&of_preview(preview, &fields)).unwrap_or_default();
        visit.post::<OperationView>("/v1/operations", &wish).await
    };
    match made.await {
        Ok(made) => see(&format!("/ui/operations/{}", encoded(&made.id))),
        Err(problem) => problem.into_response(),
    }
}

fn of_preview(preview: OperationView, fields: &FormFields) -> OperationRequest {
    let OperationView { action, queue, message_state, filter, to, due_at, started_at, .. } =
        preview;
    let FilterView {
        label,
        group,
        error_contains,
        created_after,
        created_before,
        due_after,
        due_before,
        final_after,
        final_before,
    } = filter.unwrap_or_default();
    // What came later was not counted, and nobody has looked at it.
    let is_final = message_state.known().is_some_and(MessageState::is_final);
    let bounded = |before: Option<Moment>| {
        Some(before.filter(|before| before.0 < started_at.0).unwrap_or(started_at))
    };
    let filter = FilterRequest {
        label,
        group,
        error_contains,
        created_after,
        created_before: if is_final { created_before } else { bounded(created_before) },
        due_after,
        due_before,
        final_after,
        final_before: if is_final { bounded(final_before) } else { final_before },
    };
    let text = |name: &str| fields.some(name).map(str::to_owned);
    OperationRequest {
        state: (!action.is(Action::Retry)).then_some(message_state),
        action,
        queue,
        filter: Some(filter),
        all: None,
        rate: text("rate"),
        dry_run: None,
        reason: text("reason"),
        due_at,
        delay: None,
        to,
    }
}

pub(in crate::dashboard) async fn stop(
    State(dashboard): State<Arc<Dashboard>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let visit = match Step::from_request(request, &dashboard).await {
        Ok(step) => step.visit,
        Err(response) => return response,
    };
    let path = format!("/v1/operations/{}/stop", encoded(&id));
    match visit.change(Method::POST, &path, Some("{}")).await {
        Ok(()) => see(&format!("/ui/operations/{}?note=stopping", encoded(&id))),
        Err(problem) => problem.into_response(),
    }
}

/// The operation that a form asks for. Without a filter it is refused, unless all messages are meant.
fn wish(fields: &FormFields) -> String {
    let mut filter = Map::new();
    let labels: Map<String, Value> = fields
        .all("label")
        .map(|label| label.split_once('=').unwrap_or((label, "")))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    if !labels.is_empty() {
        filter.insert("label".to_owned(), labels.into());
    }
    for name in TEXTS {
        if let Some(text) = fields.some(name) {
            filter.insert(name.to_owned(), text.into());
        }
    }
    let mut body = FormBody::default();
    for name in ["action", "queue", "state", "rate", "reason", "to", "delay", "due_at"] {
        body = body.text(name, fields.some(name));
    }
    if !filter.is_empty() {
        body = body.value("filter", filter.into());
    }
    for name in ["all", "dry_run"] {
        if fields.some(name).is_some() {
            body = body.value(name, true.into());
        }
    }
    body.json()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A preview of 10 o'clock, with these lines.
    fn preview(lines: &Value) -> OperationView {
        let mut view = serde_json::json!({
            "id": "op_1", "state": "done", "action": "requeue", "queue": "sms", "message_state": "dead",
            "filter": null, "to": null, "due_at": null, "rate": null, "dry_run": true, "reason": "", "by": "ops",
            "started_at": "2026-01-05T10:00:00.000Z", "ended_at": null, "seen": 5, "matched": 5, "done": 0,
            "skipped": 0, "remaining": 0, "sample": [], "node": null, "stopping": false, "stopped_by": null,
            "trouble": null,
        });
        for (name, value) in lines.as_object().unwrap() {
            view[name] = value.clone();
        }
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn what_was_previewed_is_carried_out_and_nothing_else() {
        let wish = |lines: Value, form: &[u8]| {
            serde_json::to_value(of_preview(preview(&lines), &FormFields::read(form))).unwrap()
        };
        // A name with the sign, blanks at the ends: a form would lose them. What the form says of the filter has no effect.
        let filter = serde_json::json!({ "label": { "a=b": " c " }, "group": " sp " });
        let made = wish(serde_json::json!({ "filter": filter }), b"rate=5/s&reason=why&group=x");
        assert_eq!(
            made,
            serde_json::json!({
                "action": "requeue", "queue": "sms", "state": "dead", "rate": "5/s", "reason": "why",
                "filter": { "label": { "a=b": " c " }, "group": " sp ", "final_before": "2026-01-05T10:00:00.000Z" },
            })
        );
        let earlier = serde_json::json!({ "final_before": "2026-01-05T09:00:00.000Z" });
        let made = wish(serde_json::json!({ "filter": earlier }), b"");
        assert_eq!(made["filter"], earlier);
        // What waits is not final yet; a reschedule keeps its moment.
        let due = "2026-01-05T12:00:00.000Z";
        let made = wish(
            serde_json::json!({ "action": "reschedule", "message_state": "scheduled", "due_at": due }),
            b"",
        );
        assert_eq!(
            made["filter"],
            serde_json::json!({ "created_before": "2026-01-05T10:00:00.000Z" })
        );
        assert_eq!((&made["due_at"], &made["delay"]), (&due.into(), &Value::Null));
        let retry = serde_json::json!({ "action": "retry", "message_state": "scheduled" });
        assert_eq!(wish(retry, b"")["state"], Value::Null);
    }

    #[test]
    fn a_form_is_a_wish() {
        let fields = FormFields::read(
            b"action=requeue&queue=sms&state=dead&label=shop%3Deu&label=&error_contains=timed+out&rate=5/s&dry_run=1&to=",
        );
        let expected = r#"{"action":"requeue","dry_run":true,"filter":{"error_contains":"timed out","label":{"shop":"eu"}},"queue":"sms","rate":"5/s","state":"dead"}"#;
        assert_eq!(wish(&fields), expected);
        assert_eq!(
            wish(&FormFields::read(b"action=retry&all=1")),
            r#"{"action":"retry","all":true}"#
        );
    }
}
