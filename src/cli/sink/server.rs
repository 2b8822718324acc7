//! The sink's HTTP server.
//!
//! Owns connections and the bounds on them: how many, and how large a body may be. Refuses to know what is
//! answered and how a call is shown.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answers::{Answer, Answers};
use super::call::Call;

/// The largest body that is read; a larger one is answered 413.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Connections at once; further ones wait in the system's backlog.
const CONNECTIONS_MAX: usize = 1024;
/// How long a request's head may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// Pause after a failed accept, such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A call with its answer, on its way to the screen.
pub(super) type Seen = (Call, Answer);

/// What all connections share.
pub(super) struct Sink {
    answers: Mutex<Answers>,
    latency: Duration,
    started: Instant,
    seen: mpsc::Sender<Seen>,
}

impl Sink {
    pub(super) fn new(answers: Answers, latency: Duration, seen: mpsc::Sender<Seen>) -> Self {
        Self { answers: Mutex::new(answers), latency, started: Instant::now(), seen }
    }

    /// Serves until it is dropped; the connections end with it.
    pub(super) async fn serve(self, listener: TcpListener) {
        let sink = Arc::new(self);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Some(_ended) = connections.join_next() => {}
                accepted = accept(&listener, &places) => {
                    let Some((stream, place)) = accepted else { return };
                    let sink = Arc::clone(&sink);
                    connections.spawn(async move {
                        sink.connection(stream).await;
                        drop(place);
                    });
                }
            }
        }
    }

    async fn connection(&self, stream: TcpStream) {
        // Works without, only slower.
        let _slower = stream.set_nodelay(true);
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .serve_connection(TokioIo::new(stream), service_fn(|request| self.take(request)));
        // A caller that breaks off concerns itself alone.
        let _broken_off = serving.await;
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let (call, answer) = match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => {
                let bytes = body.to_bytes().to_vec();
                (Call::new(head.method, &head.uri, &head.headers, bytes), self.next_answer())
            }
            Err(_) => {
                let call = Call::new(head.method, &head.uri, &head.headers, Vec::new());
                (call, Answer::of_status(413))
            }
        };
        tokio::time::sleep(self.latency).await;
        let response = response(&call, answer);
        // The screen is gone only when the sink ends.
        let _ending = self.seen.send((call, answer)).await;
        Ok(response)
    }

    fn next_answer(&self) -> Answer {
        let mut answers = self.answers.lock();
        let now_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        answers.next(now_us, rand::random())
    }
}

/// The next connection, with a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, place)),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

fn response(call: &Call, answer: Answer) -> Response<Full<Bytes>> {
    let body = call.answer_body(answer);
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if answer.is_pending {
        headers.insert("tidegate-receipt", HeaderValue::from_static("pending"));
    }
    if let Some(body) = body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *response.body_mut() = Full::new(Bytes::from(body.to_string()));
    }
    response
}
