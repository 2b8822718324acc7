//! Connections: accepting them, bounding them, ending them.
//!
//! Owns the limits that hold before there is a request: how many connections, how long a head may
//! take, how large it may be; and the graceful stop. Refuses to know routes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::peer::Watched;
use super::places::{Place, Places};
use super::waiting::Entrance;
use crate::shutdown::Tasks;

/// How long the head of a request may take, and how long a connection may stay idle before it.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// Largest head that a connection takes; larger ones get a bare 431. Our own limit lies below it.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most headers that a connection takes; more get a bare 431. Our own limit lies below it. The library sets
/// memory aside for as many with each request, so that a thousand cost microseconds.
const HEADERS_MAX: usize = 256;
/// Pause after a failed accept (such as "too many open files"), so that it is no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the stop token of `tasks` fires, then lets requests under way end within `drain`.
///
/// At most `connections_max` connections are open at once; further ones wait in the system's backlog until a
/// place comes free, or idle ones have made way.
/// What is still open after that is cut off. Open waits end with `ApiState::draining`: fire it first.
/// Connections run as `tasks`: whoever joins these waits for the last answer.
pub async fn serve(
    listener: TcpListener,
    connections_max: u32,
    entrance: Entrance,
    tasks: &Tasks,
    drain: Duration,
) {
    let stop = tasks.stop_token();
    let mut accepting = Accepting { listener, is_failing: false };
    let places = Places::new(connections_max);
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepting.next(&places) => accepted,
        };
        let (entrance, stop, cut) = (entrance.clone(), stop.clone(), cut.clone());
        tasks.spawn("connection", async move {
            let (stream, place) = accepted;
            let seat = Arc::clone(&place.seat);
            tokio::select! {
                () = connection(stream, place, entrance, &stop) => {}
                () = seat.asked_to_leave() => {}
                () = cut.cancelled() => {}
            }
        });
    }
    drop(accepting);
    if tokio::time::timeout(drain, places.all_free()).await.is_err() {
        tracing::warn!("connections still open at the end of the drain are cut off");
        cut.cancel();
    }
}

/// The way in.
struct Accepting {
    listener: TcpListener,
    /// Whether the last accept failed: reported when it begins and when it ends.
    is_failing: bool,
}

impl Accepting {
    /// The next connection, with a place for it.
    async fn next(&mut self, places: &Arc<Places>) -> (TcpStream, Place) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!("connections are accepted again");
                    }
                    return (stream, places.take().await);
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        tracing::error!(%error, "connections cannot be accepted; idle ones are closed to make way");
                    }
                    places.make_way();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One connection's life. Errors end it and concern its caller alone.
async fn connection(stream: TcpStream, place: Place, entrance: Entrance, stop: &CancellationToken) {
    // Without it small answers may wait for an acknowledgement; works without.
    let _slower = stream.set_nodelay(true);
    let stream = Watched::new(stream);
    let entrance = entrance.of(stream.peer());
    let client = Client::new(stream, Arc::clone(&place.seat));
    let answering = service_fn(|request: http::Request<Incoming>| {
        let busy = place.seat.request();
        let answer = entrance.call(request);
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| busy.until_taken(body)))
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // A client that closes its sending side after its request still gets its answer (see `peer`).
        .half_close(true)
        .serve_connection(client, answering);
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
