//! What is wrong: everything that this node can see, judged in `domain::doctor`.
//!
//! Owns the route and in which order findings are told. Refuses to judge, and to look through records and indexes,
//! which takes its time and is asked for queue by queue (see `audit`).

mod queues;
mod sight;

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use super::auth::Caller;
use super::problem::Problem;
use super::query::Query;
use super::{Door, Shared};
use crate::domain::doctor::store::{IntakeRefusal, StoreFacts, away, of_intake, of_store};
use crate::domain::doctor::{About, Finding, nodes, not_checked, of_reload, of_traces};
use crate::telemetry::Tracer;
use crate::wire::doctor::DoctorAnswer;

/// How long an answer took in which nothing was done: it costs nobody anything. Among the extensions of the answer, for whoever asks
/// inside the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdleTime(pub Duration);

/// `?about=`: only what keeps new messages out.
pub(super) const INTAKE: &str = "intake";
/// Where it is asked for.
pub(super) const PATH: &str = "/v1/doctor";

/// What is wrong with this node, its store and its queues, each with a remedy.
///
/// Looks a second time a second later where a ready message has waited for long. Does not look through the stored
/// messages: `/v1/queues/{queue}/audit` does.
#[utoipa::path(
    get, path = "/v1/doctor", operation_id = "get_doctor", tag = "node",
    params((
        "about" = Option<String>, Query,
        description = "intake: only what keeps new messages out, without a look at the queues",
    )),
    responses((status = 200, description = "What was found; none: all is well", body = DoctorAnswer)),
)]
pub(super) async fn doctor(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["about"]);
    let is_of_intake = query.read_as("about", |text| match text {
        INTAKE => Ok(()),
        other => Err(format!("found \"{other}\", expected {INTAKE}, or nothing for all of it")),
    });
    query.finish()?;
    let (facts, why_away) = sight::of_store(&door).await;
    let (findings, idle) = match (why_away, is_of_intake) {
        // Only the store knows the rest: asking on would end in one timeout after another.
        (Some(why), _) => (vec![away(&why)], IdleTime::default()),
        (None, Some(())) => (of_intake(&facts), IdleTime::default()),
        (None, None) => of_all(&door, &caller, &facts).await,
    };
    let store = Some(door.store().servers.address());
    let findings = findings.into_iter().map(Into::into).collect();
    Ok((Extension(idle), Json(DoctorAnswer { findings, store })).into_response())
}

/// The answer while there is no store yet.
pub(super) fn while_waiting(why: &str) -> Response {
    Json(DoctorAnswer { findings: vec![away(why).into()], store: None }).into_response()
}

async fn of_all(door: &Door, caller: &Caller, facts: &StoreFacts) -> (Vec<Finding>, IdleTime) {
    let mut findings = of_store(facts);
    let refused = door.state.reload.refused();
    findings.extend(refused.map(|refused| of_reload(&refused, caller.reaches_all())));
    let traces = door.store().metrics().tracer.as_ref().and_then(Tracer::trouble);
    findings.extend(traces.map(|why| of_traces(&why)));
    // A full disk ends the writing alone.
    if !facts.is_up && !matches!(facts.refusal, Some(IntakeRefusal::Full(_))) {
        return (findings, IdleTime::default());
    }
    findings.extend(sight::of_ways_in(door, caller).await);
    findings.extend(match door.store().nodes.list().await {
        Ok(found) => nodes::of_nodes(&found.into_iter().map(sight::node).collect::<Vec<_>>()),
        Err(error) => vec![not_checked(About::Nodes, &error.to_string())],
    });
    let (of_queues, idle) = queues::findings(door, caller).await;
    findings.extend(of_queues);
    (findings, idle)
}
