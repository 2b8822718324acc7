//! The downstream of a run: a process of its own, with a log that is written before an answer leaves.
//!
//! Owns its start, its moods and the reading of its log while it runs. It is this very test binary
//! once more, told by an environment variable. Refuses to judge what arrived.

mod book;
mod mood;
mod server;

use std::path::Path;
use std::process::Command;

use http::Method;
use tempfile::TempDir;

pub(crate) use book::reference;
pub(crate) use mood::Mood;

use super::tail::Tail;
use crate::rig::history::{Arrival, Probe, Told};
use crate::support::guarded::{AtEnd, Guarded};
use crate::support::http::Http;
use crate::support::ports::free_port;
use crate::support::wait::poll_until;

/// Folder and port, for the process.
const ENVIRONMENT: &str = "TIDEGATE_RIG_RECORDER";
/// Where its mood is set.
const MOOD: &str = "/mood";
/// Answered and forgotten.
pub(crate) const PING: &str = "/ping";
/// Where callbacks go.
pub(crate) const HOOK: &str = "/hook";
/// Where what is taken is accepted, and receipts follow.
pub(crate) const LATER: &str = "later";
/// Where more calls fail than anywhere else, until the mood is good.
pub(crate) const ROUGH: &str = "rough";
/// Any other queue's.
pub(crate) const USUAL: &str = "q";
const ARRIVALS: &str = "arrivals.jsonl";
const TOLD: &str = "told.jsonl";
const PROBES: &str = "probes.jsonl";

/// A running recorder; ends with its owner.
#[derive(Debug)]
pub(crate) struct Recorder {
    // Ends before the folder below goes.
    _process: Guarded,
    port: u16,
    http: Http,
    dir: TempDir,
}

impl Recorder {
    pub(crate) async fn start(seed: u64) -> Self {
        let dir = tempfile::Builder::new().prefix("tidegate-recorder-").tempdir().expect("temp");
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().expect("we run"));
        command.args(["--exact", "rig::recorder::process", "--ignored", "--nocapture"]);
        command.env(ENVIRONMENT, format!("{port} {seed} {}", dir.path().display()));
        let log = dir.path().join("log");
        let process = Guarded::start(&command, &log, AtEnd::Kill, dir.path());
        let http = Http::new(&format!("http://127.0.0.1:{port}"));
        let recorder = Self { _process: process, port, http, dir };
        poll_until("the recorder listens", async || {
            recorder.http.try_send(Method::GET, PING, &[], "").await.ok()
        })
        .await;
        recorder
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How it behaves from now on.
    pub(crate) async fn set_mood(&self, mood: &Mood) {
        let body = serde_json::to_vec(mood).expect("a mood is plain data");
        self.http.send(Method::PUT, MOOD, &[], body).await.expect(200);
    }

    /// Reads its log from the beginning, and goes on as it grows.
    pub(crate) fn arrivals(&self) -> Tail<Arrival> {
        Tail::of(self.dir.path().join(ARRIVALS))
    }

    /// The callbacks that arrived.
    pub(crate) fn told(&self) -> Vec<Told> {
        Tail::of(self.dir.path().join(TOLD)).read()
    }

    /// What it was asked.
    pub(crate) fn probes(&self) -> Vec<Probe> {
        Tail::of(self.dir.path().join(PROBES)).read()
    }
}

/// The recorder itself; does nothing when somebody runs all ignored tests.
#[tokio::test]
#[ignore = "the process of a recorder, started by it"]
async fn process() {
    let Ok(told) = std::env::var(ENVIRONMENT) else { return };
    let mut words = told.splitn(3, ' ');
    let mut word = || words.next().expect("port, seed and folder");
    let port = word().parse().expect("a port");
    let seed = word().parse().expect("a seed");
    server::run(port, seed, Path::new(word())).await;
}
