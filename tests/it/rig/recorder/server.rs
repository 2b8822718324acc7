//! The recorder's side of the wire: read, write down, answer.
//!
//! Owns the log: a line per message, handed to the kernel before anything leaves for the caller, so
//! that an arrival is known even if both sides die. Refuses to know queues beyond their number.

use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::value::RawValue;
use tidegate::shutdown::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{MOOD, Mood, PING};
use crate::rig::history::{Answer, Arrival, Life, body_hash};
use crate::rig::payload::key_in;
use crate::support::clocks::wall_us;
use crate::support::downstream::{Request, read_request};

/// The header by which a daemon says which life of which node it is.
pub(crate) const LIFE: &str = "rig-life";

struct Book {
    log: File,
    calls: u64,
    mood: Mood,
    seed: u64,
}

/// Serves until the process is ended.
pub(super) async fn run(port: u16, seed: u64, log: &Path) {
    let log = File::options().create(true).append(true).open(log).expect("the folder is ours");
    let book = Book { log, calls: 0, mood: Mood::GOOD, seed };
    let book = Arc::new(Mutex::new(book));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("a free port");
    let tasks = Tasks::new();
    while let Ok((stream, _)) = listener.accept().await {
        tasks.spawn("connection", serve(stream, Arc::clone(&book)));
    }
}

async fn serve(stream: TcpStream, book: Arc<Mutex<Book>>) {
    let _at_once = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    while let Ok(Some(request)) = read_request(&mut stream).await {
        let (answer, after_ms) = match request.path.as_str() {
            PING => (Answer::Taken, 0),
            MOOD => {
                let mood = serde_json::from_slice(&request.body).expect("a mood");
                book.lock().expect("nobody panics").mood = mood;
                (Answer::Taken, 0)
            }
            _ => book.lock().expect("nobody panics").write(&request),
        };
        if after_ms > 0 {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
        }
        if !give(&mut stream, answer).await {
            return;
        }
    }
}

impl Book {
    /// Writes a call down; says what it gets, and after how many milliseconds.
    fn write(&mut self, request: &Request) -> (Answer, u64) {
        let call = self.calls;
        self.calls += 1;
        let (answer, after_ms) = self.mood.answer(self.seed, call);
        let at_us = wall_us();
        let queue = request.path.trim_start_matches("/q/").parse().expect("the number of a queue");
        let arrival = |id: String, attempt: u32, body: &[u8]| Arrival {
            at_us,
            call,
            queue,
            id,
            key: key_in(body),
            attempt,
            body_hash: body_hash(body),
            by: life(request),
            answer,
            answer_at_us: at_us + after_ms * 1000,
        };
        let mut lines = Vec::new();
        let mut line = |arrival: &Arrival| {
            serde_json::to_writer(&mut lines, arrival).expect("an arrival is plain data");
            lines.push(b'\n');
        };
        if request.header("tidegate-batch-id").is_some() {
            let items: Vec<Item<'_>> = serde_json::from_slice(&request.body).expect("a batch");
            for item in items {
                line(&arrival(item.id, item.attempt, item.payload.get().as_bytes()));
            }
        } else {
            line(&arrival(request.id().to_owned(), request.attempt(), &request.body));
        }
        self.log.write_all(&lines).expect("the disk takes the log");
        (answer, after_ms)
    }
}

#[derive(serde::Deserialize)]
struct Item<'a> {
    id: String,
    attempt: u32,
    #[serde(borrow)]
    payload: &'a RawValue,
}

fn life(request: &Request) -> Life {
    let text = request.header(LIFE).expect("every daemon of a run says which life it is");
    let (node, boot) = text.split_once('.').expect("node.boot");
    Life { node: node.parse().expect("a number"), boot: boot.parse().expect("a number") }
}

/// Gives the answer; says whether the connection can take another call.
async fn give(stream: &mut BufReader<TcpStream>, answer: Answer) -> bool {
    let text = match answer {
        Answer::Taken => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        Answer::Garbage => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\u{fffd}}{[\"x\"",
        Answer::Failed => "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        Answer::Throttled => "HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
        Answer::TakenUnsaid | Answer::Unsaid => {
            // A reset, where closing would be an end.
            let _gone_already = stream.get_mut().set_zero_linger();
            return false;
        }
        Answer::Silence => {
            // Until the other side gives up.
            let _gone = stream.read_u8().await;
            return false;
        }
    };
    stream.get_mut().write_all(text.as_bytes()).await.is_ok()
}
