//! Moments as pages show them: in UTC, in the zone of a queue's window, and in the zone of the browser.
//!
//! Owns the elements that show a moment. The zone of the browser comes in a cookie that the script writes; without script
//! pages show the other two. Refuses to read a clock.

use crate::domain::human::{Times, distance, utc};
use crate::domain::time::rfc3339;
use crate::domain::zone::NamedZone;
use crate::wire::Moment;

/// In which zones a page shows moments, and which moment is now.
#[derive(Debug, Clone)]
pub(super) struct Zones {
    pub(super) now_ms: u64,
    /// The zone of the window of the queue that the page is about.
    pub(super) window: Option<NamedZone>,
    /// The zone of the browser.
    pub(super) local: Option<NamedZone>,
}

impl Zones {
    /// The same on a page about a queue, whose policy may name a zone.
    pub(super) fn of_queue(mut self, policy: &serde_json::Value) -> Self {
        let named = policy["window"]["time_zone"].as_str();
        self.window = named.and_then(|name| name.parse().ok());
        self
    }

    /// How far a moment is, as an element; all its zones are in the title.
    pub(super) fn brief(&self, at: Moment) -> String {
        let said = distance(at.0, self.now_ms);
        let all = self.each(at.0).join(" · ");
        format!(r#"<time datetime="{}" title="{all}">{said}</time>"#, rfc3339(at.0))
    }

    /// A moment in all its zones and how far it is, as an element.
    pub(super) fn whole(&self, at: Moment) -> String {
        let said = distance(at.0, self.now_ms);
        let all: Vec<_> =
            self.each(at.0).iter().map(|text| format!("<span>{text}</span>")).collect();
        let all = all.join(" ");
        format!(r#"<time class="whole" datetime="{}">{all} <em>{said}</em></time>"#, rfc3339(at.0))
    }

    /// A moment in one zone: that of the window, else of the browser, else UTC.
    pub(super) fn clock(&self, at: Moment) -> String {
        self.each(at.0).pop().unwrap_or_default()
    }

    /// A sentence of the API, its moments in one zone.
    pub(super) fn sentence(&self, text: &str) -> String {
        let zone = self.window.as_ref().or(self.local.as_ref()).map(|zone| zone.zone().clone());
        Times { now_ms: self.now_ms, zone }.sentence(text)
    }

    /// A moment in each zone, UTC first and the window's last.
    fn each(&self, at_ms: u64) -> Vec<String> {
        let mut all = vec![utc(at_ms)];
        for (zone, of) in [(&self.local, "local"), (&self.window, "window")] {
            let Some(zone) = zone else { continue };
            let times = Times { now_ms: self.now_ms, zone: Some(zone.zone().clone()) };
            let shown = times.at(at_ms);
            if !all.contains(&shown) {
                all.push(format!("{shown} {of} ({})", zone.name()));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Moment = Moment(1_795_251_600_000); // 2026-11-21T09:00:00Z

    fn zones() -> Zones {
        let window = "Asia/Shanghai".parse().ok();
        Zones { now_ms: AT.0 - 5000, window, local: "Europe/Berlin".parse().ok() }
    }

    #[test]
    fn a_moment_is_shown_in_all_zones() {
        let whole = zones().whole(AT);
        for text in [
            "2026-11-21 09:00:00 UTC",
            "2026-11-21 10:00:00 +01:00 local (Europe/Berlin)",
            "2026-11-21 17:00:00 +08:00 window (Asia/Shanghai)",
            "in 5s",
        ] {
            assert!(whole.contains(text), "{whole}");
        }
        assert!(zones().brief(AT).ends_with(">in 5s</time>"));
        assert!(zones().clock(AT).starts_with("2026-11-21 17:00:00 +08:00"));
        let sentence = zones().sentence("It opens at 2026-11-21T09:00:00.000Z.");
        assert_eq!(sentence, "It opens at 2026-11-21 17:00:00 +08:00 (in 5s).");
    }

    #[test]
    fn a_zone_that_is_utc_is_not_shown_twice() {
        let zones = Zones { window: None, local: "UTC".parse().ok(), ..zones() };
        assert_eq!(zones.each(AT.0).len(), 1);
    }
}
