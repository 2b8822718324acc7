//! Bodies that nobody read to their end.
//!
//! A connection that is closed while the caller is still sending is reset, and the caller never sees
//! the answer that explains why. So what is left of a refused request's body is read and thrown away,
//! within bounds, before the answer goes out. Bodies that are read to their end cost nothing here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

/// How much is thrown away for the sake of an answer.
const LEFTOVER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long that may take.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(2);

/// Where a body comes back to.
#[derive(Debug, Clone)]
pub(super) struct Leftover {
    // A plain mutex: held to move a body in or out, never across an await.
    place: Arc<Mutex<Option<Body>>>,
}

/// Lends a request its own body: what is not read comes back. `None`: there is nothing to lend, or
/// the caller waits to be asked for it (`Expect`), so that nothing is under way.
pub(super) fn lend(request: &mut Request) -> Option<Leftover> {
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return None;
    }
    let leftover = Leftover { place: Arc::default() };
    let body = std::mem::take(request.body_mut());
    *request.body_mut() = Body::new(Lent { body: Some(body), home: leftover.clone() });
    Some(leftover)
}

impl Leftover {
    /// Reads what is left, within bounds.
    pub(super) async fn drain(&self) {
        let body = self.place.lock().take();
        let Some(mut body) = body else { return };
        let until = Instant::now() + LEFTOVER_PATIENCE;
        let mut drained = 0;
        while let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await {
            drained += frame.data_ref().map_or(0, |data| data.len() as u64);
            if drained > LEFTOVER_BYTES_MAX {
                return;
            }
        }
    }
}

/// A body that goes home when it is dropped before its end.
#[derive(Debug)]
struct Lent {
    body: Option<Body>,
    home: Leftover,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.home.place.lock() = Some(body);
        }
    }
}
