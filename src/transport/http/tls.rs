//! Whom we trust over TLS, and as whom we call.
//!
//! Owns the TLS configuration that all share who have none of their own, and the making of others. Refuses to know who is
//! called.

use std::sync::{Arc, OnceLock};

use hyper_rustls::ConfigBuilderExt as _;
use rustls::client::WantsClientCert;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::domain::access::{HttpVersion, PemFile, TlsPolicy};
use crate::transport::TransportError;

/// The shared configuration: the system's roots, so that a company's own authority counts once it
/// is installed; Mozilla's, compiled in, where the system has none (bare containers).
///
/// Made once: reading some hundred certificates for each of a thousand queues would be felt.
pub(super) fn client_config() -> Arc<ClientConfig> {
    static SHARED: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(|| Arc::new(trusting_the_system().with_no_client_auth())))
}

fn trusting_the_system() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    match builder().with_native_roots() {
        Ok(trusting) => trusting,
        Err(error) => {
            tracing::info!(%error, "no certificates of the system; trusting Mozilla's instead");
            builder().with_webpki_roots()
        }
    }
}

/// What a downstream's own settings ask for; without any, the shared one.
///
/// # Errors
/// When a file cannot be used; the configuration has refused such files before.
pub(super) fn config_of(tls: Option<&TlsPolicy>) -> Result<Arc<ClientConfig>, TransportError> {
    let Some(TlsPolicy { ca, certificate, key }) = tls else { return Ok(client_config()) };
    let trusting = match ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca)? {
                roots.add(certificate).map_err(|_| unusable(ca))?;
            }
            builder().with_root_certificates(roots)
        }
        None => trusting_the_system(),
    };
    let config = match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let private = PrivateKeyDer::from_pem_slice(key.text.expose().as_bytes());
            let private = private.map_err(|_| unusable(key))?;
            let chain = certificates(certificate)?;
            trusting.with_client_auth_cert(chain, private).map_err(|_| unusable(certificate))?
        }
        _ => trusting.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// How HTTP/2 is named when TLS is agreed.
pub(super) const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// The same configuration, offering these versions of HTTP.
pub(super) fn offering(trust: &ClientConfig, version: HttpVersion) -> Arc<ClientConfig> {
    let offered: &[&[u8]] = match version {
        HttpVersion::Auto => &[HTTP_2, HTTP_1_1],
        HttpVersion::One => &[HTTP_1_1],
        HttpVersion::Two => &[HTTP_2],
    };
    let mut offering = trust.clone();
    offering.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    Arc::new(offering)
}

fn certificates(file: &PemFile) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let all = CertificateDer::pem_slice_iter(file.text.expose().as_bytes());
    all.collect::<Result<_, _>>().map_err(|_| unusable(file))
}

fn unusable(file: &PemFile) -> TransportError {
    let path = &file.path;
    TransportError(format!("the file {path} of downstream.tls cannot be used; run tidegate check"))
}

/// The crypto provider is named here, so that nothing hangs on who installed which default first.
pub(super) fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
}
