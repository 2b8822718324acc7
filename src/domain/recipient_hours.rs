//! The hours in which recipients may be reached, each in a time zone of its own.
//!
//! Owns when the next opening of a zone is, and which zone a message goes by. Pure: takes the moment. Refuses to know the
//! queue's own window, which holds besides.

use super::message::Details;
use super::window::{BadWindow, Dates, HORIZON_MS, OpeningRule, Window, WindowState};
use super::zone::NamedZone;

/// The hours of a queue's recipients.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipientHours {
    rules: Vec<OpeningRule>,
    fallback: Option<NamedZone>,
}

/// How a zone stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Its recipients may be reached until just before this moment; `None`: not at the moment.
    pub open_until_ms: Option<u64>,
    /// When they may be reached again after that, or for the first time.
    pub next_open_ms: u64,
}

impl RecipientHours {
    /// Hours in which somebody can be reached; `fallback` is the zone of messages that name none.
    ///
    /// # Errors
    /// When there is no rule.
    pub fn new(rules: Vec<OpeningRule>, fallback: Option<NamedZone>) -> Result<Self, BadWindow> {
        if rules.is_empty() { Err(BadWindow::NoOpening) } else { Ok(Self { rules, fallback }) }
    }

    /// The opening rules, as given.
    #[must_use]
    pub fn rules(&self) -> &[OpeningRule] {
        &self.rules
    }

    /// The zone of messages that name none.
    #[must_use]
    pub const fn fallback(&self) -> Option<&NamedZone> {
        self.fallback.as_ref()
    }

    /// The zone by which a message goes; `None`: it goes by no hours.
    #[must_use]
    pub fn zone_of<'a>(&'a self, details: &'a Details) -> Option<&'a NamedZone> {
        if details.ignores_recipient_hours {
            return None;
        }
        details.time_zone.as_ref().or(self.fallback.as_ref())
    }

    /// How the recipients of a zone can be reached at a moment.
    #[must_use]
    pub fn reach(&self, zone: &NamedZone, at_ms: u64) -> Reach {
        // Only an empty list of rules makes no window, and there is at least one.
        let Ok(window) = Window::in_zone(zone.clone(), self.rules.clone(), Dates::default(), 0)
        else {
            return Reach { open_until_ms: None, next_open_ms: never(at_ms) };
        };
        let next = |from_ms| match window.state(from_ms) {
            WindowState::Open { .. } => from_ms,
            WindowState::Closed { opens_at_ms } => opens_at_ms.unwrap_or_else(|| never(from_ms)),
        };
        match window.state(at_ms) {
            WindowState::Open { closes_at_ms } => {
                let until_ms = closes_at_ms.unwrap_or_else(|| never(at_ms));
                Reach { open_until_ms: Some(until_ms), next_open_ms: next(until_ms) }
            }
            WindowState::Closed { .. } => Reach { open_until_ms: None, next_open_ms: next(at_ms) },
        }
    }

    /// The first moment, `at_ms` or later, at which the recipient of a message may be reached.
    #[must_use]
    pub fn first_ms(&self, details: &Details, at_ms: u64) -> u64 {
        let Some(zone) = self.zone_of(details) else { return at_ms };
        let reach = self.reach(zone, at_ms);
        if reach.open_until_ms.is_some() { at_ms } else { reach.next_open_ms }
    }
}

impl RecipientHours {
    /// How long the recipient of a message could not be reached before it became due, counted from `from_ms` on; 0 where it did not become
    /// due at an opening, or a moment later, as one does whose due time was counted from the moment at which a call ended.
    #[must_use]
    pub fn closed_before_ms(&self, details: &Details, from_ms: u64, due_ms: u64) -> u64 {
        let Some(zone) = self.zone_of(details) else { return 0 };
        let window = Window::in_zone(zone.clone(), self.rules.clone(), Dates::default(), 0);
        let open = window.map(|window| window.openings(from_ms, due_ms + 1)).unwrap_or_default();
        let (before, last) = match &*open {
            [.., before, last] => (before.1, last.0),
            [last] => (None, last.0),
            [] => return 0,
        };
        let opened = last.filter(|ms| *ms > from_ms && due_ms < *ms + OPENED_MS);
        opened.map_or(0, |opened_ms| opened_ms - before.unwrap_or(from_ms).max(from_ms))
    }
}

/// What became due so soon after an opening had waited for it, ms.
const OPENED_MS: u64 = 5000;

/// What stands for a moment that does not come within two years.
const fn never(at_ms: u64) -> u64 {
    at_ms.saturating_add(HORIZON_MS)
}

#[cfg(test)]
mod tests {
    use jiff::civil::{DateTime, Time};
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::time::{parse_rfc3339, timestamp};
    use crate::domain::window::Hours;

    const STEP_MS: u64 = 15 * 60_000;
    const DAY_MS: u64 = 86_400_000;
    const ZONES: [&str; 6] = [
        "America/Havana",
        "America/New_York",
        "Asia/Kathmandu",
        "Asia/Shanghai",
        "Australia/Lord_Howe",
        "Europe/Berlin",
    ];

    fn hours(from: &str, to: &str) -> RecipientHours {
        let hours = Hours::new(from.parse().unwrap(), to.parse().unwrap()).unwrap();
        let rule = OpeningRule::new("mon-sun".parse().unwrap(), hours);
        RecipientHours::new(vec![rule], None).unwrap()
    }

    fn zone(name: &str) -> NamedZone {
        name.parse().unwrap()
    }

    fn ms(text: &str) -> u64 {
        parse_rfc3339(text).unwrap()
    }

    /// Whether a recipient may be reached, by the clock on the wall and nothing else: the highest local time of the last day and a
    /// half, so that hours which clocks repeat count once.
    fn oracle_is_open(name: &str, from_s: i64, to_s: i64, at_ms: u64) -> bool {
        let zone = TimeZone::get(name).unwrap();
        let steps = (at_ms - 36 * 3_600_000..=at_ms).step_by(usize::try_from(STEP_MS).unwrap());
        let highest = steps.map(|ms| zone.to_datetime(timestamp(ms))).max().unwrap();
        let since_midnight = |local: DateTime| {
            let midnight = DateTime::from_parts(local.date(), Time::midnight());
            local.since(midnight).unwrap().total(jiff::Unit::Second).unwrap()
        };
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds of a day")]
        let second = since_midnight(highest) as i64;
        if from_s < to_s {
            from_s <= second && second < to_s
        } else {
            from_s <= second || second < to_s
        }
    }

    #[test]
    fn a_message_goes_by_its_zone_or_by_the_fallback_or_by_none() {
        let with_fallback =
            RecipientHours { fallback: Some(zone("Europe/Berlin")), ..hours("08:00", "21:00") };
        let in_shanghai = Details { time_zone: Some(zone("Asia/Shanghai")), ..Details::default() };
        let ignoring = Details { ignores_recipient_hours: true, ..in_shanghai.clone() };
        let night_ms = ms("2026-11-20T02:00:00Z");
        // 10:00 in Shanghai, 03:00 in Berlin.
        assert_eq!(with_fallback.first_ms(&in_shanghai, night_ms), night_ms);
        let opens_ms = ms("2026-11-20T07:00:00Z");
        assert_eq!(with_fallback.first_ms(&Details::default(), night_ms), opens_ms);
        assert_eq!(with_fallback.first_ms(&ignoring, night_ms), night_ms);
        assert_eq!(hours("08:00", "21:00").first_ms(&Details::default(), night_ms), night_ms);
    }

    #[test]
    fn what_became_due_at_an_opening_had_waited_for_it() {
        let day = RecipientHours { fallback: Some(zone("UTC")), ..hours("08:00", "21:00") };
        let before = |from: &str, due: &str| {
            day.closed_before_ms(&Details::default(), ms(from), ms(due)) / 60_000
        };
        assert_eq!(before("2026-11-20T02:00:00Z", "2026-11-20T08:00:00Z"), 6 * 60);
        assert_eq!(before("2026-11-19T20:00:00Z", "2026-11-20T08:00:04Z"), 11 * 60);
        assert_eq!(before("2026-11-20T02:00:00Z", "2026-11-20T08:01:00Z"), 0);
        assert_eq!(before("2026-11-20T08:00:00Z", "2026-11-20T08:00:00Z"), 0);
        assert_eq!(before("2026-11-20T08:00:00Z", "2026-11-20T02:00:00Z"), 0);
    }

    #[test]
    fn the_edges_are_those_of_the_clock_on_the_wall() {
        let (day, berlin) = (hours("08:00", "21:00"), zone("Europe/Berlin"));
        let close_ms = ms("2026-10-24T19:00:00Z");
        let open = day.reach(&berlin, close_ms - 1);
        // The clocks go back in the night: it is an hour longer.
        let next_open_ms = ms("2026-10-25T07:00:00Z");
        assert_eq!(open, Reach { open_until_ms: Some(close_ms), next_open_ms });
        let closed = Reach { open_until_ms: None, next_open_ms };
        assert_eq!(day.reach(&berlin, close_ms), closed);
        assert_eq!(day.reach(&berlin, next_open_ms - 1), closed);
        assert!(RecipientHours::new(Vec::new(), None).is_err());
        let always = hours("00:00", "24:00").reach(&berlin, close_ms);
        assert_eq!(always.open_until_ms, Some(never(close_ms)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_hours_agree_with_the_oracle(
            name in prop::sample::select(ZONES.to_vec()),
            (from, to) in (0u64..96, 0u64..96).prop_filter("leaves no time", |(from, to)| from != to),
            day in 0u64..3000,
            step in 0u64..96,
        ) {
            let time = |step: u64| format!("{:02}:{:02}", step / 4, step % 4 * 15);
            let hours = hours(&time(from), &time(to));
            let at_ms = ms("2024-02-01T00:00:00Z") + day * DAY_MS + step * STEP_MS;
            let [from_s, to_s] = [from, to].map(|step| i64::try_from(step * 900).unwrap());
            let is_open = |at_ms| oracle_is_open(name, from_s, to_s, at_ms);
            let reach = hours.reach(&zone(name), at_ms);
            prop_assert_eq!(reach.open_until_ms.is_some(), is_open(at_ms));
            let closed_from_ms = reach.open_until_ms.unwrap_or(at_ms);
            for ms in (at_ms..closed_from_ms).step_by(usize::try_from(STEP_MS).unwrap()) {
                prop_assert!(is_open(ms));
            }
            for ms in (closed_from_ms..reach.next_open_ms).step_by(usize::try_from(STEP_MS).unwrap()) {
                prop_assert!(!is_open(ms));
            }
            prop_assert!(is_open(reach.next_open_ms));
        }
    }
}
