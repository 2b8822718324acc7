//! What surrounds the content of every page.
//!
//! Owns its navigation, who is signed in, and what a step that was just done is called. Refuses to know the content.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};

use super::assets;
use super::form::FormFields;
use super::words::encoded;
use crate::api::Holder;
use crate::config::Scope;

/// The pages of the navigation: the path of each, its name, and whether a stroke of this key leads there.
const PAGES: [(&str, &str, char); 11] = [
    ("/", "Queues", 'q'),
    ("/ui/messages", "Messages", 'm'),
    ("/ui/dead", "Dead letters", 'd'),
    ("/ui/operations", "Operations", 'o'),
    ("/ui/schedules", "Schedules", 's'),
    ("/ui/topics", "Topics", 't'),
    ("/ui/limits", "Limits", 'l'),
    ("/ui/nodes", "Nodes", 'n'),
    ("/ui/audit", "Audit", 'a'),
    ("/ui/health", "Health", 'h'),
    ("/docs", "API", 'p'),
];

/// What is said after a step, by the word in the query: no other text gets onto a page that way.
const NOTES: [(&str, &str); 16] = [
    ("paused", "The queue is paused. Messages are still accepted."),
    ("resumed", "The queue sends again."),
    ("override", "The override is in force."),
    ("override-ended", "The override has ended."),
    ("run", "The message is due now. Limits and windows hold."),
    ("cancelled", "The message is cancelled."),
    ("requeued", "The message will be sent again."),
    ("rescheduled", "The message has another due time."),
    ("edited", "The message is changed."),
    ("resolved", "The decision is recorded."),
    ("gone", "Done. Its queue keeps nothing of the message."),
    ("stopping", "The operation stops within a second or two."),
    ("schedule-paused", "The schedule is paused."),
    ("schedule-resumed", "The schedule runs again."),
    ("schedule-run", "The message of the schedule is handed over."),
    ("charged", "The units are counted."),
];

/// An entry of the navigation.
#[derive(Debug, Clone)]
pub(super) struct FrameLink {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) key: char,
    pub(super) is_here: bool,
}

/// Whose page it is, and which.
#[derive(Debug)]
pub(super) struct FrameSession<'a> {
    pub(super) holder: &'a Holder,
    pub(super) base: &'a str,
    /// The path and the query of the page.
    pub(super) place: &'a str,
    pub(super) form_token: String,
}

/// What surrounds the content of a page.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) title: String,
    /// The path and the query of the page.
    pub(super) place: String,
    /// What stands before every path.
    pub(super) base: String,
    pub(super) links: Vec<FrameLink>,
    /// The token that is signed in.
    pub(super) holder: Option<String>,
    /// What the token may do, and on which queues.
    pub(super) allowed: String,
    pub(super) may_operate: bool,
    pub(super) may_administer: bool,
    pub(super) form_token: String,
    /// Where the page is followed; `None`: it does not change by itself.
    pub(super) live: Option<String>,
    /// What was just done.
    pub(super) note: Option<&'static str>,
    /// Tells the files of this version from those of another.
    pub(super) version: &'static str,
}

impl Frame {
    /// A page with this title; `here`: its entry in the navigation.
    pub(super) fn new(session: &FrameSession<'_>, title: String, here: &'static str) -> Self {
        let links = PAGES.iter().map(|&(path, name, key)| FrameLink {
            path,
            name,
            key,
            is_here: path == here,
        });
        let query = session.place.split_once('?').map_or("", |(_, query)| query);
        let wanted = FormFields::read(query.as_bytes());
        let note = NOTES.iter().find(|(word, _)| Some(*word) == wanted.some("note"));
        Self {
            title,
            place: session.place.to_owned(),
            base: session.base.to_owned(),
            links: links.collect(),
            holder: session.holder.name().map(str::to_owned),
            allowed: allowed(session.holder),
            may_operate: session.holder.may(Scope::Operate),
            may_administer: session.holder.may(Scope::Admin),
            form_token: session.form_token.clone(),
            live: None,
            note: note.map(|(_, sentence)| *sentence),
            version: assets::version(),
        }
    }

    /// The same of a page that is followed while it is looked at.
    pub(super) fn followed(self) -> Self {
        let live = format!("{}/ui/live?page={}", self.base, encoded(&self.place));
        Self { live: Some(live), ..self }
    }

    /// The frame of a page without a session.
    pub(super) fn bare(base: &str, title: &str) -> Self {
        Self {
            title: title.to_owned(),
            place: String::new(),
            base: base.to_owned(),
            links: Vec::new(),
            holder: None,
            allowed: String::new(),
            may_operate: false,
            may_administer: false,
            form_token: String::new(),
            live: None,
            note: None,
            version: assets::version(),
        }
    }
}

/// What the token may do, in a sentence.
fn allowed(holder: &Holder) -> String {
    if holder.name().is_none() {
        return "There are no tokens: everybody on this machine may do everything.".to_owned();
    }
    let scopes = holder.scopes().join(", ");
    match holder.queues().as_slice() {
        [] => format!("Scopes: {scopes}. All queues."),
        queues => format!("Scopes: {scopes}. Queues: {}.", queues.join(", ")),
    }
}

/// A template as an answer.
pub(super) fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered; please report this");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
