//! What is made of answers that arrive.

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::server::{Seen, Server, read_request, read_to_close};
use super::{answered, call, call_within, status_of, transport_to, way_to};
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;
use crate::domain::protocol::Protocol;

/// The answer to one call at a server that says `response`.
async fn answer_to(response: &'static str) -> Answer {
    let server = Server::answering(response).await;
    transport_to(server.at).send(call("{}")).await
}

/// A server that shows what it was sent and answers 204.
async fn showing() -> (Server, mpsc::Receiver<Seen>) {
    let (tx, rx) = mpsc::channel(16);
    let server = Server::start(move |mut stream, _| {
        let tx = tx.clone();
        async move {
            while let Some(seen) = read_request(&mut stream).await {
                tx.send(seen).await.unwrap();
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    (server, rx)
}

#[tokio::test]
async fn null_takes_everything() {
    let answer = way_to(&Downstream::Null).unwrap().send(call("{}")).await;
    assert!(
        matches!(answer, Answer::Answered { protocol: Protocol::Null, status: 200, .. }),
        "{answer:?}"
    );
}

#[tokio::test]
async fn the_request_on_the_wire() {
    let (server, mut seen) = showing().await;
    let answer = transport_to(server.at).send(call("{\"a\": 1}")).await;
    assert_eq!(answer, answered(204, "", None));
    let seen = seen.recv().await.unwrap();
    assert!(seen.head.starts_with("POST /hook?a=1 HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.body, b"{\"a\": 1}");
    assert_eq!(seen.header("host"), Some(server.at.to_string().as_str()));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("idempotency-key"), Some("sms_01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    assert_eq!(seen.header("webhook-id"), Some("sms_01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    assert_eq!(seen.header("webhook-timestamp"), Some("1763640000"));
    assert_eq!(seen.header("webhook-signature"), None);
    assert_eq!(seen.header("tidegate-queue"), Some("sms"));
    let agent = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
    assert_eq!(seen.header("user-agent"), Some(agent));
}

#[tokio::test]
async fn an_empty_payload_is_an_empty_body() {
    let (server, mut seen) = showing().await;
    assert_eq!(status_of(&transport_to(server.at).send(call("")).await), 204);
    let seen = seen.recv().await.unwrap();
    assert_eq!((seen.header("content-length"), seen.body.as_slice()), (Some("0"), &b""[..]));
}

#[tokio::test]
async fn a_body_and_its_type() {
    let answer = answer_to(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\ntrue",
    )
    .await;
    let expected = Answer::Answered {
        protocol: Protocol::Http,
        status: 200,
        retry_after_ms: None,
        content_type: Some("application/json".to_owned()),
        encoding: None,
        body: Bytes::from_static(b"true"),
        pending: None,
        missing: None,
    };
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn chunks_become_one_body() {
    let answer = answer_to(
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
    )
    .await;
    assert_eq!(answer, answered(202, "abcde", None));
}

#[tokio::test]
async fn a_body_may_end_with_its_connection() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nwhole").await.unwrap();
    })
    .await;
    assert_eq!(transport_to(server.at).send(call("{}")).await, answered(200, "whole", None));
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let answer = answer_to(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    assert_eq!(answer, answered(201, "ok", None));
}

#[tokio::test]
async fn retry_after_is_resolved() {
    for (text, expected_ms) in [
        ("7", Some(7000)),
        ("Thu, 20 Nov 2025 12:00:09 GMT", Some(9000)),
        ("-1", Some(0)),
        ("tomorrow", Some(0)),
    ] {
        let server = Server::start(move |mut stream, _| async move {
            read_request(&mut stream).await.unwrap();
            let response = format!(
                "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {text}\r\nContent-Length: 0\r\n\r\n"
            );
            stream.write_all(response.as_bytes()).await.unwrap();
        })
        .await;
        match transport_to(server.at).send(call("{}")).await {
            Answer::Answered { status: 429, retry_after_ms, .. } => {
                assert_eq!(retry_after_ms, expected_ms, "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let to = elsewhere.at;
    let server = Server::start(move |mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
        let response = format!(
            "HTTP/1.1 307 Elsewhere\r\nLocation: http://{to}/\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(response.as_bytes()).await.unwrap();
    })
    .await;
    assert_eq!(status_of(&transport_to(server.at).send(call("{}")).await), 307);
    assert_eq!((server.accepted(), elsewhere.accepted()), (1, 0));
}

#[tokio::test]
async fn a_body_at_the_cap_is_whole_and_one_beyond_is_cut() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde").await;
    let transport = transport_to(server.at);
    for (bytes_max, body, missing) in [
        (6, "abcde", None),
        (5, "abcde", None),
        (4, "abcd", Some("it is longer than the 4B that are read")),
        (0, "", Some("it is longer than the 0B that are read")),
    ] {
        let mut call = call("{}");
        call.response_bytes_max = bytes_max;
        assert_eq!(transport.send(call).await, answered(200, body, missing), "{bytes_max}");
    }
    assert_eq!(server.accepted(), 1, "a small rest is drained, the connection stays");
}

#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_given_up() {
    let (closed, mut was_closed) = mpsc::channel(1);
    let server = Server::start(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            read_request(&mut stream).await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
            closed.send(()).await.unwrap();
        }
    })
    .await;
    match transport_to(server.at).send(call("{}")).await {
        Answer::Answered { status: 200, body, missing: Some(_), .. } => {
            assert_eq!(body.len(), 4096);
        }
        other => panic!("{other:?}"),
    }
    was_closed.recv().await.unwrap();
}

#[tokio::test]
async fn a_body_that_trickles_past_the_deadline_keeps_its_status() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
        let begin = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc";
        stream.write_all(begin).await.unwrap();
        read_to_close(&mut stream).await;
    })
    .await;
    let answer = transport_to(server.at).send(call_within("{}", 700)).await;
    assert_eq!(
        answer,
        answered(200, "abc", Some("it had not come to its end when the time was over"))
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_keeps_its_status() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
        let half = b"HTTP/1.1 400 No\r\nContent-Length: 100\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
    })
    .await;
    assert_eq!(
        transport_to(server.at).send(call("{}")).await,
        answered(400, "half", Some("it broke off: connection closed by the other side"))
    );
}

#[tokio::test]
async fn an_early_refusal_counts_although_the_body_is_still_leaving() {
    let server = Server::start(|mut stream, _| async move {
        let refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
        let mut first = [0; 16];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first).await.unwrap();
        stream.write_all(refusal).await.unwrap();
        // Reads nothing more and holds the connection, so that the body cannot have left.
        std::future::pending::<()>().await;
    })
    .await;
    let mut large = call("");
    large.body = Bytes::from(vec![b'x'; 32 << 20]);
    assert_eq!(transport_to(server.at).send(large).await, answered(413, "", None));
}
