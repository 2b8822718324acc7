//! Exchanges that come to nothing: what surely was not sent, and what may have been.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::server::{Server, read_request, read_to_close};
use super::{call, call_within, downstream, transport_to, way_to};
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;
use crate::transport::Call;

fn not_sent(error: &str) -> Answer {
    Answer::NotSent { error: error.to_owned(), is_local: false }
}

fn unknown(error: &str) -> Answer {
    Answer::Unknown { error: error.to_owned() }
}

#[tokio::test]
async fn refused_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(transport_to(at).send(call("{}")).await, not_sent("connection refused"));
}

#[tokio::test]
async fn an_unknown_name_is_not_sent() {
    let to = Downstream::Http(downstream("http://user:hush@nowhere.invalid/"));
    match way_to(&to).unwrap().send(call("{}")).await {
        Answer::NotSent { error, .. } => {
            assert!(error.starts_with("name not found: nowhere.invalid"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_past_deadline_sends_nothing() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let mut late = call("{}");
    late.deadline = Instant::now();
    let answer = transport_to(server.at).send(late).await;
    assert_eq!(answer, not_sent("no time was left for the call"));
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn what_cannot_be_put_on_the_wire_is_not_sent() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let mut odd = call("{}");
    odd.content_type = "text/plain\r\nx: y".to_owned();
    let answer = transport_to(server.at).send(odd).await;
    assert_eq!(
        answer,
        not_sent("header \"content-type\" cannot be sent: it has control characters")
    );
}

/// A listener whose queue is full leaves further connections hanging, like a dropping firewall.
#[tokio::test]
async fn a_connect_that_hangs_is_not_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let at = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(500), TcpStream::connect(at)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 64, "the queue never fills");
    }
    let answer = transport_to(at).send(call_within("{}", 700)).await;
    assert_eq!(answer, not_sent("no connection within 700ms"));
}

#[tokio::test]
async fn read_then_closed_is_unknown() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
    })
    .await;
    let answer = transport_to(server.at).send(call("{}")).await;
    assert_eq!(answer, unknown("the connection was closed before an answer came"));
    assert_eq!(server.accepted(), 1, "and is not repeated");
}

#[tokio::test]
async fn read_in_part_then_reset_is_unknown() {
    let server = Server::start(|mut stream, _| async move {
        let mut first = [0; 16];
        stream.read_exact(&mut first).await.unwrap();
        stream.set_zero_linger().unwrap();
    })
    .await;
    let answer = transport_to(server.at).send(call("{}")).await;
    assert_eq!(answer, unknown("connection reset"));
    assert_eq!(server.accepted(), 1, "and is not repeated");
}

/// Whether bytes had left when the close arrived is a race; each side of it has its truth.
#[tokio::test]
async fn accepted_and_closed_at_once_is_never_an_answer() {
    let server = Server::start(|stream, _| async move { drop(stream) }).await;
    let transport = transport_to(server.at);
    for _ in 0..50 {
        let answer = transport.send(call("{}")).await;
        assert!(matches!(answer, Answer::NotSent { .. } | Answer::Unknown { .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn never_answering_is_unknown_at_the_deadline() {
    let server =
        Server::start(|mut stream, _| async move { read_to_close(&mut stream).await }).await;
    let answer = transport_to(server.at).send(call_within("{}", 700)).await;
    assert_eq!(answer, unknown("no answer within 700ms"));
}

#[tokio::test]
async fn never_reading_is_unknown_at_the_deadline() {
    let server = Server::start(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    // Made first: the deadline counts from the call on.
    let body = vec![b'x'; 32 << 20].into();
    let large = Call { body, ..call_within("", 1500) };
    let answer = transport_to(server.at).send(large).await;
    assert_eq!(answer, unknown("no answer within 1s500ms"));
}

#[tokio::test]
async fn headers_that_trickle_end_at_the_deadline_and_the_status_counts() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
        let mut trickle = tokio::time::interval(Duration::from_millis(20));
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            trickle.tick().await;
        }
    })
    .await;
    let started = Instant::now();
    let answer = transport_to(server.at).send(call_within("{}", 700)).await;
    let Answer::Answered { status: 200, missing: Some(why), .. } = answer else {
        panic!("{answer:?}")
    };
    assert!(why.contains("did not come to its end in time"), "{why}");
    assert!(started.elapsed() < Duration::from_secs(10), "each byte must not buy more time");
}

/// What a server that says `response` and closes is taken for.
async fn answer_to(response: &'static [u8]) -> Answer {
    let server = Server::start(move |mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
        // Fails when the client has seen enough.
        drop(stream.write_all(response).await);
        read_to_close(&mut stream).await;
    })
    .await;
    transport_to(server.at).send(call("{}")).await
}

#[tokio::test]
async fn garbage_is_unknown() {
    let not_http = unknown("the answer is not HTTP");
    assert_eq!(answer_to(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n").await, not_http);
    assert_eq!(answer_to(b"\0\x01\x02\x03\r\n\r\n").await, not_http);
}

#[tokio::test]
async fn a_huge_status_line_is_unknown() {
    let long = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = answer_to(long.leak().as_bytes()).await;
    assert_eq!(answer, unknown("the headers of the answer are too large"));
}

#[tokio::test]
async fn half_a_head_counts_from_the_end_of_its_status_line_on() {
    let sent = |head: &'static str| async move {
        let server = Server::start(move |mut stream, _| async move {
            read_request(&mut stream).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
        })
        .await;
        transport_to(server.at).send(call("{}")).await
    };
    let answer = sent("HTTP/1.1 200 O").await;
    assert_eq!(answer, unknown("the connection was closed before an answer came"));
    for (head, expected, wait_ms) in [
        ("HTTP/1.1 200 OK\r\nContent-Le", 200, None),
        ("HTTP/1.1 401 T\r\nContent-Le", 401, None),
        ("HTTP/1.1 429 T\r\nRetry-After: 60\r\n", 429, Some(60_000)),
    ] {
        let answer = sent(head).await;
        let Answer::Answered { status, retry_after_ms, missing, .. } = answer else {
            panic!("{head}: {answer:?}")
        };
        assert_eq!((status, retry_after_ms), (expected, wait_ms), "{head}");
        assert!(missing.is_some_and(|why| why.contains("closed within its head")), "{head}");
    }
}
