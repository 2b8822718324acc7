//! `GET /v1/events`: changes of state as Server-Sent Events.
//!
//! Owns the form of the events and how a stream ends. One line of work a listener: what is told comes from
//! the ring of the node (`store`), and a peer that does not read finds, when it does, that it was dropped.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::time::Instant;

use super::auth::Caller;
use super::paths::queue_for;
use super::peer::Peer;
use super::problem::{Code, Problem};
use super::query::Query;
use super::{Door, Shared};
use crate::domain::change::{Change, Position, What};
use crate::domain::id::QueueName;
use crate::domain::state::State as MessageState;
use crate::store::{Heard, Subscription};
use crate::wire::Moment;
use crate::wire::change::{
    ChangeView, EventName, MessageChangeView, QueueChangeView, StreamNoteView, StreamReadyView,
};

const LAST_EVENT_ID: &str = "last-event-id";
/// How often a stream on which nothing happens shows that it is there, and how far it is.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Most queues of one filter.
pub(super) const QUEUES_MAX: usize = 100;
/// When to try again, told to a listener for which there is no place.
const RETRY_S: u32 = 5;

/// Told to a listener whose token ended meanwhile.
const TOKEN_ENDED: &str = "the token of this stream is not valid any more";

/// Changes of state, as they happen, until the caller hangs up.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "events", tag = "node",
    params(
        ("queue" = Option<String>, Query, description = "Only these queues, by comma"),
        ("state" = Option<String>, Query, description = "Only messages that enter these states, by comma; changes of queues are left out"),
        ("after" = Option<String>, Query, description = "Goes on after this event, as the header Last-Event-ID"),
        ("Last-Event-ID" = Option<String>, Header, description = "Goes on after this event"),
    ),
    responses(
        (status = 200, description = "Server-Sent Events: ready first, then message and queue, and gap, dropped, end",
            body = ChangeView, content_type = "text/event-stream"),
        (status = 404, description = "There is no such queue"),
        (status = 429, description = "Too many listen at this node"),
    ),
)]
pub(super) async fn events(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    peer: Peer,
) -> Result<Response, Problem> {
    let wish = Wish::read(&door, &caller, query.as_deref(), &headers)?;
    door.open_for_intake()?;
    let subscription = door.store().events.subscribe(wish.queues, wish.after).await?;
    let subscription = subscription.ok_or_else(|| {
        Problem::new(
            Code::TooManyListeners,
            "as many as a node serves listen to events already; try again, or ask another node",
        )
        .retry_after(RETRY_S)
    })?;
    // Some clients wait for the first event before they take the stream for open, and some read no comments.
    let ready = event(EventName::Ready, subscription.heard(), &StreamReadyView {});
    let (states, beats_at) = (wish.states, Instant::now() + HEARTBEAT);
    let telling = Telling { door, caller, subscription, states, beats_at, peer };
    let changes = stream::unfold(Some(telling), async |telling| {
        let mut telling = telling?;
        let (piece, is_last) = telling.next().await;
        Some((piece, (!is_last).then_some(telling)))
    });
    let pieces = stream::iter([ready]).chain(changes);
    let pieces = pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies that gather answers would hold them back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// What a caller wants to hear.
struct Wish {
    queues: BTreeSet<QueueName>,
    states: Vec<MessageState>,
    after: Option<Position>,
}

impl Wish {
    fn read(
        door: &Door,
        caller: &Caller,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        let mut query = Query::read(query, &["queue", "state", "after"]);
        let queues = query.read_as("queue", |text| {
            let names: Result<BTreeSet<QueueName>, _> = text.split(',').map(str::parse).collect();
            let names = names.map_err(|error| error.to_string())?;
            let is_few = names.len() <= QUEUES_MAX;
            is_few.then_some(names).ok_or_else(|| {
                format!("names more than {QUEUES_MAX} queues; leave it out to hear all")
            })
        });
        let states = query.read_as("state", |text| {
            let states: Result<Vec<MessageState>, _> = text.split(',').map(str::parse).collect();
            states.map_err(|error| error.to_string())
        });
        let after = query.read_as("after", read_position);
        query.finish()?;
        let told = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty());
        let told = told.map(|value| read_position(value.to_str().unwrap_or_default()));
        let told = told.transpose().map_err(|why| Problem::fault(LAST_EVENT_ID, why))?;
        let queues = queues.unwrap_or_default();
        for queue in &queues {
            queue_for(door, caller, queue)?;
        }
        // A browser that comes back keeps its url and names what it heard last.
        Ok(Self { queues, states: states.unwrap_or_default(), after: told.or(after) })
    }
}

fn read_position(text: &str) -> Result<Position, String> {
    text.parse().map_err(|error: crate::domain::change::BadPosition| error.to_string())
}

/// A stream under way.
struct Telling {
    door: Arc<Door>,
    caller: Caller,
    subscription: Subscription,
    /// Empty: all of them, and changes of queues.
    states: Vec<MessageState>,
    beats_at: Instant,
    peer: Peer,
}

impl Telling {
    /// The next piece of the stream, and whether it is the last.
    async fn next(&mut self) -> (String, bool) {
        loop {
            let draining = self.door.state.draining.clone();
            let heard = tokio::select! {
                biased;
                () = draining.cancelled() => {
                    return (note(EventName::End, "this node is stopping; go on at another, or here in a moment"), true);
                }
                () = self.peer.closed() => {
                    return (note(EventName::End, "you closed your side of the connection"), true);
                }
                heard = self.subscription.next() => heard,
                () = tokio::time::sleep_until(self.beats_at) => {
                    if !self.caller.is_still_valid(&self.door) {
                        return (note(EventName::End, TOKEN_ENDED), true);
                    }
                    self.beats_at = Instant::now() + HEARTBEAT;
                    return (self.beat(), false);
                }
            };
            if !self.caller.is_still_valid(&self.door) {
                return (note(EventName::End, TOKEN_ENDED), true);
            }
            let piece = match heard {
                Heard::Changes(changes) => self.told(&changes),
                Heard::Gap => note(
                    EventName::Gap,
                    "changes since the last event may be missing: they are not kept any more, or nobody listened for a while; read the queues anew",
                ),
                Heard::Lost => {
                    return (
                        note(
                            EventName::Dropped,
                            "you read more slowly than changes come; go on after the last event, or narrow the filter",
                        ),
                        true,
                    );
                }
                Heard::Failed(error) => {
                    return (note(EventName::End, &Problem::from(error).detail_text()), true);
                }
            };
            if !piece.is_empty() {
                self.beats_at = Instant::now() + HEARTBEAT;
                return (piece, false);
            }
        }
    }

    fn told(&self, changes: &[Change]) -> String {
        let mut text = String::new();
        for change in changes.iter().filter(|change| self.caller.reaches(&change.queue)) {
            let at = Moment(change.at.ms);
            let queue = change.queue.as_str();
            match &change.what {
                What::Message(id, state)
                    if self.states.is_empty() || self.states.contains(state) =>
                {
                    let data = MessageChangeView {
                        at,
                        id: id.to_string(),
                        queue: queue.to_owned(),
                        state: (*state).into(),
                    };
                    text.push_str(&event(EventName::Message, Some(&change.at), &data));
                }
                What::Queue(word) if self.states.is_empty() => {
                    let data =
                        QueueChangeView { at, change: (*word).into(), queue: queue.to_owned() };
                    text.push_str(&event(EventName::Queue, Some(&change.at), &data));
                }
                What::Message(..) | What::Queue(_) => {}
            }
        }
        text
    }

    /// A comment; and an id without data, which a listener remembers and does not show.
    fn beat(&self) -> String {
        let heard = self.subscription.heard();
        heard
            .map_or_else(|| ": listening\n\n".to_owned(), |at| format!(": listening\nid: {at}\n\n"))
    }
}

fn note(name: EventName, detail: &str) -> String {
    event(name, None, &StreamNoteView { detail: detail.to_owned() })
}

fn event(name: EventName, id: Option<&Position>, data: &impl Serialize) -> String {
    // Texts and numbers always serialise.
    let data = serde_json::to_string(data).unwrap_or_default();
    let mut text = format!("event: {}\n", name.as_str());
    if let Some(id) = id {
        // Writing to a String cannot fail.
        let _written = writeln!(text, "id: {id}");
    }
    let _written = write!(text, "data: {data}\n\n");
    text
}
