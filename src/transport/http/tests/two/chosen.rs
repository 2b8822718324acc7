//! Which version is spoken, over TLS, through proxies and without either.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::super::identity::{ca, pem, server};
use super::super::server::read_request;
use super::super::{Transport, answered, call, downstream, way_to};
use super::frames::Peer;
use super::{Server, answering, numbered, ok, speaking};
use crate::domain::access::{Access, HttpVersion, ProxyPolicy, TlsPolicy};
use crate::domain::endpoint::HttpDownstream;
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;

/// A server over TLS that offers these versions, and answers with the one that was chosen.
async fn offering(offered: &[&str], asks_for_certificate: bool) -> Server {
    let mut config = server("server", &rustls::version::TLS13, asks_for_certificate);
    config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
    with(config).await
}

async fn with(config: ServerConfig) -> Server {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::start(move |tcp, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut tls) = acceptor.accept(tcp).await else { return };
            if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
                while read_request(&mut tls).await.is_some() {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n1.1";
                    tls.write_all(answer).await.unwrap();
                }
                return;
            }
            let Ok(mut connection) = h2::server::handshake(tls).await else { return };
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let mut body = respond.send_response(Response::new(()), false).unwrap();
                body.send_data(Bytes::from_static(b"2"), true).unwrap();
            }
        }
    })
    .await
}

fn reaching(
    at: SocketAddr,
    http: HttpVersion,
    tls: TlsPolicy,
    proxy: Option<SocketAddr>,
) -> Transport {
    let proxy = proxy.map(|proxy| ProxyPolicy {
        url: format!("http://{proxy}").parse().unwrap(),
        shown: format!("http://{proxy}"),
    });
    let access = Arc::new(Access { tls: Some(tls), proxy, http, ..Access::default() });
    let http = HttpDownstream { access, ..downstream(&format!("https://{at}/")) };
    way_to(&Downstream::Http(http)).unwrap()
}

async fn ask(server: &Server, http: HttpVersion) -> Answer {
    reaching(server.at, http, ca(), None).send(call("{}")).await
}

#[tokio::test]
async fn over_tls_both_sides_agree_on_the_version() {
    for (offered, http, spoken) in [
        (&["h2", "http/1.1"][..], HttpVersion::Auto, "2"),
        (&["http/1.1", "h2"], HttpVersion::Auto, "1.1"),
        (&["http/1.1"], HttpVersion::Auto, "1.1"),
        (&[], HttpVersion::Auto, "1.1"),
        (&["h2", "http/1.1"], HttpVersion::One, "1.1"),
        (&["h2", "http/1.1"], HttpVersion::Two, "2"),
    ] {
        let server = offering(offered, false).await;
        let transport = reaching(server.at, http, ca(), None);
        for _ in 0..3 {
            let answer = transport.send(call("{}")).await;
            assert_eq!(answer, answered(200, spoken, None), "{offered:?} {http:?}");
        }
        assert_eq!(server.accepted(), 1, "{offered:?} {http:?}");
    }
}

#[tokio::test]
async fn what_is_known_of_a_server_outlives_its_connections() {
    let mut config = server("server", &rustls::version::TLS13, false);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::start(move |tcp, number| {
        let acceptor = acceptor.clone();
        async move {
            let mut peer = Peer::greet(acceptor.accept(tcp).await.unwrap()).await.unwrap();
            while let Some((stream, _)) = peer.request().await {
                peer.answer(stream).await.unwrap();
                if number == 0 {
                    peer.go_away(stream, 0).await.unwrap();
                    peer.close().await;
                    return;
                }
            }
        }
    })
    .await;
    let transport = reaching(server.at, HttpVersion::Auto, ca(), None);
    assert_eq!(transport.send(call("{}")).await, answered(200, "", None));
    let calls = (0..20).map(|number| transport.send(numbered(number)));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer, answered(200, "", None));
    }
    assert_eq!(server.accepted(), 2, "twenty calls at once opened one connection");
}

#[tokio::test]
async fn a_server_that_does_not_offer_what_is_required_is_sent_nothing() {
    for (offered, error) in [
        (
            &["http/1.1"][..],
            "TLS: the other side offers no version of HTTP that downstream.http allows; set downstream.http = \"auto\"",
        ),
        (
            &[],
            "the other side does not offer HTTP/2, which downstream.http = \"2\" requires; set downstream.http = \"auto\"",
        ),
    ] {
        let server = offering(offered, false).await;
        let answer = ask(&server, HttpVersion::Two).await;
        assert_eq!(answer, Answer::NotSent { error: error.to_owned(), is_local: false });
    }
}

#[tokio::test]
async fn without_tls_it_is_the_older_one_unless_the_newer_is_required() {
    let old = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    for http in [HttpVersion::Auto, HttpVersion::One] {
        let transport = speaking(http, &format!("http://{}/", old.at));
        assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
    }
    let new =
        answering(h2::server::Builder::new(), |_, _, respond| async move { ok(respond) }).await;
    let transport = speaking(HttpVersion::Two, &format!("http://{}/", new.at));
    assert_eq!(transport.send(call("{}")).await, answered(200, "ok", None));
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_missed_as_with_the_older_version() {
    let server = offering(&["h2"], true).await;
    let me = TlsPolicy { certificate: pem("client.pem"), key: pem("client.key"), ..ca() };
    let answer = reaching(server.at, HttpVersion::Auto, me, None).send(call("{}")).await;
    assert_eq!(answer, answered(200, "2", None));
    for _ in 0..10 {
        let answer = ask(&server, HttpVersion::Auto).await;
        let Answer::NotSent { error, is_local: false } = &answer else { panic!("{answer:?}") };
        assert!(error.contains("set certificate and key in downstream.tls"), "{error}");
    }
}

/// A proxy that makes every tunnel.
async fn tunnels() -> Server {
    Server::start(|mut stream, _| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let text = String::from_utf8(head).unwrap();
        let server = text.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned();
        let mut there = TcpStream::connect(server).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        drop(copy_bidirectional(&mut stream, &mut there).await);
    })
    .await
}

#[tokio::test]
async fn through_a_tunnel_the_version_is_agreed_with_the_server() {
    let (server, proxy) = (offering(&["h2", "http/1.1"], false).await, tunnels().await);
    let transport = reaching(server.at, HttpVersion::Auto, ca(), Some(proxy.at));
    for _ in 0..3 {
        assert_eq!(transport.send(call("{}")).await, answered(200, "2", None));
    }
    assert_eq!((proxy.accepted(), server.accepted()), (1, 1));
}

/// Where messages bring their urls, this shows at the call.
#[tokio::test]
async fn a_proxy_that_passes_requests_on_takes_the_older_version_alone() {
    let proxy = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let shown = format!("http://{}", proxy.at);
    let proxy = Some(ProxyPolicy { url: shown.parse().unwrap(), shown });
    let through = |http| {
        let access = Arc::new(Access { proxy: proxy.clone(), http, ..Access::default() });
        let http = HttpDownstream { access, ..downstream("http://erp.invalid/") };
        way_to(&Downstream::Http(http)).unwrap()
    };
    let answer = through(HttpVersion::Auto).send(call("{}")).await;
    assert_eq!(answer, answered(200, "ok", None));
    let answer = through(HttpVersion::Two).send(call("{}")).await;
    let Answer::NotSent { error, .. } = &answer else { panic!("{answer:?}") };
    assert!(error.contains("set downstream.http = \"auto\""), "{error}");
}
