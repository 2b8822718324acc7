//! Answers that come before the request has all been read, and closes right behind them.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use super::server::Server;
use super::{call, transport_to};
use crate::domain::outcome::Answer;

const ROUNDS: usize = 40;
const LARGE: usize = 5 << 20;

/// What comes of large calls at a server that reads so many bytes, says `response`, and closes with the
/// rest unread: to the caller, that is a reset.
async fn assert_seen(reads: usize, response: &'static str, expected: (u16, &str)) {
    let server = Server::start(move |mut stream, number| async move {
        let mut first = vec![0; reads];
        stream.read_exact(&mut first).await.unwrap();
        if number % 2 == 1 {
            // The caller has filled all buffers meanwhile, and waits to write on.
            sleep(Duration::from_millis(5)).await;
        }
        stream.write_all(response.as_bytes()).await.unwrap();
    })
    .await;
    let transport = transport_to(server.at);
    for round in 0..ROUNDS {
        let mut large = call("");
        large.body = Bytes::from(vec![b'x'; LARGE]);
        match transport.send(large).await {
            Answer::Answered { status, body, .. } => {
                assert_eq!((status, &body[..]), (expected.0, expected.1.as_bytes()), "{round}");
            }
            other => panic!("round {round}, {reads} bytes read: {other:?}"),
        }
    }
    assert_eq!(server.accepted(), ROUNDS, "no call was repeated and no connection used again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_seen_although_the_connection_is_reset_behind_it() {
    for reads in [1, 100, 100_000, 3 << 20] {
        let refusal = "HTTP/1.1 422 No\r\nContent-Length: 7\r\n\r\ntoo big";
        assert_seen(reads, refusal, (422, "too big")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_without_a_length() {
    assert_seen(100, "HTTP/1.1 413 No\r\nConnection: close\r\n\r\n", (413, "")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_without_an_answer_is_unknown() {
    let server = Server::start(move |mut stream, _| async move {
        stream.read_exact(&mut [0; 100]).await.unwrap();
    })
    .await;
    let transport = transport_to(server.at);
    for round in 0..ROUNDS {
        let mut large = call("");
        large.body = Bytes::from(vec![b'x'; LARGE]);
        match transport.send(large).await {
            Answer::Unknown { error } => assert!(error.starts_with("connection "), "{error}"),
            other => panic!("round {round}: {other:?}"),
        }
    }
}
