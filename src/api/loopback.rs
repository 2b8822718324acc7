//! What protects a door without tokens: any web page can post to loopback.
//!
//! A browser tells the page's `Origin`, sends the name it looked up as `Host` (so that a name pointed
//! at 127.0.0.1 gives itself away), and asks before it sends JSON.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use url::Url;

use super::problem::{Code, Problem};
use crate::domain::web_place::WebOrigin;

/// `origins`: those that the configuration names besides this machine's.
///
/// # Errors
/// 403 for a host or origin that is not this machine.
pub(super) fn check(uri: &Uri, headers: &HeaderMap, origins: &[WebOrigin]) -> Result<(), Problem> {
    let hosts: Vec<_> =
        headers.get_all(header::HOST).iter().map(|host| host.to_str().ok()).collect();
    let named = uri.authority().map(|authority| Some(authority.as_str()));
    let is_loopback = |host: &Option<&str>| host.is_some_and(is_loopback_authority);
    if hosts.len() > 1
        || !hosts.iter().chain(&named).all(is_loopback)
        || hosts.is_empty() && named.is_none()
    {
        return Err(refused(
            "this API has no tokens and serves only its own machine: Host must be localhost, 127.0.0.1 or [::1]; \
             to serve others, configure server.tokens",
        ));
    }
    let is_named = |origin: &str| origins.iter().any(|named| named.as_str() == origin);
    let is_known = |origin: &str| is_loopback_origin(origin) || is_named(origin);
    let foreign = |origin: &HeaderValue| !origin.to_str().is_ok_and(is_known);
    if headers.get_all(header::ORIGIN).iter().any(foreign) {
        return Err(refused(
            "this API has no tokens and refuses requests of foreign web pages (Origin); configure server.tokens, or name the origin in server.origins",
        ));
    }
    Ok(())
}

/// For what a GET changes: a page can have one sent for a picture, which names no origin. Browsers say of each request
/// whether another site asks for it; downstreams are no browsers.
///
/// # Errors
/// 403 for a request of a foreign web page.
pub(super) fn check_no_page(headers: &HeaderMap) -> Result<(), Problem> {
    let is_own = |site: &HeaderValue| site == "same-origin" || site == "none";
    if headers.get_all("sec-fetch-site").iter().all(is_own) {
        return Ok(());
    }
    Err(refused(
        "this API has no tokens and refuses requests of foreign web pages (Sec-Fetch-Site); configure server.tokens",
    ))
}

fn refused(detail: &str) -> Problem {
    Problem::new(Code::Forbidden, detail)
}

/// `localhost`, `127.0.0.0/8` or `[::1]`, with any port or none.
fn is_loopback_authority(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) => {
                return host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
                    && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => authority.split_once(':').map_or((authority, None), |(h, p)| (h, Some(p))),
    };
    port.is_none_or(is_port)
        && (host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.parse::<u16>().is_ok()
}

fn is_loopback_origin(origin: &str) -> bool {
    Url::parse(origin).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(uri: &str, headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        let named = ["https://ops.example".parse().unwrap()];
        check(&uri.parse().unwrap(), &map, &named).is_ok()
    }

    #[test]
    fn only_this_machine_is_a_host() {
        for good in
            ["localhost", "LocalHost:7411", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:7411"]
        {
            assert!(ask("/", &[("host", good)]), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "[::1].evil",
            "[::1",
            "0.0.0.0",
            "localhost:x",
            "localhost:1:2",
            "user@localhost",
        ] {
            assert!(!ask("/", &[("host", bad)]), "{bad}");
        }
        assert!(!ask("/", &[]));
        assert!(!ask("/", &[("host", "localhost"), ("host", "evil.example")]));
        assert!(!ask("http://evil.example/", &[("host", "localhost")]));
        assert!(ask("http://localhost:7411/", &[("host", "localhost:7411")]));
    }

    #[test]
    fn foreign_pages_are_refused() {
        let ask = |origin| ask("/", &[("host", "localhost"), ("origin", origin)]);
        for good in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://[::1]:8443",
            "https://ops.example",
        ] {
            assert!(ask(good), "{good}");
        }
        for bad in [
            "null",
            "",
            "https://evil.example",
            "http://localhost.evil.example",
            "file://",
            "localhost",
        ] {
            assert!(!ask(bad), "{bad}");
        }
    }
}
