//! Answers that end elsewhere than their heads say, and what becomes of their connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::server::{Server, read_request};
use super::{call, downstream, status_of, transport_to, way_to};
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;

const CALLS: usize = 20;

/// A server that answers each request with these writes, so far apart; and how many requests it got.
async fn in_writes(writes: &'static [&'static str], apart: Duration) -> (Server, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let server = Server::start(move |mut stream, _| {
        let counter = Arc::clone(&counter);
        async move {
            stream.set_nodelay(true).unwrap();
            while read_any_request(&mut stream).await {
                counter.fetch_add(1, Ordering::SeqCst);
                for (number, bytes) in writes.iter().enumerate() {
                    if number > 0 {
                        sleep(apart).await;
                    }
                    if stream.write_all(bytes.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        }
    })
    .await;
    (server, requests)
}

/// Reads one request of whatever method; the bodies here are two bytes or none.
async fn read_any_request(stream: &mut TcpStream) -> bool {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") && !read.ends_with(b"{}") {
        if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
            return false;
        }
    }
    true
}

/// Calls one after the other: each arrives once and gets its own answer.
async fn assert_each_call_is_answered_once(
    writes: &'static [&'static str],
    method: Method,
    status: u16,
) -> usize {
    let (server, requests) = in_writes(writes, Duration::from_millis(2)).await;
    let mut to = downstream(&format!("http://{}/", server.at));
    to.method = method;
    let transport = way_to(&Downstream::Http(to)).unwrap();
    for number in 0..CALLS {
        assert_eq!(status_of(&transport.send(call("{}")).await), status, "call {number}");
    }
    assert_eq!(requests.load(Ordering::SeqCst), CALLS);
    server.accepted()
}

#[tokio::test]
async fn an_answer_without_a_body_by_its_status_may_have_one_all_the_same() {
    for (writes, status) in [
        (&["HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n"][..], 204),
        (&["HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", "ok"], 204),
        (&["HTTP/1.1 204 No Content\r\n\r\n", "{}"], 204),
        (&["HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", "ok"], 304),
    ] {
        let connections = assert_each_call_is_answered_once(writes, Method::POST, status).await;
        assert_eq!(connections, CALLS, "{writes:?}");
    }
}

#[tokio::test]
async fn an_answer_to_head_may_have_a_body_all_the_same() {
    let writes = &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok"];
    assert_eq!(assert_each_call_is_answered_once(writes, Method::HEAD, 200).await, CALLS);
}

#[tokio::test]
async fn an_answer_may_go_on_after_its_length() {
    let writes = &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n"];
    assert_each_call_is_answered_once(writes, Method::POST, 200).await;
    let writes = &[
        "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ];
    assert_each_call_is_answered_once(writes, Method::POST, 200).await;
}

/// What lies on a connection when a request begins came before it. The runtime has not looked at the socket
/// yet: the bytes come while the thread is busy.
#[tokio::test]
async fn bytes_that_lay_there_before_the_request_are_no_answer_to_it() {
    let (ready, mut is_ready) = mpsc::channel(1);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (go, went) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let read = |stream: &mut std::net::TcpStream| {
            let mut read = Vec::new();
            let mut some = [0; 4096];
            while !read.ends_with(b"{}") {
                match stream.read(&mut some).unwrap() {
                    0 => return false,
                    count => read.extend_from_slice(&some[..count]),
                }
            }
            true
        };
        let (mut first, _) = listener.accept().unwrap();
        assert!(read(&mut first));
        first.write_all(answer).unwrap();
        went.recv().unwrap();
        first.write_all(b"HTTP/1.1 500 Nobody asked\r\nContent-Length: 0\r\n\r\n").unwrap();
        ready.blocking_send(()).unwrap();
        let (mut second, _) = listener.accept().unwrap();
        assert!(read(&mut second));
        second.write_all(answer).unwrap();
        first.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // A reset, because of what was not read, is an end, too.
        !matches!(first.read(&mut [0; 1]), Ok(1..))
    });
    let transport = transport_to(at);
    assert_eq!(status_of(&transport.send(call("{}")).await), 200);
    go.send(()).unwrap();
    // Blocks the thread, and with it the runtime's look at the sockets.
    while is_ready.try_recv().is_err() {
        std::hint::spin_loop();
    }
    assert_eq!(status_of(&transport.send(call("{}")).await), 200);
    assert!(server.join().unwrap(), "nothing was written on the first connection");
}

#[tokio::test]
async fn a_server_that_speaks_first_gets_no_request() {
    let server = Server::start(|mut stream, _| async move {
        stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        assert!(read_request(&mut stream).await.is_none(), "a request came");
    })
    .await;
    let transport = transport_to(server.at);
    // Whether the greeting is there before the request leaves is a race; each side of it has its truth.
    for _ in 0..20 {
        match transport.send(call("{}")).await {
            Answer::NotSent { .. } | Answer::Unknown { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Calls that come so far apart, and the connections that they need.
async fn connections_for(answer: &'static str, apart: Duration) -> usize {
    let (server, _) = in_writes([answer].to_vec().leak(), Duration::ZERO).await;
    let transport = transport_to(server.at);
    for _ in 0..2 {
        assert_eq!(status_of(&transport.send(call("{}")).await), 200);
        sleep(apart).await;
    }
    server.accepted()
}

#[tokio::test]
async fn a_connection_is_kept_for_as_long_as_the_other_side_says() {
    let started = Instant::now();
    let timeout_2 = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 0\r\n\r\n";
    let timeout_1 = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n";
    let (soon, late, not_at_all, unsaid) = tokio::join!(
        connections_for(timeout_2, Duration::ZERO),
        connections_for(timeout_2, Duration::from_millis(1100)),
        connections_for(timeout_1, Duration::ZERO),
        connections_for(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Duration::from_millis(1100)
        ),
    );
    assert_eq!((soon, late, not_at_all, unsaid), (1, 2, 2, 1), "{:?}", started.elapsed());
}
