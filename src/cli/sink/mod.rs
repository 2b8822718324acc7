//! `sink`: a downstream for practice, which prints what it gets.
//!
//! Owns its start, its end and its screen. It talks to no daemon: a daemon calls it.

mod answers;
mod args;
mod call;
mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

pub use args::SinkArgs;

use super::describe::count;
use super::exit::{Exit, Failure};
use super::screen::Screen;
use crate::domain::units::format_duration;
use answers::Answers;
use server::{Seen, Sink};

/// Calls that may wait for the screen; further ones wait for their answer.
const SCREEN_QUEUE: usize = 1024;

/// `sink`: serves until Ctrl-C.
pub(super) async fn sink(args: &SinkArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut end = Signals::new()?;
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await.map_err(|error| {
        Failure::new(Exit::Failure, format!("cannot listen on 127.0.0.1:{}: {error}", args.port))
            .next("another program has this port, perhaps another sink; --port names another one")
    })?;
    let port = listener.local_addr().map_or(args.port, |address| address.port());
    announce(args, port, screen)?;
    let (seen, mut calls) = mpsc::channel(SCREEN_QUEUE);
    let sink = Sink::new(Answers::of(args), Duration::from_millis(args.latency), seen);
    let mut serving = std::pin::pin!(sink.serve(listener));
    let mut counts = BTreeMap::new();
    loop {
        tokio::select! {
            () = &mut serving => break,
            () = end.come() => break,
            call = calls.recv() => match call {
                Some(call) => show(&call, args, &mut counts, screen)?,
                None => break,
            },
        }
    }
    summary(&counts, screen)?;
    Ok(Exit::Ok)
}

fn announce(args: &SinkArgs, port: u16, screen: &mut Screen) -> Result<(), Failure> {
    let mut rules = Vec::new();
    if args.pending {
        rules.push("answers 202, Tidegate-Receipt: pending".to_owned());
    } else {
        rules.push(format!("answers {}", args.status));
    }
    rules.extend(args.fail.map(|share| format!("500 to {}% of the calls", share * 100.0)));
    rules.extend(args.rate.map(|rate| format!("429 to what is faster than {rate}")));
    if args.latency > 0 {
        rules.push(format!("each after {}", format_duration(args.latency)));
    }
    let text = format!("sink: listening on http://127.0.0.1:{port}, {}", rules.join(", "));
    screen.note(&format!("{text}; Ctrl-C ends it"))
}

/// One line for each call, at once: somebody may be reading along.
fn show(
    (call, answer): &Seen,
    args: &SinkArgs,
    counts: &mut BTreeMap<u16, u64>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    *counts.entry(answer.status).or_default() += 1;
    if args.quiet {
        return Ok(());
    }
    if screen.is_json() {
        screen.json(&call.document(&Timestamp::now().to_string(), *answer))?;
    } else {
        screen.line(&call.line(&Zoned::now().strftime("%H:%M:%S").to_string(), *answer))?;
    }
    screen.flush()
}

fn summary(counts: &BTreeMap<u16, u64>, screen: &mut Screen) -> Result<(), Failure> {
    let total: u64 = counts.values().sum();
    if screen.is_json() {
        let by_status: BTreeMap<String, u64> =
            counts.iter().map(|(status, count)| (status.to_string(), *count)).collect();
        return screen.json(&json!({ "calls": total, "by_status": by_status }));
    }
    let by_status: Vec<_> =
        counts.iter().map(|(status, count)| format!("{count} answered {status}")).collect();
    match by_status.join(", ") {
        none if none.is_empty() => screen.note("sink: no call came"),
        some => screen.note(&format!("sink: {}: {some}", count(total, "call"))),
    }
}

/// What ends the sink: Ctrl-C, or a `kill`.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Exit::Failure, format!("cannot listen for signals: {error}"))
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
