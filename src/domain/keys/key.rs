//! Which value of a message is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::message::{Details, LABEL_BYTES_MAX, check_name};
use crate::domain::message_target::MessageTarget;

/// What stands before the name of a label.
const OF_LABELS: &str = "labels.";

/// A value of a message: its group, one of its labels, or the host that it goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MessageKey {
    /// The group.
    Group,
    /// The label of this name.
    Label(String),
    /// Scheme, name and port of its own url, where messages bring one.
    Host,
}

/// Why a text does not name a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMessageKey {
    /// A label cannot have this name.
    #[error("\"{key}\" is not a valid key, because of the name of the label: {why}")]
    Label {
        /// The text.
        key: String,
        /// What is wrong with the name.
        why: String,
    },
    /// It is something else.
    #[error(
        "\"{0}\" is not a valid key; expected \"group\", \"host\", or \"labels.\" and the name of a label, for example \"labels.to\""
    )]
    Unknown(String),
}

impl MessageKey {
    /// The value of a message with these details; `None`: it does not have the key.
    #[must_use]
    pub fn value_of<'a>(&self, details: &'a Details) -> Option<&'a str> {
        match self {
            Self::Group => details.group.as_deref(),
            Self::Label(name) => details.labels.get(name).map(String::as_str),
            Self::Host => details.target.as_ref().map(MessageTarget::host),
        }
    }

    /// The last part of its name: `group`, `host`, or the name of the label.
    #[must_use]
    pub fn last_part(&self) -> &str {
        match self {
            Self::Group => "group",
            Self::Host => "host",
            Self::Label(name) => name,
        }
    }
}

/// As it is written in the configuration.
impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group => f.write_str("group"),
            Self::Host => f.write_str("host"),
            Self::Label(name) => write!(f, "{OF_LABELS}{name}"),
        }
    }
}

impl FromStr for MessageKey {
    type Err = BadMessageKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix(OF_LABELS)) {
            ("group", _) => Ok(Self::Group),
            ("host", _) => Ok(Self::Host),
            (_, None) => Err(BadMessageKey::Unknown(text.to_owned())),
            (_, Some(name)) => match check_name(name, LABEL_BYTES_MAX) {
                Ok(()) => Ok(Self::Label(name.to_owned())),
                Err(why) => Err(BadMessageKey::Label { key: text.to_owned(), why }),
            },
        }
    }
}

impl TryFrom<String> for MessageKey {
    type Error = BadMessageKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MessageKey> for String {
    fn from(key: MessageKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_as_people_write_them() {
        assert_eq!("group".parse(), Ok(MessageKey::Group));
        assert_eq!("host".parse(), Ok(MessageKey::Host));
        for name in ["to", "Tenant", "a.b", "labels.x", "客户", "with space", &"a".repeat(64)] {
            let key: MessageKey = format!("labels.{name}").parse().unwrap();
            assert_eq!(key, MessageKey::Label(name.to_owned()));
            assert_eq!(key.to_string(), format!("labels.{name}"));
        }
        for (text, part) in [
            ("", "\"\" is not a valid key; expected \"group\", \"host\", or \"labels.\""),
            ("Group", "\"Group\" is not a valid key"),
            ("none", "is not a valid key"),
            ("label.to", "is not a valid key; expected"),
            ("labels", "is not a valid key; expected"),
            ("labels.", "because of the name of the label: found 0 bytes, expected 1 to 64"),
            ("labels.a\nb", "because of the name of the label: found a control character"),
        ] {
            let error = text.parse::<MessageKey>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let long = format!("labels.{}", "a".repeat(65)).parse::<MessageKey>();
        assert!(long.unwrap_err().to_string().contains("found 65 bytes, expected 1 to 64"));
    }

    #[test]
    fn a_message_has_a_key_or_not() {
        let details = Details {
            group: Some("g".to_owned()),
            labels: [("to".to_owned(), "+49".to_owned()), ("group".to_owned(), "l".to_owned())]
                .into(),
            ..Details::default()
        };
        let value = |key: &str| key.parse::<MessageKey>().unwrap().value_of(&details);
        assert_eq!(value("group"), Some("g"));
        assert_eq!(value("labels.group"), Some("l"));
        assert_eq!(value("labels.to"), Some("+49"));
        assert_eq!(value("labels.To"), None);
        assert_eq!(MessageKey::Group.value_of(&Details::default()), None);
    }

    proptest! {
        #[test]
        fn keys_read_back_or_are_refused(text: String) {
            if let Ok(key) = text.parse::<MessageKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }
}
