//! A file of JSON lines that somebody else is still writing.
//!
//! Owns the place up to which it was read: whole lines only. Refuses to know what they say.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::marker::PhantomData;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// Reads what was added since the last time.
#[derive(Debug)]
pub(crate) struct Tail<T> {
    file: PathBuf,
    read_bytes: u64,
    lines: PhantomData<T>,
}

impl<T: DeserializeOwned> Tail<T> {
    pub(crate) fn of(file: PathBuf) -> Self {
        Self { file, read_bytes: 0, lines: PhantomData }
    }

    /// Every line that has been finished since.
    pub(crate) fn read(&mut self) -> Vec<T> {
        let Ok(mut file) = File::open(&self.file) else { return Vec::new() };
        file.seek(SeekFrom::Start(self.read_bytes)).expect("a plain file");
        let mut text = Vec::new();
        file.read_to_end(&mut text).expect("the file is readable");
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.read_bytes += whole as u64;
        let lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a line of ours")).collect()
    }
}
