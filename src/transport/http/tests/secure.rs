//! Exchanges over TLS, and those that end before it is agreed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::server::{Server, read_to_close};
use super::{answered, call, call_within, downstream, way_to};
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;
use crate::transport::http::tls;
use crate::transport::{HttpTransport, ProtocolTransport as _};

const NOT_TRUSTED: &str = "TLS: certificate not trusted: no authority that counts here has issued it; if the authority is your own, name the file with its certificate in downstream.tls.ca";
const CERTIFICATE: &[u8] = include_bytes!("certs/localhost.pem");
const KEY: &[u8] = include_bytes!("certs/localhost.key");

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE).unwrap()
}

/// Serves one connection over TLS: each read of so many bytes is answered. Tells how many there were.
fn serve_one(request_bytes: usize, response: &'static str) -> (SocketAddr, JoinHandle<usize>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], PrivateKeyDer::from_pem_slice(KEY).unwrap())
        .unwrap();
    serve_with(config, request_bytes, response)
}

/// The same with other settings. A handshake that comes to nothing is not a request.
pub(super) fn serve_with(
    config: ServerConfig,
    request_bytes: usize,
    response: &'static str,
) -> (SocketAddr, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        // Else the system holds a small answer back until the tickets are acknowledged, and drops it on close.
        tcp.set_nodelay(true).unwrap();
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
        let mut requests = 0;
        while matches!(tls.read(&mut vec![0; request_bytes]), Ok(1..)) {
            requests += 1;
            if tls.write_all(response.as_bytes()).is_err() {
                break;
            }
            if response.contains("close") {
                break;
            }
        }
        requests
    });
    (at, served)
}

/// A transport that trusts the server.
fn trusting(at: SocketAddr) -> HttpTransport {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let trust: ClientConfig = tls::builder().with_root_certificates(roots).with_no_client_auth();
    HttpTransport::with_tls(&downstream(&format!("https://{at}/")), Arc::new(trust)).unwrap()
}

/// The server sends tickets for later connections behind the handshake: they do not count as an answer.
#[tokio::test]
async fn a_trusted_certificate_is_talked_to_again_and_again_on_one_connection() {
    let (at, served) = serve_one(4096, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let transport = trusting(at);
    for _ in 0..5 {
        assert_eq!(transport.send(&call("{}")).await, answered(200, "ok", None));
    }
    drop(transport);
    assert_eq!(served.join().unwrap(), 5);
}

#[tokio::test]
async fn a_refusal_is_seen_although_the_connection_is_reset_behind_it() {
    for _ in 0..20 {
        let refusal = "HTTP/1.1 422 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
        let (at, served) = serve_one(100, refusal);
        let mut large = call("");
        large.body = Bytes::from(vec![b'x'; 5 << 20]);
        assert_eq!(trusting(at).send(&large).await, answered(422, "no", None));
        assert_eq!(served.join().unwrap(), 1);
    }
}

#[tokio::test]
async fn an_untrusted_certificate_gets_nothing() {
    let (at, served) = serve_one(4096, "");
    let to = Downstream::Http(downstream(&format!("https://{at}/")));
    let answer = way_to(&to).unwrap().send(call("{}")).await;
    assert_eq!(answer, Answer::NotSent { error: NOT_TRUSTED.to_owned(), is_local: false });
    assert_eq!(served.join().unwrap(), 0);
}

#[tokio::test]
async fn a_server_without_tls_gets_nothing() {
    let server = Server::start(|mut stream, _| async move {
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
        read_to_close(&mut stream).await;
    })
    .await;
    let to = Downstream::Http(downstream(&format!("https://{}/", server.at)));
    let answer = way_to(&to).unwrap().send(call("{}")).await;
    let error =
        "TLS: the other side does not speak TLS; check scheme and port of the url".to_owned();
    assert_eq!(answer, Answer::NotSent { error, is_local: false });
}

/// A server of TLS 1.1 answers our greeting with this alert.
#[tokio::test]
async fn a_server_that_speaks_only_old_tls_gets_nothing() {
    let server = Server::start(|mut stream, _| async move {
        let alert = [0x15, 3, 2, 0, 2, 2, 70];
        tokio::io::AsyncWriteExt::write_all(&mut stream, &alert).await.unwrap();
        read_to_close(&mut stream).await;
    })
    .await;
    let to = Downstream::Http(downstream(&format!("https://{}/", server.at)));
    let answer = way_to(&to).unwrap().send(call("{}")).await;
    let Answer::NotSent { error, .. } = &answer else { panic!("{answer:?}") };
    assert!(error.contains("it must offer TLS 1.2 or 1.3"), "{error}");
}

#[tokio::test]
async fn a_handshake_that_hangs_is_not_sent() {
    let server =
        Server::start(|mut stream, _| async move { read_to_close(&mut stream).await }).await;
    let to = Downstream::Http(downstream(&format!("https://{}/", server.at)));
    let answer = way_to(&to).unwrap().send(call_within("{}", 700)).await;
    assert_eq!(
        answer,
        Answer::NotSent { error: "no connection within 700ms".to_owned(), is_local: false }
    );
}
