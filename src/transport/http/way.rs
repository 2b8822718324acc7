//! The way to a server: straight, or through a proxy.
//!
//! Owns the first step of every connection, before TLS: who is connected to, and what a proxy is asked. For `https` it is
//! asked for a tunnel (`CONNECT`), so that it sees nothing of a message; for `http` requests go to it whole, with the
//! address in their first line. Nothing of a message leaves here, so that whatever goes wrong here was surely not sent.
//! Refuses to know requests.
//!
//! Addresses pass in one place: [`Resolver`] has looked up whom we connect to. Behind a proxy that is the proxy, and the
//! proxy looks up the server's name; where the server's address is to be checked, it is looked up here, and the proxy is told the address.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower_service::Service;

use super::dns::{NoAddress, Resolver};
use super::failure;
use super::proxy_failure::{ProxyError, Trouble};
use crate::domain::access::ProxyPolicy;
use crate::transport::TransportError;

/// Most bytes of a proxy's answer to a request for a tunnel.
const HEAD_BYTES_MAX: usize = 16 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A proxy, prepared.
pub(super) struct Proxy {
    uri: Uri,
    /// Name and port, for people.
    place: String,
    /// `Proxy-Authorization`, marked sensitive.
    credentials: Option<HeaderValue>,
}

impl Proxy {
    pub(super) fn new(policy: &ProxyPolicy) -> Result<Self, TransportError> {
        let unusable = || {
            TransportError(
                "downstream.proxy cannot be used; expected for example http://egress.example:3128"
                    .to_owned(),
            )
        };
        let host = policy.url.host_str().ok_or_else(unusable)?;
        let port = policy.url.port_or_known_default().ok_or_else(unusable)?;
        let place = format!("{host}:{port}");
        let uri = format!("http://{place}/").parse().map_err(|_| unusable())?;
        Ok(Self { uri, place, credentials: credentials(&policy.url) })
    }

    /// `Proxy-Authorization`, if the proxy wants any.
    pub(super) const fn credentials(&self) -> Option<&HeaderValue> {
        self.credentials.as_ref()
    }
}

/// User and password of the url as `Proxy-Authorization` has them.
fn credentials(url: &url::Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Connects; cheap to clone.
#[derive(Clone)]
pub(super) struct TcpWay {
    tcp: HttpConnector<Resolver>,
    proxy: Option<Arc<Proxy>>,
    /// Looks up and checks whom a proxy is told of; `None`: the proxy looks names up itself.
    checked: Option<Resolver>,
}

impl TcpWay {
    pub(super) const fn new(
        tcp: HttpConnector<Resolver>,
        proxy: Option<Arc<Proxy>>,
        checked: Option<Resolver>,
    ) -> Self {
        Self { tcp, proxy, checked }
    }

    /// The address of a server as a proxy is told of it: with its name, or, where that is checked, with the address that passed.
    ///
    /// # Errors
    /// The name leads to no address, or to none that may be called.
    pub(super) async fn as_told(&self, uri: &Uri) -> Result<Uri, NoAddress> {
        let (Some(checked), Some(host)) = (&self.checked, uri.host()) else {
            return Ok(uri.clone());
        };
        let Some(address) = checked.first(host).await? else { return Ok(uri.clone()) };
        let mut parts = uri.clone().into_parts();
        let authority = match uri.port_u16() {
            Some(port) => SocketAddr::new(address, port).to_string(),
            None if address.is_ipv6() => format!("[{address}]"),
            None => address.to_string(),
        };
        parts.authority = Authority::try_from(authority).ok();
        // The parts are those of an address, and so is the new one among them.
        Ok(Uri::from_parts(parts).unwrap_or_else(|_| uri.clone()))
    }

    /// The proxy that requests go to whole: that of plain `http`.
    pub(super) fn forwarder(&self, uri: &Uri) -> Option<&Proxy> {
        self.proxy.as_deref().filter(|_| uri.scheme() != Some(&Scheme::HTTPS))
    }
}

impl Service<Uri> for TcpWay {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Some(proxy) = self.proxy.clone() else {
            let connecting = self.tcp.call(uri);
            return Box::pin(async move { Ok(connecting.await?) });
        };
        let connecting = self.tcp.call(proxy.uri.clone());
        let way = self.clone();
        Box::pin(async move {
            let stream = connecting.await.map_err(|error| ProxyError {
                place: proxy.place.clone(),
                trouble: unreachable(error.into()),
            })?;
            if uri.scheme() != Some(&Scheme::HTTPS) {
                return Ok(stream);
            }
            let mut stream = stream.into_inner();
            let server = authority(&way.as_told(&uri).await?);
            match tunnel(&mut stream, &proxy, &server).await {
                Ok(()) => Ok(TokioIo::new(stream)),
                Err(trouble) => Err(ProxyError { place: proxy.place.clone(), trouble }.into()),
            }
        })
    }
}

fn unreachable(error: BoxError) -> Trouble {
    Trouble::Unreachable { words: failure::sentence(&*error), error }
}

/// The server as a proxy is told of it: name or address, and port.
fn authority(uri: &Uri) -> String {
    format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443))
}

/// Asks the proxy for a tunnel to the server.
async fn tunnel(stream: &mut TcpStream, proxy: &Proxy, server: &str) -> Result<(), Trouble> {
    let mut request = format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n").into_bytes();
    if let Some(credentials) = &proxy.credentials {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(credentials.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let broke_off = |error: std::io::Error| Trouble::BrokeOff {
        words: failure::sentence(&error),
        error: error.into(),
    };
    stream.write_all(&request).await.map_err(broke_off)?;
    let mut head = Vec::with_capacity(512);
    let end = loop {
        if let Some(end) = end_of_head(&head) {
            break end;
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(Trouble::NotHttp);
        }
        if stream.read_buf(&mut head).await.map_err(broke_off)? == 0 {
            return Err(if head.is_empty() { Trouble::Closed } else { Trouble::NotHttp });
        }
    };
    match status_of(&head).ok_or(Trouble::NotHttp)? {
        200..=299 if end == head.len() => Ok(()),
        // A server says nothing before we do: these bytes are not from its TLS.
        200..=299 => Err(Trouble::NotHttp),
        status => Err(Trouble::Refused { status, server: server.to_owned() }),
    }
}

/// Where the head ends, if it has come to its end.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let ends = [&b"\r\n\r\n"[..], b"\n\n"];
    let at =
        |end: &&[u8]| bytes.windows(end.len()).position(|it| it == *end).map(|at| at + end.len());
    ends.iter().filter_map(at).min()
}

/// The status in `HTTP/1.1 200 Connection established`.
fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok().filter(|status| (200..=599).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_proxies_are_read_as_they_come() {
        for (head, status) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 200\n\n", Some(200)),
            ("HTTP/1.1 407 Proxy Authentication Required\r\nVia: x\r\n\r\n", Some(407)),
            ("HTTP/1.1 100 Continue\r\n\r\n", None),
            ("SSH-2.0-OpenSSH\r\n\r\n", None),
            ("\r\n\r\n", None),
        ] {
            assert_eq!(end_of_head(head.as_bytes()), Some(head.len()), "{head}");
            assert_eq!(status_of(head.as_bytes()), status, "{head}");
        }
        assert_eq!(end_of_head(b"HTTP/1.1 200 OK\r\nVia: x\r\n"), None);
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let url: url::Url = "http://us%20er:hunter2%40@egress.example:3128".parse().unwrap();
        let shown = "http://***@egress.example:3128".to_owned();
        let proxy = Proxy::new(&ProxyPolicy { url, shown }).unwrap();
        let pair = STANDARD.encode("us er:hunter2@");
        assert_eq!(proxy.credentials().unwrap(), format!("Basic {pair}").as_str());
        assert!(!format!("{proxy:?}").contains("hunter2"));
    }
}
