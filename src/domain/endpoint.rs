//! Where HTTP calls go, and the secrets that go with them.
//!
//! Refuses to know who is called, and why.

use std::fmt;
use std::sync::Arc;

use super::access::Access;
use super::answer_rules::AnswerRules;
use super::egress::EgressAllow;
use super::request_template::RequestTemplate;
pub use super::secret::Secret;

/// An HTTP endpoint.
#[derive(Clone, PartialEq)]
pub struct HttpDownstream {
    /// Where, `http` or `https`.
    pub url: url::Url,
    /// The url for people: as the configuration wrote it, references to secrets not filled in.
    pub url_shown: String,
    /// `POST`, `PUT` or `PATCH`; with templates for the request also another.
    pub method: http::Method,
    /// One deadline for the whole exchange: name look-up, connecting, TLS, sending, answer.
    pub timeout_ms: u64,
    /// Sent with every call; values may be secret.
    pub headers: Vec<(http::HeaderName, Secret)>,
    /// Standard Webhooks secrets (`whsec_<base64>`, or any text taken as its bytes): one signature for each.
    pub signing_secrets: Vec<Secret>,
    /// How it is reached, and as whom.
    pub access: Arc<Access>,
    /// What its answers mean, where the queue says more than the table of outcomes.
    pub answers: Option<Arc<AnswerRules>>,
    /// What it may reach beside public addresses, where its url did not come from the configuration; `None`: whatever it is.
    pub egress: Option<Arc<EgressAllow>>,
    /// What it is sent in place of the payload as it is.
    pub request: Option<Arc<RequestTemplate>>,
}

#[cfg(test)]
impl HttpDownstream {
    /// An endpoint for tests: `POST` within 20 seconds, unsigned and without headers.
    pub(crate) fn of(url: &str) -> Self {
        Self {
            url: url.parse().unwrap_or_else(|error| panic!("{url}: {error}")),
            url_shown: url.to_owned(),
            method: http::Method::POST,
            timeout_ms: 20_000,
            headers: Vec::new(),
            signing_secrets: Vec::new(),
            access: Arc::default(),
            answers: None,
            egress: None,
            request: None,
        }
    }
}

/// The url may hold a secret in its path: only its shown form is shown.
impl fmt::Debug for HttpDownstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpDownstream")
            .field("url", &self.url_shown)
            .field("method", &self.method)
            .field("timeout_ms", &self.timeout_ms)
            .field("headers", &self.headers)
            .field("signing_secrets", &self.signing_secrets)
            .field("access", &self.access)
            .field("answers", &self.answers)
            .field("request", &self.request)
            .finish()
    }
}
