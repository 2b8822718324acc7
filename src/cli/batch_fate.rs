//! What became of the rows of a batch: counted, and the rejected ones kept with the reason.
//!
//! Owns the file of rejects. Refuses to know how rows are read and sent.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::batch_rows::Row;
use super::describe::count;
use super::exit::{Exit, Failure};

/// What became of the rows so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Stored now.
    pub(crate) accepted: u64,
    /// Of these, rows that took the place of a waiting message with their collapse key.
    pub(crate) collapsed: u64,
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
    reasons: Reasons,
}

impl Rejects {
    /// Removes what an earlier run has left: those rows are judged anew.
    pub(crate) fn new(path: PathBuf) -> Result<Self, Failure> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let what = format!("cannot replace {}: {error}", path.display());
                Err(Failure::new(Exit::Failure, what))
            }
            _ => Ok(Self { path, file: None, reasons: Reasons::default() }),
        }
    }

    /// Keeps a row with the reason, in a sentence and as a problem.
    pub(crate) fn write(
        &mut self,
        row: &Row,
        why: &str,
        problem: &impl Serialize,
    ) -> Result<(), Failure> {
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
        self.reasons.count(row.line, why);
        let problem = serde_json::to_string(problem)
            .map_err(|error| Failure::new(Exit::Failure, format!("cannot write JSON: {error}")))?;
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

    /// Why rows were rejected, each reason once, the commonest first.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.reasons.lines()
    }

    pub(crate) fn path_if_written(&self) -> Option<String> {
        self.file.as_ref().map(|_| self.path.display().to_string())
    }
}

/// Reasons that are told apart; what comes beyond is only counted.
const REASONS_MAX: usize = 100;
/// Reasons that are shown.
const REASONS_SHOWN: usize = 5;

/// Why rows were rejected.
#[derive(Debug, Default)]
struct Reasons {
    /// How many rows each reason has, and the line of the first.
    known: BTreeMap<String, (u64, u64)>,
    /// Rows with a reason that is not told apart.
    others: u64,
}

impl Reasons {
    fn count(&mut self, line: u64, reason: &str) {
        if let Some((rows, first)) = self.known.get_mut(reason) {
            (*rows, *first) = (*rows + 1, line.min(*first));
        } else if self.known.len() < REASONS_MAX {
            self.known.insert(reason.to_owned(), (1, line));
        } else {
            self.others += 1;
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut known: Vec<_> = self.known.iter().collect();
        known.sort_by_key(|(_, (rows, first))| (Reverse(*rows), *first));
        let (shown, rest) = known.split_at(known.len().min(REASONS_SHOWN));
        let line = |(reason, (rows, first)): &(&String, &(u64, u64))| match rows {
            1 => format!("line {first}: {reason}"),
            rows => format!("{rows} rows, the first in line {first}: {reason}"),
        };
        let mut lines: Vec<String> = shown.iter().map(line).collect();
        let more = self.others + rest.iter().map(|(_, (rows, _))| rows).sum::<u64>();
        if more > 0 {
            lines.push(format!("{} for other reasons", count(more, "row")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_said_once_the_commonest_first() {
        let mut reasons = Reasons::default();
        assert!(reasons.lines().is_empty());
        for (line, reason) in [(5, "not JSON"), (1, "unknown field"), (9, "unknown field")] {
            reasons.count(line, reason);
        }
        let lines = ["2 rows, the first in line 1: unknown field", "line 5: not JSON"];
        assert_eq!(reasons.lines(), lines);
        for line in 10..500 {
            reasons.count(line, &format!("{line} is too much"));
        }
        assert_eq!(reasons.lines().len(), REASONS_SHOWN + 1);
        assert_eq!(reasons.lines()[REASONS_SHOWN], "487 rows for other reasons");
        assert!(reasons.known.len() <= REASONS_MAX);
    }

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
