//! `[inbox]`: streams that producers fill who speak only Redis.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::topic::MEMORY_MS_MIN;
use crate::config::load::reader::{Field, Read};
use crate::config::setting::{Kind as _, settings, switch};
use crate::config::settings::InboxSettings;
use crate::domain::id::QueueName;
use crate::domain::inbox::REJECTED;
use crate::domain::policy::QueuePolicy;
use crate::domain::units::format_duration;

settings! {
    struct Inbox in "inbox" of InboxSettings {
        /// Whether entries of the Redis streams `<namespace>:inbox:<queue>` are taken in as messages, see
        /// [inbox](inbox.md). This is for producers that speak only Redis.
        enabled: bool = switch().or(false), |it| it.enabled;
    }
}

/// `queues` are those of the configuration; `None`: they could not be read, and nothing is said twice.
pub(in crate::config) fn read(
    field: &Field<'_>,
    queues: Option<&BTreeMap<QueueName, Arc<QueuePolicy>>>,
) -> Read<InboxSettings> {
    field.section(&[], |section| {
        let enabled = Inbox::of(section).enabled?;
        for policy in queues.into_iter().flat_map(BTreeMap::values).filter(|_| enabled) {
            let name = &policy.name;
            if name.as_str() == REJECTED {
                return Err(section.wrong(
                    "enabled",
                    format!("a queue named \"{REJECTED}\" would share its stream with what is rejected; rename queues.{REJECTED}"),
                ));
            }
            if policy.idempotency_window_ms < MEMORY_MS_MIN {
                return Err(section.wrong(
                    "enabled",
                    format!(
                        "queues.{name} remembers keys for {} only, and would take an entry twice after a crash; set its idempotency_window to {} or more",
                        format_duration(policy.idempotency_window_ms),
                        format_duration(MEMORY_MS_MIN)
                    ),
                ));
            }
        }
        Ok(InboxSettings { enabled })
    })
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{errors_of, settings_of};

    #[test]
    fn it_is_off_unless_it_is_switched_on() {
        assert!(!settings_of("").inbox.enabled);
        assert!(settings_of("[inbox]\nenabled = true").inbox.enabled);
        assert!(!settings_of("[inbox]\nenabled = false").inbox.enabled);
    }

    #[test]
    fn bad_values_are_refused() {
        let queue = |name: &str, lines: &str| {
            format!("[inbox]\nenabled = true\n[queues.{name}]\n{lines}\ndownstream.type = \"null\"")
        };
        for (text, part) in [
            (
                "[inbox]\nenabled = \"maybe\"".to_owned(),
                "inbox.enabled: found \"maybe\", expected true or false",
            ),
            ("[inbox]\nenabled = 1".to_owned(), "inbox.enabled: found 1, expected true or false"),
            (
                "[inbox]\nenable = true".to_owned(),
                "inbox.enable: unknown key; did you mean enabled?",
            ),
            (queue("rejected", ""), "inbox.enabled: a queue named \"rejected\""),
            (
                queue("q", "idempotency_window = \"1m\""),
                "inbox.enabled: queues.q remembers keys for 1m only",
            ),
        ] {
            let errors = errors_of(&text);
            assert!(errors.contains(part), "{part} not in\n{errors}");
        }
    }
}
