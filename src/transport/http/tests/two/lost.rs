//! Connections and streams that end without an answer, and what is certain then.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use h2::server::Builder;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::super::server::read_to_close;
use super::super::{answered, call, call_within};
use super::frames::{
    CANCEL, DATA, END_HEADERS, END_STREAM, HEADERS, Peer, RST_STREAM, STATUS_200, WINDOW_UPDATE,
};
use super::{Server, answering, numbered, ok, two_to};
use crate::domain::outcome::Answer;

fn unknown(error: &str) -> Answer {
    Answer::Unknown { error: error.to_owned() }
}

#[tokio::test]
async fn a_connection_that_was_closed_between_calls_is_replaced() {
    let (closed, mut was_closed) = mpsc::channel(1);
    let server = Server::start(move |stream, number| {
        let closed = closed.clone();
        async move {
            let Some(mut peer) = Peer::greet(stream).await else { return };
            while let Some((stream, _)) = peer.request().await {
                peer.answer(stream).await.unwrap();
                if number % 2 == 0 {
                    // Without a word of HTTP/2.
                    peer.close().await;
                    closed.send(()).await.unwrap();
                    return;
                }
            }
        }
    })
    .await;
    let transport = two_to(server.at);
    for _ in 0..20 {
        assert_eq!(transport.send(call("{}")).await, answered(200, "", None));
        if server.accepted() % 2 == 1 {
            was_closed.recv().await.unwrap();
        }
        // The next request finds it closed whether or not the runtime has looked at the socket.
    }
}

#[tokio::test]
async fn whatever_else_ends_a_stream_is_unknown() {
    for (code, error) in [
        (CANCEL, "the other side ended the exchange (CANCEL)"),
        (0, "the other side ended the exchange (NO_ERROR)"),
        (13, "the other side wants HTTP/1.1 for this; set downstream.http = \"1.1\""),
    ] {
        let server = Server::start(move |stream, _| async move {
            let Some(mut peer) = Peer::greet(stream).await else { return };
            while let Some((stream, _)) = peer.request().await {
                peer.reset(stream, code).await.unwrap();
            }
        })
        .await;
        let transport = two_to(server.at);
        for _ in 0..2 {
            assert_eq!(transport.send(call("{}")).await, unknown(error));
        }
        assert_eq!(server.accepted(), 1, "the connection is as good as before");
    }
    let server = Server::start(|stream, _| async move {
        let mut peer = Peer::greet(stream).await.unwrap();
        peer.request().await.unwrap();
        peer.go_away(1, 11).await.unwrap();
        peer.close().await;
    })
    .await;
    let error = "the connection was closed before an answer came";
    assert_eq!(two_to(server.at).send(call("{}")).await, unknown(error));
}

#[tokio::test]
async fn an_answer_that_is_complete_stands() {
    let server = Server::start(|stream, _| async move {
        let mut peer = Peer::greet(stream).await.unwrap();
        // A part of the body is enough to refuse it.
        loop {
            let frame = peer.frame().await.unwrap();
            if frame.kind == DATA {
                // `:status: 413`, with the name from the table
                let refusal = [0x08, 3, b'4', b'1', b'3'];
                peer.send(HEADERS, END_HEADERS, frame.stream, &refusal).await.unwrap();
                peer.send(DATA, END_STREAM, frame.stream, b"too large").await.unwrap();
                peer.reset(frame.stream, 0).await.unwrap();
                // What has come of the large body is room for others again.
                peer.send(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes()).await.unwrap();
                break;
            }
        }
        while let Some((stream, _)) = peer.request().await {
            peer.answer(stream).await.unwrap();
        }
    })
    .await;
    let transport = two_to(server.at);
    let mut large = call("");
    large.body = Bytes::from(vec![b'x'; 5 << 20]);
    assert_eq!(transport.send(large).await, answered(413, "too large", None));
    assert_eq!(transport.send(call("{}")).await, answered(200, "", None));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_body_that_is_cut_leaves_its_status() {
    for is_reset in [true, false] {
        let server = Server::start(move |stream, _| async move {
            let mut peer = Peer::greet(stream).await.unwrap();
            let (stream, _) = peer.request().await.unwrap();
            peer.send(HEADERS, END_HEADERS, stream, STATUS_200).await.unwrap();
            peer.send(DATA, 0, stream, b"half").await.unwrap();
            if is_reset {
                peer.reset(stream, CANCEL).await.unwrap();
                peer.read_to_close().await;
            } else {
                peer.close().await;
            }
        })
        .await;
        let answer = two_to(server.at).send(call("{}")).await;
        let Answer::Answered { status: 200, body, missing: Some(missing), .. } = &answer else {
            panic!("{answer:?}")
        };
        assert_eq!(&body[..], b"half");
        assert!(missing.starts_with("it broke off: "), "{missing}");
    }
}

#[tokio::test]
async fn a_call_whose_time_is_over_is_withdrawn_and_a_dead_connection_is_given_up() {
    let (noted, mut withdrawn) = mpsc::channel(8);
    let server = Server::start(move |stream, number| {
        let noted = noted.clone();
        async move {
            let Some(mut peer) = Peer::greet(stream).await else { return };
            while let Some(frame) = peer.frame().await {
                if frame.kind == RST_STREAM {
                    noted.send((number, frame.stream, frame.payload)).await.unwrap();
                }
                if frame.kind == HEADERS && (number > 0 || frame.stream == 1) {
                    peer.answer(frame.stream).await.unwrap();
                }
            }
        }
    })
    .await;
    let transport = two_to(server.at);
    assert_eq!(transport.send(call("{}")).await, answered(200, "", None));
    // Nothing comes on that connection any more.
    let late = transport.send(call_within("{}", 300)).await;
    assert_eq!(late, unknown("no answer within 300ms"));
    assert_eq!(withdrawn.recv().await, Some((0, 3, CANCEL.to_be_bytes().to_vec())));
    assert_eq!(transport.send(call("{}")).await, answered(200, "", None));
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn one_slow_answer_does_not_cost_the_connection() {
    let server = answering(Builder::new(), |_, request, respond| async move {
        if request.headers()["webhook-id"] == "sms_0" {
            let mut respond = respond;
            drop(std::future::poll_fn(|cx| respond.poll_reset(cx)).await);
            return;
        }
        ok(respond);
    })
    .await;
    let transport = two_to(server.at);
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    let mut slow = numbered(0);
    slow.deadline = Instant::now() + Duration::from_millis(500);
    let others = async {
        for number in 1..20 {
            assert_eq!(transport.send(numbered(number)).await, answered(200, "ok", None));
        }
    };
    let (late, ()) = tokio::join!(transport.send(slow), others);
    assert_eq!(late, unknown("no answer within 500ms"));
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_server_of_another_version_was_surely_sent_nothing() {
    let server = Server::start(|mut stream, _| async move {
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        read_to_close(&mut stream).await;
    })
    .await;
    let answer = two_to(server.at).send(call("{}")).await;
    let error = "the other side speaks HTTP/1.1 alone; set downstream.http = \"auto\"".to_owned();
    assert_eq!(answer, Answer::NotSent { error, is_local: false });
    let silent =
        Server::start(|mut stream, _| async move { read_to_close(&mut stream).await }).await;
    let answer = two_to(silent.at).send(call_within("{}", 300)).await;
    let error = "no connection within 300ms".to_owned();
    assert_eq!(answer, Answer::NotSent { error, is_local: false });
}

/// The promise behind `on_uncertain = "park"`: whatever a server does and whenever a deadline falls,
/// a call that is said not to have been sent was never begun with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_begun_is_never_called_not_sent() {
    let begun = Arc::new(Mutex::new(HashSet::new()));
    let noted = Arc::clone(&begun);
    let open = TaskTracker::new();
    let open_at_server = open.clone();
    let server = Server::start(move |stream, number| {
        let noted = Arc::clone(&noted);
        let still_open = open_at_server.token();
        async move {
            let Some(mut peer) = Peer::greet(stream).await else { return };
            let mut last = 0;
            // Some connections end at once, others after a few answers, with a last word or without.
            for round in 0..number % 23 {
                let Some((stream, body)) = peer.request().await else { break };
                if (number + round) % 7 == 6 {
                    if peer.reset(stream, 7).await.is_none() {
                        break;
                    }
                    continue;
                }
                noted.lock().insert(body);
                last = last.max(stream);
                if (number + round) % 3 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                if (number + round) % 11 != 5 && peer.answer(stream).await.is_none() {
                    break;
                }
            }
            if number % 2 == 0 {
                peer.go_away(last, 0).await;
            }
            drop((peer, still_open));
        }
    })
    .await;
    let transport = two_to(server.at);
    let outcomes: Vec<(usize, Answer)> = futures_util::stream::iter(0..4000_usize)
        .map(|number| {
            let mut call = numbered(number);
            // Most deadlines fall into the exchange; some calls have time, on a slow machine too.
            let micros = if number % 50 == 49 { 500_000 } else { number as u64 % 50 * 60 };
            call.deadline = Instant::now() + Duration::from_micros(micros);
            let transport = &transport;
            async move { (number, transport.send(call).await) }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    drop(transport);
    // Connections are accepted in order: once this last one is, and all have ended, nothing can
    // arrive any more.
    let mut last = TcpStream::connect(server.at).await.unwrap();
    last.shutdown().await.unwrap();
    read_to_close(&mut last).await;
    open.close();
    open.wait().await;
    let begun = begun.lock();
    let (mut answered, mut unknown, mut not_sent) = (0, 0, 0);
    for (number, answer) in outcomes {
        match answer {
            Answer::Answered { .. } => answered += 1,
            Answer::Unknown { .. } => unknown += 1,
            Answer::NotSent { .. } | Answer::NotAllowed { .. } | Answer::Withheld { .. } => {
                not_sent += 1;
                let was_begun = begun.contains(&number.to_string());
                assert!(!was_begun, "{number} was begun with by the server: {answer:?}");
            }
        }
    }
    let tame = answered == 0 || unknown == 0 || not_sent == 0;
    assert!(!tame, "the chaos is too tame: {answered} {unknown} {not_sent}");
}
