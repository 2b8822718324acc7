//! `[calendars.<name>]`: dates that the windows of several queues share, and how a section says what holds on dates.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;

use super::hours::{date, hours};
use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Form, Kind, Shown, custom, list, settings};
use crate::domain::suggest::nearest;
use crate::domain::window::{Calendar, CalendarName, DatedOpening, Dates, Hours};

/// The calendars of a configuration.
pub(in crate::config) type Calendars = BTreeMap<CalendarName, Arc<Calendar>>;

const DATED: &str = "[queues.NAME.window.dates]";

settings! {
    struct Shared in "calendars.NAME" of Calendar {
        /// Local dates on which nothing is sent.
        closed_dates: Vec<Date> = list(date()).or(Vec::new()), |it| it.dates.closed().to_vec();
        /// Local dates with hours of their own, each a table as in a [window](#queuesnamewindowdates).
        dates: Vec<DatedOpening> = list(dated()).or(Vec::new()), |it| it.dates.dated().to_vec();
    }
}

settings! {
    struct Dated in "[queues.NAME.window.dates]" of DatedOpening {
        /// The local date on which these hours start.
        date: Date = date().required("\"2026-12-31\""), |it| it.date;
        /// When the downstream may be called on this date. `to` is exclusive and may be `24:00`. If `from` is later than `to`,
        /// the hours run past midnight, unless the next date is closed or has hours of its own.
        open: Vec<Hours> = list(hours()).required("[{ from = \"01:00\", to = \"06:00\" }]"), |it| it.open.clone();
    }
}

/// Reads `[calendars.<name>]`.
pub(in crate::config) fn read(name: &str, field: &Field<'_>) -> Read<Arc<Calendar>> {
    let name = name.parse::<CalendarName>().map_err(|error| field.wrong(error.to_string()));
    let dates = field.section(&[], |section| {
        let it = Shared::of(section);
        together(section, it.closed_dates, it.dates)
    });
    Ok(Arc::new(Calendar { name: name?, dates: dates? }))
}

/// What one place says of dates.
pub(super) fn together(
    section: &Section<'_>,
    closed: Read<Vec<Date>>,
    dated: Read<Vec<DatedOpening>>,
) -> Read<Dates> {
    Dates::new(closed?, dated?).map_err(|error| section.wrong("dates", error.to_string()))
}

/// A date with hours of its own.
pub(super) fn dated() -> impl Kind<Value = DatedOpening> {
    let read = |field: &Field<'_>| {
        field.section(&[], |section| {
            let it = Dated::of(section);
            Ok(DatedOpening { date: it.date?, open: it.open? })
        })
    };
    let shown = |it: &DatedOpening| Shown::Table(Dated::shown(it));
    custom("a table with `date` and `open`", read, shown).shown_as(Form::Section(DATED))
}

/// The calendar that a window names.
pub(super) fn named(
    section: &Section<'_>,
    name: &CalendarName,
    calendars: &Calendars,
) -> Read<Arc<Calendar>> {
    if let Some(calendar) = calendars.get(name) {
        return Ok(Arc::clone(calendar));
    }
    let known: Vec<&str> = calendars.keys().map(CalendarName::as_str).collect();
    let remedy = match nearest(name.as_str(), known.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None if known.is_empty() => format!("add [calendars.{name}] with closed_dates or dates"),
        None => format!("expected one of {}, or add [calendars.{name}]", known.join(", ")),
    };
    Err(section.wrong("calendar", format!("there is no calendar \"{name}\"; {remedy}")))
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{errors_of, settings_of};
    use crate::config::{digest, render};
    use crate::domain::window::{SaidBy, Window};

    const CALENDAR: &str = "[calendars.cn]\nclosed_dates = [\"2026-10-01\"]\ndates = [{ date = \"2026-12-31\", open = [{ from = \"22:00\", to = \"06:00\" }] }]\n";

    fn queue(of_window: &str) -> String {
        format!(
            "[queues.q]\ndownstream.type = \"null\"\n[queues.q.window]\ntime_zone = \"UTC\"\nopen = [{{ from = \"01:00\", to = \"04:00\" }}]\n{of_window}\n"
        )
    }

    fn window(text: &str) -> Window {
        settings_of(text).queues.values().next().unwrap().window.clone().unwrap()
    }

    #[test]
    fn a_window_has_its_own_dates_and_those_of_its_calendar() {
        let own = "calendar = \"cn\"\nclosed_dates = [\"2026-12-31\"]\ndates = [{ date = \"2026-10-02\", open = [{ from = \"00:00\", to = \"24:00\" }] }]";
        let text = format!("{CALENDAR}{}", queue(own));
        let window = window(&text);
        assert_eq!(window.calendar().unwrap().name.as_str(), "cn");
        let said: Vec<_> = window
            .special_dates(0, u64::MAX)
            .map(|it| (it.date.to_string(), it.said_by, it.is_closed()))
            .collect();
        let expected = [
            ("2026-10-01".to_owned(), SaidBy::Calendar, true),
            ("2026-10-02".to_owned(), SaidBy::Queue, false),
            ("2026-12-31".to_owned(), SaidBy::Queue, true),
        ];
        assert_eq!(said, expected);
        let settings = settings_of(&text);
        let shown = render(&settings);
        for part in [
            "[calendars.cn]",
            "calendar = \"cn\"",
            "{ date = \"2026-12-31\", open = [{ from = \"22:00\", to = \"06:00\" }] }",
        ] {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
        assert_eq!(settings_of(&shown), settings, "{shown}");
        let other = settings_of(&text.replace("2026-10-01", "2026-10-03"));
        assert_ne!(digest(&other), digest(&settings), "nodes with another calendar differ");
        assert_ne!(other.queues, settings.queues, "a reload changes the queue");
    }

    #[test]
    fn bad_values_are_refused() {
        let both = "closed_dates = [\"2026-12-31\"]\ndates = [{ date = \"2026-12-31\", open = [{ from = \"01:00\", to = \"02:00\" }] }]";
        for (text, part) in [
            (
                queue("calendar = \"cn\""),
                "queues.q.window.calendar: there is no calendar \"cn\"; add [calendars.cn] with",
            ),
            (
                format!("{CALENDAR}{}", queue("calendar = \"cm\"")),
                "there is no calendar \"cm\"; did you mean \"cn\"?",
            ),
            (
                format!("{CALENDAR}{}", queue("calendar = \"holidays\"")),
                "expected one of cn, or add [calendars.holidays]",
            ),
            (queue(both), "queues.q.window.dates: 2026-12-31 is also in closed_dates"),
            (format!("[calendars.cn]\n{both}"), "calendars.cn.dates: 2026-12-31 is also in"),
            (
                "[calendars.cn]\ndates = [{ date = \"2026-12-31\", open = [] }]".to_owned(),
                "calendars.cn.dates: 2026-12-31 has no hours",
            ),
            (
                "[calendars.cn]\ndates = [{ date = \"2026-12-31\" }]".to_owned(),
                "calendars.cn.dates[0].open: is missing",
            ),
            (
                "[calendars.cn]\ndates = [{ date = \"x\", open = [{ days = \"mon\", from = \"01:00\", to = \"02:00\" }] }]".to_owned(),
                "calendars.cn.dates[0].open[0].days: unknown key",
            ),
            ("[calendars.CN]\nclosed_dates = []".to_owned(), "is not a valid calendar name"),
            ("[calendars.cn]\ntime_zone = \"UTC\"".to_owned(), "calendars.cn.time_zone: unknown key"),
        ] {
            let error = errors_of(&text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
