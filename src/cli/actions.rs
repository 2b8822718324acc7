//! `actions`: what operators did, the newest first.

use serde_json::Value;

use super::Session;
use super::args_operation::ActionsArgs;
use super::client::Target;
use super::describe::word;
use super::exit::{Exit, Failure};
use super::queues::{as_it_came, list};
use super::table::{whole, words};
use super::times::{Times, of_answer};

/// `actions`.
pub(crate) async fn actions(args: &ActionsArgs, session: &mut Session) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "actions"]).with("limit", args.limit.to_string());
    let answer = session.client.get(&target).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let document: Value = answer.read()?;
    let times = session.times();
    let rows = list(&document, "actions").iter().map(|action| row(action, &times)).collect();
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
    if !document["next_cursor"].is_null() {
        session.screen.note("there are more than these; --limit N shows more of them")?;
    }
    Ok(Exit::Ok)
}

fn row(action: &Value, times: &Times) -> Vec<String> {
    let text = |name: &str| word(&action[name]);
    let outcome = match &action["outcome"] {
        Value::Null => "unknown".to_owned(),
        outcome if outcome["done"] == true => "done".to_owned(),
        outcome => format!("refused ({})", word(&outcome["status"])),
    };
    let when = of_answer(&action["at"]).map(|at| times.at(at)).unwrap_or_default();
    let who = match text("user").as_str() {
        "" => text("by"),
        user => format!("{} ({user})", text("by")),
    };
    vec![when, who, text("action"), text("on"), outcome, text("reason"), text("detail")]
}
