//! Operations on many messages: those that run and ran, and the form that starts one.

use askama::Template;
use axum::extract::RawQuery;
use axum::response::Response;

use super::operation::{OperationShown, shown};
use super::queue_choice::{QueueChoice, choices};
use crate::dashboard::form::FormFields;
use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::domain::operation::Action;
use crate::domain::state::State;
use crate::wire::operation::OperationList;

/// A word that may be chosen.
#[derive(Debug)]
struct WordChoice {
    word: &'static str,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "operations.html")]
struct OperationsPage {
    frame: Frame,
    rows: Vec<OperationShown>,
    choices: Vec<QueueChoice>,
    actions: Vec<WordChoice>,
    states: Vec<WordChoice>,
    label: String,
    group: String,
    error_contains: String,
}

pub(in crate::dashboard) async fn page(
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ShownProblem> {
    let fields = FormFields::read(query.unwrap_or_default().as_bytes());
    let list: OperationList = visit.read("/v1/operations").await?;
    let (choices, _) = choices(&visit, fields.text("queue")).await?;
    let action = fields.some("action").unwrap_or("requeue");
    let state = fields.some("state").unwrap_or("dead");
    let actions = Action::ALL.into_iter().map(Action::as_str);
    let actions = actions.map(|word| WordChoice { word, is_chosen: word == action });
    let states = State::ALL.into_iter().map(State::as_str);
    let states = states.map(|word| WordChoice { word, is_chosen: word == state });
    Ok(html(&OperationsPage {
        frame: visit.frame("Operations", "/ui/operations").followed(),
        rows: list.operations.iter().map(|view| shown(view, &visit.zones)).collect(),
        choices,
        actions: actions.collect(),
        states: states.collect(),
        label: fields.text("label").to_owned(),
        group: fields.text("group").to_owned(),
        error_contains: fields.text("error_contains").to_owned(),
    }))
}
