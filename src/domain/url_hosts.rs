//! Where the messages of a queue may go that bring their own url.
//!
//! Owns how a host is written, with or without a pattern. What cannot be read exactly is refused: it would open more than was meant.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::callback_host::name_and_port;

/// Hosts that messages may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlHost {
    name: HostPattern,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// Every name that ends in a dot and this.
    Below(String),
    Exactly(String),
}

/// Why a text names no hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a valid host; expected for example \"api.partner.example:8443\", \"*.example.com\" or \"*\", without scheme and path"
)]
pub struct BadUrlHost(pub String);

impl FromStr for UrlHost {
    type Err = BadUrlHost;

    fn from_str(text: &str) -> Result<Self, BadUrlHost> {
        let bad = || BadUrlHost(text.to_owned());
        if let Some(rest) = text.strip_prefix('*').filter(|rest| !rest.starts_with('.')) {
            let port = match rest.strip_prefix(':') {
                // The port is read where a name stands in front of it.
                Some(_) => name_and_port(&format!("any{rest}")).ok_or_else(bad)?.1,
                None if rest.is_empty() => None,
                None => return Err(bad()),
            };
            return Ok(Self { name: HostPattern::Any, port });
        }
        let (is_below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        let (name, port) = name_and_port(rest).ok_or_else(bad)?;
        let is_address = name.starts_with('[') || name.parse::<core::net::Ipv4Addr>().is_ok();
        if rest.contains('*') || (is_below && is_address) {
            return Err(bad());
        }
        let name = if is_below { HostPattern::Below(name) } else { HostPattern::Exactly(name) };
        Ok(Self { name, port })
    }
}

impl fmt::Display for UrlHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            HostPattern::Any => f.write_str("*")?,
            HostPattern::Below(name) => write!(f, "*.{name}")?,
            HostPattern::Exactly(name) => f.write_str(name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl UrlHost {
    fn covers(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let is_named = match &self.name {
            HostPattern::Any => true,
            HostPattern::Below(name) => host
                .strip_suffix(name.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            HostPattern::Exactly(name) => host == name,
        };
        // A url does not keep the port that its scheme has anyway.
        let is_port = match self.port {
            Some(port) => url.port_or_known_default() == Some(port),
            None => url.port().is_none() || self.name == HostPattern::Any,
        };
        is_named && is_port
    }
}

/// How a url may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlAllowed {
    /// The configuration names this very host: it may be whatever address.
    ByName,
    /// A pattern covers it: its addresses must be public.
    ByPattern,
}

/// The hosts that messages may name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UrlHosts(Vec<UrlHost>);

impl From<Vec<UrlHost>> for UrlHosts {
    fn from(hosts: Vec<UrlHost>) -> Self {
        Self(hosts)
    }
}

impl UrlHosts {
    /// Whether a message may name this url; `None`: it may not.
    #[must_use]
    pub fn allow(&self, url: &Url) -> Option<UrlAllowed> {
        let covering = self.0.iter().filter(|host| host.covers(url));
        covering
            .map(|host| match host.name {
                HostPattern::Exactly(_) => UrlAllowed::ByName,
                HostPattern::Any | HostPattern::Below(_) => UrlAllowed::ByPattern,
            })
            .min_by_key(|allowed| *allowed != UrlAllowed::ByName)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &UrlHost> {
        self.0.iter()
    }
}

/// The host of a url as the key `host` has it: scheme, name and port.
#[must_use]
pub fn host_key(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// Whether a text is a value of the key `host`.
#[must_use]
pub fn is_host_key(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| host_key(&url) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(hosts: &[&str], url: &str) -> Option<UrlAllowed> {
        let hosts: Vec<UrlHost> = hosts.iter().map(|text| text.parse().unwrap()).collect();
        UrlHosts::from(hosts).allow(&url.parse().unwrap())
    }

    #[test]
    fn patterns_cover_what_they_say() {
        use UrlAllowed::{ByName, ByPattern};
        let hosts = ["*.example.com", "api.partner.example:8443", "127.0.0.1:9000"];
        for (url, expected) in [
            ("https://a.example.com/x", Some(ByPattern)),
            ("http://a.b.EXAMPLE.com/", Some(ByPattern)),
            ("https://a.example.com:443/", Some(ByPattern)),
            ("https://a.example.com:8443/", None),
            ("https://example.com/", None),
            ("https://.example.com/", None),
            ("https://evilexample.com/", None),
            ("https://a.example.com.evil/", None),
            ("https://api.partner.example:8443/", Some(ByName)),
            ("https://api.partner.example/", None),
            ("http://127.0.0.1:9000/x", Some(ByName)),
            ("http://0x7f.1:9000/x", Some(ByName)),
            ("http://127.0.0.1/", None),
        ] {
            assert_eq!(allowed(&hosts, url), expected, "{url}");
        }
        assert_eq!(allowed(&["*"], "https://any.example:1234/"), Some(ByPattern));
        assert_eq!(allowed(&["*:8443"], "https://any.example/"), None);
        assert_eq!(allowed(&["*:8443"], "https://any.example:8443/"), Some(ByPattern));
        assert_eq!(allowed(&["*", "shop.example"], "https://shop.example/"), Some(ByName));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "",
            "https://a",
            "a/x",
            "*a",
            "**",
            "*.",
            "*.*",
            "a.*.b",
            "*.10.0.0.1",
            "*.[::1]",
            "*:",
            "*:0",
            "*:x",
            "u@a",
            "a:080",
            "a.",
        ] {
            assert!(bad.parse::<UrlHost>().is_err(), "{bad}");
        }
        for good in ["*", "*:81", "*.a.example:81", "a", "[::1]:9"] {
            assert_eq!(good.parse::<UrlHost>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn the_key_has_scheme_name_and_port() {
        let key = |text: &str| host_key(&text.parse().unwrap());
        assert_eq!(key("https://Shop.example/x?y"), "https://shop.example:443");
        assert_eq!(key("http://[::1]:8080/"), "http://[::1]:8080");
        assert!(is_host_key("https://shop.example:443") && is_host_key("http://[::1]:8080"));
        for bad in ["", "shop.example", "https://shop.example", "https://shop.example:443/"] {
            assert!(!is_host_key(bad), "{bad}");
        }
    }
}
