//! The managed Redis: its files are for its user alone, and no second server ever starts on its data.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::support::{Daemon, eventually};

const NULL: &str = "[queues.jobs.downstream]\ntype = \"null\"\n";

/// Everything below a folder, the folder as well.
fn all_of(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            found.extend(all_of(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").mode() & 0o777
}

fn assert_private(dir: &Path) {
    let all = all_of(dir);
    for path in &all {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(path), expected, "{}", path.display());
    }
    let is = |word: &str| all.iter().any(|path| path.to_string_lossy().contains(word));
    assert!(is("appendonlydir/") && is("redis.log") && is("server.lock"), "{all:?}");
    let is_socket = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.file_type().is_socket());
    assert!(all.iter().any(is_socket), "{all:?}");
}

fn is_there(process: rustix::process::Pid) -> bool {
    Path::new(&format!("/proc/{}", process.as_raw_nonzero())).exists()
}

async fn send_later(daemon: &Daemon) -> String {
    daemon.send("jobs", &json!({ "payload": 1, "delay": "1h" })).await
}

async fn is_kept(daemon: &Daemon, id: &str) -> bool {
    let reply = daemon.get(&format!("/v1/messages/{id}")).await;
    reply.status == 200 && reply.json()["state"] == "scheduled"
}

#[tokio::test]
async fn its_files_are_for_its_user_alone_whatever_the_umask_and_whatever_they_were() {
    let mut daemon = Daemon::with(NULL).environment("GUARDED_UMASK", "000").start().await;
    let id = send_later(&daemon).await;
    let dir = daemon.dir().join("data");
    assert_private(&dir);

    // As an earlier version left them.
    assert_eq!(daemon.sigterm().await, 0);
    for path in all_of(&dir) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("they are ours");
    }
    daemon.restart().await;

    assert_private(&dir);
    assert!(is_kept(&daemon, &id).await);
    assert!(daemon.log().contains("other users could enter redis.data_dir"), "{}", daemon.log());
}

#[tokio::test]
async fn a_shared_folder_is_refused_with_a_remedy_and_left_as_it_is() {
    let shared = tempfile::tempdir().expect("a folder");
    let dir = shared.path().join("shared");
    fs::create_dir(&dir).expect("it is ours");
    fs::write(dir.join("somebody's"), "data").expect("it is ours");
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).expect("it is ours");

    let named = dir.to_str().expect("text");
    let mut daemon = Daemon::with(NULL).environment("TIDEGATE__REDIS__DATA_DIR", named).launch();

    assert_eq!(daemon.wait_exit().await, 1, "{}", daemon.log());
    assert!(daemon.log().contains("choose a directory of its own"), "{}", daemon.log());
    assert_eq!((mode(&dir), fs::read_dir(&dir).expect("it is there").count()), (0o755, 1));
}

#[tokio::test]
async fn a_server_that_outlived_its_daemon_and_its_socket_is_stopped_before_the_next_one() {
    let mut daemon = Daemon::with(NULL).start().await;
    let mut ids = vec![send_later(&daemon).await];
    let old = daemon.managed_redis().expect("it runs");
    // It hangs, so that it does not end with its daemon.
    kill_process(old, Signal::STOP).expect("it runs");
    for path in all_of(&daemon.dir().join("data")) {
        if fs::metadata(&path).is_ok_and(|about| about.file_type().is_socket()) {
            fs::remove_file(&path).expect("it is ours");
        }
    }

    daemon.restart().await;

    let new = daemon.managed_redis().expect("it runs");
    assert_ne!(new, old);
    // Where nobody asks for its exit code, it stays as a name alone.
    let status = fs::read_to_string(format!("/proc/{}/status", old.as_raw_nonzero()));
    assert!(status.is_ok_and(|status| status.contains("State:\tZ")) || !is_there(old));
    assert!(daemon.log().contains("of an earlier run still uses"), "{}", daemon.log());
    ids.push(send_later(&daemon).await);
    for id in &ids {
        assert!(is_kept(&daemon, id).await, "{id}");
    }
}

#[tokio::test]
async fn a_socket_that_somebody_removes_is_made_again() {
    let daemon = Daemon::with(NULL).start().await;
    let id = send_later(&daemon).await;
    let old = daemon.managed_redis().expect("it runs");
    let socket = daemon.dir().join("data").join("redis.sock");

    fs::remove_file(&socket).expect("it is there");

    eventually("another server runs", async || {
        daemon.managed_redis().is_some_and(|new| new != old) && socket.exists()
    })
    .await;
    eventually("it is reached", async || daemon.get("/readyz").await.status == 200).await;
    assert!(is_kept(&daemon, &id).await);
    assert_eq!(daemon.log().matches("removed the socket").count(), 1, "{}", daemon.log());
}

#[tokio::test]
async fn a_second_daemon_on_its_folder_is_refused() {
    let daemon = Daemon::with(NULL).start().await;
    let dir = daemon.dir().join("data");
    let named = dir.to_str().expect("text");

    let mut second = Daemon::with(NULL).environment("TIDEGATE__REDIS__DATA_DIR", named).launch();

    assert_eq!(second.wait_exit().await, 1);
    assert!(second.log().contains("is used by another tidegate"), "{}", second.log());
    send_later(&daemon).await;
}
