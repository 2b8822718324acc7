//! The work of a shared connection: a task of its own writes and reads for all of its calls.
//!
//! Owns when that task ends, and what it tells of the connection: that it is open, how many streams the other side takes,
//! and that it has ended. Refuses to know calls.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection;
use tokio::sync::{Notify, oneshot};

use super::wire::{FrameWatching, FramedStream};

/// How long a connection that nobody has any more may take to close.
const CLOSING: Duration = Duration::from_secs(2);

/// What the task tells.
#[derive(Debug, Default)]
pub(super) struct Driven {
    /// How many streams the other side takes at a time.
    streams_max: AtomicUsize,
    is_open: AtomicBool,
    has_ended: AtomicBool,
    /// Told when it is open, or has ended.
    opened: Notify,
}

impl Driven {
    /// Waits until the other side has said what it goes by. False: the connection has ended without that.
    pub(super) async fn opened(&self) -> bool {
        loop {
            if self.is_open.load(Ordering::Acquire) {
                return true;
            }
            if self.has_ended() {
                return false;
            }
            self.opened.notified().await;
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    pub(super) fn streams_max(&self) -> usize {
        self.streams_max.load(Ordering::Acquire)
    }
}

/// Drives a connection until it ends, or nobody has it any more (`let_go`).
#[expect(
    clippy::disallowed_methods,
    reason = "a drain waits for the calls; a connection without one has nothing to bring to an end"
)]
pub(super) fn drive(
    work: Connection<FramedStream, Bytes>,
    watching: FrameWatching,
    freed: Arc<Notify>,
    let_go: oneshot::Receiver<()>,
) -> Arc<Driven> {
    let driven = Arc::new(Driven::default());
    let told = Arc::clone(&driven);
    tokio::spawn(async move {
        let end = tokio::select! {
            end = proceed(work, &watching, &told, &freed) => Some(end),
            () = closing(let_go) => None,
        };
        // The connection is gone: nothing is written to it any more.
        tracing::debug!(?end, "a connection that calls shared has ended");
        told.has_ended.store(true, Ordering::Release);
        told.opened.notify_one();
        freed.notify_waiters();
    });
    driven
}

/// Writes and reads until the connection ends, and tells what the other side goes by.
async fn proceed(
    mut work: Connection<FramedStream, Bytes>,
    watching: &FrameWatching,
    told: &Driven,
    freed: &Notify,
) -> Result<(), h2::Error> {
    poll_fn(|cx| {
        let end = Pin::new(&mut work).poll(cx);
        let streams_max = work.max_concurrent_send_streams();
        if watching.lock().has_settings {
            if told.streams_max.swap(streams_max, Ordering::AcqRel) < streams_max {
                freed.notify_waiters();
            }
            if !told.is_open.swap(true, Ordering::AcqRel) {
                told.opened.notify_one();
            }
        }
        end
    })
    .await
}

/// Waits until nobody has the connection, and then as long as closing may take.
async fn closing(let_go: oneshot::Receiver<()>) {
    // It is never told anything: that its other end is gone is the word.
    if let_go.await.is_err() {
        tokio::time::sleep(CLOSING).await;
    }
}
