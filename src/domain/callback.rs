//! Callbacks: who is told of a message's final state, and of which ones.
//!
//! Owns the words, which hosts a message may name, and where a callback goes. Refuses to know how it is
//! kept (see `store`) and sent (see `engine`), and what it says (see `event`).

use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use url::Url;

use super::callback_host::CallbackHosts;
use super::egress::NotPublic;
use super::endpoint::{HttpDownstream, Secret};
use super::limit::Rate;
use super::retry::RetryPolicy;
use super::state::State;

/// Longest url of a callback, in bytes.
pub const URL_BYTES_MAX: usize = 2048;
/// Most words in a list of final states: more than there are, as a repeated one does no harm.
pub const FINAL_WORDS_MAX: usize = 16;
/// The default deadline of a whole callback, in milliseconds.
pub const TIMEOUT_MS: u64 = 10_000;

/// The final states, each with its bit.
const BITS: [(State, u8); 4] =
    [(State::Delivered, 1), (State::Dead, 2), (State::Expired, 4), (State::Cancelled, 8)];

/// Which final states are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallbackOn(u8);

impl CallbackOn {
    /// None.
    pub const NONE: Self = Self(0);
    /// Delivered and dead: what a producer who leaves a number waits for.
    pub const USUAL: Self = Self(3);
    /// Every final state.
    pub const ALL: Self = Self(15);

    /// The states with these bits, as Redis keeps them; others are ignored.
    #[must_use]
    pub const fn of_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// As Redis keeps them.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether it is none.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These and one more.
    ///
    /// # Errors
    /// When the word names no final state.
    pub fn with(self, word: &str) -> Result<Self, String> {
        let found = BITS.iter().find(|(state, _)| state.as_str() == word);
        found.map(|(_, bit)| Self(self.0 | bit)).ok_or_else(|| {
            format!(
                "\"{word}\" is not a valid final state; expected \"delivered\", \"dead\", \"expired\" or \"cancelled\""
            )
        })
    }

    /// The states, in the order in which they are shown.
    pub fn states(self) -> impl Iterator<Item = State> {
        BITS.iter().filter(move |(_, bit)| self.0 & bit != 0).map(|(state, _)| *state)
    }

    /// Their words.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        self.states().map(State::as_str).collect()
    }
}

/// What a message says of its callback.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallbackWish {
    /// In place of the queue's.
    pub url: Option<Url>,
    /// In place of the queue's; none at all: nobody is told.
    pub on: Option<CallbackOn>,
}

impl CallbackWish {
    /// The host of its own url.
    #[must_use]
    pub fn host(&self) -> String {
        self.url.as_ref().map(host_of).unwrap_or_default()
    }
}

/// What holds for the callbacks of a queue's messages.
#[derive(Clone, PartialEq)]
pub struct CallbackPolicy {
    /// The queue's own address, and its form for people; `None`: each message names one.
    pub url: Option<(Url, String)>,
    /// What is told unless a message says otherwise.
    pub on: CallbackOn,
    /// Callbacks per time over all nodes; `None`: as fast as their hosts answer.
    pub rate: Option<Rate>,
    /// Callbacks under way or waiting for their host, over all nodes; `None`: what suits the number of shards.
    pub concurrency: Option<u32>,
    /// One deadline for a whole callback, in milliseconds.
    pub timeout_ms: u64,
    /// Sent with every callback to the queue's own url; values may be secret.
    pub headers: Vec<(HeaderName, Secret)>,
    /// As for a downstream.
    pub signing_secret: Option<Secret>,
    /// When to try again.
    pub retry: RetryPolicy,
    /// The hosts that messages may name.
    pub hosts: CallbackHosts,
}

/// The url may hold a secret in its path: only its shown form is shown.
impl fmt::Debug for CallbackPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackPolicy")
            .field("url", &self.url.as_ref().map(|(_, shown)| shown))
            .field("on", &self.on)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

impl CallbackPolicy {
    /// Without an address of its own: messages name theirs, on one of these hosts.
    #[must_use]
    pub fn on_hosts(hosts: CallbackHosts) -> Self {
        Self {
            url: None,
            on: CallbackOn::USUAL,
            rate: None,
            concurrency: None,
            timeout_ms: TIMEOUT_MS,
            headers: Vec::new(),
            signing_secret: None,
            retry: default_retry(),
            hosts,
        }
    }

    /// The final states of a message with this wish that lead to a callback.
    #[must_use]
    pub fn callback_on(&self, wish: Option<&CallbackWish>) -> CallbackOn {
        let url = wish.and_then(|wish| wish.url.as_ref());
        if url.is_none() && self.url.is_none() {
            return CallbackOn::NONE;
        }
        wish.and_then(|wish| wish.on).unwrap_or(self.on)
    }

    /// Where a callback goes, `url` being the message's own. The queue's headers may hold credentials:
    /// they go to the queue's own url alone.
    ///
    /// # Errors
    /// A sentence, when it may not go there, or when nobody says where.
    pub fn target(&self, url: Option<&Url>) -> Result<HttpDownstream, NoTarget> {
        let at = |url: &Url, shown: String, headers: &[(HeaderName, Secret)]| HttpDownstream {
            url: url.clone(),
            url_shown: shown,
            method: http::Method::POST,
            timeout_ms: self.timeout_ms,
            headers: headers.to_vec(),
            signing_secrets: self.signing_secret.iter().cloned().collect(),
            access: Arc::default(),
            answers: None,
            egress: None,
            request: None,
        };
        match (url, &self.url) {
            (Some(url), _) if self.hosts.allow(url) => Ok(at(url, url.to_string(), &[])),
            (Some(url), _) => Err(NoTarget::NotAllowed(host_of(url))),
            (None, Some((url, shown))) => Ok(at(url, shown.clone(), &self.headers)),
            (None, None) => Err(NoTarget::Unknown),
        }
    }
}

/// Why a callback cannot go anywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// Its host is none of those that messages may name.
    #[error("server.callback_hosts does not have its host, {0}")]
    NotAllowed(String),
    /// Its host is none of those that the messages of its queue may name.
    #[error("downstream.hosts of the queue does not cover its host, {0}")]
    NotInHosts(String),
    /// Its address is not public.
    #[error(transparent)]
    NotPublic(#[from] NotPublic),
    /// Each message of its queue brings a url, and this one does not.
    #[error(
        "the message names no url, and its queue sends each message to its own (downstream.url = \"message\"); give it one, on the command line by --to URL"
    )]
    NoUrl,
    /// Neither message nor queue names a url.
    #[error("neither the message nor its queue names a url for callbacks")]
    Unknown,
}

/// The host of a url with its port: what has slots and a breaker of its own.
#[must_use]
pub fn host_of(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

/// A url that callbacks can go to.
///
/// # Errors
/// What is wrong with it, and what is expected.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let expected = "expected for example https://shop.example/hooks/tidegate";
    if text.len() > URL_BYTES_MAX {
        return Err(format!("has {} bytes, expected up to {URL_BYTES_MAX}", text.len()));
    }
    let url =
        Url::parse(text).map_err(|error| format!("is not a valid url ({error}); {expected}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme {:?}; expected http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("holds a user or password, which are not sent; {expected}"));
    }
    if url.fragment().is_some() {
        return Err("has a fragment (#...), which is never sent; remove it".to_owned());
    }
    Ok(url)
}

/// Patient, since whoever waits for a callback has no other news: for a day, at most an hour apart.
#[must_use]
pub fn default_retry() -> RetryPolicy {
    RetryPolicy { max_attempts: Some(50), ..RetryPolicy::default() }
}

#[cfg(test)]
mod tests {
    use super::super::callback_host::CallbackHost;
    use super::*;

    fn hosts(texts: &[&str]) -> CallbackHosts {
        texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<CallbackHost>>().into()
    }

    fn url(text: &str) -> Url {
        parse_url(text).unwrap()
    }

    #[test]
    fn states_have_words_and_bits() {
        let on = CallbackOn::NONE.with("dead").unwrap().with("cancelled").unwrap();
        assert_eq!((on.words(), on.bits()), (vec!["dead", "cancelled"], 10));
        assert_eq!(CallbackOn::of_bits(0xfa), on);
        assert_eq!(CallbackOn::USUAL.words(), ["delivered", "dead"]);
        assert!(CallbackOn::NONE.with("ready").unwrap_err().contains("is not a valid final state"));
    }

    #[test]
    fn a_message_may_say_otherwise_than_its_queue() {
        let own = |url: Option<&str>, on| CallbackWish { url: url.map(self::url), on };
        let mut policy = CallbackPolicy::on_hosts(hosts(&["h"]));
        assert!(policy.callback_on(None).is_none());
        assert_eq!(policy.callback_on(Some(&own(Some("http://h/"), None))), CallbackOn::USUAL);
        policy.url = Some((url("http://q/"), "http://q/".to_owned()));
        assert_eq!(policy.callback_on(None), CallbackOn::USUAL);
        assert_eq!(policy.callback_on(Some(&own(None, Some(CallbackOn(4))))), CallbackOn(4));
        assert!(policy.callback_on(Some(&own(None, Some(CallbackOn::NONE)))).is_none());
    }

    #[test]
    fn credentials_go_to_the_queues_own_url_alone() {
        let mut policy = CallbackPolicy::on_hosts(hosts(&["h"]));
        assert_eq!(policy.target(None), Err(NoTarget::Unknown));
        policy.url = Some((url("https://q.example/x"), "https://${Q}/x".to_owned()));
        policy.headers = vec![(http::header::AUTHORIZATION, Secret::new("hush".to_owned()))];
        let target = |text: &str| policy.target(Some(&url(text)));
        assert_eq!(policy.target(None).unwrap().headers.len(), 1);
        assert!(target("http://h/").unwrap().headers.is_empty());
        for elsewhere in ["https://q.example/other", "https://evil/"] {
            assert!(matches!(target(elsewhere), Err(NoTarget::NotAllowed(_))), "{elsewhere}");
        }
    }

    #[test]
    fn what_cannot_be_called_is_no_url() {
        for bad in ["", "shop.example/x", "ftp://h/", "http://u:p@h/", "http://h/#top", "http://"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
        assert!(parse_url(&format!("http://h/{}", "x".repeat(URL_BYTES_MAX))).is_err());
        assert_eq!(host_of(&url("https://h/")), "h:443");
    }
}
