//! Whether this node lives and is ready, who else is there, and the metrics.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::auth::Caller;
use super::problem::Problem;
use super::reached::{reached_metrics, reached_queues};
use super::{Door, Shared};
use crate::store::{NodeInfo, StoreError};
use crate::wire::Moment;
use crate::wire::node::{AliveAnswer, NodeList, NodeView, ReadyAnswer};

/// How long a probe's result answers for the next ones: many probes cost one write a second.
const PROBE_KEPT: Duration = Duration::from_secs(1);
/// What `/metrics` is written in, unless the other is asked for.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The last probe write and what it came to.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    // Held across the probe on purpose: who comes meanwhile waits for its result.
    last: Mutex<Option<(Instant, Result<(), StoreError>)>>,
}

impl Readiness {
    pub(super) async fn probe(&self, door: &Door) -> Result<(), StoreError> {
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < PROBE_KEPT
        {
            return result.clone();
        }
        let result = door.store().servers.probe_write().await;
        *last = Some((Instant::now(), result.clone()));
        result
    }
}

/// Whether the process lives; asks nobody.
#[utoipa::path(
    get, path = "/livez", tag = "node",
    responses((status = 200, description = "It lives", body = AliveAnswer)),
)]
pub(super) async fn livez() -> Response {
    Json(AliveAnswer { status: "live".to_owned() }).into_response()
}

/// Whether messages can be taken in: does a real write at the configured durability level.
#[utoipa::path(
    get, path = "/readyz", tag = "node",
    responses(
        (status = 200, description = "Ready", body = ReadyAnswer),
        (status = 503, description = "Not ready, with the reason"),
    ),
)]
pub(super) async fn readyz(State(door): Shared) -> Result<Response, Problem> {
    door.open_for_intake()?;
    door.readiness.probe(&door).await.map_err(|error| match error {
        StoreError::Full(_) => Problem::store_full(error.to_string()),
        other => Problem::store_unavailable(other.to_string()),
    })?;
    let answer = ReadyAnswer {
        status: "ready".to_owned(),
        durability: door.store().servers.health().achieved().map(Into::into),
        node: door.store().nodes.own_id().as_str().to_owned(),
    };
    Ok(Json(answer).into_response())
}

/// Every number this node counts, for Prometheus: its text format, or `OpenMetrics` for who accepts
/// that.
#[utoipa::path(
    get, path = "/metrics", tag = "node",
    responses((status = 200, description = "The metrics", content(
        (String = "text/plain"),
        (String = "application/openmetrics-text"),
    ))),
)]
pub(super) async fn metrics(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    if door.store().servers.health().is_up()
        && let Err(error) = door.store().gauges.refresh().await
    {
        // Scraped all the same: `tidegate_store_up` says why the gauges stand still.
        tracing::debug!(%error, "the gauges could not be refreshed");
    }
    let metrics = door.store().metrics();
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (kind, text) =
        if accepted.into_iter().any(|kinds| kinds.contains("application/openmetrics-text")) {
            (OPEN_METRICS, metrics.render_open_metrics())
        } else {
            (PROMETHEUS_TEXT, metrics.render())
        };
    let text = if caller.reaches_all() { text } else { reached_metrics(&door, &caller, &text) };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// The nodes that live, the oldest first.
#[utoipa::path(
    get, path = "/v1/nodes", operation_id = "list_nodes", tag = "node",
    responses((status = 200, description = "The nodes", body = NodeList)),
)]
pub(super) async fn nodes(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    let nodes = door.store().nodes.list().await?;
    let agree = nodes.windows(2).all(|pair| pair[0].config_hash == pair[1].config_hash);
    let answer = NodeList {
        nodes: nodes.into_iter().map(|node| node_view(node, &caller)).collect(),
        config_agrees: agree,
        answered_by: door.store().nodes.own_id().as_str().to_owned(),
    };
    Ok(Json(answer).into_response())
}

fn node_view(node: NodeInfo, caller: &Caller) -> NodeView {
    NodeView {
        follows: reached_queues(caller, node.follows),
        id: node.id,
        host: node.host,
        pid: node.pid,
        version: node.version,
        listen: node.listen,
        config_hash: node.config_hash,
        queues: node.queues,
        slots: node.slots,
        in_flight: node.in_flight,
        record_version: node.record_version,
        started_at: Moment(node.started_at_ms),
        seen_at: Moment(node.seen_at_ms),
    }
}
