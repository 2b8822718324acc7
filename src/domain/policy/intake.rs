//! What a policy says of messages on their way in: which keys they bring, and how long they are of use.

use super::{QueuePolicy, Unfit};
use crate::domain::keys::MessageKey;
use crate::domain::message::{Details, NewMessage, Origin, When};

impl QueuePolicy {
    /// How long after its due time a message is of use that does not say so itself, ms; `None`: for ever.
    #[must_use]
    pub fn default_ttl_ms(&self, origin: Origin) -> Option<u64> {
        self.ttl_ms.filter(|_| origin != Origin::Move)
    }

    /// The message as this queue takes it: one that does not say how long it is of use expires by the queue's `ttl`, which
    /// counts from its due time.
    #[must_use]
    pub fn with_default_ttl(&self, message: NewMessage, origin: Origin) -> NewMessage {
        let (Some(ttl_ms), None) = (self.default_ttl_ms(origin), message.expires) else {
            return message;
        };
        let expires = match message.due {
            When::After(ms) => When::After(ms.saturating_add(ttl_ms)),
            When::At(at_ms) => When::At(at_ms.saturating_add(ttl_ms)),
        };
        NewMessage { expires: Some(expires), ..message }
    }

    /// Whether a message with these details brings every key that the queue requires.
    pub(super) fn check_keys(&self, details: &Details) -> Result<(), Unfit> {
        let lacks = |key: &&_| key_is_empty(key, details);
        let Some(key) = self.required_keys.iter().find(lacks) else { return Ok(()) };
        let found = if key.value_of(details).is_some() { "found an empty text" } else { "missing" };
        let option = match key {
            MessageKey::Group => "--group VALUE".to_owned(),
            MessageKey::Host => "--to URL".to_owned(),
            MessageKey::Label(name) => format!("--label {name}=VALUE"),
        };
        let why = format!(
            "{found}; each message of the queue \"{}\" needs {key} with a value that is not empty (required_keys): give it in the message, or by {option}",
            self.name
        );
        Err(Unfit::Key { key: key.clone(), why })
    }
}

fn key_is_empty(key: &MessageKey, details: &Details) -> bool {
    key.value_of(details).unwrap_or_default().is_empty()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn policy(required: &[&str], ttl_ms: Option<u64>) -> QueuePolicy {
        let required_keys = required.iter().map(|key| key.parse().unwrap()).collect();
        QueuePolicy { required_keys, ttl_ms, ..QueuePolicy::retired("q".parse().unwrap(), 1) }
    }

    #[test]
    fn a_required_key_has_a_value() {
        let policy = policy(&["labels.to", "group"], None);
        let with = |to: Option<&str>, group: Option<&str>| Details {
            labels: to.map(|to| ("to".to_owned(), to.to_owned())).into_iter().collect(),
            group: group.map(str::to_owned),
            ..Details::default()
        };
        assert_eq!(policy.check(&with(Some("x"), Some("g"))), Ok(()));
        let said = |details: Details| policy.check(&details).unwrap_err().to_string();
        let of = |key: &str, option: &str| {
            format!(
                "; each message of the queue \"q\" needs {key} with a value that is not empty (required_keys): give it in the message, or by {option}"
            )
        };
        let to = of("labels.to", "--label to=VALUE");
        assert_eq!(said(with(None, None)), format!("labels.to: missing{to}"));
        assert_eq!(said(with(Some(""), Some("g"))), format!("labels.to: found an empty text{to}"));
        let group = of("group", "--group VALUE");
        assert_eq!(said(with(Some("x"), None)), format!("group: missing{group}"));
    }

    #[test]
    fn the_default_counts_from_the_due_time_and_what_is_said_holds() {
        let policy = policy(&[], Some(1000));
        let message = |due, expires| NewMessage {
            payload: Bytes::new(),
            details: Details::default(),
            due,
            expires,
            priority: 0,
            fingerprint: [0; 16],
        };
        let expires =
            |due, expires, origin| policy.with_default_ttl(message(due, expires), origin).expires;
        for origin in [Origin::Producer, Origin::Schedule] {
            assert_eq!(expires(When::After(0), None, origin), Some(When::After(1000)));
            assert_eq!(expires(When::After(50), None, origin), Some(When::After(1050)));
            assert_eq!(expires(When::At(7000), None, origin), Some(When::At(8000)));
            let said = Some(When::At(9));
            assert_eq!(expires(When::After(0), said, origin), said);
        }
        assert_eq!(expires(When::After(0), None, Origin::Move), None);
        let latest = expires(When::At(u64::MAX), None, Origin::Producer);
        assert_eq!(latest, Some(When::At(u64::MAX)), "nothing wraps");
    }
}
