//! Which server program is a managed Redis, and how much memory it may use.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::ManagedRefused;
use super::place::{WRITTEN_BY, create};

/// Programs that can be a managed Redis, in the order in which they are looked for.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// Redis and Valkey write data that the other may not read: whoever began goes on.
pub(super) fn find_program(data_dir: &Path) -> Result<PathBuf, ManagedRefused> {
    let note = data_dir.join(WRITTEN_BY);
    let Ok(before) = fs::read_to_string(&note) else {
        let (name, program) = PROGRAMS
            .into_iter()
            .find_map(|name| Some((name, installed(name)?)))
            .ok_or_else(|| {
                ManagedRefused(
                    "neither redis-server nor valkey-server is installed; install one \
                 (Debian: apt-get install redis-server), or set redis.url to a Redis you run"
                        .to_owned(),
                )
            })?;
        let written = create(&note).and_then(|mut file| file.write_all(name.as_bytes()));
        return written
            .map(|()| program)
            .map_err(|e| ManagedRefused(format!("{}: {e}", note.display())));
    };
    let before = before.trim();
    let program = PROGRAMS.contains(&before).then(|| installed(before)).flatten();
    program.ok_or_else(|| {
        ManagedRefused(format!(
            "the data in {} was written by {before}, which is not installed; install it again",
            data_dir.display()
        ))
    })
}

fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Services and cron jobs often have a short PATH.
    let short = ["/usr/bin", "/usr/local/bin", "/usr/sbin"].map(PathBuf::from);
    let mut places = std::env::split_paths(&path).chain(short);
    places.find_map(|place| Some(place.join(program)).filter(|candidate| candidate.is_file()))
}

/// Half of the memory that this process may use, in bytes.
pub(super) fn memory_limit() -> u64 {
    let cgroup = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let cgroup = cgroup.and_then(|text| text.trim().parse::<u64>().ok());
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let available = cgroup.into_iter().chain(total).min().unwrap_or(1 << 30);
    available / 2
}
