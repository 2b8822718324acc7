//! The recorder's side of the wire: read, have it written down, answer.
//!
//! Owns the connections. What was written down is with the kernel before anything leaves for the caller, so
//! that an arrival is known even if both sides die. Refuses to know what a request means.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::shutdown::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::book::{Book, Given};
use super::{MOOD, PING};
use crate::rig::history::Answer;
use crate::support::downstream::read_request;

/// Serves until the process is ended.
pub(super) async fn run(port: u16, seed: u64, folder: &Path) {
    let book = Arc::new(Mutex::new(Book::open(folder, seed)));
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
        let given = match request.path.as_str() {
            PING => Given::at_once(),
            MOOD => {
                let mood = serde_json::from_slice(&request.body).expect("a mood");
                book.lock().expect("nobody panics").mood = mood;
                Given::at_once()
            }
            _ => book.lock().expect("nobody panics").write(&request),
        };
        if given.after_ms > 0 {
            tokio::time::sleep(Duration::from_millis(given.after_ms)).await;
        }
        if !give(&mut stream, &given).await {
            return;
        }
    }
}

/// Gives the answer; says whether the connection can take another call.
async fn give(stream: &mut BufReader<TcpStream>, given: &Given) -> bool {
    let head = match given.answer {
        Answer::Taken => given.taken.as_str(),
        Answer::Garbage => {
            let text = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\u{fffd}}{[\"x\"";
            return stream.get_mut().write_all(text.as_bytes()).await.is_ok();
        }
        Answer::Failed => "500 No",
        Answer::Throttled => "429 No\r\nRetry-After: 1",
        Answer::Refused => "422 No",
        Answer::TakenUnsaid | Answer::Unsaid => {
            // A reset, where closing would be an end.
            let _gone_already = stream.get_mut().set_zero_linger();
            return false;
        }
        Answer::Silence | Answer::TakenSilence => {
            // Until the other side gives up.
            let _gone = stream.read_u8().await;
            return false;
        }
    };
    let text = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
    stream.get_mut().write_all(text.as_bytes()).await.is_ok()
}
