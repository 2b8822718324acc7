//! What both downstreams share: a server on a free port of loopback, and a record of every call.

use std::sync::{Arc, Mutex};

use anyhow::Context;
use axum::Router;
use tidegate::shutdown::Tasks;

/// A call, as the downstream saw it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// When it arrived, in microseconds since the Unix epoch.
    pub(crate) at_us: i64,
    /// What it was answered.
    pub(crate) status: u16,
    /// What it brought: numbers of SMS or orders.
    pub(crate) items: Vec<String>,
}

/// All calls of a downstream, in the order of their arrival.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Call>>>);

impl Record {
    /// Judges a call by those before it and keeps it with the verdict.
    pub(crate) fn keep(&self, call: impl FnOnce(&[Call]) -> Call) -> u16 {
        let mut calls = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let call = call(&calls);
        let status = call.status;
        calls.push(call);
        status
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// Serves `app`; its URL.
pub(crate) async fn serve(app: Router, tasks: &Tasks) -> anyhow::Result<String> {
    let listener =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no free port on loopback")?;
    let url = format!("http://{}", listener.local_addr()?);
    let stop = tasks.stop_token().clone();
    tasks.spawn("downstream", async move {
        let serve = axum::serve(listener, app);
        tokio::select! { _ = serve => {}, () = stop.cancelled() => {} }
    });
    Ok(url)
}
