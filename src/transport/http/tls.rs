//! Whom we trust over TLS.
//!
//! Owns the one TLS configuration of the process. Refuses to know who is called.

use std::sync::{Arc, OnceLock};

use hyper_rustls::ConfigBuilderExt as _;
use rustls::ClientConfig;
use rustls::crypto::ring;

/// The shared configuration: the system's roots, so that a company's own authority counts once it
/// is installed; Mozilla's, compiled in, where the system has none (bare containers).
///
/// Made once: reading some hundred certificates for each of a thousand queues would be felt.
pub(super) fn client_config() -> Arc<ClientConfig> {
    static SHARED: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(|| {
        let config = match builder().with_native_roots() {
            Ok(trusting) => trusting,
            Err(error) => {
                tracing::info!(%error, "no certificates of the system; trusting Mozilla's instead");
                builder().with_webpki_roots()
            }
        };
        Arc::new(config.with_no_client_auth())
    }))
}

/// The crypto provider is named here, so that nothing hangs on who installed which default first.
pub(super) fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
}
