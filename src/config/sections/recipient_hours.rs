//! `[queues.<name>.recipient_hours]`: when recipients may be reached, each by the clock of its own zone.

use std::sync::Arc;

use super::hours::rule;
use crate::config::load::reader::{Field, Read};
use crate::config::setting::{Kind as _, list, parsed, settings};
use crate::domain::recipient_hours::RecipientHours;
use crate::domain::window::OpeningRule;
use crate::domain::zone::NamedZone;

settings! {
    struct Recipients in "queues.NAME.recipient_hours" of RecipientHours {
        /// When recipients may be reached, by the clock of the `time_zone` of each message; written as `open` of a
        /// [window](#queuesnamewindow).
        open: Vec<OpeningRule> =
            list(rule()).required("[{ days = \"mon-sun\", from = \"08:00\", to = \"21:00\" }]"),
            |it| it.rules().to_vec();
        /// The zone of messages that name none: an IANA name. Without it such messages are refused (400).
        fallback_zone: Option<NamedZone> = parsed("a time zone").unset_means("none").example("\"Europe/Berlin\""),
            |it| it.fallback().cloned();
    }
}

pub(in crate::config) fn read(field: &Field<'_>) -> Read<Arc<RecipientHours>> {
    field.section(&[], |section| {
        let Recipients { open, fallback_zone } = Recipients::of(section);
        let hours = RecipientHours::new(open?, fallback_zone?);
        hours.map(Arc::new).map_err(|error| section.wrong("open", error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{queue_errors, queue_of};

    #[test]
    fn every_key_is_read() {
        assert!(queue_of("").recipient_hours.is_none());
        let queue = queue_of(
            "recipient_hours = { open = [{ from = \"08:00\", to = \"21:00\" }], fallback_zone = \"Europe/Berlin\" }",
        );
        let hours = queue.recipient_hours.as_ref().unwrap();
        assert_eq!(hours.fallback().unwrap().name(), "Europe/Berlin");
        assert_eq!(hours.rules().len(), 1);
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("recipient_hours = { open = [] }", "recipient_hours.open: no opening is given"),
            ("recipient_hours = { fallback_zone = \"UTC\" }", "recipient_hours.open: is missing"),
            (
                "recipient_hours = { open = [{ from = \"08:00\", to = \"21:00\" }], fallback_zone = \"Mars\" }",
                "recipient_hours.fallback_zone: \"Mars\" is not a valid time zone",
            ),
        ] {
            let error = queue_errors(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
