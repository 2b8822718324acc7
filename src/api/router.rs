//! The routes. One line registers a handler and its description, so that they cannot part.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Code, Problem};
use super::{
    ApiState, Door, actions, audit, batch, change, clock, cors, doctor, events, explain, forecast,
    guard, health, history, keys, limits, list, messages, openapi, operations, overrides, pull,
    queues, receipts, rollbacks, schedules, send, topics, try_call, windows,
};

/// The whole door.
pub fn router(state: ApiState) -> Router {
    let door = Arc::new(Door::new(state));
    let (routes, document) = described().split_for_parts();
    let document = openapi::complete(document);
    let cors = cors::layer(&door.state.server.origins);
    let routes = routes
        .route(openapi::PATH, get(move || std::future::ready(openapi::answer(document.clone()))))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(&door), guard::guard))
        .with_state(door);
    match cors {
        // Outside of the guard: a browser asks first, without a token.
        Some(cors) => routes.layer(cors),
        None => routes,
    }
}

/// Every described route; the document describes itself in `openapi`.
pub(super) fn described() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .routes(routes!(send::send, list::messages))
        .routes(routes!(batch::send_batch))
        .routes(routes!(messages::get, change::patch, change::cancel))
        .routes(routes!(messages::attempts))
        .routes(routes!(explain::explain))
        .routes(routes!(change::run))
        .routes(routes!(change::requeue))
        .routes(routes!(change::resolve))
        .routes(routes!(queues::queues))
        .routes(routes!(queues::queue))
        .routes(routes!(keys::get, keys::put, keys::delete))
        .routes(routes!(overrides::list, overrides::put))
        .routes(routes!(overrides::end))
        .routes(routes!(queues::pause))
        .routes(routes!(queues::resume))
        .routes(routes!(queues::purge))
        .routes(routes!(queues::requeue_all))
        .routes(routes!(audit::audit, audit::repair))
        .routes(routes!(windows::windows))
        .routes(routes!(forecast::forecast))
        .routes(routes!(history::history))
        .routes(routes!(receipts::receive, receipts::receive_query))
        .routes(routes!(try_call::try_call))
        .routes(routes!(topics::publish))
        .routes(routes!(topics::topics))
        .routes(routes!(topics::topic))
        .routes(routes!(schedules::schedules))
        .routes(routes!(schedules::schedule, schedules::put, schedules::delete))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(schedules::run))
        .routes(routes!(pull::claim))
        .routes(routes!(pull::settle))
        .routes(routes!(limits::limits))
        .routes(routes!(limits::limit))
        .routes(routes!(limits::charge))
        .routes(routes!(operations::start, operations::list))
        .routes(routes!(operations::get))
        .routes(routes!(operations::stop))
        .routes(routes!(actions::list))
        .routes(routes!(health::nodes))
        .routes(routes!(doctor::doctor))
        .routes(routes!(events::events))
        .routes(routes!(clock::clock))
        .routes(routes!(clock::resume))
        .routes(routes!(rollbacks::rollbacks))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

async fn no_route(uri: Uri) -> Problem {
    let shown: String = uri.path().chars().take(100).collect();
    Problem::not_found(format!("there is nothing at {shown}; see {}", openapi::PATH))
}

/// The router adds `Allow`.
async fn no_method(method: Method) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format!("{method} is not possible here; see the header Allow"),
    )
}
