//! Connections: accepting them, bounding them, ending them.
//!
//! Owns the limits that hold before there is a request: how many connections, how long a head may
//! take, how large it may be; and the graceful stop. Refuses to know routes.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::peer::Watched;
use super::waiting::Entrance;
use crate::shutdown::Tasks;
use crate::transport::Paced;

/// Connections at once; further ones wait in the system's backlog. Ten thousand that wait for a result
/// leave the door open to as many others.
const CONNECTIONS_MAX: u32 = 20_000;
/// How long the head of a request may take, and how long a connection may stay idle before it.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// Largest head that a connection takes; larger ones get a bare 431. Our own limit lies below it.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most headers that a connection takes; more get a bare 431. Our own limit lies below it.
const HEADERS_MAX: usize = 1024;
/// Pause after a failed accept (such as "too many open files"), so that it is no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the stop token of `tasks` fires, then lets requests under way end within `drain`.
///
/// What is still open after that is cut off. Open waits end with `ApiState::draining`: fire it first.
/// Connections run as `tasks`: whoever joins these waits for the last answer.
pub async fn serve(listener: TcpListener, entrance: Entrance, tasks: &Tasks, drain: Duration) {
    let stop = tasks.stop_token();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (entrance, stop, cut) = (entrance.clone(), stop.clone(), cut.clone());
        tasks.spawn("connection", async move {
            tokio::select! {
                () = connection(stream, entrance, &stop) => {}
                () = cut.cancelled() => {}
            }
            drop(place);
        });
    }
    drop(listener);
    // All places are free again: every connection has ended.
    if tokio::time::timeout(drain, places.acquire_many(CONNECTIONS_MAX)).await.is_err() {
        tracing::warn!("connections still open at the end of the drain are cut off");
        cut.cancel();
    }
}

/// The next connection, with a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            None
        }
    }
}

/// One connection's life. Errors end it and concern its caller alone.
async fn connection(stream: TcpStream, entrance: Entrance, stop: &CancellationToken) {
    // Without it small answers may wait for an acknowledgement; works without.
    let _slower = stream.set_nodelay(true);
    let stream = Watched::new(stream);
    let entrance = entrance.of(stream.peer());
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // A client that closes its sending side after its request still gets its answer (see `peer`).
        .half_close(true)
        .serve_connection(TokioIo::new(Paced::new(stream)), entrance);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
