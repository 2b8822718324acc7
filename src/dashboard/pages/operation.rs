//! One operation: what it does, and how far it has come.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use crate::dashboard::charts::meter;
use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::{counted, encoded, grouped, shell_word};
use crate::dashboard::zones::Zones;
use crate::domain::operation::Stage;
use crate::wire::operation::{FilterView, OperationView};

/// An operation as it is shown.
#[derive(Debug)]
pub(super) struct OperationShown {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) state: String,
    pub(super) action: String,
    pub(super) queue: String,
    pub(super) queue_path: String,
    pub(super) message_state: String,
    pub(super) to: Option<String>,
    pub(super) filters: Vec<FilterField>,
    pub(super) rate: String,
    pub(super) is_preview: bool,
    pub(super) is_running: bool,
    pub(super) is_stopping: bool,
    pub(super) reason: String,
    pub(super) by: String,
    pub(super) started: String,
    pub(super) ended: Option<String>,
    pub(super) meter: String,
    pub(super) seen: String,
    pub(super) matched: String,
    /// The same with their name.
    pub(super) matched_messages: String,
    pub(super) done: String,
    pub(super) skipped: String,
    pub(super) remaining: String,
    pub(super) trouble: Option<String>,
}

/// A filter of an operation: the name of its field, and its value.
#[derive(Debug)]
pub(super) struct FilterField {
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// A message that an operation would change.
#[derive(Debug)]
struct SampleRow {
    id: String,
    path: String,
}

#[derive(Template)]
#[template(path = "operation.html")]
struct OperationPage {
    frame: Frame,
    it: OperationShown,
    sample: Vec<SampleRow>,
    command: String,
    /// What starts the same, not only previews it.
    twin: String,
}

pub(in crate::dashboard) async fn page(
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, ShownProblem> {
    let view: OperationView = visit.read(&format!("/v1/operations/{}", encoded(&id))).await?;
    let sample = view.sample.iter().map(|id| SampleRow { id: id.clone(), path: encoded(id) });
    let sample = sample.collect();
    let frame = visit.frame(format!("Operation {id}"), "/ui/operations");
    let it = shown(&view, &visit.zones);
    Ok(html(&OperationPage {
        frame: if it.is_running { frame.followed() } else { frame },
        command: format!("tidegate operation show {}", encoded(&id)),
        twin: start_command(&view, &it),
        sample,
        it,
    }))
}

pub(super) fn shown(view: &OperationView, zones: &Zones) -> OperationShown {
    let is_running = view.state.is(Stage::Running);
    let (so_far, of) = if view.dry_run {
        (view.seen, view.seen + view.remaining)
    } else {
        (view.done + view.skipped, view.done + view.skipped + view.remaining)
    };
    let said = format!("{} of about {}", grouped(so_far), grouped(of));
    OperationShown {
        id: view.id.clone(),
        path: encoded(&view.id),
        state: view.state.as_str().to_owned(),
        action: view.action.as_str().to_owned(),
        queue: view.queue.clone(),
        queue_path: encoded(&view.queue),
        message_state: view.message_state.as_str().to_owned(),
        to: view.to.clone(),
        filters: view.filter.as_ref().map(filters).unwrap_or_default(),
        rate: view.rate.clone().unwrap_or_default(),
        is_preview: view.dry_run,
        is_running,
        is_stopping: view.stopping,
        reason: view.reason.clone(),
        by: view.by.clone(),
        started: zones.whole(view.started_at),
        ended: view.ended_at.map(|at| zones.whole(at)),
        meter: meter(so_far, of.max(1), &said),
        seen: grouped(view.seen),
        matched: grouped(view.matched),
        matched_messages: counted(view.matched, "message"),
        done: grouped(view.done),
        skipped: grouped(view.skipped),
        remaining: grouped(view.remaining),
        trouble: view.trouble.clone(),
    }
}

/// The command that starts this operation, without a preview.
fn start_command(view: &OperationView, it: &OperationShown) -> String {
    let due = view.due_at.map(|at| crate::domain::time::rfc3339(at.0));
    let options = [("to", view.to.clone()), ("due", due), ("rate", view.rate.clone())];
    let options = options.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let filters = it.filters.iter().map(|filter| (filter.name, filter.value.clone()));
    let mut words = vec![
        format!("tidegate operation start {} {}", it.action, shell_word(&it.queue)),
        format!("--state {}", it.message_state),
    ];
    words.extend(
        filters
            .chain(options)
            .map(|(name, value)| format!("--{} {}", name.replace('_', "-"), shell_word(&value))),
    );
    words.extend(it.filters.is_empty().then(|| "--all".to_owned()));
    words.join(" ")
}

fn filters(filter: &FilterView) -> Vec<FilterField> {
    let labels = filter.label.iter().flatten();
    let labels = labels.map(|(name, value)| ("label", Some(format!("{name}={value}"))));
    let moment = |at: Option<crate::wire::Moment>| at.map(|at| crate::domain::time::rfc3339(at.0));
    let others = [
        ("group", filter.group.clone()),
        ("error_contains", filter.error_contains.clone()),
        ("created_after", moment(filter.created_after)),
        ("created_before", moment(filter.created_before)),
        ("due_after", moment(filter.due_after)),
        ("due_before", moment(filter.due_before)),
        ("final_after", moment(filter.final_after)),
        ("final_before", moment(filter.final_before)),
    ];
    let all = labels.chain(others);
    all.filter_map(|(name, value)| Some(FilterField { name, value: value? })).collect()
}
