//! What became of the rows of a batch: counted, and the rejected ones kept with the reason.
//!
//! Owns the file of rejects. Refuses to know how rows are read and sent.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_json::value::RawValue;

use super::batch_rows::Row;
use super::exit::{Exit, Failure};

/// What became of the rows so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Stored now.
    pub(crate) accepted: u64,
    /// Stored before, with the same key.
    pub(crate) duplicates: u64,
    /// Refused.
    pub(crate) rejected: u64,
}

impl Tally {
    /// Rows whose fate is known.
    pub(crate) fn rows(&self) -> u64 {
        self.accepted + self.duplicates + self.rejected
    }
}

/// `orders.ndjson` → `orders.rejects.ndjson`.
pub(crate) fn rejects_path(file: &Path) -> PathBuf {
    let is_ndjson = file.extension().is_some_and(|extension| extension == "ndjson");
    let stem = if is_ndjson { file.file_stem() } else { file.file_name() };
    let mut name = stem.unwrap_or_default().to_owned();
    name.push(".rejects.ndjson");
    file.with_file_name(name)
}

/// The file of rejected rows; it exists only if there are some.
pub(crate) struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    /// Why the first row was rejected, with its line.
    first: Option<String>,
}

impl Rejects {
    /// Removes what an earlier run has left: those rows are judged anew.
    pub(crate) fn new(path: PathBuf) -> Result<Self, Failure> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let what = format!("cannot replace {}: {error}", path.display());
                Err(Failure::new(Exit::Failure, what))
            }
            _ => Ok(Self { path, file: None, first: None }),
        }
    }

    /// Keeps a row with the reason.
    pub(crate) fn write(&mut self, row: &Row, problem: &Value) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            let what = format!("cannot write {}: {error}", self.path.display());
            Failure::new(Exit::Failure, what).next("make the folder writable, and run it again")
        };
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(BufWriter::new(File::create(&self.path).map_err(failed)?)),
        };
        // A row that is JSON stays as it is; any other line is kept as a string.
        let text = match serde_json::from_str::<&RawValue>(&row.text) {
            Ok(json) => json.get().to_owned(),
            Err(_) => Value::from(row.text.as_str()).to_string(),
        };
        let detail = problem["errors"][0]["detail"].as_str().or_else(|| problem["detail"].as_str());
        self.first.get_or_insert_with(|| {
            format!("line {}: {}", row.line, detail.unwrap_or("the row was refused"))
        });
        writeln!(file, "{{\"line\":{},\"row\":{text},\"problem\":{problem}}}", row.line)
            .map_err(failed)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.file.as_mut().map_or(Ok(()), Write::flush);
        flushed.map_err(|error| {
            let what = format!("cannot write {}: {error}", self.path.display());
            Failure::new(Exit::Failure, what)
        })
    }

    /// Why the first row was rejected, if any was.
    pub(crate) fn first_reason(&self) -> Option<String> {
        self.first.clone()
    }

    pub(crate) fn path_if_written(&self) -> Option<String> {
        self.file.as_ref().map(|_| self.path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_lie_beside_the_file() {
        for (file, rejects) in [
            ("orders.ndjson", "orders.rejects.ndjson"),
            ("/a/b.c.ndjson", "/a/b.c.rejects.ndjson"),
            ("dir/orders.txt", "dir/orders.txt.rejects.ndjson"),
        ] {
            assert_eq!(rejects_path(Path::new(file)), Path::new(rejects));
        }
    }
}
