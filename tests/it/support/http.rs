//! A small HTTP client for the daemon's API.
//!
//! Owns one pooled client and the shape of a reply. Refuses to know the routes.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::document;
use super::wait::within;

/// What the daemon answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}) in {self:?}"))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// A header's text, or "".
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("the header is text"))
    }

    /// This reply, if it has this status; else a failure that shows it.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

/// A client with one base address.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
    /// Whether answers are held against the document, which is that of the program under test.
    is_checked: bool,
}

impl Http {
    pub(crate) fn new(base: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { base: base.to_owned(), client, is_checked: true }
    }

    /// For a program of before: its answers need not be as the document of today says.
    pub(crate) fn of_before(base: &str) -> Self {
        Self { is_checked: false, ..Self::new(base) }
    }

    /// One exchange; fails the test if the daemon cannot be reached.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let what = format!("{method} {path}");
        let sent = self.try_send(method, path, headers, body);
        let reply = within(&format!("an answer to {what}"), sent).await;
        reply.unwrap_or_else(|error| panic!("{what} at {}: {error}", self.base))
    }

    /// An answer whose body still comes.
    pub(crate) async fn open(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> http::Response<Incoming> {
        let mut request = Request::builder().uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).expect("a request");
        within("an answer begins", self.client.request(request)).await.expect("the daemon answers")
    }

    /// One exchange, or why it failed: for daemons that start, stop or die.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
        let mut request =
            Request::builder().method(method.clone()).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, body) =
            self.client.request(request.body(Full::new(body.into()))?).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        if self.is_checked {
            document::check(&method, path, head.status.as_u16(), &head.headers, &body);
        }
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    }
}
