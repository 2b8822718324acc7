//! The hosts that messages may name for their callbacks.
//!
//! Owns how one is written. What cannot be read exactly is refused: it would open more than was meant.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// A host that messages may name, with a port if only that one is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackHost {
    name: String,
    port: Option<u16>,
}

/// Why a text is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a valid host; expected for example \"shop.example\" or \"shop.example:8443\", without scheme and path"
)]
pub struct BadHost(pub String);

impl FromStr for CallbackHost {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let (name, port) = name_and_port(text).ok_or_else(|| BadHost(text.to_owned()))?;
        Ok(Self { name, port })
    }
}

/// The name of a host as urls have it, and its port; `None`: it cannot be read exactly.
pub(super) fn name_and_port(text: &str) -> Option<(String, Option<u16>)> {
    // An address of IPv6 has colons of its own, and stands in brackets.
    let end = text.rfind(']').unwrap_or(0);
    let (host, port) = match text[end..].split_once(':') {
        Some((rest, port)) => (&text[..end + rest.len()], Some(port_of(port)?)),
        None => (text, None),
    };
    let is_strange =
        |letter: char| letter.is_whitespace() || letter.is_control() || "/@?#*\\%".contains(letter);
    if host.is_empty() || host.ends_with('.') || host.contains(is_strange) {
        return None;
    }
    let url = Url::parse(&format!("http://{host}/")).ok()?;
    let name = url.host_str()?;
    // Numbers in other forms (0x7f.1) are addresses that nobody would read as such.
    if matches!(url.host(), Some(url::Host::Ipv4(_))) && name != host {
        return None;
    }
    Some((name.to_owned(), port))
}

/// A port as one writes it: 1 to 65535, without zeros in front.
fn port_of(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

impl fmt::Display for CallbackHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The hosts that messages may name for their callbacks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallbackHosts(Vec<CallbackHost>);

impl From<Vec<CallbackHost>> for CallbackHosts {
    fn from(hosts: Vec<CallbackHost>) -> Self {
        Self(hosts)
    }
}

impl CallbackHosts {
    /// Whether there are none: no message may name a url.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a message may name this url.
    #[must_use]
    pub fn allow(&self, url: &Url) -> bool {
        let is_named = |host: &CallbackHost| {
            url.host_str() == Some(&host.name)
                && host.port.is_none_or(|port| url.port_or_known_default() == Some(port))
        };
        self.0.iter().any(is_named)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &CallbackHost> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(texts: &[&str]) -> CallbackHosts {
        texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<CallbackHost>>().into()
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_are_names_with_or_without_a_port() {
        let hosts = hosts(&["Shop.example", "10.0.0.7:8080", "[::1]", "erp.example:80"]);
        for good in [
            "https://shop.example/x",
            "http://shop.example:9/",
            "http://10.0.0.7:8080/",
            "http://[::1]:4/",
            "http://erp.example/",
        ] {
            assert!(hosts.allow(&url(good)), "{good}");
        }
        for bad in [
            "https://shop.example.evil/",
            "https://evil/shop.example",
            "http://10.0.0.7/",
            "https://erp.example/",
            "http://a.shop.example/",
        ] {
            assert!(!hosts.allow(&url(bad)), "{bad}");
        }
        for bad in [
            "",
            "https://shop.example",
            "shop.example/x",
            "a@b",
            "*.example",
            " a",
            "a\n",
            "a:x",
            // A port that cannot be read must not mean every port.
            "shop.example:080",
            "shop.example:",
            "shop.example:0",
            "shop.example:99999",
            "shop.example:+80",
            "shop.example:8 0",
            "shop.example:80:80",
            ":80",
            "[::1]:",
            "[::1]:080",
            "[::1",
            "::1",
            // Names that no url has in this form.
            "shop.example.",
            "shop%2eexample",
            "0x7f.1",
            "user:pw@shop.example",
        ] {
            assert!(bad.parse::<CallbackHost>().is_err(), "{bad}");
        }
        let written: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        assert_eq!(written, ["shop.example", "10.0.0.7:8080", "[::1]", "erp.example:80"]);
    }
}
