//! Faults of one private redis-server, at will: its clock steps, its disk fills, its flushes are slow
//! or lie, its power goes.
//!
//! Owns the little library that the server loads (`faults.c`, compiled by the first test that asks)
//! and the file through which it is steered while it runs. Refuses to know what is stored. The
//! machine's own clock and disk are never touched.

use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const SOURCE: &str = include_str!("faults.c");
/// The fields of `struct control`, each eight bytes; then a table of (inode, synced length).
const CLOCK_US: u64 = 0;
const IS_DISK_FULL: u64 = 1;
const FSYNC_MS: u64 = 2;
const DOES_FSYNC_LIE: u64 = 3;
const REFUSED: u64 = 4;
const FLUSHED: u64 = 5;
const FLUSHING: u64 = 6;
const FILES: u64 = 8;
const FILES_MAX: u64 = 4094;

/// The faults of one server; none until told.
#[derive(Debug)]
pub(crate) struct Faults {
    path: PathBuf,
    control: File,
}

impl Faults {
    /// Faults steered through a new file in this folder.
    pub(crate) fn new(dir: &Path) -> Self {
        let path = dir.join("faults");
        let mut options = OpenOptions::new();
        let control = options.read(true).write(true).create(true).truncate(true).open(&path);
        let control = control.expect("the folder is ours");
        control.set_len((FILES + 2 * FILES_MAX) * 8).expect("the folder is ours");
        Self { path, control }
    }

    /// What the server's environment (or that of whoever starts it) has to say.
    pub(crate) fn environment(&self) -> [(String, String); 2] {
        let text = |path: &Path| path.to_str().expect("our paths are UTF-8").to_owned();
        [
            ("LD_PRELOAD".to_owned(), text(library())),
            ("FAULTS_CONTROL".to_owned(), text(&self.path)),
        ]
    }

    /// Sets the server's wall clock on (or back) by so many milliseconds, beside earlier steps.
    pub(crate) fn step_clock(&self, ms: i64) {
        let before = self.get(CLOCK_US).cast_signed();
        self.set(CLOCK_US, (before + ms * 1000).cast_unsigned());
    }

    /// While full, nothing more goes into the server's data files.
    pub(crate) fn fill_disk(&self, is_full: bool) {
        self.set(IS_DISK_FULL, u64::from(is_full));
    }

    /// Each flush takes so much longer; 0 also lets go of those under way.
    pub(crate) fn slow_fsync(&self, ms: u64) {
        self.set(FSYNC_MS, ms);
    }

    /// Flushes say yes and do nothing, as some disks do.
    pub(crate) fn lying_fsync(&self, lies: bool) {
        self.set(DOES_FSYNC_LIE, u64::from(lies));
    }

    /// How many writes found the disk full so far.
    pub(crate) fn writes_refused(&self) -> u64 {
        self.get(REFUSED)
    }

    /// How many flushes were really done so far.
    pub(crate) fn flushes(&self) -> u64 {
        self.get(FLUSHED)
    }

    /// Whether a flush is under way.
    pub(crate) fn is_flushing(&self) -> bool {
        self.get(FLUSHING) > 0
    }

    /// Cuts every data file below `dir` back to what was flushed: the server must be dead. A file that
    /// was never flushed is left empty.
    pub(crate) fn cut_to_flushed(&self, dir: &Path) {
        let synced: Vec<(u64, u64)> = (0..FILES_MAX)
            .map(|i| (self.get(FILES + 2 * i), self.get(FILES + 2 * i + 1)))
            .take_while(|(inode, _)| *inode != 0)
            .collect();
        for path in data_files(dir) {
            let file = OpenOptions::new().write(true).open(&path).expect("the folder is ours");
            let about = file.metadata().expect("an open file");
            let known = synced.iter().find(|(inode, _)| *inode == about.ino());
            let length = about.len().min(known.map_or(0, |(_, length)| *length));
            file.set_len(length).expect("the folder is ours");
        }
    }

    fn get(&self, field: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, field * 8).expect("as long as we made it");
        u64::from_ne_bytes(bytes)
    }

    fn set(&self, field: u64, value: u64) {
        self.control.write_all_at(&value.to_ne_bytes(), field * 8).expect("as long as we made it");
    }
}

/// The append-only files and snapshots of a data folder.
fn data_files(dir: &Path) -> Vec<PathBuf> {
    let is_data = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        [".aof", ".rdb", ".manifest"].iter().any(|end| name.ends_with(end))
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("the folder is ours").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(data_files(&path));
        } else if is_data(&path) {
            found.push(path);
        }
    }
    found
}

/// The compiled library: made once for each version of its source.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        SOURCE.hash(&mut hasher);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = folder.join(format!("faults-{:016x}.so", hasher.finish()));
        if !library.exists() {
            std::fs::create_dir_all(folder).expect("the target folder is ours");
            compile(&library);
        }
        library
    })
}

fn compile(library: &Path) {
    // Under a name of this process first: test binaries may run side by side.
    let [source, fresh] =
        ["c", "so"].map(|end| library.with_extension(format!("{}.{end}", std::process::id())));
    std::fs::write(&source, SOURCE).expect("the target folder is ours");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).args([&fresh, &source]);
    let done =
        cc.arg("-ldl").output().expect("a C compiler (cc) is on PATH, as Rust's linking needs");
    assert!(done.status.success(), "faults.c: {}", String::from_utf8_lossy(&done.stderr));
    std::fs::rename(&fresh, library).expect("the target folder is ours");
    std::fs::remove_file(&source).expect("written above");
}
