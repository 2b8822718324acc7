//! What operators did: who, when, what, on what, why, and what came of it.

use askama::Template;
use axum::extract::RawQuery;
use axum::response::Response;

use crate::dashboard::form::FormFields;
use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::encoded;
use crate::dashboard::zones::Zones;
use crate::wire::action::{ActionList, ActionView};

/// Actions on a page.
const LIMIT: usize = 100;

/// An action in a line.
#[derive(Debug)]
struct ActionRow {
    at: String,
    by: String,
    user: String,
    action: String,
    on: String,
    reason: String,
    detail: String,
    outcome: String,
    is_refused: bool,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    rows: Vec<ActionRow>,
    next: Option<String>,
}

pub(in crate::dashboard) async fn page(
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ShownProblem> {
    let fields = FormFields::read(query.unwrap_or_default().as_bytes());
    let cursor = fields.some("cursor").map(|cursor| format!("&cursor={}", encoded(cursor)));
    let path = format!("/v1/actions?limit={LIMIT}{}", cursor.unwrap_or_default());
    let list: ActionList = visit.read(&path).await?;
    Ok(html(&AuditPage {
        frame: visit.frame("Audit", "/ui/audit").followed(),
        rows: list.actions.into_iter().map(|view| row(view, &visit.zones)).collect(),
        next: list.next_cursor.map(|cursor| format!("/ui/audit?cursor={}", encoded(&cursor))),
    }))
}

fn row(view: ActionView, zones: &Zones) -> ActionRow {
    let outcome = view.outcome;
    let said = outcome.as_ref().map(|outcome| match (&outcome.made, outcome.done) {
        (Some(made), true) => format!("done ({made})"),
        (None, true) => "done".to_owned(),
        (_, false) => format!("refused ({})", outcome.status),
    });
    ActionRow {
        at: zones.brief(view.at),
        by: view.by,
        user: view.user.unwrap_or_default(),
        action: view.action,
        on: view.on,
        reason: view.reason.unwrap_or_default(),
        detail: if view.detail.is_empty() {
            String::new()
        } else {
            serde_json::Value::Object(view.detail).to_string()
        },
        is_refused: outcome.is_some_and(|outcome| !outcome.done),
        outcome: said.unwrap_or_else(|| "not known: the node was lost".to_owned()),
    }
}
