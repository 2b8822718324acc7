//! The request as it leaves: address, layers of headers, signature.
//!
//! Owns what does not change from call to call, prepared once, and the order in which headers are
//! laid over each other, a later layer replacing an earlier one: our defaults (`User-Agent`, `Accept`), the message's own, the
//! operator's from the configuration (a producer must not replace the operator's credentials), those of its templates, ours. A
//! reserved name (see [`is_reserved_header`]) counts only in the last. Refuses to know connections.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    USER_AGENT,
};
use http::{Method, Request, Uri};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use url::Url;

use super::signature::SigningKeys;
use crate::domain::endpoint::HttpDownstream;
use crate::domain::headers::{is_reserved_header, is_same_header};
use crate::transport::{Call, TransportError};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const USER_AGENT_TEXT: HeaderValue =
    HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")));
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What all requests to one address have in common.
#[derive(Debug)]
pub(super) struct Template {
    method: Method,
    /// Without credentials and fragment.
    uri: Uri,
    /// Name or address as in the URL, with the port unless it is the scheme's own.
    host: HeaderValue,
    common: Arc<Common>,
}

/// What all requests of one downstream have in common, wherever they go.
#[derive(Debug)]
pub(super) struct Common {
    /// The operator's headers, credentials of the URL among them; all marked sensitive.
    operator: HeaderMap,
    keys: SigningKeys,
}

impl Common {
    pub(super) fn new(downstream: &HttpDownstream) -> Result<Self, TransportError> {
        let mut operator = HeaderMap::new();
        if let Some(credentials) = basic_credentials(&downstream.url) {
            operator.insert(AUTHORIZATION, sensitive("authorization", &credentials)?);
        }
        for (name, secret) in &downstream.headers {
            if !is_reserved_header(name.as_str()) {
                operator.insert(name.clone(), sensitive(name.as_str(), secret.expose())?);
            }
        }
        let keys = SigningKeys::new(&downstream.signing_secrets)?;
        Ok(Self { operator, keys })
    }
}

impl Template {
    pub(super) fn new(downstream: &HttpDownstream) -> Result<Self, TransportError> {
        Self::at(downstream, Arc::new(Common::new(downstream)?))
    }

    /// The same where what is common to all addresses is prepared already.
    pub(super) fn at(
        downstream: &HttpDownstream,
        common: Arc<Common>,
    ) -> Result<Self, TransportError> {
        let (uri, host) = address(&downstream.url)?;
        Ok(Self { method: downstream.method.clone(), uri, host, common })
    }

    /// The host that is called, for logs.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// The request for one call.
    ///
    /// # Errors
    /// A sentence, when something of the call cannot be put on the wire.
    pub(super) fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::new(Full::new(self.body(call)));
        let mut headers = self.headers(call)?;
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = match &call.http.url {
            None => self.uri.clone(),
            Some(url) => {
                let (uri, host) = address(url).map_err(|error| error.to_string())?;
                headers.insert(HOST, host);
                uri
            }
        };
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// What leaves as the body: nothing by a method that has none.
    fn body(&self, call: &Call) -> Bytes {
        if self.has_body() { call.body.clone() } else { Bytes::new() }
    }

    const fn has_body(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }

    /// The layers, lowest first.
    fn headers(&self, call: &Call) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::with_capacity(
            8 + self.common.operator.len() + call.message_headers.len() + call.facts.len(),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, USER_AGENT_TEXT);
        let given = |name: &str| {
            let mut names =
                self.common.operator.keys().chain(call.http.headers.iter().map(|it| &it.0));
            names.any(|given| is_same_header(given.as_str(), name))
        };
        for (name, text) in &call.message_headers {
            if !is_reserved_header(name) && !given(name) {
                headers.insert(header_name(name)?, header_value(name, text)?);
            }
        }
        for (name, held) in &self.common.operator {
            headers.insert(name.clone(), held.clone());
        }
        for (name, text) in &call.http.headers {
            if !is_reserved_header(name.as_str()) {
                headers.insert(name.clone(), text.clone());
            }
        }
        for (name, text) in &call.facts {
            headers.insert(own_name(name)?, header_value(name, text)?);
        }
        headers.insert(HOST, self.host.clone());
        if self.has_body() {
            if !call.content_type.is_empty() {
                headers.insert(CONTENT_TYPE, content_type(&call.content_type)?);
            }
            // The client leaves it out for an empty body; some servers then answer 411.
            headers.insert(CONTENT_LENGTH, HeaderValue::from(call.body.len()));
        }
        let id = header_value("webhook-id", &call.id)?;
        headers.insert(IDEMPOTENCY_KEY, id.clone());
        headers.insert(WEBHOOK_ID, id);
        let timestamp_s = call.now_ms / 1000;
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(timestamp_s));
        if let Some(signature) = self.common.keys.sign(&call.id, timestamp_s, &self.body(call)) {
            headers.insert(WEBHOOK_SIGNATURE, header_value("webhook-signature", &signature)?);
        }
        Ok(headers)
    }
}

pub(super) fn address(url: &Url) -> Result<(Uri, HeaderValue), TransportError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TransportError(format!(
            "downstream.url has the scheme \"{}\"; expected http or https",
            url.scheme()
        )));
    }
    let unusable = || {
        TransportError(
            "downstream.url cannot be called; expected for example https://sms.example/send, with special characters percent-encoded"
                .to_owned(),
        )
    };
    // These setters fail only on URLs without a host, and those have been refused as no http.
    let mut bare = url.clone();
    bare.set_username("").map_err(|()| unusable())?;
    bare.set_password(None).map_err(|()| unusable())?;
    bare.set_fragment(None);
    let uri: Uri = bare.as_str().parse().map_err(|_| unusable())?;
    let name = bare.host_str().ok_or_else(unusable)?;
    let host = match bare.port() {
        Some(port) => HeaderValue::try_from(format!("{name}:{port}")),
        None => HeaderValue::from_str(name),
    };
    Ok((uri, host.map_err(|_| unusable())?))
}

/// `user:pass@` of the URL as the value of `Authorization`.
fn basic_credentials(url: &Url) -> Option<String> {
    use base64::Engine as _;
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
}

fn sensitive(name: &str, secret: &str) -> Result<HeaderValue, TransportError> {
    let mut held = HeaderValue::from_bytes(secret.as_bytes()).map_err(|_| {
        TransportError(format!(
            "downstream.headers.{name} has a line break or another control character; expected plain text (a file may end in one line break too many)"
        ))
    })?;
    held.set_sensitive(true);
    Ok(held)
}

/// A name of ours: in lower case it is used as it is.
fn own_name(name: &'static str) -> Result<HeaderName, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    if !name.is_empty() && name.bytes().all(is_plain) {
        return Ok(HeaderName::from_static(name));
    }
    header_name(name)
}

/// The commonest one is not copied.
fn content_type(text: &str) -> Result<HeaderValue, String> {
    match text {
        "application/json" => Ok(HeaderValue::from_static("application/json")),
        _ => header_value("content-type", text),
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("\"{name}\" cannot be sent: it is not a valid header name"))
}

fn header_value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| format!("header \"{name}\" cannot be sent: it has control characters"))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::domain::endpoint::Secret;
    use crate::transport::HttpParts;

    fn downstream(url: &str, headers: &[(&'static str, &str)]) -> HttpDownstream {
        HttpDownstream {
            method: Method::PUT,
            headers: headers
                .iter()
                .map(|(name, text)| {
                    (HeaderName::from_static(name), Secret::new((*text).to_owned()))
                })
                .collect(),
            ..HttpDownstream::of(url)
        }
    }

    fn call(message_headers: &[(&str, &str)]) -> Call {
        Call {
            id: "sms_1".to_owned(),
            content_type: "application/json".to_owned(),
            message_headers: message_headers
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            http: HttpParts::default(),
            facts: vec![("Tidegate-Attempt", "2".to_owned())],
            body: Bytes::from_static(b"{}"),
            now_ms: 1_763_640_000_999,
            deadline: Instant::now(),
            response_bytes_max: 0,
        }
    }

    #[test]
    fn layers_lie_in_order() {
        let downstream = downstream(
            "http://a.example/x?y=1#z",
            &[("authorization", "Bearer ours"), ("host", "evil"), ("x-both", "operator")],
        );
        let message = call(&[
            ("User-Agent", "mine"),
            ("AUTHORIZATION", "Bearer theirs"),
            ("x-both", "message"),
            ("X-Own", "1"),
            ("Content-Type", "evil"),
            ("Webhook-Id", "evil"),
            ("tidegate-attempt", "9"),
            ("Content-Length", "7"),
        ]);
        let request = Template::new(&downstream).unwrap().request(&message).unwrap();
        assert_eq!(request.method(), Method::PUT);
        assert_eq!(request.uri(), "http://a.example/x?y=1");
        let mut headers: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, text)| format!("{name}: {}", text.to_str().unwrap()))
            .collect();
        headers.sort();
        assert_eq!(
            headers,
            [
                "accept: */*",
                "authorization: Bearer ours",
                "content-length: 2",
                "content-type: application/json",
                "host: a.example",
                "idempotency-key: sms_1",
                "tidegate-attempt: 2",
                "user-agent: mine",
                "webhook-id: sms_1",
                "webhook-timestamp: 1763640000",
                "x-both: operator",
                "x-own: 1",
            ]
        );
    }

    #[test]
    fn the_host_keeps_odd_ports_and_brackets() {
        for (url, host) in [
            ("http://a.example:80/", "a.example"),
            ("https://a.example:443/", "a.example"),
            ("https://a.example:80/", "a.example:80"),
            ("http://[::1]:8080/", "[::1]:8080"),
            ("http://[::1]/", "[::1]"),
            ("http://u:p@127.0.0.1:9/", "127.0.0.1:9"),
        ] {
            assert_eq!(Template::new(&downstream(url, &[])).unwrap().host(), host, "{url}");
        }
    }

    #[test]
    fn credentials_leave_the_url_and_become_a_header() {
        let with = |headers: &[(&'static str, &str)]| {
            Template::new(&downstream("http://us%65r:p%40ss%3Aw@a.example/x", headers)).unwrap()
        };
        let request = with(&[]).request(&call(&[("authorization", "mine")])).unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], "Basic dXNlcjpwQHNzOnc=");
        assert_eq!(request.uri(), "http://a.example/x");
        let request = with(&[("authorization", "Bearer b")]).request(&call(&[])).unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer b");
        let shown = format!("{:?}", with(&[("x-key", "hush")]));
        assert!(!shown.contains("hush") && !shown.contains("dXNlcj"), "{shown}");
    }

    #[test]
    fn what_cannot_be_sent_is_said_without_secrets() {
        let error = Template::new(&downstream("ftp://a.example/", &[])).unwrap_err().to_string();
        assert!(error.contains("ftp"), "{error}");
        let error = Template::new(&downstream("http://a.example/", &[("x-key", "hush\n")]));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("x-key") && !error.contains("hush"), "{error}");
        let template = Template::new(&downstream("http://a.example/", &[])).unwrap();
        let error = template.request(&call(&[("x", "a\r\nb: c")])).unwrap_err();
        assert_eq!(error, "header \"x\" cannot be sent: it has control characters");
        assert!(template.request(&call(&[("a b", "c")])).is_err());
    }

    #[test]
    fn a_secret_signs_what_leaves() {
        let mut downstream = downstream("http://a.example/", &[]);
        downstream.signing_secrets = vec![Secret::new("hush".to_owned())];
        let request = Template::new(&downstream).unwrap().request(&call(&[])).unwrap();
        let keys = SigningKeys::new(&[Secret::new("hush".to_owned())]).unwrap();
        assert_eq!(
            request.headers()["webhook-signature"],
            keys.sign("sms_1", 1_763_640_000, b"{}").unwrap().as_str()
        );
    }
}
