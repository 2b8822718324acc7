//! `doctor`: asks the daemon how it is, and says what keeps messages from flowing.
//!
//! Owns the questions and how findings are shown. Refuses to judge (`diagnosis`) and to look into the
//! store (`checkup`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Session;
use super::args_admin::DoctorArgs;
use super::checkup;
use super::client::Target;
use super::diagnosis;
use super::exit::{Exit, Failure};
use super::finding::{Finding, Weight};
use super::intake::Intake;
use super::plain::plain;
use super::queues::{age, list, name_of};
use crate::wire::message::{MessageList, MessageView};

/// The time between two looks at a queue whose oldest message is old: does its age grow?
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// `doctor`.
pub(crate) async fn doctor(args: &DoctorArgs, session: &mut Session) -> Result<Exit, Failure> {
    let intake = Intake::ask(&session.client).await?;
    let store = intake.store_address();
    // Only the store knows the rest: asking on would end in one timeout after another.
    if let Some(why) = intake.store_away() {
        show(&[store_away(why)], store.as_deref(), session)?;
        return Ok(Exit::Unreachable);
    }
    let mut findings = intake.findings();
    let nodes: Value = session.client.get(&Target::new(&["v1", "nodes"])).await?.read()?;
    findings.extend(diagnosis::of_nodes(list(&nodes, "nodes")));
    let before = queues(session).await?;
    let is_old = |queue: &Value| age(queue).is_some_and(|ms| ms >= diagnosis::AGE_MS_WORTH_A_LOOK);
    let after = if before.iter().any(is_old) {
        tokio::time::sleep(SECOND_LOOK).await;
        queues(session).await?
    } else {
        before.clone()
    };
    let dead = dead_messages(&after, session).await;
    findings.extend(diagnosis::of_queues(&before, &after, &dead, &session.times()));
    for queue in after.iter().filter(|_| !args.quick) {
        findings.extend(checkup::of_queue(&name_of(queue), args.repair, session).await?);
    }
    show(&findings, store.as_deref(), session)
}

fn store_away(why: &Failure) -> Finding {
    Finding::problem(
        "store",
        format!("the daemon is not ready: {}", why.what),
        "start Redis, or correct [redis] in the configuration; accepted messages are kept, and the daemon goes on by itself",
    )
    .section("TidegateStoreDown")
}

async fn queues(session: &Session) -> Result<Vec<Value>, Failure> {
    let document: Value = session.client.get(&Target::new(&["v1", "queues"])).await?.read()?;
    Ok(list(&document, "queues").to_vec())
}

/// One dead message of each queue that has any; where it cannot be read, the finding goes without it.
async fn dead_messages(
    queues: &[Value],
    session: &Session,
) -> BTreeMap<String, MessageView<'static>> {
    let mut found = BTreeMap::new();
    for queue in queues.iter().filter(|queue| diagnosis::counted(queue, "dead") > 0) {
        let name = name_of(queue);
        let target = Target::new(&["v1", "queues", &name, "messages"])
            .with("state", "dead")
            .with("limit", "1");
        let page = session.client.get(&target).await.and_then(|answer| answer.read());
        let messages = page.map(|page: MessageList<'static>| page.messages).unwrap_or_default();
        found.extend(messages.into_iter().next().map(|message| (name, message)));
    }
    found
}

fn show(findings: &[Finding], store: Option<&str>, session: &mut Session) -> Result<Exit, Failure> {
    let problems = findings.iter().filter(|finding| finding.weight == Weight::Problem).count();
    if session.screen.is_json() {
        let findings: Vec<_> = findings
            .iter()
            .map(|f| {
                json!({
                    "weight": f.weight.as_str(), "about": f.about, "what": f.what, "remedy": f.remedy,
                    "runbook": f.runbook(),
                })
            })
            .collect();
        session
            .screen
            .json(&json!({ "problems": problems, "store": store, "findings": findings }))?;
    } else {
        if let Some(store) = store {
            session.screen.line(&format!("messages are kept in: {}", plain(store)))?;
        }
        for finding in findings {
            let Finding { weight, about, what, remedy, section: _ } = finding;
            session.screen.line(&format!("{:8} {about}: {what}", weight.as_str()))?;
            session.screen.line(&format!("         → {remedy}"))?;
            if let Some(runbook) = finding.runbook() {
                session.screen.line(&format!("           more: {runbook}"))?;
            }
        }
        session.screen.line(&match problems {
            0 => "no problems found".to_owned(),
            1 => "1 problem found".to_owned(),
            n => format!("{n} problems found"),
        })?;
    }
    Ok(if problems == 0 { Exit::Ok } else { Exit::Failure })
}
