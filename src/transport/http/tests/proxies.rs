//! Exchanges through a proxy: what it gets to see, and what its refusals mean.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::identity::{OK, ca, server};
use super::secure::serve_with;
use super::server::{Seen, Server, read_request, read_to_close};
use super::{Transport, answered, call, call_within, downstream, way_to};
use crate::domain::access::{Access, ProxyPolicy};
use crate::domain::egress::Network;
use crate::domain::endpoint::HttpDownstream;
use crate::domain::message_target::{MessageTarget, MessageUrls};
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;
use crate::domain::url_hosts::UrlHost;

/// The way to `url` through a proxy that wants to see a password.
fn through(proxy: SocketAddr, url: &str) -> Transport {
    let proxy = ProxyPolicy {
        url: format!("http://us:hunter2@{proxy}").parse().unwrap(),
        shown: format!("http://***@{proxy}"),
    };
    let access = Access { tls: Some(ca()), proxy: Some(proxy), ..Access::default() };
    way_to(&Downstream::Http(HttpDownstream { access: Arc::new(access), ..downstream(url) }))
        .unwrap()
}

/// The head of a request for a tunnel.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A proxy that answers every request itself, and what it got.
async fn noting() -> (Server, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let proxy = Server::start(move |mut stream, _| {
        let noted = Arc::clone(&noted);
        async move {
            while let Some(request) = read_request(&mut stream).await {
                noted.lock().push(request);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            }
        }
    })
    .await;
    (proxy, seen)
}

#[tokio::test]
async fn plain_http_goes_to_the_proxy_with_the_whole_address() {
    let (proxy, seen) = noting().await;
    // Nobody here could look that name up.
    let transport = through(proxy.at, "http://erp.invalid/hook?a=1");
    for _ in 0..2 {
        assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    }
    assert_eq!(proxy.accepted(), 1, "the connection is kept");
    for request in &*seen.lock() {
        let line = "POST http://erp.invalid/hook?a=1 HTTP/1.1\r\n";
        assert!(request.head.starts_with(line), "{}", request.head);
        assert_eq!(request.header("host"), Some("erp.invalid"));
        assert_eq!(request.header("proxy-authorization"), Some("Basic dXM6aHVudGVyMg=="));
        assert_eq!(request.body, b"{}");
    }
}

/// The way to a url that a message names, through a proxy; `allowed`: what it may reach beside public addresses.
fn by_message(proxy: SocketAddr, allowed: &[&str], url: &str) -> Transport {
    let proxy = ProxyPolicy {
        url: format!("http://{proxy}").parse().unwrap(),
        shown: format!("http://{proxy}"),
    };
    let access = Arc::new(Access { proxy: Some(proxy), ..Access::default() });
    let http = HttpDownstream { access, ..downstream("http://message.invalid/") };
    let hosts: Vec<UrlHost> = vec!["*".parse().unwrap()];
    let networks: Vec<Network> = allowed.iter().map(|text| text.parse().unwrap()).collect();
    let urls = MessageUrls { hosts: hosts.into(), egress: Arc::new(networks.into()), http };
    let target = MessageTarget::new(url.parse().unwrap(), None);
    let target = urls.target(Some(&target)).unwrap();
    way_to(&Downstream::MessageUrls(urls)).unwrap().towards(&target).unwrap()
}

#[tokio::test]
async fn a_proxy_is_told_the_address_that_was_checked_where_a_message_names_the_host() {
    let (proxy, seen) = noting().await;
    for url in ["http://localhost/x", "https://localhost/x"] {
        let refused = by_message(proxy.at, &[], url).send(call("{}")).await;
        let is_refused = matches!(&refused, Answer::NotAllowed { error } if error.contains("localhost may not be called"));
        assert!(is_refused, "{url}: {refused:?}");
    }
    assert!(seen.lock().is_empty(), "the proxy is told nothing");

    let allowed = ["127.0.0.0/8", "::1"];
    let answer = by_message(proxy.at, &allowed, "http://localhost:81/x").send(call("{}")).await;
    assert_eq!(answer, answered(200, "ok", None));
    let seen = seen.lock();
    let forms = ["POST http://127.0.0.1:81/x HTTP/1.1", "POST http://[::1]:81/x HTTP/1.1"];
    assert!(forms.iter().any(|form| seen[0].head.starts_with(form)), "{}", seen[0].head);
    assert_eq!(seen[0].header("host"), Some("localhost:81"));
}

#[tokio::test]
async fn https_goes_through_a_tunnel_of_which_the_proxy_sees_the_name_alone() {
    let (at, served) = serve_with(server("server", &rustls::version::TLS13, false), 4096, OK);
    let proxy = Server::start(move |mut stream, _| async move {
        let head = read_head(&mut stream).await;
        assert!(head.starts_with(&format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n")), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic dXM6aHVudGVyMg==\r\n"), "{head}");
        assert!(!head.contains("webhook"), "{head}");
        let mut onward = TcpStream::connect(at).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await.unwrap();
        drop(copy_bidirectional(&mut stream, &mut onward).await);
    })
    .await;
    let transport = through(proxy.at, &format!("https://{at}/"));
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    assert_eq!(served.join().unwrap(), 1);
}

#[tokio::test]
async fn a_proxy_that_makes_no_tunnel_was_sent_nothing_of_the_message() {
    for (answer, part) in [
        (
            "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
            "asks for other credentials (407); put user",
        ),
        ("HTTP/1.1 401 No\r\n\r\n", "asks for other credentials (401); put user"),
        ("HTTP/1.1 403 No\r\n\r\n<html>", "does not allow a connection to erp.invalid:443 (403)"),
        ("HTTP/1.1 502 No\r\n\r\n", "does not reach erp.invalid:443 (502)"),
        ("HTTP/1.1 418 No\r\n\r\n", "refuses a connection to erp.invalid:443 (418)"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "does not answer as a proxy does; check downstream.proxy"),
        ("HTTP/1.1 200 OK\r\n\r\nunasked", "does not answer as a proxy does"),
        ("HTTP/1.1 200 O", "does not answer as a proxy does"),
        ("", "closed the connection without an answer"),
    ] {
        let proxy = Server::start(move |mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest).await);
            assert_eq!(rest, b"", "nothing of the message leaves");
        })
        .await;
        let answer = through(proxy.at, "https://erp.invalid/").send(call("{}")).await;
        let Answer::NotSent { error, is_local: false } = &answer else { panic!("{answer:?}") };
        assert!(error.starts_with(&format!("the proxy {} ", proxy.at)), "{error}");
        assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        assert_eq!(proxy.accepted(), 1, "and it is asked once");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_or_hangs_was_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    for url in ["http://erp.invalid/", "https://erp.invalid/"] {
        let error = format!("the proxy {at} cannot be reached: connection refused");
        let answer = through(at, url).send(call("{}")).await;
        assert_eq!(answer, Answer::NotSent { error, is_local: false });
    }
    let silent =
        Server::start(|mut stream, _| async move { read_to_close(&mut stream).await }).await;
    let answer = through(silent.at, "https://erp.invalid/").send(call_within("{}", 700)).await;
    let error = "no connection within 700ms".to_owned();
    assert_eq!(answer, Answer::NotSent { error, is_local: false });
}

/// To a request that went to it whole a proxy answers as a downstream would.
#[tokio::test]
async fn what_a_proxy_says_itself_of_plain_http_is_an_answer() {
    for status in [407, 502] {
        let text = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").leak();
        let proxy = Server::answering(text).await;
        let answer = through(proxy.at, "http://erp.invalid/").send(call("{}")).await;
        assert_eq!(answer, answered(status, "", None));
    }
}
