//! Heads that other clients read, and ours must: the status has arrived.

use super::server::{Server, read_request, read_to_close};
use super::{call, transport_to};
use crate::domain::outcome::Answer;

use tokio::io::AsyncWriteExt as _;

/// Status, body, `Retry-After` and whether the body is whole, of what a server says that then stays silent
/// or, after `#`, closes.
async fn read(response: &str) -> (u16, String, Option<u64>, bool) {
    let text: &'static str = response.to_owned().leak();
    let server = Server::start(move |mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
        // Fails where the client has seen enough.
        drop(stream.write_all(text.trim_end_matches('#').as_bytes()).await);
        if !text.ends_with('#') {
            read_to_close(&mut stream).await;
        }
    })
    .await;
    let transport = transport_to(server.at);
    match transport.send(call("{}")).await {
        Answer::Answered { status, body, retry_after_ms, missing, .. } => {
            let body = String::from_utf8(body.to_vec()).unwrap();
            (status, body, retry_after_ms, missing.is_none())
        }
        other => panic!("{response}: {other:?}"),
    }
}

fn ok() -> (u16, String, Option<u64>, bool) {
    (200, "ok".to_owned(), None, true)
}

#[tokio::test]
async fn odd_heads_are_read_as_other_clients_read_them() {
    let cookies = "Set-Cookie: a=b\r\n".repeat(150);
    for head in [
        "HTTP/1.1 200 OK\r\nX-Folded: one,\r\n two\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nServer : old\r\nContent-Length : 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n leading: blank\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-Contr\u{1}l: a\u{2}b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-Name-\u{e4}: \u{e4}\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n#",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nok#",
        &format!("HTTP/1.1 200 OK\r\n{cookies}Content-Length: 2\r\n\r\nok"),
    ] {
        assert_eq!(read(head).await, ok(), "{head}");
    }
}

#[tokio::test]
async fn a_status_counts_although_the_rest_of_its_head_cannot_be_read() {
    let long = format!("X-Long: {}\r\n", "x".repeat(1 << 20));
    let many = "X-Many: x\r\n".repeat(10_000);
    for odd in [
        "X\0: y\r\n",
        "X: a\rb\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: -1\r\n",
        &long,
        &many,
    ] {
        for status in [200, 401, 422, 500] {
            let head = format!("HTTP/1.1 {status} So\r\n{odd}\r\n");
            assert_eq!(
                read(&head).await,
                (status, String::new(), None, false),
                "{status} {odd:.40}"
            );
        }
        let head = format!("HTTP/1.1 429 Slow down\r\nRetry-After : 2\r\n{odd}\r\n");
        assert_eq!(read(&head).await, (429, String::new(), Some(2000), false), "{odd:.40}");
    }
    let (status, ..) = read("HTTP/1.1  401 Two blanks\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn a_receipt_is_promised_in_an_odd_head_too() {
    let server = Server::answering(
        "HTTP/1.1 202 Accepted\r\nX\0: y\r\nTidegate-Receipt: pending\r\nTidegate-Ref: r-1\r\n\r\n",
    )
    .await;
    match transport_to(server.at).send(call("{}")).await {
        Answer::Answered { status: 202, pending: Some(pending), .. } => {
            assert_eq!(pending.reference.as_deref(), Some("r-1"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_connection_with_an_odd_head_is_not_used_again() {
    for response in [
        "HTTP/1.1 200 OK\r\nServer : old\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX\0: y\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let server = Server::answering(response).await;
        let transport = transport_to(server.at);
        for _ in 0..3 {
            transport.send(call("{}")).await;
        }
        assert_eq!(server.accepted(), 3, "{response}");
    }
}
