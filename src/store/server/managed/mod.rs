//! The managed Redis: a child of the daemon, for people who have none.
//!
//! Owns its command line, restarting it when it dies, and its end with the daemon. It listens on a Unix
//! socket only and flushes every write. Its folder and who may use that stand in `place`. Refuses to know
//! what is stored in it.

mod place;
mod program;
mod restarts;

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use redis::ConnectionLike as _;
use tokio::time::Instant;

use self::place::{DataFolder, own_number};
use self::program::{find_program, memory_limit};
use self::restarts::Restarts;
use crate::config::MANAGED_SOCKET;
use crate::store::wire::capacity::free_bytes;

/// How long a stopping Redis may take to write its last pages.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How often the keeper looks after its child.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Looks in a row at which the socket is missing, before that means something.
const MISSED_MAX: u32 = 5;
/// Word of the hidden command that ties the child's life to ours, see [`guard`].
pub const GUARD_COMMAND: &str = "managed-redis-guard";

/// Why no managed Redis could be started; the text names the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ManagedRefused(String);

/// A running managed Redis; dropping it without [`ManagedRedis::stop`] leaves it to the guard.
#[derive(Debug)]
pub struct ManagedRedis {
    socket: PathBuf,
    orders: mpsc::Sender<()>,
    keeper: Option<std::thread::JoinHandle<()>>,
    // Held for the life of the daemon: two daemons never share a data directory.
    _place: DataFolder,
}

impl ManagedRedis {
    /// Starts (or adopts) the Redis of a data directory and waits until its socket answers.
    ///
    /// # Errors
    /// When the directory cannot be used, another daemon uses it, no server program is installed, or
    /// the data was written by an incompatible one.
    pub fn start(data_dir: &Path) -> Result<Self, ManagedRefused> {
        let refused = |what: &str, error: &dyn std::fmt::Display| {
            ManagedRefused(format!("redis.data_dir {}: {what}: {error}", data_dir.display()))
        };
        let place = DataFolder::take(data_dir)?;
        let program = find_program(data_dir)?;
        let socket = data_dir.join(MANAGED_SOCKET);
        let (orders, received) = mpsc::channel();
        let (told, ready) = mpsc::channel();
        let lock = place.server_lock().map_err(|e| refused("cannot be locked", &e))?;
        let keeper =
            Keeper { data_dir: data_dir.to_owned(), socket: socket.clone(), program, lock };
        // A thread of its own: the child is tied to the life of the thread that started it.
        let keeper = std::thread::Builder::new()
            .name("redis-keeper".to_owned())
            .spawn(move || keeper.keep(&received, &told))
            .map_err(|e| refused("no thread for its keeper", &e))?;
        match ready.recv() {
            Ok(Ok(())) => Ok(Self { socket, orders, keeper: Some(keeper), _place: place }),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(refused("its keeper ended", &error)),
        }
    }

    /// Where it listens, as a Redis URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Stops it, after everything else: its last pages are written.
    pub fn stop(mut self) {
        // The keeper may have ended already.
        let _ended = self.orders.send(());
        if let Some(keeper) = self.keeper.take() {
            drop(keeper.join());
        }
    }
}

/// Whether the socket of a server that had one is gone: a server that starts has none for a moment.
#[derive(Debug, Default)]
struct SocketWatch {
    was_seen: bool,
    missed: u32,
}

impl SocketWatch {
    /// Looks; several times in a row it must be missing, since a server that starts replaces it.
    fn is_gone(&mut self, socket: &Path) -> bool {
        let is_missing = matches!(socket.try_exists(), Ok(false));
        self.was_seen |= !is_missing;
        self.missed = if is_missing { self.missed + 1 } else { 0 };
        self.was_seen && self.missed >= MISSED_MAX
    }
}

struct Keeper {
    data_dir: PathBuf,
    socket: PathBuf,
    program: PathBuf,
    /// Handed to each server, so that it holds it for as long as it lives.
    lock: File,
}

impl Keeper {
    /// The keeper's life: start, tell, look after, restart, stop.
    fn keep(&self, orders: &mpsc::Receiver<()>, told: &mpsc::Sender<Result<(), ManagedRefused>>) {
        let mut child = match self.launch() {
            Ok(child) => child,
            Err(error) => {
                let _gone = told.send(Err(error));
                return;
            }
        };
        let started = self.await_socket(&mut child);
        let failed = started.is_err();
        let _gone = told.send(started);
        if failed {
            stop_child(&mut child);
            return;
        }
        let mut restarts = Restarts::default();
        // It has answered there, so a socket that is missing at the first look was removed.
        let mut watch = SocketWatch { was_seen: true, missed: 0 };
        loop {
            match orders.recv_timeout(LOOK_EVERY) {
                Ok(()) => break stop_child(&mut child),
                // The daemon is gone without an order: the guard ends the child.
                Err(mpsc::RecvTimeoutError::Disconnected) => break stop_child(&mut child),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if watch.is_gone(&self.socket) && matches!(child.try_wait(), Ok(None)) {
                tracing::error!(
                    socket = %self.socket.display(),
                    "somebody has removed the socket of the managed Redis, which nobody reaches any more; starting it again"
                );
                stop_child(&mut child);
            }
            if let Ok(Some(status)) = child.try_wait() {
                let wait = restarts.next(Instant::now());
                tracing::error!(
                    %status,
                    wait_ms = wait.as_millis(),
                    free_mib = free_bytes(&self.data_dir).map(|bytes| bytes >> 20),
                    log = %self.data_dir.join("redis.log").display(),
                    "the managed Redis ended; starting it again (it ends when its disk is full)"
                );
                // An order, or the end of the daemon, cuts the wait short.
                if !matches!(orders.recv_timeout(wait), Err(mpsc::RecvTimeoutError::Timeout)) {
                    break;
                }
                match self.launch() {
                    Ok(again) => (child, watch) = (again, SocketWatch::default()),
                    Err(error) => {
                        tracing::error!(%error, "the managed Redis cannot be started again");
                    }
                }
            }
        }
    }

    fn launch(&self) -> Result<Child, ManagedRefused> {
        let own =
            std::env::current_exe().map_err(|e| ManagedRefused(format!("own program: {e}")))?;
        let log = self.data_dir.join("redis.log");
        let lock = self.lock.try_clone().map_err(|e| ManagedRefused(format!("its lock: {e}")))?;
        Command::new(own)
            .arg(GUARD_COMMAND)
            .arg(std::process::id().to_string())
            .arg(&self.program)
            .args(["--port", "0", "--daemonize", "no", "--protected-mode", "yes"])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .args(["--maxmemory-policy", "noeviction"])
            .args(["--maxmemory", &memory_limit().to_string()])
            .args(["--unixsocketperm", "600"])
            // How often it looks after itself: ten times a second costs more than all that an idle
            // daemon does.
            .args(["--hz", "2"])
            .arg("--dir")
            .arg(&self.data_dir)
            .arg("--unixsocket")
            .arg(&self.socket)
            .arg("--logfile")
            .arg(&log)
            // The lock goes with it, see `place`; it reads nothing from there.
            .stdin(lock)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            // Its own process group: a Ctrl-C at the terminal is for the daemon, which stops it last.
            .process_group(0)
            .spawn()
            .map_err(|e| {
                ManagedRefused(format!("{} cannot be started: {e}", self.program.display()))
            })
    }

    /// Waits as long as the server lives: loading a large file takes its time; the caller says so.
    fn await_socket(&self, child: &mut Child) -> Result<(), ManagedRefused> {
        while !answers(&self.socket) {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(ManagedRefused(format!(
                    "the managed Redis ended at once ({status}); see {}",
                    self.data_dir.join("redis.log").display()
                )));
            }
            pause(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// Becomes the Redis server, to be killed by the kernel when the daemon that asked for it dies.
///
/// Runs in the child: `tidegate managed-redis-guard PARENT PROGRAM ARGS…`. Only returns on failure.
#[must_use]
pub fn guard(args: &[OsString]) -> std::io::Error {
    let [parent, program, rest @ ..] = args else {
        return std::io::Error::other("expected PARENT PROGRAM ARGS");
    };
    let dies_with_parent =
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    if let Err(error) = dies_with_parent {
        return error.into();
    }
    // The parent may have died before the line above.
    let is_child =
        rustix::process::getppid().is_some_and(|id| *parent == *id.as_raw_nonzero().to_string());
    if !is_child {
        return std::io::Error::other("the daemon is gone");
    }
    // What it writes is for its user alone, whatever the daemon was started with.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    if let Err(error) = own_number() {
        return error;
    }
    Command::new(program).args(rest).exec()
}

fn connection(socket: &Path) -> Option<redis::Connection> {
    let client = redis::Client::open(format!("unix://{}", socket.display())).ok()?;
    client.get_connection_with_timeout(Duration::from_secs(1)).ok()
}

fn answers(socket: &Path) -> bool {
    connection(socket).is_some_and(|mut connection| connection.check_connection())
}

fn stop_child(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended in between.
        let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let mut waited = Duration::ZERO;
    while waited < STOP_PATIENCE {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        pause(Duration::from_millis(20));
        waited += Duration::from_millis(20);
    }
    tracing::error!(
        "the managed Redis does not stop; killing it (every acknowledged write is on disk)"
    );
    let _killed = child.kill();
    let _reaped = child.wait();
}

#[expect(clippy::disallowed_methods, reason = "the keeper is a thread of its own, not a task")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
