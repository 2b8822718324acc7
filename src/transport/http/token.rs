//! Tokens for a downstream: OAuth 2.0, the grant of client credentials (RFC 6749, section 4.4).
//!
//! Owns when a token is asked for: one at a time, one for each life, half a minute before the old one ends, and once more
//! when the downstream refuses it. Transports with the same settings share their token, so that a node asks once for all
//! of them. Refuses to know what a call is for. Without a token nothing of a message has left: that is said as such.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use url::form_urlencoded::{Serializer, byte_serialize};

use super::handover::Outgoing;
use super::pool::Pool;
use super::token_answer::{self, GrantedToken};
use super::{exchange, request};
use crate::domain::access::{Access, CredentialsIn, OAuth2Policy};
use crate::domain::outcome::Answer;
use crate::transport::{Call, HttpParts, TransportError};

/// How long before its end a token is replaced, unless half of its life is shorter.
const EARLY: Duration = Duration::from_secs(30);
/// How long a token that can still be used is not asked for again after that has failed.
const PAUSE: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A token in force.
#[derive(Clone)]
pub(super) struct Token {
    /// `Authorization`, marked sensitive.
    pub(super) header: HeaderValue,
    /// Which one it is, counted from 1.
    pub(super) number: u64,
    /// Whether it was got for the very call that asked.
    pub(super) is_new: bool,
    refresh_at: Instant,
    ends_at: Instant,
}

/// Where the tokens of one client come from.
pub(super) struct TokenSource {
    policy: OAuth2Policy,
    /// The way to the token endpoint is that of the downstream.
    access: Access,
    pool: Pool,
    uri: Uri,
    headers: HeaderMap,
    form: Bytes,
    /// The forms in which the secret leaves: a server that repeats one in its answer is not repeated.
    masks: Vec<String>,
    // A plain mutex: held to read and to write, never across an await.
    current: Mutex<Option<Token>>,
    /// Held by whoever asks for a token.
    asking: tokio::sync::Mutex<LastRequest>,
}

#[derive(Default)]
struct LastRequest {
    count: u64,
    /// When the last one was refused, and what came of it.
    failed: Option<(Instant, Answer)>,
}

/// Those in use, so that whoever has the same settings shares one.
static SOURCES: Mutex<Vec<Weak<TokenSource>>> = Mutex::new(Vec::new());

impl TokenSource {
    /// The source for a downstream, if it wants tokens. `pool` leads to the token endpoint if nobody has one yet.
    pub(super) fn of(access: &Access, pool: &Pool) -> Result<Option<Arc<Self>>, TransportError> {
        let Some(policy) = &access.oauth2 else { return Ok(None) };
        let mut sources = SOURCES.lock();
        sources.retain(|source| source.strong_count() > 0);
        let mut alive = sources.iter().filter_map(Weak::upgrade);
        if let Some(same) = alive.find(|source| source.access == *access) {
            return Ok(Some(same));
        }
        let source = Arc::new(Self::new(policy.clone(), access.clone(), pool.beside())?);
        sources.push(Arc::downgrade(&source));
        Ok(Some(source))
    }

    fn new(policy: OAuth2Policy, access: Access, pool: Pool) -> Result<Self, TransportError> {
        let (uri, host) = request::address(&policy.token_url)?;
        let (form, pair) = (form_of(&policy), pair(&policy));
        let secret = policy.client_secret.expose();
        let in_json = serde_json::to_string(secret).unwrap_or_default();
        let masks = vec![
            pair.clone(),
            secret.to_owned(),
            encoded(secret),
            in_json.trim_matches('"').to_owned(),
            STANDARD.encode(secret),
        ];
        let masks = masks.into_iter().filter(|mask| !mask.is_empty()).collect();
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, request::USER_AGENT_TEXT);
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(form.len()));
        if policy.send == CredentialsIn::Basic {
            headers.insert(AUTHORIZATION, basic(&pair)?);
        }
        let (current, asking) = (Mutex::default(), tokio::sync::Mutex::default());
        let form = Bytes::from(form);
        Ok(Self { policy, access, pool, uri, headers, form, masks, current, asking })
    }

    /// A token for this call; not the one that was `refused`.
    ///
    /// # Errors
    /// What comes of the call without one.
    pub(super) async fn token(&self, call: &Call, refused: Option<u64>) -> Result<Token, Answer> {
        let began = Instant::now();
        let in_force = self.in_force(refused);
        let mut asking = match &in_force {
            Some(token) if began < token.refresh_at => return Ok(token.clone()),
            Some(token) => match self.asking.try_lock() {
                Ok(asking) => asking,
                Err(_) => return Ok(token.clone()),
            },
            None => match timeout_at(call.deadline, self.asking.lock()).await {
                Ok(asking) => asking,
                Err(_) => return Err(self.withheld("no answer in time", None)),
            },
        };
        if let Some(token) = self.in_force(refused).filter(|it| Instant::now() < it.refresh_at) {
            return Ok(token);
        }
        if let Some((at, answer)) = &asking.failed {
            let is_old_good = in_force.is_some() && at.elapsed() < PAUSE;
            if is_old_good || *at >= began {
                return in_force.ok_or_else(|| answer.clone());
            }
        }
        match self.ask(call, asking.count + 1).await {
            Ok(token) => {
                asking.count = token.number;
                asking.failed = None;
                *self.current.lock() = Some(Token { is_new: false, ..token.clone() });
                Ok(token)
            }
            Err(answer) => {
                asking.failed = Some((Instant::now(), answer.clone()));
                in_force.ok_or(answer)
            }
        }
    }

    fn in_force(&self, refused: Option<u64>) -> Option<Token> {
        let now = Instant::now();
        let current = self.current.lock();
        current.as_ref().filter(|it| Some(it.number) != refused && now < it.ends_at).cloned()
    }

    async fn ask(&self, call: &Call, number: u64) -> Result<Token, Answer> {
        let asked_at = Instant::now();
        let asks = Call {
            id: String::new(),
            content_type: String::new(),
            message_headers: Vec::new(),
            facts: Vec::new(),
            http: HttpParts::default(),
            body: self.form.clone(),
            response_bytes_max: ANSWER_BYTES_MAX,
            ..*call
        };
        let answer = exchange(&self.pool, &asks, || Ok(self.request())).await;
        let granted = match answer {
            Answer::Answered { status, retry_after_ms, body, missing: None, .. } => {
                token_answer::read(status, &body, &self.masks)
                    .map_err(|why| self.withheld(&why, retry_after_ms))
            }
            Answer::Answered { status, missing: Some(why), retry_after_ms, .. } => {
                Err(self
                    .withheld(&format!("status {status}, but of its answer {why}"), retry_after_ms))
            }
            Answer::NotSent { error, is_local: true } => {
                return Err(Answer::NotSent { error, is_local: true });
            }
            Answer::NotSent { error, .. }
            | Answer::NotAllowed { error }
            | Answer::Unknown { error } => Err(self.withheld(&error, None)),
            Answer::Withheld { .. } => Err(answer),
        };
        let GrantedToken { token, life } = granted?;
        let host = self.uri.host().unwrap_or_default();
        tracing::debug!(host, ?life, number, "a new token is in force");
        let mut header = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| self.withheld("the token has characters that no header takes", None))?;
        header.set_sensitive(true);
        let (refresh_at, ends_at) = (asked_at + (life - EARLY.min(life / 2)), asked_at + life);
        Ok(Token { header, number, is_new: true, refresh_at, ends_at })
    }

    fn request(&self) -> Outgoing {
        let mut request = Request::new(Full::new(self.form.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// What comes of a call whose token took too long.
    pub(super) fn too_late(&self) -> Answer {
        self.withheld("it came so late that the call was not begun; the next one has it", None)
    }

    fn withheld(&self, why: &str, retry_after_ms: Option<u64>) -> Answer {
        let why = self.masks.iter().fold(why.to_owned(), |why, mask| why.replace(mask, "***"));
        let error = format!("no token from {}: {why}", self.policy.token_url_shown);
        Answer::Withheld { error, retry_after_ms }
    }
}

/// The body of a request.
fn form_of(policy: &OAuth2Policy) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    let asked = [("scope", &policy.scope), ("audience", &policy.audience)];
    for (name, value) in asked.into_iter().filter_map(|(name, it)| Some((name, it.as_ref()?))) {
        form.append_pair(name, value);
    }
    if policy.send == CredentialsIn::Body {
        form.append_pair("client_id", &policy.client_id);
        form.append_pair("client_secret", policy.client_secret.expose());
    }
    form.finish()
}

/// Id and secret are encoded as in a form before they are joined (RFC 6749, section 2.3.1).
fn pair(policy: &OAuth2Policy) -> String {
    let (id, secret) = (encoded(&policy.client_id), encoded(policy.client_secret.expose()));
    STANDARD.encode(format!("{id}:{secret}"))
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

fn basic(pair: &str) -> Result<HeaderValue, TransportError> {
    let value = HeaderValue::try_from(format!("Basic {pair}"));
    let mut value = value.map_err(|_| {
        TransportError("downstream.oauth2.client_id or client_secret cannot be sent".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("policy", &self.policy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::Secret;

    #[test]
    fn id_and_secret_are_encoded_before_they_are_joined() {
        let policy = OAuth2Policy {
            client_id: "a:b c".to_owned(),
            client_secret: Secret::new("p%s&".to_owned()),
            scope: Some("orders read".to_owned()),
            ..OAuth2Policy::of("https://auth.example/token")
        };
        assert_eq!(pair(&policy), STANDARD.encode("a%3Ab+c:p%25s%26"));
        assert_eq!(form_of(&policy), "grant_type=client_credentials&scope=orders+read");
        let body = OAuth2Policy { send: CredentialsIn::Body, ..policy };
        assert_eq!(
            form_of(&body),
            "grant_type=client_credentials&scope=orders+read&client_id=a%3Ab+c&client_secret=p%25s%26"
        );
    }
}
