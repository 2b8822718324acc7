//! `actions`: what operators did, the newest first.

use serde_json::Value;

use super::Session;
use super::args_operation::ActionsArgs;
use super::client::Target;
use super::describe::word;
use super::exit::{Exit, Failure};
use super::queues::as_it_came;
use super::table::{whole, words};
use super::times::Times;
use crate::wire::action::{ActionList, ActionView};

/// `actions`.
pub(crate) async fn actions(args: &ActionsArgs, session: &mut Session) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "actions"]).with("limit", args.limit.to_string());
    let answer = session.client.get(&target).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let page: ActionList = answer.read()?;
    let times = session.times();
    let rows = page.actions.iter().map(|action| row(action, &times)).collect();
    let columns = [
        whole("WHEN"),
        words("WHO"),
        whole("ACTION"),
        whole("ON"),
        whole("OUTCOME"),
        words("REASON"),
        words("DETAIL"),
    ];
    session.screen.rows(&columns, rows)?;
    if page.next_cursor.is_some() {
        session.screen.note("there are more than these; --limit N shows more of them")?;
    }
    Ok(Exit::Ok)
}

fn row(action: &ActionView, times: &Times) -> Vec<String> {
    let outcome = match &action.outcome {
        None => "unknown".to_owned(),
        Some(outcome) if outcome.done => "done".to_owned(),
        Some(outcome) => format!("refused ({})", outcome.status),
    };
    let who = match &action.user {
        Some(user) if !user.is_empty() => format!("{} ({user})", action.by),
        _ => action.by.clone(),
    };
    vec![
        times.at(action.at.0),
        who,
        action.action.clone(),
        action.on.clone(),
        outcome,
        action.reason.clone().unwrap_or_default(),
        word(&Value::Object(action.detail.clone())),
    ]
}
