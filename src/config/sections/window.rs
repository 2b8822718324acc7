//! `[queues.<name>.window]`: the hours in which a downstream may be called.

use jiff::civil::Date;

use super::calendar::{self, Calendars};
use super::hours::{date, rule};
use crate::config::load::reader::{Field, Read};
use crate::config::setting::{Kind, LONG_MS, custom, duration, list, parsed, settings, word};
use crate::domain::window::{BadWindow, CalendarName, DatedOpening, OnClose, OpeningRule, Window};
use crate::domain::zone::NamedZone;

const LATER: [&str; 1] = ["overrides"];

const ON_CLOSE: [(&str, OnClose); 2] =
    [(OnClose::Finish.as_str(), OnClose::Finish), (OnClose::Release.as_str(), OnClose::Release)];

settings! {
    struct Opening in "queues.NAME.window" of Window {
        /// An IANA name such as `Asia/Shanghai`.
        time_zone: String = zone().required("\"Asia/Shanghai\""), |it| it.time_zone().to_owned();
        /// When the downstream may be called, on these `days`: `mon-fri`, `sat-mon`, `mon,wed` (all, if left out). `to` is
        /// exclusive and may be `24:00`. If `from` is later than `to`, the window runs past midnight and belongs to the day
        /// on which it starts. Windows that overlap or touch are one.
        open: Vec<OpeningRule> =
            list(rule()).required("[{ days = \"mon-sun\", from = \"01:00\", to = \"04:00\" }]"),
            |it| it.rules().to_vec();
        /// Nothing is sent at any time of these local dates, also not in the last part of a window that began on the day
        /// before: `["2026-12-25"]`.
        closed_dates: Vec<Date> = list(date()).or(Vec::new()), |it| it.own_dates().closed().to_vec();
        /// Local dates with hours of their own, in place of those of their day of the week; each a table as
        /// [below](#queuesnamewindowdates).
        dates: Vec<DatedOpening> = list(calendar::dated()).or(Vec::new()), |it| it.own_dates().dated().to_vec();
        /// The [calendar](#calendarsname) that decides for dates which stand neither in `closed_dates` nor in `dates`.
        calendar: Option<CalendarName> = parsed("the name of a calendar").unset_means("none").example("\"cn\""),
            |it| it.calendar().map(|calendar| calendar.name.clone());
        /// No attempt starts if less than this time is left until the window closes.
        min_remaining: Option<u64> =
            duration(0..=LONG_MS)
                .unset_means("`downstream.timeout`")
                .example("\"15s\"")
                .always_in_force(),
            |it| Some(it.min_remaining_ms());
        /// What becomes of messages that this node has claimed, and whose attempt has not begun, when no attempt may start any
        /// more: with `finish` each keeps its place until its turn comes and goes back then, which counts as a window hold; with
        /// `release` all go back at once, as if they had not been claimed.
        on_close: OnClose = word(&ON_CLOSE, &[]).or(OnClose::Finish), |it| it.on_close();
    }
}

/// `timeout_ms`, the downstream's, is what must remain by default: an attempt that starts can end. `calendars`: `None`
/// where they could not be read.
pub(in crate::config) fn read(
    field: &Field<'_>,
    timeout_ms: Read<u64>,
    calendars: Option<&Calendars>,
) -> Read<Window> {
    field.section(&LATER, |section| {
        let it = Opening::of(section);
        let dates = calendar::together(section, it.closed_dates, it.dates);
        let calendar = match (it.calendar?, calendars) {
            (Some(name), Some(calendars)) => calendar::named(section, &name, calendars).map(Some),
            _ => Ok(None),
        };
        let (zone, open, dates) = (it.time_zone?, it.open?, dates?);
        let remaining = it.min_remaining?;
        let remaining_ms = remaining.map_or(timeout_ms, Ok)?;
        let window = Window::new(&zone, open, dates, remaining_ms).map_err(|error| {
            let key = match error {
                BadWindow::UnknownTimeZone(_) => "time_zone",
                BadWindow::NoOpening => "open",
                BadWindow::TooShort { .. } => "min_remaining",
            };
            section.wrong(key, error.to_string())
        })?;
        let window = window.closing_by(it.on_close?);
        Ok(match calendar? {
            Some(calendar) => window.with_calendar(calendar),
            None => window,
        })
    })
}

/// Asked for by itself, so that a slip in it is told beside others.
pub(super) fn zone() -> impl Kind<Value = String> {
    let known = |text: &str| text.parse::<NamedZone>().map(|_| text.to_owned());
    let read =
        move |field: &Field<'_>| field.parse(|text| known(text).map_err(|error| error.to_string()));
    custom("a time zone", read, |zone: &String| zone.as_str().into())
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{queue_errors, queue_of};
    use crate::domain::window::Window;

    const OPEN: &str = "open = [{ days = \"mon-sun\", from = \"01:00\", to = \"04:00\" }]";

    fn window(text: &str) -> Window {
        queue_of(&format!("[queues.q.window]\n{text}")).window.clone().unwrap()
    }

    #[test]
    fn every_key_is_read() {
        assert!(queue_of("").window.is_none());
        let window = window(
            "time_zone = \"Asia/Shanghai\"\nopen = [{ from = \"22:00\", to = \"02:00\" }, { days = \"sat,sun\", from = \"00:00\", to = \"24:00\" }]\nclosed_dates = [\"2026-12-25\", 2026-12-24]\nmin_remaining = \"30s\"",
        );
        assert_eq!(window.time_zone(), "Asia/Shanghai");
        assert_eq!(window.rules().len(), 2);
        assert_eq!(window.rules()[0].days().to_string(), "mon-sun");
        assert_eq!(window.own_dates().closed()[0].to_string(), "2026-12-24");
        assert_eq!(window.min_remaining_ms(), 30_000);
    }

    #[test]
    fn what_must_remain_is_the_timeout_by_default() {
        let text = format!(
            "[queues.q.window]\ntime_zone = \"UTC\"\n{OPEN}\n[queues.q.downstream]\ntype = \"http\"\nurl = \"http://h\"\ntimeout = \"7s\""
        );
        assert_eq!(queue_of(&text).window.as_ref().unwrap().min_remaining_ms(), 7000);
    }

    #[test]
    fn one_slip_does_not_hide_another() {
        let error = queue_errors("[queues.q.window]\ntime_zone = \"Mars\"");
        assert!(error.contains("\"Mars\" is not a valid time zone"), "{error}");
        assert!(error.contains("window.open: is missing"), "{error}");
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            (OPEN.to_owned(), "queues.q.window.time_zone: is missing"),
            ("time_zone = \"UTC\"".to_owned(), "queues.q.window.open: is missing"),
            ("time_zone = \"UTC\"\nopen = []".to_owned(), "open: no opening is given"),
            (
                format!("time_zone = \"Asia/Peking\"\n{OPEN}"),
                "\"Asia/Peking\" is not a valid time zone; expected an IANA name",
            ),
            (
                "open = [{ days = \"monday\", from = \"01:00\", to = \"02:00\" }]".to_owned(),
                "open[0].days: \"monday\" names no days",
            ),
            (
                "open = [{ from = \"1:00\", to = \"25:00\" }]".to_owned(),
                "open[0].from: \"1:00\" is not a valid time of day",
            ),
            (
                "open = [{ from = \"01:00\", to = \"25:00\" }]".to_owned(),
                "open[0].to: \"25:00\" is not a valid time of day",
            ),
            (
                "open = [{ from = \"01:00\", to = \"01:00\" }]".to_owned(),
                "the whole day is 00:00 to 24:00",
            ),
            (
                "closed_dates = [\"2026-02-30\"]".to_owned(),
                "closed_dates[0]: \"2026-02-30\" is not a valid date",
            ),
            ("closed_dates = [\"2026-12-25T10:00\"]".to_owned(), "is not a valid date"),
            (
                format!("time_zone = \"UTC\"\n{OPEN}\nmin_remaining = \"3h\""),
                "min_remaining: the longest opening is 3h, not longer than min_remaining 3h",
            ),
            ("overrides = 1".to_owned(), "this version does not have this setting"),
        ] {
            let error = queue_errors(&format!("[queues.q.window]\n{text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
