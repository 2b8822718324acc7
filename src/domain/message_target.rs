//! Where a message goes that brings its own url (`url = "message"`).
//!
//! Owns which of them a queue takes. Refuses to know what their names resolve to: that is checked when they are called.

use std::sync::Arc;

use http::Method;
use url::{Host, Url};

use super::callback::NoTarget;
use super::egress::{self, EgressAllow};
use super::endpoint::HttpDownstream;
use super::url_hosts::{UrlAllowed, UrlHosts, host_key};

/// The methods that a message may name.
pub const METHODS: [Method; 6] =
    [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::GET, Method::HEAD];

/// Where a message goes, and by which method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageTarget {
    url: Url,
    host: String,
    method: Option<Method>,
}

impl MessageTarget {
    /// `method`: `None` stands for the queue's.
    #[must_use]
    pub fn new(url: Url, method: Option<Method>) -> Self {
        Self { host: host_key(&url), url, method }
    }

    /// The address.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The value of the key `host`: scheme, name and port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The method, if the message names one.
    #[must_use]
    pub const fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }
}

/// A queue whose messages bring their own urls.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageUrls {
    /// Where they may go.
    pub hosts: UrlHosts,
    /// What they may reach although it is not public.
    pub egress: Arc<EgressAllow>,
    /// How they are called; its url stands for the one that each message brings.
    pub http: HttpDownstream,
}

impl MessageUrls {
    /// Whom a message calls.
    ///
    /// # Errors
    /// Why it may not go there, or that it names nobody.
    pub fn target(&self, target: Option<&MessageTarget>) -> Result<HttpDownstream, NoTarget> {
        let target = target.ok_or(NoTarget::NoUrl)?;
        let allowed = self.allowed(target)?;
        Ok(HttpDownstream {
            url: target.url.clone(),
            url_shown: target.url.to_string(),
            method: target.method.clone().unwrap_or_else(|| self.http.method.clone()),
            egress: (allowed == UrlAllowed::ByPattern).then(|| Arc::clone(&self.egress)),
            ..self.http.clone()
        })
    }

    /// How this target may be called, as far as its url itself tells.
    fn allowed(&self, target: &MessageTarget) -> Result<UrlAllowed, NoTarget> {
        let allowed = self.hosts.allow(&target.url);
        let allowed = allowed.ok_or_else(|| NoTarget::NotInHosts(target.host.clone()))?;
        let address = match target.url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        match (allowed, address) {
            (UrlAllowed::ByPattern, Some(address)) => {
                // Which addresses are this machine's own is known where the call is made.
                egress::check(address, &self.egress, |_| false)?;
                Ok(allowed)
            }
            _ => Ok(allowed),
        }
    }

    /// Why a message with this target may not go there, as far as its url tells; `None`: it may.
    #[must_use]
    pub fn why_unfit(&self, target: &MessageTarget) -> Option<String> {
        self.allowed(target).err().map(|why| why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(hosts: &[&str]) -> MessageUrls {
        let hosts: Vec<_> = hosts.iter().map(|text| text.parse().unwrap()).collect();
        let http = HttpDownstream::of("http://message.invalid/");
        MessageUrls { hosts: hosts.into(), egress: Arc::default(), http }
    }

    fn target(url: &str, method: Option<Method>) -> MessageTarget {
        MessageTarget::new(url.parse().unwrap(), method)
    }

    #[test]
    fn a_target_has_its_own_url_and_method_and_the_rest_of_the_queue() {
        let urls = urls(&["*", "127.0.0.1:9000"]);
        let any = urls.target(Some(&target("https://shop.example/x?y=1", None))).unwrap();
        assert_eq!((any.url.as_str(), &any.method), ("https://shop.example/x?y=1", &Method::POST));
        assert!(any.egress.is_some(), "its addresses are checked");
        let named = target("http://127.0.0.1:9000/", Some(Method::GET));
        let named = urls.target(Some(&named)).unwrap();
        assert_eq!((&named.method, named.egress.is_none()), (&Method::GET, true));
        assert_eq!(urls.target(None), Err(NoTarget::NoUrl));
    }

    #[test]
    fn what_shows_in_the_url_is_refused_with_the_reason() {
        let urls = urls(&["*.example.com", "*:8080"]);
        for (url, part) in [
            ("https://evil.test/", "downstream.hosts"),
            ("http://127.0.0.1:8080/", "a loopback address"),
            ("http://0x7f.1:8080/", "a loopback address"),
            ("http://[::ffff:10.0.0.1]:8080/", "an IPv6 form of an IPv4 address"),
            ("http://169.254.169.254:8080/latest/meta-data", "a link-local address"),
        ] {
            let why = urls.why_unfit(&target(url, None)).unwrap_or_default();
            assert!(why.contains(part), "{url}: {why}");
        }
        assert_eq!(urls.why_unfit(&target("https://a.example.com/", None)), None);
    }
}
