//! Exchanges over TLS, and those that end before it is agreed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::server::{Server, read_to_close};
use super::{Transport, answered, call, call_within, downstream};
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;
use crate::transport::{HttpTransport, tls};

const CERTIFICATE: &[u8] = include_bytes!("certs/localhost.pem");
const KEY: &[u8] = include_bytes!("certs/localhost.key");

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE).unwrap()
}

/// Serves one connection over TLS; tells whether it got as far as a request.
fn serve_one() -> (SocketAddr, JoinHandle<bool>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], PrivateKeyDer::from_pem_slice(KEY).unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
        let mut request = [0; 4096];
        match tls.read(&mut request) {
            Ok(1..) => {
                tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                true
            }
            _ => false,
        }
    });
    (at, served)
}

#[tokio::test]
async fn a_trusted_certificate_is_talked_to() {
    let (at, served) = serve_one();
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let trust: ClientConfig = tls::builder().with_root_certificates(roots).with_no_client_auth();
    let to = downstream(&format!("https://{at}/"));
    let transport = HttpTransport::with_tls(&to, Arc::new(trust)).unwrap();
    assert_eq!(transport.send(&call("{}")).await, answered(200, "ok", None));
    assert!(served.join().unwrap());
}

#[tokio::test]
async fn an_untrusted_certificate_gets_nothing() {
    let (at, served) = serve_one();
    let to = Downstream::Http(downstream(&format!("https://{at}/")));
    let answer = Transport::new(&to).unwrap().send(call("{}")).await;
    assert_eq!(answer, Answer::NotSent { error: "TLS: certificate not trusted".to_owned() });
    assert!(!served.join().unwrap());
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
    let answer = Transport::new(&to).unwrap().send(call("{}")).await;
    let error = "TLS: the other side does not speak TLS".to_owned();
    assert_eq!(answer, Answer::NotSent { error });
}

#[tokio::test]
async fn a_handshake_that_hangs_is_not_sent() {
    let server =
        Server::start(|mut stream, _| async move { read_to_close(&mut stream).await }).await;
    let to = Downstream::Http(downstream(&format!("https://{}/", server.at)));
    let answer = Transport::new(&to).unwrap().send(call_within("{}", 700)).await;
    assert_eq!(answer, Answer::NotSent { error: "no connection within 700ms".to_owned() });
}
