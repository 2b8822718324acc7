//! What is read of an answer at most.

use bytes::Bytes;
use h2::server::Builder;
use http::Response;

use super::super::{answered, call, status_of};
use super::frames::{END_HEADERS, HEADERS, Peer};
use super::{Server, answering, ok, two_to};
use crate::domain::outcome::Answer;

#[tokio::test]
async fn a_head_that_is_too_large_is_not_read_and_leaves_the_connection_usable() {
    let server = answering(Builder::new(), |_, request, mut respond| async move {
        let length = match &request.headers()["webhook-id"] {
            id if id == "sms_0" => 80 * 1024,
            id if id == "sms_1" => 60 * 1024,
            _ => return ok(respond),
        };
        let answer = Response::builder().header("x-large", "x".repeat(length)).body(()).unwrap();
        drop(respond.send_response(answer, true));
    })
    .await;
    let transport = two_to(server.at);
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    let large = transport.send(super::numbered(0)).await;
    let error =
        "the answer breaks the rules of HTTP/2, or its headers are too large (PROTOCOL_ERROR)";
    assert_eq!(large, Answer::Unknown { error: error.to_owned() });
    assert_eq!(status_of(&transport.send(super::numbered(1)).await), 200);
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn of_a_body_without_end_the_first_part_is_kept() {
    let server = answering(Builder::new(), |_, _, mut respond| async move {
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        loop {
            body.reserve_capacity(16 * 1024);
            match std::future::poll_fn(|cx| body.poll_capacity(cx)).await {
                Some(Ok(room)) => drop(body.send_data(Bytes::from(vec![b'x'; room]), false)),
                _ => return,
            }
        }
    })
    .await;
    let transport = two_to(server.at);
    for _ in 0..3 {
        let answer = transport.send(call("{}")).await;
        let Answer::Answered { status: 200, body, missing: Some(missing), .. } = &answer else {
            panic!("{answer:?}")
        };
        assert_eq!(body.len(), 4096);
        assert_eq!(missing, "it is longer than the 4KiB that are read");
    }
    assert_eq!(server.accepted(), 1, "each is withdrawn, and the connection stays");
}

#[tokio::test]
async fn interim_answers_come_to_an_end() {
    let server = Server::start(|stream, _| async move {
        let Some(mut peer) = Peer::greet(stream).await else { return };
        let (stream, _) = peer.request().await.unwrap();
        // `:status: 103`, with the name from the table
        let hint = [0x08, 3, b'1', b'0', b'3'];
        while peer.send(HEADERS, END_HEADERS, stream, &hint).await.is_some() {}
    })
    .await;
    let answer = two_to(server.at).send(call("{}")).await;
    let error = "the answer is not HTTP: it has interim answers (1xx) without end";
    assert_eq!(answer, Answer::Unknown { error: error.to_owned() });
}

#[tokio::test]
async fn a_few_interim_answers_are_passed_over() {
    let server = Server::start(|stream, _| async move {
        let Some(mut peer) = Peer::greet(stream).await else { return };
        let (stream, _) = peer.request().await.unwrap();
        let hint = [0x08, 3, b'1', b'0', b'3'];
        for _ in 0..3 {
            peer.send(HEADERS, END_HEADERS, stream, &hint).await.unwrap();
        }
        peer.answer(stream).await.unwrap();
        peer.read_to_close().await;
    })
    .await;
    assert_eq!(two_to(server.at).send(call("{}")).await, answered(200, "", None));
}
