//! How calls share connections, and when there is more than one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use h2::server::Builder;
use parking_lot::Mutex;
use tokio::sync::{Barrier, mpsc};

use super::super::{answered, call, status_of, way_to};
use super::frames::Peer;
use super::{Server, answering, body_of, numbered, ok, two_to};
use crate::domain::endpoint::{HttpDownstream, Secret};
use crate::domain::policy::Downstream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_go_over_one_connection() {
    const CALLS: usize = 10_000;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let server = answering(Builder::new(), move |_, mut request, respond| {
        let noted = Arc::clone(&noted);
        async move {
            let body = body_of(&mut request).await.unwrap();
            noted.lock().push(body);
            ok(respond);
        }
    })
    .await;
    let transport = two_to(server.at);
    let answers: Vec<_> = futures_util::stream::iter(0..CALLS)
        .map(|number| transport.send(numbered(number)))
        .buffer_unordered(50)
        .collect()
        .await;
    assert!(answers.iter().all(|answer| *answer == answered(200, "ok", None)));
    let seen = seen.lock();
    assert_eq!((seen.len(), seen.iter().collect::<HashSet<_>>().len()), (CALLS, CALLS));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_request_has_the_form_of_its_version() {
    let (noted, mut seen) = mpsc::channel(1);
    let server = answering(Builder::new(), move |_, mut request, respond| {
        let noted = noted.clone();
        async move {
            let body = body_of(&mut request).await.unwrap();
            noted.send((request.map(drop), body)).await.unwrap();
            ok(respond);
        }
    })
    .await;
    let url = format!("http://us:er@{}/hook?a=1", server.at);
    let plain = HttpDownstream::of(&url);
    let access = crate::domain::access::Access {
        http: crate::domain::access::HttpVersion::Two,
        ..Default::default()
    };
    let http = HttpDownstream {
        access: Arc::new(access),
        signing_secrets: vec![Secret::new("hush".to_owned())],
        ..plain
    };
    let transport = way_to(&Downstream::Http(http)).unwrap();
    let mut message = call("{}");
    message.message_headers = vec![("X-Own".to_owned(), "1".to_owned())];
    assert_eq!(transport.send(message).await, answered(200, "ok", None));
    let (request, body) = seen.recv().await.unwrap();
    assert_eq!(request.uri().to_string(), format!("http://{}/hook?a=1", server.at));
    assert_eq!((request.method(), body.as_slice()), (&http::Method::POST, &b"{}"[..]));
    let headers = request.headers();
    let names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    for name in
        ["accept", "authorization", "content-length", "tidegate-queue", "webhook-id", "x-own"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    for name in ["host", "connection", "transfer-encoding"] {
        assert!(!names.contains(&name), "{name} in {names:?}");
    }
}

#[tokio::test]
async fn first_calls_at_once_share_one_connection() {
    const CALLS: usize = 50;
    let all_in = Arc::new(Barrier::new(CALLS));
    let server = answering(Builder::new(), move |_, _, respond| {
        let all_in = Arc::clone(&all_in);
        async move {
            all_in.wait().await;
            ok(respond);
        }
    })
    .await;
    let transport = two_to(server.at);
    let mut calls: FuturesUnordered<_> =
        (0..CALLS).map(|it| transport.send(numbered(it))).collect();
    while let Some(answer) = calls.next().await {
        assert_eq!(status_of(&answer), 200);
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_one_stream_gets_one_at_a_time() {
    const CALLS: usize = 200;
    let (running, most) = (Arc::new(Mutex::new([0_usize; 64])), Arc::new(AtomicUsize::new(0)));
    let (counts, largest) = (Arc::clone(&running), Arc::clone(&most));
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1);
    let server = answering(builder, move |number, _, respond| {
        let (counts, largest) = (Arc::clone(&counts), Arc::clone(&largest));
        async move {
            let now = {
                let mut counts = counts.lock();
                counts[number] += 1;
                counts[number]
            };
            largest.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
            counts.lock()[number] -= 1;
            ok(respond);
        }
    })
    .await;
    let transport = two_to(server.at);
    let mut calls: FuturesUnordered<_> =
        (0..CALLS).map(|it| transport.send(numbered(it))).collect();
    while let Some(answer) = calls.next().await {
        assert_eq!(answer, answered(200, "ok", None));
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
    assert!((2..=16).contains(&server.accepted()), "{} connections", server.accepted());
    drop(running);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let (closed, mut was_closed) = mpsc::channel(1);
    let server = Server::start(move |stream, _| {
        let closed = closed.clone();
        async move {
            let Some(mut peer) = Peer::greet(stream).await else { return };
            while let Some((stream, _)) = peer.request().await {
                peer.answer(stream).await.unwrap();
            }
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let transport = two_to(server.at);
    assert_eq!(transport.send(call("{}")).await, answered(200, "", None));
    assert_eq!(transport.send(call("{}")).await, answered(200, "", None));
    assert!(was_closed.try_recv().is_err(), "it is kept at first");
    tokio::time::pause();
    let waited = tokio::time::timeout(Duration::from_secs(60), was_closed.recv());
    assert_eq!(waited.await, Ok(Some(())), "and not for ever");
    tokio::time::resume();
    assert_eq!(transport.send(call("{}")).await, answered(200, "", None));
    assert_eq!(server.accepted(), 2);
    drop(transport);
    assert_eq!(was_closed.recv().await, Some(()), "it goes with the transport");
}
