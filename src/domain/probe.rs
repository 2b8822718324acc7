//! Asking the downstream by id what became of a message, before it is sent again.
//!
//! Owns what an answer to such a question means and when the next one is asked. Refuses to know how
//! bytes travel and where the count is kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::access::Access;
use super::endpoint::{HttpDownstream, Secret};
use super::id::{MessageId, QueueName};
use super::outcome::Answer;
use super::spread::lengthened;

/// What stands for the message's id in the url.
pub const ID_PLACE: &str = "{id}";

/// By how much of itself the time to the next question is lengthened at most.
const SPREAD: f64 = 0.2;

/// Whom to ask, and what the answers mean.
#[derive(Clone, PartialEq)]
pub struct ProbePolicy {
    /// With [`ID_PLACE`] in it: a url once the id stands there.
    pub url: String,
    /// The url for people: as the configuration wrote it.
    pub url_shown: String,
    /// `GET` or `HEAD`.
    pub method: http::Method,
    /// One deadline for the whole exchange.
    pub timeout_ms: u64,
    /// Sent with every probe; values may be secret.
    pub headers: Vec<(http::HeaderName, Secret)>,
    /// Sign probes as deliveries are signed.
    pub signing_secrets: Vec<Secret>,
    /// How the server is reached, and as whom.
    pub access: Arc<Access>,
    /// Statuses that say: it is booked.
    pub delivered: Vec<u16>,
    /// Statuses that say: it is not, and will not be by itself.
    pub absent: Vec<u16>,
    /// From the end of the attempt to the first probe; doubled for each further one.
    pub after_ms: u64,
    /// Probes in all, ≥ 1.
    pub max_attempts: u32,
}

/// What a probe came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeFound {
    /// The downstream has it.
    Delivered,
    /// The downstream does not have it.
    Absent,
    /// Neither can be said.
    Unknown,
}

impl ProbeFound {
    /// The word in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        }
    }
}

impl ProbePolicy {
    /// Where to ask for this message; `None` only for an address that no configuration lets through.
    #[must_use]
    pub fn url_of(&self, id: &MessageId) -> Option<url::Url> {
        self.url.replace(ID_PLACE, &id.to_string()).parse().ok()
    }

    /// As whom the transport calls: one address among those that are asked.
    #[must_use]
    pub fn as_downstream(&self, queue: &QueueName) -> Option<HttpDownstream> {
        let any = MessageId { queue: queue.clone(), ulid: ulid::Ulid::nil() };
        Some(HttpDownstream {
            url: self.url_of(&any)?,
            url_shown: self.url_shown.clone(),
            method: self.method.clone(),
            timeout_ms: self.timeout_ms,
            headers: self.headers.clone(),
            signing_secrets: self.signing_secrets.clone(),
            access: Arc::clone(&self.access),
            answers: None,
            egress: None,
            request: None,
        })
    }

    /// What an answer says. A status that is in neither list says nothing.
    #[must_use]
    pub fn read(&self, answer: &Answer) -> ProbeFound {
        match answer {
            Answer::Answered { status, .. } if self.delivered.contains(status) => {
                ProbeFound::Delivered
            }
            Answer::Answered { status, .. } if self.absent.contains(status) => ProbeFound::Absent,
            Answer::Answered { .. }
            | Answer::NotSent { .. }
            | Answer::NotAllowed { .. }
            | Answer::Withheld { .. }
            | Answer::Unknown { .. } => ProbeFound::Unknown,
        }
    }

    /// How long to wait after so many probes that could not tell; `None`: no further one. `asked_ms`
    /// is what the downstream itself asked for, as far as that is obeyed. A random share in [0, 1) makes it up to a fifth
    /// longer, never shorter: `after` is a promise.
    #[must_use]
    pub fn next_in_ms(
        &self,
        probes: u32,
        asked_ms: u64,
        longest_ms: u64,
        random: f64,
    ) -> Option<u64> {
        if probes >= self.max_attempts {
            return None;
        }
        let longest_ms = longest_ms.max(self.after_ms);
        let delay_ms = self.after_ms.saturating_mul(1 << probes.min(32)).min(longest_ms);
        let delay_ms = delay_ms.max(asked_ms);
        let later = lengthened(Duration::from_millis(delay_ms), SPREAD, random.clamp(0.0, 1.0));
        Some(u64::try_from(later.as_millis()).unwrap_or(u64::MAX).max(delay_ms))
    }
}

/// The url may hold a secret: only its shown form is shown.
impl fmt::Debug for ProbePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbePolicy")
            .field("url", &self.url_shown)
            .field("method", &self.method)
            .field("timeout_ms", &self.timeout_ms)
            .field("headers", &self.headers)
            .field("signing_secrets", &self.signing_secrets)
            .field("access", &self.access)
            .field("delivered", &self.delivered)
            .field("absent", &self.absent)
            .field("after_ms", &self.after_ms)
            .field("max_attempts", &self.max_attempts)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::protocol::Protocol;

    fn policy() -> ProbePolicy {
        ProbePolicy {
            url: "https://erp.example/orders/{id}?of={id}".to_owned(),
            url_shown: String::new(),
            method: http::Method::GET,
            timeout_ms: 1000,
            headers: Vec::new(),
            signing_secrets: Vec::new(),
            access: Arc::default(),
            delivered: vec![200],
            absent: vec![404, 410],
            after_ms: 5000,
            max_attempts: 5,
        }
    }

    fn answered(status: u16) -> Answer {
        Answer::Answered {
            protocol: Protocol::Http,
            status,
            retry_after_ms: None,
            content_type: None,
            encoding: None,
            body: Bytes::new(),
            pending: None,
            missing: Some("cut".to_owned()),
        }
    }

    #[test]
    fn the_id_stands_wherever_the_url_has_its_place() {
        let id: MessageId = "erp_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let url = policy().url_of(&id).unwrap();
        assert_eq!(url.as_str(), format!("https://erp.example/orders/{id}?of={id}"));
    }

    #[test]
    fn only_a_status_that_was_named_says_anything() {
        let read = |answer: &Answer| policy().read(answer);
        assert_eq!(read(&answered(200)), ProbeFound::Delivered);
        assert_eq!(read(&answered(404)), ProbeFound::Absent);
        assert_eq!(read(&answered(410)), ProbeFound::Absent);
        for status in [201, 302, 401, 403, 429, 500, 503] {
            assert_eq!(read(&answered(status)), ProbeFound::Unknown, "{status}");
        }
        assert_eq!(
            read(&Answer::NotSent { error: String::new(), is_local: false }),
            ProbeFound::Unknown
        );
        assert_eq!(read(&Answer::Unknown { error: String::new() }), ProbeFound::Unknown);
    }

    #[test]
    fn probes_come_ever_later_and_never_sooner_than_asked() {
        let next = |probes, asked_ms| policy().next_in_ms(probes, asked_ms, 60_000, 0.0);
        let delays: Vec<_> = (0..6).map(|probes| next(probes, 0)).collect();
        assert_eq!(
            delays,
            [Some(5000), Some(10_000), Some(20_000), Some(40_000), Some(60_000), None]
        );
        assert_eq!(next(1, 30_000), Some(30_000));
        assert_eq!(next(1, 1), Some(10_000));
        assert_eq!(next(1, 3_600_000), Some(3_600_000), "beyond the longest delay of our own");
        assert_eq!(policy().next_in_ms(0, 0, 60_000, 0.999), Some(5999), "only ever later");
        // Even where `after` is the longest of all.
        assert_eq!(policy().next_in_ms(0, 0, 1000, 0.0), Some(5000));
    }
}
