//! `doctor`: asks the daemon how it is, and says what keeps messages from flowing.
//!
//! Owns the questions and how findings are shown. Refuses to judge (`diagnosis`) and to look into the
//! store (`checkup`).

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::Session;
use super::args_admin::DoctorArgs;
use super::checkup;
use super::client::Target;
use super::diagnosis;
use super::diagnosis_metrics;
use super::exit::{Exit, Failure};
use super::finding::{Finding, Weight};
use super::queues::{age, list, name_of};

/// The time between two looks at a queue whose oldest message is old: does its age grow?
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// `doctor`.
pub(crate) async fn doctor(args: &DoctorArgs, session: &mut Session) -> Result<Exit, Failure> {
    let ready = Target::new(&["readyz"]);
    let answer = session.client.exchange(http::Method::GET, &ready, None, Duration::ZERO).await?;
    let why = Failure::from_answer(answer.status, &answer.body);
    // They cost no question to a store that is away.
    let metrics = Target::new(&["metrics"]);
    let metrics =
        session.client.exchange(http::Method::GET, &metrics, None, Duration::ZERO).await?;
    // A daemon that has never reached Redis has none, and answers 503 with a problem that holds no samples.
    // Any other refusal must not be taken for metrics without a finding.
    if !metrics.status.is_success() && metrics.status != StatusCode::SERVICE_UNAVAILABLE {
        return Err(Failure::from_answer(metrics.status, &metrics.body));
    }
    let metrics = String::from_utf8_lossy(&metrics.body);
    let code = why.problem.as_ref().and_then(|problem| problem["code"].as_str());
    // Only the store knows the rest: asking on would end in one timeout after another.
    if code == Some("store-unavailable") && !diagnosis_metrics::is_store_up(&metrics) {
        show(&[store_away(&why)], session)?;
        return Ok(Exit::Unreachable);
    }
    let mut findings = diagnosis_metrics::of_metrics(&metrics);
    if !answer.status.is_success() {
        diagnosis_metrics::add_not_ready(&mut findings, code.unwrap_or_default(), &why.what);
    }
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
    findings.extend(diagnosis::of_queues(&before, &after, (session.now_ms)()));
    for queue in after.iter().filter(|_| !args.quick) {
        findings.extend(checkup::of_queue(&name_of(queue), args.repair, session).await?);
    }
    show(&findings, session)
}

fn store_away(why: &Failure) -> Finding {
    Finding::problem(
        "store",
        format!("the daemon is not ready: {}", why.what),
        "start Redis, or correct [redis] in the configuration; accepted messages are kept, and the daemon goes on by itself",
    )
}

async fn queues(session: &Session) -> Result<Vec<Value>, Failure> {
    let document: Value = session.client.get(&Target::new(&["v1", "queues"])).await?.read()?;
    Ok(list(&document, "queues").to_vec())
}

fn show(findings: &[Finding], session: &mut Session) -> Result<Exit, Failure> {
    let problems = findings.iter().filter(|finding| finding.weight == Weight::Problem).count();
    if session.screen.is_json() {
        let findings: Vec<_> = findings
            .iter()
            .map(|f| {
                json!({ "weight": f.weight.as_str(), "about": f.about, "what": f.what, "remedy": f.remedy })
            })
            .collect();
        session.screen.json(&json!({ "problems": problems, "findings": findings }))?;
    } else {
        for finding in findings {
            let Finding { weight, about, what, remedy } = finding;
            session.screen.line(&format!("{:8} {about}: {what}", weight.as_str()))?;
            session.screen.line(&format!("         → {remedy}"))?;
        }
        session.screen.line(&match problems {
            0 => "no problems found".to_owned(),
            1 => "1 problem found".to_owned(),
            n => format!("{n} problems found"),
        })?;
    }
    Ok(if problems == 0 { Exit::Ok } else { Exit::Failure })
}
