//! The place of one call on a shared connection.
//!
//! Owns how a request is handed over, and what is certain of it when no answer comes. Refuses to know other calls.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::header::HOST;
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::{SharedLine, StreamBody};
use crate::transport::http::failure;
use crate::transport::http::handover::{INTERIM_ANSWERS_MAX, NoAnswer, Outgoing, WireError};

/// Streams are numbered through; a connection that has come so far is replaced.
const STREAM_NUMBER_MAX: u32 = 1 << 30;

const CLOSED: &str = "the connection was closed before an answer came";
const REFUSED: &str = "the other side refused the request before it began with it (REFUSED_STREAM)";
const LEFT_OUT: &str =
    "the other side closed the connection before it began with the request (GOAWAY)";

/// The place of one call on a shared connection.
pub(in crate::transport::http) struct StreamPlace {
    line: Arc<SharedLine>,
    /// The number of the stream, once the request is handed over.
    stream: Option<u32>,
    /// How often something had come when the call began.
    reads_before: u64,
}

impl StreamPlace {
    pub(super) const fn on(line: Arc<SharedLine>, reads_before: u64) -> Self {
        Self { line, stream: None, reads_before }
    }

    /// The connection that it is on.
    pub(in crate::transport::http) const fn line(&self) -> &Arc<SharedLine> {
        &self.line
    }

    /// Hands a request to `uri` over and waits for the head of its answer. Dropped before that, it withdraws the request.
    pub(in crate::transport::http) async fn ask(
        &mut self,
        request: Outgoing,
        uri: &Uri,
    ) -> Result<Response<StreamBody>, NoAnswer> {
        let (head, body) = parted(request, uri).await;
        let mut sender = self.line.sender.clone();
        let handed_over = sender.send_request(head, body.is_empty());
        drop(sender);
        let (response, mut sending) = handed_over.map_err(|error| self.not_taken(&error))?;
        let stream = response.stream_id().as_u32();
        self.stream = Some(stream);
        if stream >= STREAM_NUMBER_MAX {
            self.line.retire();
        }
        if !body.is_empty() {
            // A stream that has ended already takes no body: what came of it, its answer says.
            drop(sending.send_data(body, true));
        }
        drop(sending);
        match head_of(response).await {
            Ok(response) => Ok(response.map(StreamBody::new)),
            Err(error) => Err(self.no_answer(stream, &error)),
        }
    }

    /// What it means that the connection does not take a request.
    fn not_taken(&self, error: &h2::Error) -> NoAnswer {
        self.line.retire();
        if error.is_io() || error.is_go_away() {
            return NoAnswer::NotBegun(WireError::NotFit.to_string());
        }
        NoAnswer::Refused(format!("the request cannot be sent by HTTP/2: {error}"))
    }

    fn no_answer(&self, stream: u32, error: &NoHead) -> NoAnswer {
        let error = match error {
            NoHead::Endless => return NoAnswer::Nothing(WireError::Endless.to_string()),
            NoHead::Broken(error) => error,
        };
        if error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) {
            return NoAnswer::NotBegun(REFUSED.to_owned());
        }
        let mut watch = self.line.watching.lock();
        if watch.is_left_out(stream) {
            return NoAnswer::NotBegun(LEFT_OUT.to_owned());
        }
        let is_of_connection = error.is_io() || error.is_go_away();
        if is_of_connection && watch.seal_before(stream) {
            return NoAnswer::NotBegun(WireError::NotFit.to_string());
        }
        NoAnswer::Nothing(match (&watch.ended, error.is_io()) {
            (Some(ended), true) => ended.clone(),
            (None, true) => CLOSED.to_owned(),
            (_, false) => failure::sentence(error),
        })
    }

    /// What is known of a request without an answer when its time is over: whether the other side has surely not begun with
    /// it. A connection on which nothing has come since the call began is not used for further calls.
    pub(in crate::transport::http) fn give_up(&self) -> bool {
        let watch = self.line.watching.lock();
        if watch.reads == self.reads_before {
            self.line.retire();
        }
        self.stream.is_none_or(|stream| watch.is_left_out(stream))
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut streams = self.line.streams.lock();
        streams.count -= 1;
        streams.unused_since = Instant::now();
        drop(streams);
        self.line.freed.notify_one();
    }
}

/// Why the head of an answer did not come.
enum NoHead {
    Broken(h2::Error),
    Endless,
}

/// The head of the final answer.
async fn head_of(mut response: ResponseFuture) -> Result<Response<RecvStream>, NoHead> {
    let mut interim_answers = 0;
    poll_fn(|cx: &mut Context<'_>| {
        while let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
            interim_answers += 1;
            if interim.is_err() {
                break;
            }
            if interim_answers > INTERIM_ANSWERS_MAX {
                return Poll::Ready(Err(NoHead::Endless));
            }
        }
        Pin::new(&mut response).poll(cx).map_err(NoHead::Broken)
    })
    .await
}

/// A request in the form of HTTP/2: its head names scheme and host, and its body is whole.
async fn parted(request: Outgoing, uri: &Uri) -> (Request<()>, Bytes) {
    let (mut head, body) = request.into_parts();
    head.uri = uri.clone();
    head.version = http::Version::HTTP_2;
    head.headers.remove(HOST);
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    (Request::from_parts(head, ()), body)
}

impl fmt::Debug for StreamPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamPlace").field("stream", &self.stream).finish_non_exhaustive()
    }
}
