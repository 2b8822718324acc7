//! One connection that speaks HTTP/1.1, driven by whoever makes a call on it.
//!
//! Owns the pair that the client library makes of a connection: the end that takes a request, and the
//! work of writing and reading. Both run in the task of the call: a task of its own for the connection
//! would be woken for each request and would wake the call for each answer. Refuses to know when
//! connections are made and kept (see `pool`).

mod head;
mod keeping;
mod wire;

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use self::keeping::idle_time;
use self::wire::{Watched, Watching};
use super::failure;
use super::handover::{HEAD_BYTES_MAX, NoAnswer, Outgoing, Stream, WireError};

/// Most bytes of the head of an answer, and of anything read ahead.
const READ_BUFFER_BYTES_MAX: usize = HEAD_BYTES_MAX;
/// Most headers of an answer that are read; of one with more the status counts. The library sets memory aside
/// for as many with each answer, so that a thousand cost microseconds.
const HEADERS_MAX: usize = 256;

/// The work of a connection, and why it has ended.
type Working<'a> = (&'a mut Option<Work>, &'a mut Option<hyper::Error>);
type Work = Connection<TokioIo<Watched>, Full<Bytes>>;

/// An open connection; dropped, it is closed.
pub(super) struct DrivenLine {
    sender: SendRequest<Full<Bytes>>,
    /// Writes and reads while it is polled; `None` once it has ended.
    work: Option<Work>,
    watching: Watching,
    /// Why it has ended, if the client library says so.
    ended: Option<hyper::Error>,
    /// Whether anything has been answered on it.
    is_accepted: bool,
    /// For how long it may be kept unused after the last answer; `None`: it must not be used again.
    idle_time: Option<Duration>,
}

impl DrivenLine {
    /// Speaks HTTP over a stream.
    pub(super) async fn over(stream: Stream) -> hyper::Result<Box<Self>> {
        let watching = Watching::default();
        let watched = TokioIo::new(Watched::new(stream, watching.clone()));
        // Heads are read as leniently as other clients read them: whoever sees one of these lines
        // rejected sends again what was booked.
        let handshake = Builder::new()
            .max_buf_size(READ_BUFFER_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .handshake(watched);
        let (sender, work) = handshake.await?;
        Ok(Box::new(Self {
            sender,
            work: Some(work),
            watching,
            ended: None,
            is_accepted: false,
            idle_time: None,
        }))
    }

    /// Hands a request over and waits for the head of its answer. At most `bytes_max` are read for the
    /// answer, whatever it consists of.
    pub(super) async fn ask(
        &mut self,
        request: Outgoing,
        bytes_max: usize,
    ) -> Result<Response<Incoming>, NoAnswer> {
        self.watching.lock().begin(READ_BUFFER_BYTES_MAX + bytes_max);
        self.idle_time = None;
        let method = request.method().clone();
        let answer = self.sender.try_send_request(request);
        match Self::during((&mut self.work, &mut self.ended), answer).await {
            Ok(response) => {
                self.is_accepted = true;
                let (status, headers) = (response.status(), response.headers());
                self.idle_time = idle_time(&method, status, headers, &self.watching.lock().heads);
                Ok(response)
            }
            Err(error) => Err(self.no_answer(&error.into_error())),
        }
    }

    fn no_answer(&self, error: &hyper::Error) -> NoAnswer {
        let watch = self.watching.lock();
        let salvaged = watch.heads.salvage();
        if salvaged.is_none() && !self.is_accepted {
            let mut causes = [Some(error), self.ended.as_ref()].into_iter().flatten();
            if let Some(refusal) = causes.find_map(|error| failure::refusal_by_tls(error)) {
                return NoAnswer::Refused(refusal);
            }
        }
        match salvaged {
            _ if !watch.has_begun() => NoAnswer::NotBegun(WireError::NotFit.to_string()),
            Some((status, headers)) => {
                let reason = if error.is_parse_too_large() {
                    "its headers are too large"
                } else if error.is_parse() {
                    "its head is not valid HTTP"
                } else {
                    "the connection was closed within its head"
                };
                NoAnswer::HeadAlone { status, headers, reason }
            }
            None => NoAnswer::Nothing(failure::sentence(error)),
        }
    }

    /// At the deadline: the status of a head that has not come to its end.
    pub(super) fn unfinished_head(&self) -> Option<(u16, HeaderMap)> {
        self.watching.lock().heads.salvage()
    }

    /// Whether a byte of the request may have left.
    pub(super) fn has_begun(&self) -> bool {
        self.watching.lock().has_begun()
    }

    /// For how long it may be kept unused; `None`: it must not be used again.
    pub(super) const fn idle_time(&self) -> Option<Duration> {
        self.idle_time
    }

    /// Waits for something that comes over this connection.
    pub(super) async fn bring<F: Future>(&mut self, wait: F) -> F::Output {
        Self::during((&mut self.work, &mut self.ended), wait).await
    }

    /// Whether it takes another request, as far as can be told now: the answer before has been read to its
    /// end, and the other side has not closed.
    pub(super) async fn is_fit(&mut self) -> bool {
        let look = |cx: &mut Context<'_>| {
            proceed((&mut self.work, &mut self.ended), cx);
            Poll::Ready(())
        };
        poll_fn(look).await;
        self.work.is_some() && self.sender.is_ready()
    }

    async fn during<F: Future>(work: Working<'_>, wait: F) -> F::Output {
        let mut wait = pin!(wait);
        poll_fn(|cx| {
            if let Poll::Ready(output) = wait.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            proceed((&mut *work.0, &mut *work.1), cx);
            // What the work has brought is there now: nobody need wake us for it.
            wait.as_mut().poll(cx)
        })
        .await
    }
}

/// Writes and reads as far as possible. Why a connection ended is told to whoever waits for an answer.
fn proceed((work, ended): Working<'_>, cx: &mut Context<'_>) {
    if let Some(Poll::Ready(end)) = work.as_mut().map(|work| Pin::new(work).poll(cx)) {
        *work = None;
        *ended = end.err();
    }
}

impl fmt::Debug for DrivenLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrivenLine")
            .field("has_ended", &self.work.is_none())
            .finish_non_exhaustive()
    }
}
