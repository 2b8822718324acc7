//! `[topics.<name>]`: which queues get a message of each event.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::load::reader::{Field, Read};
use crate::config::setting::{Beside, Kind as _, Shown, parsed, settings};
use crate::domain::id::QueueName;
use crate::domain::policy::QueuePolicy;
use crate::domain::suggest::nearest;
use crate::domain::topic::{SUBSCRIBERS_MAX, TopicName, TopicPolicy};
use crate::domain::units::format_duration;

/// How long a queue must remember what it took of an event: completing it may take an outage.
pub(in crate::config) const MEMORY_MS_MIN: u64 = 3_600_000;

settings! {
    struct Topic in "topics.NAME" of TopicPolicy {
        /// Queues of this file. Each gets a message of every event, see [topics](topics.md).
        _queues as "queues": Shown = QUEUES, |it| {
            Shown::List(it.queues.iter().map(|queue| queue.as_str().into()).collect())
        };
    }
}

const QUEUES: Beside = Beside::required("a list of 1 to 64 queues", "[\"stock\", \"sms\"]");

/// `queues` are those of the configuration; `None`: they could not be read, and nothing is said twice.
pub(in crate::config) fn read(
    name: &str,
    field: &Field<'_>,
    queues: Option<&BTreeMap<QueueName, Arc<QueuePolicy>>>,
) -> Read<Arc<TopicPolicy>> {
    let name = name.parse::<TopicName>().map_err(|error| field.wrong(error.to_string()));
    let subscribers = field.section(&[], |section| {
        // Marks its keys as known; the queues are read here, beside those of the configuration.
        let _keys = Topic::of(section);
        section.required("queues", "queues = [\"stock\", \"sms\"]", |field| {
            let names = field.list(|item| subscriber(item, queues))?;
            if names.is_empty() || names.len() > SUBSCRIBERS_MAX {
                return Err(field.wrong(format!(
                    "found {} queues, expected 1 to {SUBSCRIBERS_MAX}; a topic without queues would lose its events",
                    names.len()
                )));
            }
            match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
                Some((_, twice)) => Err(field.wrong(format!(
                    "\"{twice}\" is listed twice; each queue gets one message of an event"
                ))),
                None => Ok(names),
            }
        })
    });
    Ok(Arc::new(TopicPolicy { name: name?, queues: subscribers? }))
}

fn subscriber(
    item: &Field<'_>,
    queues: Option<&BTreeMap<QueueName, Arc<QueuePolicy>>>,
) -> Read<QueueName> {
    let name = parsed::<QueueName>("a queue").read(item)?;
    let Some(queues) = queues else { return Ok(name) };
    if let Some(policy) = queues.get(&name) {
        return match policy.idempotency_window_ms {
            MEMORY_MS_MIN.. => Ok(name),
            window_ms => Err(item.wrong(format!(
                "\"{name}\" remembers keys for {} only, and would take a message twice after a crash; set queues.{name}.idempotency_window to {} or more",
                format_duration(window_ms),
                format_duration(MEMORY_MS_MIN),
            ))),
        };
    }
    let known: Vec<&str> = queues.keys().map(QueueName::as_str).collect();
    Err(item.wrong(match nearest(name.as_str(), known.iter().copied()) {
        Some(meant) => format!("there is no queue \"{name}\"; did you mean \"{meant}\"?"),
        None if known.is_empty() => format!("there is no queue \"{name}\"; add [queues.{name}]"),
        None => format!("there is no queue \"{name}\"; expected one of {}", known.join(", ")),
    }))
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{errors_of, settings_of};
    use crate::domain::id::QueueName;

    const QUEUES: &str =
        "[queues.stock]\ndownstream.type = \"null\"\n[queues.sms]\ndownstream.type = \"null\"\n";

    #[test]
    fn subscribers_keep_their_order() {
        let settings =
            settings_of(&format!("{QUEUES}[topics.order_paid]\nqueues = [\"stock\", \"sms\"]"));
        let topic = settings.topics.values().next().unwrap();
        assert_eq!(topic.name.as_str(), "order_paid");
        let names: Vec<_> = topic.queues.iter().map(QueueName::as_str).collect();
        assert_eq!(names, ["stock", "sms"]);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let errors = errors_of(&format!(
            "{QUEUES}[topics.Paid]\nqueues = [\"stocks\", \"erp\"]\n[topics.b]\nqueues = []\n[topics.c]\nqueues = [\"sms\", \"sms\"]\n[topics.d]\nqueue = \"sms\"\n[topics.e]\nqueues = \"sms\"\n[topics.f]\nqueues = [\"brief\"]\n[queues.brief]\nidempotency_window = \"1m\"\ndownstream.type = \"null\"\n"
        ));
        for part in [
            "topics.Paid: \"Paid\" is not a valid topic name",
            "topics.Paid.queues[0]: there is no queue \"stocks\"; did you mean \"stock\"?",
            "topics.Paid.queues[1]: there is no queue \"erp\"; expected one of brief, sms, stock",
            "topics.b.queues: found 0 queues, expected 1 to 64",
            "topics.c.queues: \"sms\" is listed twice",
            "topics.d.queues: is missing; expected for example queues = [\"stock\", \"sms\"]",
            "topics.d.queue: unknown key; did you mean queues?",
            "topics.e.queues: found a text, expected a list",
            "topics.f.queues[0]: \"brief\" remembers keys for 1m only",
        ] {
            assert!(errors.contains(part), "{part} not in\n{errors}");
        }
    }

    #[test]
    fn a_queue_that_is_wrong_itself_is_told_once() {
        let errors = errors_of("[queues.sms]\n[topics.a]\nqueues = [\"sms\"]");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}
