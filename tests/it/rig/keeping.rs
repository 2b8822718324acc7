//! The folder in which a run's history stays when something is wrong with it.
//!
//! Owns its files: one of JSON lines for each part, and the daemons' logs. Refuses to judge.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::run::Done;

/// Writes it all down; returns where.
pub(super) fn keep(name: &str, seed: u64, done: &Done) -> PathBuf {
    let Done { history, logs } = done;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rig").join(format!("{name}-{seed}"));
    // Of an earlier run with this seed.
    let _was_there = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the target folder is ours");
    lines(&folder, "queues", &history.queues);
    lines(&folder, "sent", &history.sent);
    lines(&folder, "arrivals", &history.arrivals);
    lines(&folder, "finals", &history.finals);
    lines(&folder, "faults", &history.faults);
    lines(&folder, "decisions", &history.decisions);
    lines(&folder, "moves", &history.moves);
    lines(&folder, "left", &history.left);
    lines(&folder, "lags", &history.lags);
    for (node, log) in logs.iter().enumerate() {
        std::fs::write(folder.join(format!("node-{node}.log")), log).expect("ours");
    }
    folder
}

fn lines<T: Serialize>(folder: &Path, name: &str, items: &[T]) {
    let file = File::create(folder.join(format!("{name}.jsonl"))).expect("the folder is ours");
    let mut file = BufWriter::new(file);
    for item in items {
        serde_json::to_writer(&mut file, item).expect("plain data");
        file.write_all(b"\n").expect("the disk takes it");
    }
    file.flush().expect("the disk takes it");
}
