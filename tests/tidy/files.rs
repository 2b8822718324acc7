//! The files of the house, and how faults are reported.

use std::path::{Path, PathBuf};

/// A file of the house, by its path from the root.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) text: String,
}

pub(crate) fn files_below(folders: &[&str], extension: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.expect("the folder is readable").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let name = path.strip_prefix(root()).expect("below the root").display().to_string();
                found.push(File { text: read(&name), name });
            }
        }
    }
    found
}

pub(crate) fn read(name: &str) -> String {
    let text = std::fs::read_to_string(root().join(name));
    assert!(text.is_ok(), "{name}: {text:?}");
    text.unwrap_or_default()
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
pub(crate) fn no_faults(faults: impl Iterator<Item = String>) {
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty(), "\n  {}\n", faults.join("\n  "));
}
