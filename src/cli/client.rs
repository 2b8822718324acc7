//! The HTTP client of the commands.
//!
//! Owns addresses, the token, deadlines and what an unanswered request means. Refuses to know what
//! is asked; answers other than 2xx become failures in `exit`.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::exit::{Exit, Failure};
use super::expected;
pub(crate) use super::target::Target;
use super::user;
use crate::domain::human::lasting;

/// Where a daemon listens unless it was told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:7411";
/// How long a connection may take to open.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take, beyond the time for which the daemon was asked to wait.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The content type of what is asked; a daemon without tokens demands one.
const JSON: &str = "application/json";

/// The header of an idempotency key.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The header that names who asks; it is shown, and decides nothing.
const USER: &str = "tidegate-user";

/// A key as the header takes it, whatever is in it.
fn quoted(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A daemon, reached by HTTP.
pub(crate) struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Url,
    token: Option<HeaderValue>,
    /// Who asks, for the list of operators' actions.
    user: Option<HeaderValue>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// How it was asked.
    method: Method,
    /// What was asked for.
    path: Vec<String>,
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The answer if it is 2xx and one of a daemon to this request, else what the problem means.
    pub(crate) fn ok(self) -> Result<Self, Failure> {
        if !self.status.is_success() {
            return Err(self.failure());
        }
        expected::check(&self.method, &self.path, self.status, &self.headers, &self.body)?;
        Ok(self)
    }

    /// What an answer other than 2xx means, with the next step for what was asked for: `queues`, `messages` and so on.
    fn failure(&self) -> Failure {
        Failure::from_answer(self.status, &self.body).about(&self.path)
    }

    /// The body, read as JSON.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| expected::unexpected(&error.to_string()))
    }

    /// How long to wait before another try, where the daemon said so in seconds.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}

impl Client {
    /// A client of the daemon at `url`; no connection is opened yet.
    pub(crate) fn new(url: &str, token: Option<&str>) -> Result<Self, Failure> {
        let bad = |why: &str| {
            Failure::usage(format!("\"{url}\" is not a valid address of a daemon: {why}"))
                .next("expected for example http://127.0.0.1:7411, in --url or TIDEGATE_URL")
        };
        if !url.is_empty() && !url.contains("://") {
            return Err(bad("it must start with http:// or https://")
                .next(format!("write http://{url} in --url or TIDEGATE_URL")));
        }
        let base = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(bad("it must start with http:// or https://"));
        }
        let token = token.map(bearer).transpose()?;
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let tls = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls_config(base.scheme() == "https"))
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let user = HeaderValue::from_bytes(user::name().as_bytes()).ok();
        Ok(Self { http: HyperClient::builder(TokioExecutor::new()).build(tls), base, token, user })
    }

    /// Which daemon is asked, without what may be secret in its address.
    pub(crate) fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// Reads.
    pub(crate) async fn get(&self, target: &Target) -> Result<Answer, Failure> {
        self.exchange(Method::GET, target, None, Duration::ZERO).await?.ok()
    }

    /// Reads, where the daemon may take `wait` before it answers.
    pub(crate) async fn get_within(
        &self,
        target: &Target,
        wait: Duration,
    ) -> Result<Answer, Failure> {
        self.exchange(Method::GET, target, None, wait).await?.ok()
    }

    /// Removes.
    pub(crate) async fn delete(&self, target: &Target) -> Result<Answer, Failure> {
        self.exchange(Method::DELETE, target, None, Duration::ZERO).await?.ok()
    }

    /// Asks for something to be done, with a JSON body.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &Target,
        body: &impl Serialize,
    ) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::new(Exit::Failure, format!("cannot write JSON: {error}")))?;
        self.exchange(
            method,
            target,
            Some((target.content_type.unwrap_or(JSON), body.into())),
            Duration::ZERO,
        )
        .await?
        .ok()
    }

    /// One exchange; any status is an answer.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        target: &Target,
        body: Option<(&'static str, Bytes)>,
        wait: Duration,
    ) -> Result<Answer, Failure> {
        let request = self.request(method.clone(), target, body)?;
        let exchange = async {
            let (head, body) = match self.http.request(request).await {
                Ok(response) => response.into_parts(),
                Err(error) => return Err(self.no_answer(error.is_connect(), &error)),
            };
            let body = body.collect().await.map_err(|error| self.no_answer(false, &error))?;
            let (path, body) = (target.segments.clone(), body.to_bytes());
            Ok(Answer { method, path, status: head.status, headers: head.headers, body })
        };
        let limit = ANSWER_MAX + wait;
        match tokio::time::timeout(limit, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(self.too_late(limit)),
        }
    }

    /// The body of a 2xx answer, while it still comes.
    pub(super) async fn open(&self, method: Method, target: &Target) -> Result<Incoming, Failure> {
        let request = self.request(method.clone(), target, None)?;
        let opening = async {
            let response = self.http.request(request).await;
            let response = response.map_err(|error| self.no_answer(error.is_connect(), &error))?;
            let (head, body) = response.into_parts();
            let (status, path) = (head.status, target.segments.clone());
            if status.is_success() {
                expected::check(&method, &path, status, &head.headers, b"")?;
                return Ok(body);
            }
            let body = body.collect().await.map_err(|error| self.no_answer(false, &error))?;
            let body = body.to_bytes();
            Err(Answer { method, path, status, headers: head.headers, body }.failure())
        };
        tokio::time::timeout(ANSWER_MAX, opening)
            .await
            .unwrap_or_else(|_| Err(self.too_late(ANSWER_MAX)))
    }

    fn too_late(&self, limit: Duration) -> Failure {
        let what = format!("{} did not answer within {}", self.base, lasting(limit));
        Failure::new(Exit::TimedOut, what)
            .next("whether it was done is unknown; `tidegate doctor` looks for the cause")
    }

    fn request(
        &self,
        method: Method,
        target: &Target,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.address(target)?.as_str())
            .header(ACCEPT, "application/json, application/problem+json")
            .header(USER_AGENT, concat!("tidegate-cli/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(key) = &target.key {
            request = request.header(IDEMPOTENCY_KEY, quoted(key));
        }
        if let Some(user) = &self.user {
            request = request.header(USER, user);
        }
        let (content_type, body) = body.unwrap_or((JSON, Bytes::new()));
        request
            .header(CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .map_err(|error| Failure::usage(format!("this makes no request: {error}")))
    }

    fn address(&self, target: &Target) -> Result<Url, Failure> {
        let mut url = self.base.clone();
        // The URL standard drops such segments, so that another resource would be meant.
        if let Some(odd) = target.segments.iter().find(|s| matches!(s.as_str(), "" | "." | "..")) {
            return Err(Failure::usage(format!(
                "\"{odd}\" is not a valid name of a queue or message"
            )));
        }
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&target.segments);
        }
        url.set_query(None);
        url.set_fragment(None);
        if !target.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&target.query);
        }
        Ok(url)
    }

    fn no_answer(&self, connecting: bool, error: &dyn std::error::Error) -> Failure {
        let root = root_cause(error);
        if let Some(failure) = self.other_scheme(&root) {
            return failure;
        }
        if connecting {
            let what = format!("no daemon can be reached at {}: {root}", self.base);
            let failure = Failure::new(Exit::Unreachable, what).next(
                "is the daemon running? `tidegate serve` starts it; --url or TIDEGATE_URL names another",
            );
            return Failure { is_nobody_there: true, ..failure };
        }
        let what = format!("the connection to {} ended before the answer: {root}", self.base);
        Failure::new(Exit::Unreachable, what).next(
            "whether it was done is unknown; try again (with --key, sending again stores nothing twice)",
        )
    }
}

impl Client {
    /// TLS spoken to a daemon without it, or the other way round.
    fn other_scheme(&self, root: &str) -> Option<Failure> {
        let (spoken, other) = match self.base.scheme() {
            "https" if root.contains("InvalidContentType") => ("https", "http"),
            "http" if root.contains("invalid HTTP version") => ("http", "https"),
            _ => return None,
        };
        let mut meant = self.base.clone();
        // Both are special schemes, between which a url may change.
        let _changed = meant.set_scheme(other);
        let what = format!("what listens at {} does not speak {spoken}", self.base);
        let next = format!("write {meant} in --url or TIDEGATE_URL");
        Some(Failure::new(Exit::Unreachable, what).next(next))
    }
}

/// `Authorization` for a token.
fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| {
        Failure::usage("TIDEGATE_TOKEN holds characters that no token has")
            .next("`tidegate token new NAME` makes a token")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// TLS with the system's roots, or Mozilla's where it has none; without any where no TLS will be
/// spoken, as reading them takes longer than most commands.
fn tls_config(is_needed: bool) -> rustls::ClientConfig {
    let builder = || {
        let provider = rustls::crypto::ring::default_provider();
        rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
    };
    let trusting = if is_needed {
        builder().with_native_roots().unwrap_or_else(|_| builder().with_webpki_roots())
    } else {
        builder().with_root_certificates(rustls::RootCertStore::empty())
    };
    trusting.with_no_client_auth()
}

/// The innermost cause: what the operating system said.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(base: &str, target: &Target) -> String {
        Client::new(base, None).unwrap().address(target).unwrap().to_string()
    }

    #[test]
    fn addresses_keep_a_prefix_and_escape_names() {
        let target =
            Target::new(&["v1", "queues", "a b/c"]).with("state", "dead").with("limit", "5");
        assert_eq!(
            address("http://127.0.0.1:7411", &target),
            "http://127.0.0.1:7411/v1/queues/a%20b%2Fc?state=dead&limit=5"
        );
        assert_eq!(
            address("https://host/gate/?x#y", &Target::new(&["readyz"])),
            "https://host/gate/readyz"
        );
    }

    #[test]
    fn names_that_would_change_the_path_are_refused() {
        let client = Client::new("http://localhost", None).unwrap();
        for odd in ["", ".", ".."] {
            let failure = client.address(&Target::new(&["v1", "messages", odd])).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
        }
    }

    #[test]
    fn addresses_of_no_daemon_are_usage_errors() {
        for odd in ["127.0.0.1:7411", "ftp://host", "", "http://"] {
            assert_eq!(Client::new(odd, None).err().unwrap().exit, Exit::Usage, "{odd}");
        }
        for bare in ["127.0.0.1:7411", "localhost:7411", "gate.example"] {
            let next = Client::new(bare, None).err().unwrap().next.unwrap();
            assert!(next.starts_with(&format!("write http://{bare} in --url")), "{next}");
        }
        assert_eq!(Client::new("http://h", Some("a\nb")).err().unwrap().exit, Exit::Usage);
    }
}
