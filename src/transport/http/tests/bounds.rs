//! Downstreams that send without end: their call ends, and the thread's other work goes on meanwhile.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::server::{Server, read_request};
use super::{call, transport_to};
use crate::domain::outcome::Answer;

/// Longest that other work of the thread waits for its turn, on a busy machine too.
const STALL_MAX: Duration = Duration::from_millis(250);

/// What comes of a call at a server that says `begin` and then `again` without end. It runs on a thread of
/// its own, faster than it can be read.
fn answer_to_endless(begin: &str, again: &str) -> Answer {
    let (begin, again) = (begin.to_owned(), again.repeat((256 << 10) / again.len()));
    let (begin, again): (&str, &str) = (begin.leak(), again.leak());
    let (at, is_at) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let server = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(
            async {
                let server = Server::start(move |mut stream, _| async move {
                    read_request(&mut stream).await.unwrap();
                    stream.write_all(begin.as_bytes()).await.unwrap();
                    while stream.write_all(again.as_bytes()).await.is_ok() {}
                })
                .await;
                at.send(server.at).unwrap();
                drop(stopped.await);
            },
        );
    });
    let at = is_at.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let transport = transport_to(at);
        let mut exchange = JoinSet::new();
        exchange.spawn(async move { transport.send(call("{}")).await });
        let started = Instant::now();
        let mut looked = started;
        loop {
            tokio::select! {
                Some(answer) = exchange.join_next() => break answer.unwrap(),
                () = sleep(Duration::from_millis(1)) => {}
            }
            assert!(
                looked.elapsed() < STALL_MAX,
                "nobody else had a turn for {:?}",
                looked.elapsed()
            );
            assert!(started.elapsed() < Duration::from_secs(10), "the call does not end");
            looked = Instant::now();
        }
    });
    stop.send(()).unwrap();
    server.join().unwrap();
    answer
}

#[test]
fn interim_answers_without_end_are_not_http() {
    for again in [
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.0 199 x\n\n",
        "\r\n",
    ] {
        match answer_to_endless("", again) {
            Answer::Unknown { error } => {
                let said = error.starts_with("the answer is not HTTP")
                    || (again == "\r\n" && error == "the headers of the answer are too large");
                assert!(said, "{again}: {error}");
            }
            other => panic!("{again}: {other:?}"),
        }
    }
}

#[test]
fn a_head_without_end_counts_by_its_status() {
    for again in ["X-Again: x\r\n", "x"] {
        match answer_to_endless("HTTP/1.1 401 No\r\nX: ", again) {
            Answer::Answered { status: 401, missing: Some(_), .. } => {}
            other => panic!("{again}: {other:?}"),
        }
    }
}

#[test]
fn a_body_without_end_is_cut() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (begin, again) in [
        (chunked.to_owned(), "1\r\nx\r\n"),
        // A chunk's length may have zeros, blanks and extensions before and after it.
        (chunked.to_owned(), "0"),
        (format!("{chunked}1"), " "),
        (format!("{chunked}1;"), "x"),
        (chunked.to_owned(), "1;ext=\"12345678\"\r\nx\r\n"),
        // Trailers.
        (format!("{chunked}0\r\n"), "X: y\r\n"),
        (format!("{chunked}0\r\n"), "x"),
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), "x"),
        (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", u64::MAX - 2), "x"),
    ] {
        match answer_to_endless(&begin, again) {
            Answer::Answered { status: 200, missing: Some(_), .. } => {}
            other => panic!("{begin}{again}: {other:?}"),
        }
    }
}
