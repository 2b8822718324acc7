//! A server that does to each connection exactly what a test wrote down.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A listener on loopback; everything it runs ends with it.
pub(super) struct Server {
    pub(super) at: SocketAddr,
    accepted: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Runs `script` on every connection; it gets the number of the connection, from 0.
    pub(super) async fn start<S, F>(script: S) -> Self
    where
        S: Fn(TcpStream, usize) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                connections.spawn(script(stream, number));
                while let Some(ended) = connections.try_join_next() {
                    ended.unwrap();
                }
            }
        });
        Self { at, accepted, tasks }
    }

    /// Answers every request on every connection with the same bytes.
    pub(super) async fn answering(response: &'static str) -> Self {
        Self::start(move |mut stream, _| async move {
            while read_request(&mut stream).await.is_some() {
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        })
        .await
    }

    /// Connections accepted so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Whether the script still runs: a panic in it would be lost otherwise.
    pub(super) fn assert_alive(&mut self) {
        assert!(self.tasks.try_join_next().is_none(), "the script of the server ended");
    }
}

/// One request as it came.
#[derive(Debug)]
pub(super) struct Seen {
    /// Request line and headers, names in lower case as they came.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Seen {
    /// The only value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, text)| text);
        let first = values.next();
        assert_eq!(values.next(), None, "{name} came twice");
        first
    }
}

/// Reads one request; nothing when the client closed.
pub(super) async fn read_request<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> Option<Seen> {
    let mut read = Vec::new();
    let head_len = loop {
        if let Some(at) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let mut seen = Seen { body: read.split_off(head_len), head: String::from_utf8(read).unwrap() };
    let length: usize = seen.header("content-length").expect("a length").parse().unwrap();
    while seen.body.len() < length {
        if stream.read_buf(&mut seen.body).await.ok()? == 0 {
            return None;
        }
    }
    assert_eq!(seen.body.len(), length, "more than one request at a time");
    Some(seen)
}

/// Reads until the client closes.
pub(super) async fn read_to_close(stream: &mut TcpStream) {
    let mut rest = [0; 1024];
    while matches!(stream.read(&mut rest).await, Ok(1..)) {}
}
