//! Requests that the other side says it has not begun with: each is made once more, and none is unknown.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;

use super::super::{answered, call};
use super::frames::{Peer, REFUSED_STREAM};
use super::{Server, numbered, two_to};
use crate::domain::outcome::Answer;

const NO_ERROR: u32 = 0;
/// The last stream of a first word that a shutdown is under way.
const ANY_STREAM: u32 = 0x7fff_ffff;

/// How often each request was begun with.
type Begun = Arc<Mutex<BTreeMap<String, usize>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_among_a_hundred_calls_loses_and_repeats_none() {
    const CALLS: usize = 100;
    let begun = Begun::default();
    let noted = Arc::clone(&begun);
    let server = Server::start(move |stream, number| {
        let noted = Arc::clone(&noted);
        async move {
            let Some(mut peer) = Peer::greet(stream).await else { return };
            let mut taken = 0;
            while let Some((stream, body)) = peer.request().await {
                if number < 3 && taken >= 20 {
                    continue;
                }
                taken += 1;
                *noted.lock().entry(body).or_default() += 1;
                if number < 3 && taken == 20 {
                    // Ours may have come in another order, but their numbers are in order.
                    peer.go_away(ANY_STREAM, NO_ERROR).await.unwrap();
                    peer.go_away(stream, NO_ERROR).await.unwrap();
                }
                peer.answer(stream).await.unwrap();
            }
        }
    })
    .await;
    let transport = two_to(server.at);
    let mut calls: FuturesUnordered<_> =
        (0..CALLS).map(|it| transport.send(numbered(it))).collect();
    while let Some(answer) = calls.next().await {
        assert_eq!(answer, answered(200, "", None));
    }
    let begun = begun.lock();
    assert_eq!(begun.len(), CALLS);
    assert!(begun.values().all(|times| *times == 1), "{begun:?}");
    assert_eq!(
        server.accepted(),
        4,
        "a connection for each shutdown, shared by all that were left out"
    );
}

/// The connection ends behind the last word, and with it the streams that were taken: those alone are unknown.
#[tokio::test]
async fn what_was_taken_and_not_answered_is_unknown() {
    let server = Server::start(move |stream, number| async move {
        let Some(mut peer) = Peer::greet(stream).await else { return };
        let mut streams = Vec::new();
        while let Some((stream, _)) = peer.request().await {
            streams.push(stream);
            if number > 0 {
                peer.answer(stream).await.unwrap();
            } else if streams.len() == 10 {
                streams.sort_unstable();
                peer.go_away(ANY_STREAM, NO_ERROR).await.unwrap();
                peer.go_away(streams[3], NO_ERROR).await.unwrap();
                peer.close().await;
                return;
            }
        }
    })
    .await;
    let transport = two_to(server.at);
    let mut calls: FuturesUnordered<_> = (0..10).map(|it| transport.send(numbered(it))).collect();
    let (mut good, mut unknown) = (0, 0);
    while let Some(answer) = calls.next().await {
        match answer {
            Answer::Answered { .. } => good += 1,
            Answer::Unknown { error } => {
                assert_eq!(error, "the connection was closed before an answer came");
                unknown += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((good, unknown), (6, 4));
}

#[tokio::test]
async fn a_refused_stream_is_tried_again_elsewhere() {
    let begun = Begun::default();
    let noted = Arc::clone(&begun);
    let server = Server::start(move |stream, number| {
        let noted = Arc::clone(&noted);
        async move {
            let Some(mut peer) = Peer::greet(stream).await else { return };
            while let Some((stream, body)) = peer.request().await {
                if number == 0 && stream != 1 {
                    peer.reset(stream, REFUSED_STREAM).await.unwrap();
                    continue;
                }
                *noted.lock().entry(body).or_default() += 1;
                peer.answer(stream).await.unwrap();
            }
        }
    })
    .await;
    let transport = two_to(server.at);
    for number in 0..5 {
        assert_eq!(transport.send(numbered(number)).await, answered(200, "", None));
    }
    assert!(begun.lock().len() == 5 && begun.lock().values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_server_that_refuses_everything_was_surely_sent_nothing() {
    let server = Server::start(move |stream, _| async move {
        let Some(mut peer) = Peer::greet(stream).await else { return };
        while let Some((stream, _)) = peer.request().await {
            peer.reset(stream, REFUSED_STREAM).await.unwrap();
        }
    })
    .await;
    let answer = two_to(server.at).send(call("{}")).await;
    let error = "the other side refused the request before it began with it (REFUSED_STREAM)";
    assert_eq!(answer, Answer::NotSent { error: error.to_owned(), is_local: false });
    assert!(server.accepted() <= 16);
}

/// It has been told in time, though the answer never came.
#[tokio::test]
async fn a_request_left_out_by_a_connection_that_stays_open_goes_elsewhere() {
    let server = Server::start(move |stream, number| async move {
        let Some(mut peer) = Peer::greet(stream).await else { return };
        while let Some((stream, _)) = peer.request().await {
            if number == 0 {
                peer.go_away(0, NO_ERROR).await.unwrap();
            } else {
                peer.answer(stream).await.unwrap();
            }
        }
    })
    .await;
    assert_eq!(two_to(server.at).send(call("{}")).await, answered(200, "", None));
    assert_eq!(server.accepted(), 2);
}
