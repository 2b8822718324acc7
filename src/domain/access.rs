//! How an HTTP endpoint is reached, and as whom: TLS of its own, a proxy, tokens.
//!
//! Owns that nothing secret of it shows itself. Refuses to know how any of it is used (see `transport::http`).

use std::fmt;

use super::secret::Secret;

/// How an endpoint is reached, and as whom.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Access {
    /// TLS of its own: whom to trust, and as whom to call. `None`: the system's authorities, no client certificate.
    pub tls: Option<TlsPolicy>,
    /// Through whom. `None`: straight. No proxy is ever taken from the environment.
    pub proxy: Option<ProxyPolicy>,
    /// With whose token. `None`: with what the headers say.
    pub oauth2: Option<OAuth2Policy>,
    /// Which versions of HTTP are spoken.
    pub http: HttpVersion,
}

/// Which versions of HTTP are spoken with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpVersion {
    /// Over `https` the server chooses between HTTP/2 and HTTP/1.1; over `http` it is HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 alone.
    One,
    /// HTTP/2 alone, over `http` too.
    Two,
}

impl HttpVersion {
    /// What holds for another server that stands beside the endpoint: nothing says that it speaks HTTP/2 too.
    #[must_use]
    pub const fn beside(self) -> Self {
        match self {
            Self::Auto | Self::Two => Self::Auto,
            Self::One => Self::One,
        }
    }
}

impl Access {
    /// What of this also holds for another address that stands beside the endpoint's own: what names a server or goes to
    /// it as a credential holds for the same server alone.
    #[must_use]
    pub fn beside(&self, is_same_server: bool) -> Self {
        if is_same_server {
            return self.clone();
        }
        Self { tls: None, proxy: self.proxy.clone(), oauth2: None, http: self.http.beside() }
    }
}

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyPolicy {
    /// Its address, with user and password.
    pub url: url::Url,
    /// The address for people: as the configuration wrote it, without them.
    pub shown: String,
}

impl fmt::Debug for ProxyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProxyPolicy").field(&self.shown).finish()
    }
}

/// A client of an authorization server, for the grant of client credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuth2Policy {
    /// The token endpoint.
    pub token_url: url::Url,
    /// The same for people: as the configuration wrote it, references to secrets not filled in.
    pub token_url_shown: String,
    /// As whom Tidegate asks.
    pub client_id: String,
    /// The same as the configuration wrote it.
    pub client_id_shown: String,
    /// The secret of this client.
    pub client_secret: Secret,
    /// What the token is to be good for.
    pub scope: Option<String>,
    /// For whom it is.
    pub audience: Option<String>,
    /// Where id and secret stand in the request.
    pub send: CredentialsIn,
}

/// Where a client's id and secret stand in a request for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialsIn {
    /// In `Authorization: Basic`.
    Basic,
    /// In the body.
    Body,
}

#[cfg(test)]
impl OAuth2Policy {
    /// A client for tests.
    pub(crate) fn of(token_url: &str) -> Self {
        Self {
            token_url: token_url.parse().unwrap_or_else(|error| panic!("{token_url}: {error}")),
            token_url_shown: token_url.to_owned(),
            client_id: "tidegate".to_owned(),
            client_id_shown: "tidegate".to_owned(),
            client_secret: Secret::new("a client's secret".to_owned()),
            scope: None,
            audience: None,
            send: CredentialsIn::Basic,
        }
    }
}

impl fmt::Debug for OAuth2Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2Policy")
            .field("token_url", &self.token_url_shown)
            .field("client_id", &self.client_id_shown)
            .field("scope", &self.scope)
            .field("audience", &self.audience)
            .field("send", &self.send)
            .finish_non_exhaustive()
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
    fn nothing_secret_shows_itself() {
        let text = Secret::new("-----BEGIN PRIVATE KEY-----\nhunter2".to_owned());
        let key = Some(PemFile { path: "me.key".to_owned(), text });
        let access = Access {
            tls: Some(TlsPolicy { key, ..TlsPolicy::default() }),
            proxy: Some(ProxyPolicy {
                url: "http://u:hunter2@h".parse().unwrap(),
                shown: "http://***@h".to_owned(),
            }),
            oauth2: Some(OAuth2Policy {
                client_secret: Secret::new("hunter2".to_owned()),
                ..OAuth2Policy::of("https://auth.example/token")
            }),
            http: HttpVersion::Auto,
        };
        let shown = format!("{access:?}");
        assert!(shown.contains("me.key") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_version_that_is_required_of_one_server_is_not_required_of_another() {
        let beside = |http| Access { http, ..Access::default() }.beside(false).http;
        assert_eq!(beside(HttpVersion::Two), HttpVersion::Auto);
        assert_eq!(beside(HttpVersion::One), HttpVersion::One);
        let two = Access { http: HttpVersion::Two, ..Access::default() };
        assert_eq!(two.beside(true).http, HttpVersion::Two);
    }

    #[test]
    fn a_server_is_its_scheme_name_and_port() {
        let is_same =
            |one: &str, two: &str| is_same_server(&one.parse().unwrap(), &two.parse().unwrap());
        assert!(is_same("https://h.example/a", "https://H.example:443/b?c"));
        for other in ["http://h.example/a", "https://i.example/a", "https://h.example:8443/a"] {
            assert!(!is_same("https://h.example/a", other), "{other}");
        }
    }
}
