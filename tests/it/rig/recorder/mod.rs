//! The downstream of a run: a process of its own, with a log that is written before an answer leaves.
//!
//! Owns its start, its moods and the reading of its log while it runs. It is this very test binary
//! once more, told by an environment variable. Refuses to judge what arrived.

mod mood;
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;

use http::Method;
use tempfile::TempDir;

pub(crate) use mood::Mood;

use super::tail::Tail;
use crate::rig::history::Arrival;
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
const LOG: &str = "arrivals.jsonl";

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
        Tail::of(self.log_file())
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        log_in(self.dir.path())
    }
}

fn log_in(dir: &Path) -> PathBuf {
    dir.join(LOG)
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
    server::run(port, seed, &log_in(Path::new(word()))).await;
}
