//! The folder of a managed Redis: for its user alone, and for one server at a time.
//!
//! Owns two locks. `lock` is the daemon's. `server.lock` is handed to each server that is started, as its
//! standard input, so that it is held until that server has ended, whatever becomes of the daemon and of
//! the socket; the server's process number stands in it. Whoever finds it held stops that server first: two
//! servers on one folder would destroy the data. Refuses to know how a server is started.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{LOOK_EVERY, ManagedRefused, connection, pause};
use crate::config::MANAGED_SOCKET;
use crate::domain::human::lasting;

const LOCK: &str = "lock";
const SERVER_LOCK: &str = "server.lock";
/// The file that remembers which program wrote the data.
pub(super) const WRITTEN_BY: &str = "written-by";
/// Files by which a folder is known to be ours.
const OURS: [&str; 3] = [LOCK, WRITTEN_BY, "appendonlydir"];
/// How long a server of an earlier daemon may take to write its last pages and end.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How long one that was killed may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A folder that this daemon has for itself.
#[derive(Debug)]
pub(super) struct DataFolder {
    _lock: File,
    server_lock: File,
}

impl DataFolder {
    /// Makes the folder, or takes it over; a server of an earlier daemon is stopped.
    pub(super) fn take(dir: &Path) -> Result<Self, ManagedRefused> {
        let refused = |what: &str, error: &dyn std::fmt::Display| {
            ManagedRefused(format!("redis.data_dir {}: {what}: {error}", dir.display()))
        };
        make(dir)?;
        let lock = create(&dir.join(LOCK)).map_err(|e| refused("cannot be written", &e))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ManagedRefused(format!(
                "redis.data_dir {} is used by another tidegate; stop it, or choose another directory",
                dir.display()
            )),
            TryLockError::Error(error) => refused("cannot be locked", &error),
        })?;
        let path = dir.join(SERVER_LOCK);
        let mut server_lock = create(&path).map_err(|e| refused("cannot be written", &e))?;
        stop_older_server(&mut server_lock, &path)?;
        stop_unlocked_server(&dir.join(MANAGED_SOCKET))?;
        keep_private(dir).map_err(|e| refused("its files cannot be kept private", &e))?;
        Ok(Self { _lock: lock, server_lock })
    }

    /// The lock, to be handed to a server.
    pub(super) fn server_lock(&self) -> io::Result<File> {
        self.server_lock.try_clone()
    }
}

/// A file that its user alone may read, without what a file that is there holds being touched.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Writes the number of this process, which is about to become the server, into the lock that it holds as
/// its standard input.
pub(super) fn own_number() -> io::Result<()> {
    let lock = rustix::stdio::stdin();
    rustix::fs::ftruncate(lock, 0)?;
    let number = std::process::id().to_string();
    rustix::io::pwrite(lock, number.as_bytes(), 0)?;
    Ok(())
}

/// A folder of the user alone. One that others may enter is closed to them, if it is empty or ours; any
/// other may be shared on purpose.
fn make(dir: &Path) -> Result<(), ManagedRefused> {
    let refused = |what: &str| ManagedRefused(format!("redis.data_dir {}: {what}", dir.display()));
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(|e| refused(&format!("cannot be created: {e}")))?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(&format!("cannot be created: {error}"))),
    }
    let about = fs::metadata(dir).map_err(|e| refused(&format!("cannot be read: {e}")))?;
    if !about.is_dir() {
        return Err(refused("is not a directory"));
    }
    if about.mode() & 0o077 == 0 {
        return Ok(());
    }
    let mut entries = fs::read_dir(dir).map_err(|e| refused(&format!("cannot be read: {e}")))?;
    let is_ours = OURS.iter().any(|name| dir.join(name).exists()) || entries.next().is_none();
    if !is_ours {
        return Err(refused(
            "other users may enter it, and it holds files that are not tidegate's; choose a directory of \
             its own, or close this one to others (chmod 700)",
        ));
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(|error| {
        refused(&format!(
            "other users may enter it, and that cannot be changed ({error}); give it to the user that \
             runs tidegate (chown), or choose another directory"
        ))
    })?;
    tracing::warn!(dir = %dir.display(), "other users could enter redis.data_dir; it is closed to them now");
    Ok(())
}

/// What an earlier version left readable for others is closed to them.
fn keep_private(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let about = match entry.metadata() {
            Ok(about) => about,
            // A file of the moment, which is gone by now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if about.is_symlink() {
            continue;
        }
        if about.is_dir() {
            keep_private(&entry.path())?;
        }
        if about.mode() & 0o077 != 0 {
            let mode = if about.is_dir() { 0o700 } else { 0o600 };
            fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// Stops the server that holds the lock, and takes it.
fn stop_older_server(lock: &mut File, path: &Path) -> Result<(), ManagedRefused> {
    if is_free(lock, path)? {
        return Ok(());
    }
    tracing::info!("a Redis of an earlier run still uses the data directory; it is stopped first");
    for (signal, patience) in [(Signal::TERM, STOP_PATIENCE), (Signal::KILL, KILL_PATIENCE)] {
        if signal == Signal::KILL {
            tracing::error!("it does not stop; killing it (every acknowledged write is on disk)");
        }
        let mut waited = Duration::ZERO;
        let mut signalled = None;
        while waited < patience {
            // It writes its number a moment after it has the lock.
            let holder = holder(lock, path);
            if let Some(server) = holder.filter(|_| signalled != holder) {
                // It may have ended in between.
                let _ended = kill_process(server, signal);
                // One that was stopped ends only when it goes on.
                let _ended = kill_process(server, Signal::CONT);
                signalled = holder;
            }
            pause(LOOK_EVERY);
            waited += LOOK_EVERY;
            if is_free(lock, path)? {
                return Ok(());
            }
        }
    }
    Err(ManagedRefused(format!(
        "a Redis of an earlier run still holds {} and does not end; stop it (`fuser {}` names it)",
        path.display(),
        path.display()
    )))
}

fn is_free(lock: &File, path: &Path) -> Result<bool, ManagedRefused> {
    match lock.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            Err(ManagedRefused(format!("{} cannot be locked: {error}", path.display())))
        }
    }
}

/// The process that has the lock as its standard input: a number alone may be another's by now.
fn holder(lock: &mut File, path: &Path) -> Option<Pid> {
    let mut text = String::new();
    io::Seek::rewind(lock).ok()?;
    lock.take(20).read_to_string(&mut text).ok()?;
    let number: i32 = text.trim().parse().ok()?;
    let held = fs::read_link(PathBuf::from(format!("/proc/{number}/fd/0"))).ok()?;
    (held == fs::canonicalize(path).ok()?).then(|| Pid::from_raw(number)).flatten()
}

/// A server that an earlier version of this program started holds no lock.
fn stop_unlocked_server(socket: &Path) -> Result<(), ManagedRefused> {
    let mut waited = Duration::ZERO;
    while std::os::unix::net::UnixStream::connect(socket).is_ok() {
        if waited.is_zero() {
            tracing::info!("a Redis of an earlier run still listens; asking it to stop");
            if let Some(mut connection) = connection(socket) {
                // It hangs up instead of answering.
                let _hung_up = redis::cmd("SHUTDOWN").exec(&mut connection);
            }
        }
        if waited >= STOP_PATIENCE {
            return Err(ManagedRefused(format!(
                "another Redis still listens on {} after {}; stop it",
                socket.display(),
                lasting(STOP_PATIENCE)
            )));
        }
        pause(LOOK_EVERY);
        waited += LOOK_EVERY;
    }
    Ok(())
}
