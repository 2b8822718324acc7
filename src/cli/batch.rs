//! `send-batch`: a file of messages, in chunks, through trouble, each row once.
//!
//! Owns chunks, rejected rows and the summary. Refuses to know what a row is (`batch_rows`) and how
//! a chunk gets through (`batch_send`).

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Session;
use super::args_messages::SendBatchArgs;
use super::batch_rows::{Row, Rows};
use super::batch_send::Sender;
use super::exit::{Exit, Failure};
use super::progress::Progress;

/// Rows in one request: enough to make round trips cheap, few enough for progress to be seen.
const CHUNK_ROWS_MAX: usize = 1000;
/// No row is added to a request of so many bytes: daemon and command hold that without thinking.
const CHUNK_BYTES_ENOUGH: usize = 8 << 20;

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
    fn rows(&self) -> u64 {
        self.accepted + self.duplicates + self.rejected
    }
}

/// `send-batch`.
pub(crate) async fn send_batch(
    args: &SendBatchArgs,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let name = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unreadable =
        |error| Failure::usage(format!("cannot read {}: {error}", args.file.display()));
    let file = File::open(&args.file).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let mut rows = Rows::new(BufReader::with_capacity(1 << 20, file), &name);
    let mut rejects = Rejects::new(rejects_path(&args.file))?;
    let progress = Progress::new(&session.screen, bytes);
    let mut sender = Sender::new(&args.queue, progress);
    let sent = loop {
        let chunk = match next_chunk(&mut rows, &mut rejects, &mut sender.tally) {
            Ok(chunk) if chunk.is_empty() => break Ok(()),
            Ok(chunk) => chunk,
            Err(failure) => break Err(failure),
        };
        if let Err(failure) = sender.send(chunk, &mut rejects, session).await {
            break Err(failure);
        }
        sender.show(rows.bytes_read, session)?;
    };
    sender.progress.clear();
    rejects.flush()?;
    if let Err(mut failure) = sent {
        failure.details.push(format!("{} rows are settled so far", sender.tally.rows()));
        failure.details.extend(rejects.path_if_written().map(|path| format!("rejected: {path}")));
        return Err(failure);
    }
    summary(&sender.tally, &rejects, session)
}

/// The next rows that are messages; those that are none are rejected on the way. Empty: the end.
fn next_chunk(
    rows: &mut Rows<impl std::io::BufRead>,
    rejects: &mut Rejects,
    tally: &mut Tally,
) -> Result<Vec<Row>, Failure> {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while chunk.len() < CHUNK_ROWS_MAX && bytes < CHUNK_BYTES_ENOUGH {
        let row =
            rows.next().map_err(|error| Failure::usage(format!("cannot read on: {error}")))?;
        let Some(row) = row else { break };
        match &row.message {
            Ok(message) => {
                bytes += message.len();
                chunk.push(row);
            }
            Err(why) => {
                rejects.write(&row, &json!({ "code": "invalid-request", "detail": why }))?;
                tally.rejected += 1;
            }
        }
    }
    Ok(chunk)
}

fn summary(tally: &Tally, rejects: &Rejects, session: &mut Session) -> Result<Exit, Failure> {
    let path = rejects.path_if_written();
    if session.screen.is_json() {
        session.screen.json(&json!({
            "accepted": tally.accepted, "duplicates": tally.duplicates,
            "rejected": tally.rejected, "rejects_file": path,
        }))?;
    } else {
        let mut pairs = vec![
            ("accepted".to_owned(), tally.accepted.to_string()),
            ("duplicates".to_owned(), tally.duplicates.to_string()),
            ("rejected".to_owned(), tally.rejected.to_string()),
        ];
        pairs.extend(path.map(|path| ("rejects".to_owned(), path)));
        session.screen.pairs(pairs)?;
    }
    Ok(if tally.rejected > 0 { Exit::Failure } else { Exit::Ok })
}

/// `orders.ndjson` → `orders.rejects.ndjson`.
fn rejects_path(file: &Path) -> PathBuf {
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
}

impl Rejects {
    /// Removes what an earlier run has left: those rows are judged anew.
    fn new(path: PathBuf) -> Result<Self, Failure> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let what = format!("cannot replace {}: {error}", path.display());
                Err(Failure::new(Exit::Failure, what))
            }
            _ => Ok(Self { path, file: None }),
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
        writeln!(file, "{{\"line\":{},\"row\":{text},\"problem\":{problem}}}", row.line)
            .map_err(failed)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.file.as_mut().map_or(Ok(()), Write::flush);
        flushed.map_err(|error| {
            let what = format!("cannot write {}: {error}", self.path.display());
            Failure::new(Exit::Failure, what)
        })
    }

    fn path_if_written(&self) -> Option<String> {
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
