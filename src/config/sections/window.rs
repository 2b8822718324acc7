//! `[queues.<name>.window]`: the hours in which a downstream may be called.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::config::kinds::{LONG_MS, duration, parsed};
use crate::config::load::reader::{Field, Read};
use crate::domain::window::{BadWindow, Days, OpeningRule, TimeOfDay, Window};

const LATER: [&str; 3] = ["calendar", "overrides", "on_close"];

/// `timeout_ms`, the downstream's, is what must remain by default: an attempt that starts can end.
pub(in crate::config) fn read(field: &Field<'_>, timeout_ms: Read<u64>) -> Read<Window> {
    field.section(&LATER, |section| {
        let zone = section.required("time_zone", "time_zone = \"Asia/Shanghai\"", zone);
        let example = "open = [{ days = \"mon-sun\", from = \"01:00\", to = \"04:00\" }]";
        let open = section.required("open", example, |field| field.list(rule));
        let closed = section.read_or("closed_dates", Vec::new(), |field| field.list(date));
        let remaining = section.read("min_remaining", duration(0..=LONG_MS));
        let (zone, open, closed, remaining) = (zone?, open?, closed?, remaining?);
        let remaining_ms = remaining.map_or(timeout_ms, Ok)?;
        Window::new(&zone, open, closed, remaining_ms).map_err(|error| {
            let key = match error {
                BadWindow::UnknownTimeZone(_) => "time_zone",
                BadWindow::NoOpening => "open",
                BadWindow::TooShort { .. } => "min_remaining",
            };
            section.wrong(key, error.to_string())
        })
    })
}

/// Asked for by itself, so that a slip in it is told beside others of the window.
fn zone(field: &Field<'_>) -> Read<String> {
    field.parse(|text| match TimeZone::get(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(BadWindow::UnknownTimeZone(text.to_owned()).to_string()),
    })
}

fn rule(field: &Field<'_>) -> Read<OpeningRule> {
    field.section(&[], |section| {
        let days = section.read_or("days", Days::ALL, parsed);
        let from = section.required("from", "from = \"01:00\"", parsed::<TimeOfDay>);
        let to = section.required("to", "to = \"04:00\"", parsed::<TimeOfDay>);
        OpeningRule::new(days?, from?, to?)
            .map_err(|error| section.wrong("from", error.to_string()))
    })
}

/// Strictly a date: jiff alone would also take a moment and forget its time.
fn date(field: &Field<'_>) -> Read<Date> {
    field.parse(|text| {
        let parsed = (text.len() == 10).then(|| text.parse().ok()).flatten();
        parsed.ok_or_else(|| {
            format!("{text:?} is not a valid date; expected YYYY-MM-DD, for example 2026-12-25")
        })
    })
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
        assert_eq!(window.closed_dates()[0].to_string(), "2026-12-24");
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
            ("calendar = \"cn\"".to_owned(), "this version does not have this setting"),
        ] {
            let error = queue_errors(&format!("[queues.q.window]\n{text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
