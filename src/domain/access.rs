//! How an HTTP endpoint is reached, and as whom: TLS of its own, a proxy, tokens.
//!
//! Owns that nothing secret of it shows itself. Refuses to know how any of it is used (see `transport::http`).

use std::fmt;

use super::endpoint::Secret;

/// How an endpoint is reached, and as whom.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Access {
    /// TLS of its own: whom to trust, and as whom to call. `None`: the system's authorities, no client certificate.
    pub tls: Option<TlsPolicy>,
}

impl Access {
    /// What of this also holds for another address that stands beside the endpoint's own: what names a server or goes to
    /// it as a credential holds for the same server alone.
    #[must_use]
    pub fn beside(&self, is_same_server: bool) -> Self {
        if is_same_server { self.clone() } else { Self { tls: None } }
    }
}

/// Whether two addresses are at the same server: scheme, name and port.
#[must_use]
pub fn is_same_server(one: &url::Url, two: &url::Url) -> bool {
    one.scheme() == two.scheme()
        && one.host_str() == two.host_str()
        && one.port_or_known_default() == two.port_or_known_default()
}

/// Whom to trust over TLS, and as whom to call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TlsPolicy {
    /// The authorities whose certificates count, in place of the system's.
    pub ca: Option<PemFile>,
    /// The client certificate, and what stands between it and its authority.
    pub certificate: Option<PemFile>,
    /// The private key of the client certificate; set if and only if that is.
    pub key: Option<PemFile>,
}

/// A file in PEM, as it was when the configuration was read.
#[derive(Clone, PartialEq, Eq)]
pub struct PemFile {
    /// Its path, as the configuration wrote it.
    pub path: String,
    /// What stands in it: it may be a private key.
    pub text: Secret,
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_never_shows_itself() {
        let text = Secret::new("-----BEGIN PRIVATE KEY-----\nhunter2".to_owned());
        let key = Some(PemFile { path: "me.key".to_owned(), text });
        let access = Access { tls: Some(TlsPolicy { key, ..TlsPolicy::default() }) };
        let shown = format!("{access:?}");
        assert!(shown.contains("me.key") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_server_is_its_scheme_name_and_port() {
        let is_same = |one: &str, two: &str| {
            is_same_server(&one.parse().unwrap(), &two.parse().unwrap())
        };
        assert!(is_same("https://h.example/a", "https://H.example:443/b?c"));
        for other in ["http://h.example/a", "https://i.example/a", "https://h.example:8443/a"] {
            assert!(!is_same("https://h.example/a", other), "{other}");
        }
    }
}
