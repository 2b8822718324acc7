//! The way to a collector: one request with spans, and what its answer means.
//!
//! Owns address, deadline and the reading of the answer, by OTLP over HTTP
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>). Refuses to know what is sent, and when it is sent again.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use url::Url;

/// The whole exchange: OTLP's usual deadline.
const EXCHANGE_MAX: Duration = Duration::from_secs(10);
/// What is read of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What is added to the address of a collector for traces.
const PATH: &str = "/v1/traces";

/// The collector.
pub(super) struct Collector {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// `None`: it cannot be called, which is said at the first export.
    uri: Option<Uri>,
}

/// Why spans were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotTaken {
    /// The same may be sent again.
    #[error("{0}")]
    ForNow(String),
    /// These spans will never be taken.
    #[error("{0}")]
    ForGood(String),
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl Collector {
    /// Connects to nothing yet.
    pub(super) fn new(url: &Url) -> Self {
        let provider = rustls::crypto::ring::default_provider();
        let tls = HttpsConnectorBuilder::new();
        let tls = match tls.with_provider_and_native_roots(provider.clone()) {
            Ok(tls) => tls.https_or_http().enable_http1().build(),
            // A machine without certificates of its own trusts those that are built in.
            Err(_) => HttpsConnectorBuilder::new()
                .with_provider_and_webpki_roots(provider)
                .map(|tls| tls.https_or_http().enable_http1().build())
                .expect("ring speaks TLS 1.2 and 1.3"),
        };
        let http = Client::builder(TokioExecutor::new()).build(tls);
        Self { http, uri: address(url).parse().ok() }
    }

    /// Sends a request of OTLP; returns the body of the answer.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub(super) async fn send(&self, body: Vec<u8>) -> Result<Bytes, NotTaken> {
        let exchange = tokio::time::timeout(EXCHANGE_MAX, self.exchange(body)).await;
        exchange.unwrap_or_else(|_| {
            Err(NotTaken::ForNow(format!("no answer within {} s", EXCHANGE_MAX.as_secs())))
        })
    }

    async fn exchange(&self, body: Vec<u8>) -> Result<Bytes, NotTaken> {
        let uri = self.uri.clone().ok_or_else(|| {
            NotTaken::ForGood(
                "telemetry.otlp cannot be called; name it as http://host:4318".to_owned(),
            )
        })?;
        let mut request = Request::post(uri).body(Full::from(body)).map_err(for_now)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))),
        );
        let answer = self.http.request(request).await.map_err(for_now)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        judge(status, body.map(http_body_util::Collected::to_bytes).unwrap_or_default())
    }
}

/// Which answers mean that the same may be sent again, by OTLP.
fn judge(status: StatusCode, body: Bytes) -> Result<Bytes, NotTaken> {
    match status {
        status if status.is_success() => Ok(body),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Err(NotTaken::ForNow(format!("status {status}"))),
        status => Err(NotTaken::ForGood(format!("status {status}"))),
    }
}

/// What the operating system said, rather than the layers above it.
fn for_now(error: impl std::error::Error) -> NotTaken {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        why = inner.to_string();
        cause = inner.source();
    }
    NotTaken::ForNow(why)
}

/// Where traces go: below the collector's address, unless that names the place itself.
fn address(url: &Url) -> String {
    let base = url.as_str().trim_end_matches('/');
    if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_below_the_address_of_a_collector() {
        for (url, expected) in [
            ("http://h:4318", "http://h:4318/v1/traces"),
            ("http://h:4318/", "http://h:4318/v1/traces"),
            ("https://h/otlp", "https://h/otlp/v1/traces"),
            ("https://h/otlp/v1/traces", "https://h/otlp/v1/traces"),
        ] {
            assert_eq!(address(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn an_answer_says_whether_the_same_may_be_sent_again() {
        let judge = |status: u16| judge(StatusCode::from_u16(status).unwrap(), Bytes::new());
        assert!(judge(200).is_ok() && judge(202).is_ok());
        for status in [429, 502, 503, 504] {
            assert!(matches!(judge(status), Err(NotTaken::ForNow(_))), "{status}");
        }
        for status in [301, 400, 401, 404, 413, 500] {
            assert!(matches!(judge(status), Err(NotTaken::ForGood(_))), "{status}");
        }
    }
}
