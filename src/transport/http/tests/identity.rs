//! Exchanges over TLS with an authority of one's own and a client certificate.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::secure::serve_with;
use super::{Transport, answered, call, downstream, way_to};
use crate::domain::access::{Access, PemFile, TlsPolicy};
use crate::domain::endpoint::{HttpDownstream, Secret};
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
const EACH_VERSION: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

fn file(name: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transport/http/tests/certs/");
    std::fs::read_to_string(format!("{path}{name}")).unwrap()
}

pub(super) fn pem(name: &str) -> Option<PemFile> {
    Some(PemFile { path: name.to_owned(), text: Secret::new(file(name)) })
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(file(name).as_bytes()).map(Result::unwrap).collect()
}

/// A server with the certificate of this name; one that asks for clients' certificates takes those of the authority.
pub(super) fn server(
    name: &str,
    version: &'static SupportedProtocolVersion,
    asks: bool,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificates("authority.pem").remove(0)).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let config = if asks {
        config.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        config.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_slice(file(&format!("{name}.key")).as_bytes()).unwrap();
    config.with_single_cert(certificates(&format!("{name}.pem")), key).unwrap()
}

fn to(at: std::net::SocketAddr, tls: TlsPolicy) -> Transport {
    let access = Access { tls: Some(tls), ..Access::default() };
    let http = HttpDownstream { access: Arc::new(access), ..downstream(&format!("https://{at}/")) };
    way_to(&Downstream::Http(http)).unwrap()
}

pub(super) fn ca() -> TlsPolicy {
    TlsPolicy { ca: pem("authority.pem"), ..TlsPolicy::default() }
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_and_a_client_certificate_is_shown() {
    for version in EACH_VERSION {
        let (at, served) = serve_with(server("server", version, true), 4096, OK);
        let me = TlsPolicy { certificate: pem("client.pem"), key: pem("client.key"), ..ca() };
        assert_eq!(to(at, me).send(call("{}")).await, answered(200, "ok", None));
        assert_eq!(served.join().unwrap(), 1);
    }
}

/// In TLS 1.3 the request is on its way when the refusal comes: it was not read all the same.
#[tokio::test]
async fn a_server_that_misses_a_client_certificate_was_surely_sent_nothing() {
    for version in EACH_VERSION {
        for _ in 0..10 {
            let (at, served) = serve_with(server("server", version, true), 4096, OK);
            let answer = to(at, ca()).send(call("{}")).await;
            let Answer::NotSent { error, is_local: false } = &answer else { panic!("{answer:?}") };
            assert!(error.contains("client certificate"), "{error}");
            assert!(error.contains("downstream.tls"), "{error}");
            assert_eq!(served.join().unwrap(), 0);
        }
    }
}

#[tokio::test]
async fn a_certificate_of_another_name_or_of_the_past_is_told_as_such() {
    for (name, part) in [
        ("elsewhere", "the certificate is for elsewhere.example, not for 127.0.0.1"),
        ("expired", "the certificate of the other side expired at 2021-01-01T00:00:00.000Z"),
    ] {
        let (at, served) = serve_with(server(name, &rustls::version::TLS13, false), 4096, OK);
        let answer = to(at, ca()).send(call("{}")).await;
        let Answer::NotSent { error, .. } = &answer else { panic!("{answer:?}") };
        assert!(error.contains(part), "{error}");
        assert_eq!(served.join().unwrap(), 0);
    }
}

#[tokio::test]
async fn an_authority_of_ones_own_counts_in_place_of_all_others() {
    let (at, _) = serve_with(server("server", &rustls::version::TLS13, false), 4096, OK);
    let other = TlsPolicy { ca: pem("localhost.pem"), ..TlsPolicy::default() };
    let answer = to(at, other).send(call("{}")).await;
    let Answer::NotSent { error, .. } = &answer else { panic!("{answer:?}") };
    assert!(error.contains("certificate not trusted"), "{error}");
}
