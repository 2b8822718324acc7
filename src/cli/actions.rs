//! `actions`: what operators did, the newest first.

use serde_json::Value;

use super::Session;
use super::args_operation::ActionsArgs;
use super::client::Target;
use super::describe::word;
use super::exit::{Exit, Failure};
use super::queues::{as_it_came, list};
use super::times::{of_answer, utc};

/// `actions`.
pub(crate) async fn actions(args: &ActionsArgs, session: &mut Session) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "actions"]).with("limit", args.limit.to_string());
    let answer = session.client.get(&target).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let document: Value = answer.read()?;
    let rows = list(&document, "actions").iter().map(row).collect();
    session.screen.rows(&["WHEN", "WHO", "ACTION", "ON", "OUTCOME", "REASON", "DETAIL"], rows)?;
    if !document["next_cursor"].is_null() {
        session.screen.note("there are more; --limit shows them")?;
    }
    Ok(Exit::Ok)
}

fn row(action: &Value) -> Vec<String> {
    let text = |name: &str| word(&action[name]);
    let outcome = match &action["outcome"] {
        Value::Null => "unknown".to_owned(),
        outcome if outcome["done"] == true => "done".to_owned(),
        outcome => format!("refused ({})", word(&outcome["status"])),
    };
    let when = of_answer(&action["at"]).map(utc).unwrap_or_default();
    let who = match text("user").as_str() {
        "" => text("by"),
        user => format!("{} ({user})", text("by")),
    };
    vec![when, who, text("action"), text("on"), outcome, text("reason"), text("detail")]
}
