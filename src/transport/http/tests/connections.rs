//! How connections are kept, shared and given up.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Barrier, mpsc};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::server::{Server, read_request, read_to_close};
use super::{answered, call, call_within, status_of, transport_to};
use crate::domain::outcome::Answer;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn one_connection_serves_call_after_call() {
    let mut server = Server::answering(OK).await;
    let transport = transport_to(server.at);
    for _ in 0..10 {
        assert_eq!(transport.clone().send(call("{}")).await, answered(200, "ok", None));
    }
    assert_eq!(server.accepted(), 1);
    server.assert_alive();
}

#[tokio::test]
async fn a_connection_that_is_to_close_is_not_used_again() {
    let server =
        Server::answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .await;
    let transport = transport_to(server.at);
    for _ in 0..3 {
        assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    }
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn transports_share_no_connections() {
    let server = Server::answering(OK).await;
    for _ in 0..2 {
        assert_eq!(transport_to(server.at).send(call("{}")).await, answered(200, "ok", None));
    }
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced() {
    let (noticed, mut was_noticed) = mpsc::channel(1);
    let server = Server::start(move |mut stream, number| {
        let noticed = noticed.clone();
        async move {
            while read_request(&mut stream).await.is_some() {
                stream.write_all(OK.as_bytes()).await.unwrap();
                if number == 0 {
                    stream.shutdown().await.unwrap();
                    read_to_close(&mut stream).await;
                    noticed.send(()).await.unwrap();
                    return;
                }
            }
        }
    })
    .await;
    let transport = transport_to(server.at);
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    was_noticed.recv().await.unwrap();
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let (closed, mut was_closed) = mpsc::channel(1);
    let server = Server::start(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            while read_request(&mut stream).await.is_some() {
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let transport = transport_to(server.at);
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    assert!(was_closed.try_recv().is_err(), "it is kept at first");
    tokio::time::pause();
    let waited = tokio::time::timeout(Duration::from_secs(60), was_closed.recv());
    assert_eq!(waited.await, Ok(Some(())), "and not for ever");
    tokio::time::resume();
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn calls_run_side_by_side() {
    const CALLS: usize = 20;
    let all_in = Arc::new(Barrier::new(CALLS));
    let server = Server::start(move |mut stream, _| {
        let all_in = Arc::clone(&all_in);
        async move {
            read_request(&mut stream).await.unwrap();
            all_in.wait().await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            read_to_close(&mut stream).await;
        }
    })
    .await;
    let transport = transport_to(server.at);
    let mut calls: FuturesUnordered<_> = (0..CALLS).map(|_| transport.send(call("{}"))).collect();
    while let Some(answer) = calls.next().await {
        assert_eq!(status_of(&answer), 200);
    }
    assert_eq!(server.accepted(), CALLS);
}

/// A late answer must never be taken for the answer to the next call.
#[tokio::test]
async fn a_connection_whose_call_timed_out_is_given_up() {
    let server = Server::start(|mut stream, number| async move {
        read_request(&mut stream).await.unwrap();
        if number == 0 {
            read_to_close(&mut stream).await;
        } else {
            stream.write_all(OK.as_bytes()).await.unwrap();
            read_to_close(&mut stream).await;
        }
    })
    .await;
    let transport = transport_to(server.at);
    let late = transport.send(call_within("{}", 700)).await;
    assert!(matches!(late, Answer::Unknown { .. }), "{late:?}");
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    assert_eq!(server.accepted(), 2);
}

/// The promise behind `on_uncertain = "park"`: whatever a server does and whenever a deadline falls,
/// a call that is said not to have been sent was never seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_is_never_called_not_sent() {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let seen_by_server = Arc::clone(&seen);
    let open = TaskTracker::new();
    let open_at_server = open.clone();
    let server = Server::start(move |mut stream, number| {
        let seen = Arc::clone(&seen_by_server);
        let still_open = open_at_server.token();
        async move {
            // Some connections close at once, the others after a few answers, without a word.
            for round in 0..number % 4 {
                let Some(request) = read_request(&mut stream).await else { break };
                let id = request.header("webhook-id").unwrap().to_owned();
                seen.lock().insert(id);
                if (number + round) % 3 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                if stream.write_all(OK.as_bytes()).await.is_err() {
                    break;
                }
            }
            drop((stream, still_open));
        }
    })
    .await;
    let transport = transport_to(server.at);
    let outcomes: Vec<(String, Answer)> = futures_util::stream::iter(0..2000_u64)
        .map(|number| {
            let mut call = call("{}");
            call.id = format!("sms_{number}");
            // Most deadlines fall into the exchange; some calls have time, on a slow machine too.
            if number % 50 != 49 {
                call.deadline = Instant::now() + Duration::from_micros(number % 50 * 60);
            }
            let id = call.id.clone();
            let transport = &transport;
            async move { (id, transport.send(call).await) }
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
    let seen = seen.lock();
    let (mut answered, mut unknown, mut not_sent) = (0, 0, 0);
    for (id, answer) in outcomes {
        match answer {
            Answer::Answered { .. } => answered += 1,
            Answer::Unknown { .. } => unknown += 1,
            Answer::NotSent { .. } | Answer::NotAllowed { .. } | Answer::Withheld { .. } => {
                not_sent += 1;
                assert!(!seen.contains(&id), "{id} was seen by the server: {answer:?}");
            }
        }
    }
    let tame = answered == 0 || unknown == 0 || not_sent == 0;
    assert!(!tame, "the chaos is too tame: {answered} {unknown} {not_sent}");
}
