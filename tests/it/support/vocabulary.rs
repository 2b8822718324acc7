//! How tests speak with the daemon: over HTTP and by the CLI, never behind its back.
//!
//! Owns the seed and get helpers, so that a test reads before, act, after. Refuses to know how a
//! daemon starts and ends.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::daemon::{Daemon, PROGRAM};
use super::document;
use super::http::Reply;

const JSON: (&str, &str) = ("Content-Type", "application/json");
/// A page of documentation is one command; see [`super::wait::DEADLINE`] for the rest.
const COMMAND_DEADLINE: Duration = Duration::from_secs(120);
/// Longer than the wait that is asked for, so that only a daemon that hangs meets it.
const WAIT_DEADLINE: Duration = Duration::from_secs(45);

impl Daemon {
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.http().send(Method::GET, path, &[], Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.http().send(Method::POST, path, &[JSON], body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.http().send(Method::PATCH, path, &[JSON], body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.http().send(Method::DELETE, path, &[JSON], Bytes::new()).await
    }

    /// Seeds one message; returns its id.
    pub(crate) async fn send(&self, queue: &str, message: &Value) -> String {
        let reply = self.post(&format!("/v1/queues/{queue}/messages"), message).await.expect(201);
        reply.json()["id"].as_str().expect("a message has an id").to_owned()
    }

    /// The message as it stands.
    pub(crate) async fn message(&self, id: &str) -> Value {
        self.get(&format!("/v1/messages/{id}")).await.expect(200).json()
    }

    /// The message when it is final (or after 30 s, whatever it is then).
    pub(crate) async fn wait_final(&self, id: &str) -> Value {
        let path = format!("/v1/messages/{id}?wait=30s");
        let sent = self.http().try_send(Method::GET, &path, &[], Bytes::new());
        let reply = tokio::time::timeout(WAIT_DEADLINE, sent).await.expect("?wait=30s ends");
        reply.expect("the daemon answers").expect(200).json()
    }

    /// What a queue keeps, by state.
    pub(crate) async fn counts(&self, queue: &str) -> Value {
        self.get(&format!("/v1/queues/{queue}")).await.expect(200).json()["counts"].clone()
    }
}

/// How a command ended and what it wrote.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Daemon {
    /// Runs `tidegate` with these arguments against this daemon.
    pub(crate) async fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(PROGRAM);
        command.args(arguments);
        let output = self.run(command).await;
        if arguments.first() == Some(&"export") && output.code == 0 {
            output.stdout.lines().for_each(document::check_row);
        }
        output
    }

    /// Runs a command of any kind in the daemon's folder, with `tidegate` on PATH and pointed here.
    pub(crate) async fn run(&self, mut command: tokio::process::Command) -> Output {
        let bin = Path::new(PROGRAM).parent().expect("a program lies in a folder");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path));
        command
            .env("PATH", std::env::join_paths(folders).expect("PATH was one before"))
            .env("TIDEGATE_URL", self.url())
            .env_remove("TIDEGATE_TOKEN")
            .current_dir(self.dir())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(COMMAND_DEADLINE, command.output()).await;
        let output = output.expect("the command ends in time").expect("the command starts");
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }
}
