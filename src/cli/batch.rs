//! `send-batch`: a file of messages, in chunks, through trouble, each row once.
//!
//! Owns chunks and the summary. Refuses to know what a row is (`batch_rows`), how a chunk gets through
//! (`batch_send`) and what is kept of the rejected (`batch_fate`).

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::json;

use super::Session;
use super::args_messages::SendBatchArgs;
use super::batch_fate::{Rejects, Tally, rejects_path};
use super::batch_rows::{Row, Rows};
use super::batch_send::Sender;
use super::exit::{Exit, Failure};
use super::progress::Progress;
use crate::wire::Vocabulary as _;
use crate::wire::problem::ProblemCode;

/// Rows in one request: enough to make round trips cheap, few enough for progress to be seen.
const CHUNK_ROWS_MAX: usize = 1000;
/// No row is added to a request of so many bytes: daemon and command hold that without thinking.
const CHUNK_BYTES_ENOUGH: usize = 8 << 20;

/// `send-batch`.
pub(crate) async fn send_batch(
    args: &SendBatchArgs,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let name = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unreadable = |error| {
        let file = args.file.display();
        let failure = Failure::usage(format!("cannot read {file}: {error}"));
        if Path::new(&args.queue).is_file() {
            let right = format!("tidegate send-batch {file} {}", args.queue);
            return failure.next(format!("the queue comes before the file: `{right}`"));
        }
        failure.next("name a file with one message object on each line")
    };
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
                let code = ProblemCode::InvalidRequest.word();
                rejects.write(&row, why, &json!({ "code": code, "detail": why }))?;
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
            "accepted": tally.accepted, "collapsed": tally.collapsed, "duplicates": tally.duplicates,
            "rejected": tally.rejected, "rejects_file": path,
        }))?;
    } else {
        let collapsed = match tally.collapsed {
            0 => String::new(),
            rows => format!(
                ", {rows} of them in the place of a waiting message with the same collapse key"
            ),
        };
        let mut pairs = vec![
            ("accepted".to_owned(), format!("{}{collapsed}", tally.accepted)),
            ("duplicates".to_owned(), tally.duplicates.to_string()),
            ("rejected".to_owned(), tally.rejected.to_string()),
        ];
        pairs.extend(
            rejects
                .reasons()
                .into_iter()
                .enumerate()
                .map(|(n, why)| (if n == 0 { "reason".to_owned() } else { String::new() }, why)),
        );
        pairs.extend(path.map(|path| ("rejects".to_owned(), path)));
        session.screen.pairs(&pairs)?;
    }
    Ok(if tally.rejected > 0 { Exit::Failure } else { Exit::Ok })
}
