//! Processes that never outlive their test.
//!
//! Owns starting, signalling and ending one process. A plain child would stay behind when the test
//! process is killed, and statics are never dropped: so a small shell (`guarded.sh`) stands between,
//! which ends the process when our end of its standard input closes. Refuses to know what runs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::wait::within;

/// The processes that were started, each with the name of the thread that did: that of its test.
static STARTED: Mutex<Vec<(Option<String>, i32)>> = Mutex::new(Vec::new());

/// Those that a test has started.
pub(crate) fn running_of(test: Option<&str>) -> Vec<i32> {
    let started = STARTED.lock().expect("nobody panics with it");
    started.iter().filter(|(by, _)| by.as_deref() == test).map(|(_, pid)| *pid).collect()
}

/// A running (or ended) process.
#[derive(Debug)]
pub(crate) struct Guarded {
    guard: Child,
    /// Closing it ends the process.
    lifeline: Option<ChildStdin>,
    pid: Pid,
    exit: watch::Receiver<Option<i32>>,
}

/// What the process gets when its owner goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AtEnd {
    /// SIGKILL: it holds nothing that wants to be put away.
    Kill,
    /// SIGTERM: it has children of its own to end.
    Stop,
}

impl Guarded {
    /// Starts `command`'s program with its arguments and environment. Its output goes to `log`;
    /// the folder `sweep` is removed when the process is ended with its owner.
    pub(crate) fn start(command: &Command, log: &Path, at_end: AtEnd, sweep: &Path) -> Self {
        let signal = match at_end {
            AtEnd::Kill => "KILL",
            AtEnd::Stop => "TERM",
        };
        let mut guard = Command::new("sh");
        guard.args(["-c", include_str!("guarded.sh"), "guarded"]).args([log.as_os_str()]);
        guard.args([OsStr::new(signal), sweep.as_os_str(), command.get_program()]);
        guard.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guard.env(name, value),
                None => guard.env_remove(name),
            };
        }
        // A group of its own: Ctrl-C at the terminal reaches the test, whose end then ends this.
        let mut guard = guard
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Some shells remark there on a process that a signal ended.
            .stderr(Stdio::null())
            .spawn()
            .expect("a POSIX sh is on PATH");
        let lifeline = guard.stdin.take();
        let mut lines = BufReader::new(guard.stdout.take().expect("stdout is piped")).lines();
        let pid = number(lines.next()).and_then(Pid::from_raw).expect("the guard says the pid");
        let (tell, exit) = watch::channel(None);
        std::thread::spawn(move || tell.send(number(lines.next())));
        let test = std::thread::current().name().map(ToOwned::to_owned);
        STARTED.lock().expect("nobody panics with it").push((test, pid.as_raw_nonzero().get()));
        Self { guard, lifeline, pid, exit }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// The exit code, if it has ended (128 + n: by signal n).
    pub(crate) fn exit_code(&self) -> Option<i32> {
        *self.exit.borrow()
    }

    /// Sends a signal, if it still runs.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.exit_code().is_none() {
            // It may end between the question and the signal, and then there is nothing to do.
            let _gone_already = kill_process(self.pid, signal);
        }
    }

    /// Waits for the end; returns the exit code.
    pub(crate) async fn wait(&mut self) -> i32 {
        let what = format!("the end of process {}", self.pid);
        let exit = within(&what, self.exit.wait_for(Option::is_some)).await;
        exit.expect("the guard says the exit code").expect("waited until it is there")
    }

    /// The end, however long it takes: for processes that run until somebody ends them.
    pub(crate) async fn ended(&mut self) -> i32 {
        let exit = self.exit.wait_for(Option::is_some).await;
        exit.expect("the guard says the exit code").expect("waited until it is there")
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.wait().await;
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let own = self.pid.as_raw_nonzero().get();
        STARTED.lock().expect("nobody panics with it").retain(|(_, pid)| *pid != own);
        drop(self.lifeline.take());
        self.guard.wait().expect("the guard is our child");
    }
}

fn number(line: Option<std::io::Result<String>>) -> Option<i32> {
    line?.ok()?.trim().parse().ok()
}
