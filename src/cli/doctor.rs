//! `doctor`: asks the daemon what is wrong, and shows it.
//!
//! Owns the questions and how findings are shown. Refuses to judge: the daemon does. What a daemon cannot say of itself
//! (that it is not there, or has no such answer) is said here.

use serde_json::json;

use super::Session;
use super::args_admin::DoctorArgs;
use super::checkup;
use super::client::{Client, Target};
use super::exit::{Exit, Failure};
use super::plain::plain;
use super::times::Times;
use crate::domain::doctor::{About, FindingCode, Weight, not_checked};
use crate::domain::time::rfc3339;
use crate::wire::doctor::{DoctorAnswer, FindingView};
use crate::wire::queue::QueueList;

/// `doctor`.
pub(crate) async fn doctor(args: &DoctorArgs, session: &mut Session) -> Result<Exit, Failure> {
    let answer = ask(&session.client, None).await?;
    let (mut findings, store) = (answer.findings, answer.store);
    // Only the store knows the rest: asking on would end in one timeout after another.
    let is_away = findings.first().is_some_and(|first| first.code.is(FindingCode::StoreAway));
    if is_away {
        show(&findings, store.as_deref(), session)?;
        return Ok(Exit::Unreachable);
    }
    if !args.quick {
        match queues(session).await {
            Ok(names) => {
                for name in names {
                    findings.extend(checkup::of_queue(&name, args.repair, session).await?);
                }
            }
            Err(why) => findings.push(not_checked(About::Store, &why.what).into()),
        }
    }
    show(&findings, store.as_deref(), session)
}

/// What is wrong, in the daemon's own words.
async fn ask(client: &Client, about: Option<&'static str>) -> Result<DoctorAnswer, Failure> {
    let target = Target::new(&["v1", "doctor"]);
    let target = match about {
        Some(about) => target.with("about", about),
        None => target,
    };
    let answer = client.get(&target).await.map_err(|failure| {
        let is_of_daemon = failure.problem.is_some();
        if is_of_daemon && failure.exit == Exit::NotFound {
            return Failure::new(
                Exit::Failure,
                "this daemon is older than this command, and cannot say what is wrong (it has no GET /v1/doctor)",
            )
            .next("upgrade the daemon, or use the tidegate of its version");
        }
        failure
    })?;
    answer.read()
}

/// What keeps new messages out.
pub(crate) async fn refusals(client: &Client) -> Result<Vec<FindingView>, Failure> {
    Ok(ask(client, Some("intake")).await?.findings)
}

async fn queues(session: &Session) -> Result<Vec<String>, Failure> {
    let found: QueueList = session.client.get(&Target::new(&["v1", "queues"])).await?.read()?;
    Ok(found.queues.into_iter().map(|queue| queue.name).collect())
}

fn show(
    findings: &[FindingView],
    store: Option<&str>,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let times = session.times();
    let problems = findings.iter().filter(|finding| finding.weight.is(Weight::Problem)).count();
    if session.screen.is_json() {
        let findings: Vec<_> = findings
            .iter()
            .map(|f| {
                json!({
                    "weight": f.weight, "about": plain(&f.about), "what": what(f, &times),
                    "remedy": plain(&f.remedy), "runbook": f.runbook,
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
            let (weight, about) = (finding.weight.as_str(), plain(&finding.about));
            session.screen.line(&format!("{weight:8} {about}: {}", what(finding, &times)))?;
            session.screen.line(&format!("         → {}", plain(&finding.remedy)))?;
            if let Some(runbook) = &finding.runbook {
                session.screen.line(&format!("           more: {}", plain(runbook)))?;
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

/// What was found, its moment as all others.
pub(super) fn what(finding: &FindingView, times: &Times) -> String {
    let detail = plain(&finding.detail);
    match finding.at {
        Some(at) => detail.replace(&rfc3339(at.0), &times.at(at.0)),
        None => detail,
    }
}
