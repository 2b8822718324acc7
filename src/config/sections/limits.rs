//! `[[queues.<name>.limits]]`: the limits of a queue beside its own rate, and the checks across all of them.

use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Form, Kind, Shown, custom, parsed, settings, whole, word};
use crate::domain::limit::{LimitKind, LimitName, LimitRule, LimitUnit, Quota, Rate};
use crate::domain::zone::NamedZone;

/// Most units that may start at once: a bound against a slip of the finger.
pub(super) const BURST_MAX: u32 = 1_000_000;
pub(super) const BURST: u32 = 1;
/// Most limits of a queue, with its own rate: each call asks all of them.
const LIMITS_MAX: usize = 16;

const LATER: [&str; 2] = ["per", "concurrency"];

settings! {
    struct OneLimit in "[queues.NAME.limits]" of LimitRule {
        /// Under this name the state of the limit is kept and shown, so that a limit with another name begins anew. Each limit of
        /// a queue has a name of its own.
        name: Option<LimitName> = parsed("a name").unset_means("`rate`, or that of the period, such as `quota_day`").example("\"contract\""),
            |it| Some(it.name.clone());
        /// Units per time over all nodes, at an even pace. A limit has a `rate` or a `quota`.
        rate: Option<Rate> = parsed("a rate").unset_means("none").example("\"20/s\""), |it| match it.kind {
            LimitKind::Rate { rate, .. } => Some(rate),
            LimitKind::Quota(_) => None,
        };
        /// Units of a `rate` that may start at once after a time without calls.
        burst: Option<u32> = whole(1..=BURST_MAX).unset_means("`1`").example("10"), |it| match it.kind {
            LimitKind::Rate { burst, .. } => Some(burst),
            LimitKind::Quota(_) => None,
        };
        /// Units in each `hour`, `day`, `week` (from Monday) or `month` of the calendar. They may start as fast as the other
        /// limits allow, and when all are used, nothing starts until the next period.
        quota: Option<Quota> = parsed("a quota").unset_means("none").example("\"50000/day\""),
            |it| it.quota().cloned();
        /// In which time zone the periods of a `quota` begin: an IANA name.
        time_zone: Option<NamedZone> = parsed("a time zone").unset_means("`UTC`").example("\"Asia/Shanghai\""),
            |it| it.quota().map(|quota| quota.zone().clone());
        /// What a batch takes: one unit (`calls`), or all that its messages cost (`messages`). Without batches both are the
        /// [cost](http.md#messages) of the message.
        unit: LimitUnit = word(&UNITS, &[]).or(LimitUnit::Calls), |it| it.unit;
    }
}

const UNITS: [(&str, LimitUnit); 2] = [
    (LimitUnit::Calls.as_str(), LimitUnit::Calls),
    (LimitUnit::Messages.as_str(), LimitUnit::Messages),
];

/// One limit of the list.
pub(super) fn limit() -> impl Kind<Value = LimitRule> {
    custom("a table as [below](#queuesnamelimits)", read, |rule| {
        Shown::Table(OneLimit::shown(rule))
    })
    .shown_as(Form::Section("[queues.NAME.limits]"))
}

fn read(field: &Field<'_>) -> Read<LimitRule> {
    if let Some(text) = field.raw_text()
        && !text.trim_start().starts_with('{')
    {
        return Err(field.wrong(format!(
            "found {text:?}, but this version does not have limits that several queues share; expected a table, for example {{ quota = \"50000/day\" }}"
        )));
    }
    field.section(&LATER, |section| {
        let OneLimit { name, rate, burst, quota, time_zone, unit } = OneLimit::of(section);
        let kind = kind(section, rate?, burst?, quota?, time_zone?);
        let (name, unit, kind) = (name?, unit?, kind?);
        Ok(LimitRule { name: name.unwrap_or_else(|| kind.default_name()), kind, unit })
    })
}

/// A limit is a rate or a quota, and has what belongs to it.
fn kind(
    section: &Section<'_>,
    rate: Option<Rate>,
    burst: Option<u32>,
    quota: Option<Quota>,
    zone: Option<NamedZone>,
) -> Read<LimitKind> {
    match (rate, quota) {
        (Some(_), Some(_)) => Err(section.wrong(
            "quota",
            "a limit is a rate or a quota, and this one is both; make two limits of it",
        )),
        (None, None) => Err(section.wrong(
            "rate",
            "is missing; expected for example rate = \"20/s\", or quota = \"50000/day\"",
        )),
        (Some(_), None) if zone.is_some() => Err(section.wrong(
            "time_zone",
            "has no effect on a rate, which does not go by the calendar; use a quota, or remove time_zone",
        )),
        (None, Some(_)) if burst.is_some() => Err(section.wrong(
            "burst",
            "has no effect on a quota, which may be used at any pace; use a rate, or remove burst",
        )),
        (Some(rate), None) => Ok(LimitKind::Rate { rate, burst: burst.unwrap_or(BURST) }),
        (None, Some(quota)) => Ok(LimitKind::Quota(quota.in_zone(zone.unwrap_or_default()))),
    }
}

/// The queue's own rate and burst. A burst is a share of a rate: without one it would say nothing.
fn own(
    section: &Section<'_>,
    rate: Read<Option<Rate>>,
    burst: Read<Option<u32>>,
) -> Read<Option<LimitRule>> {
    let (rate, burst) = (rate?, burst?.unwrap_or(BURST));
    if rate.is_none() && burst > 1 {
        return Err(section.wrong(
            "burst",
            "has no effect without a rate; set rate, for example rate = \"20/s\", or remove burst",
        ));
    }
    Ok(rate.map(|rate| LimitRule::own_rate(rate, burst)))
}

/// All limits of a queue, its own rate first; each name once, as each keeps its state under its name.
pub(super) fn all(
    section: &Section<'_>,
    rate: Read<Option<Rate>>,
    burst: Read<Option<u32>>,
    further: Read<Vec<LimitRule>>,
) -> Read<Vec<LimitRule>> {
    let own = own(section, rate, burst);
    let (own, further) = (own?, further?);
    let has_own = own.is_some();
    let limits: Vec<_> = own.into_iter().chain(further).collect();
    let twice = |(at, limit): &(usize, &LimitRule)| {
        limits[..*at].iter().any(|earlier| earlier.name == limit.name)
    };
    if let Some((_, limit)) = limits.iter().enumerate().find(twice) {
        let name = &limit.name;
        let whose = if has_own && limits[0].name == *name {
            ", one of them the rate of the queue"
        } else {
            ""
        };
        return Err(section.wrong(
            "limits",
            format!(
                "two limits are named \"{name}\"{whose}; give each a name of its own, for example name = \"{name}_2\""
            ),
        ));
    }
    if limits.len() > LIMITS_MAX {
        let found = limits.len();
        return Err(section.wrong(
            "limits",
            format!(
                "found {found} limits, with the rate of the queue, expected at most {LIMITS_MAX}"
            ),
        ));
    }
    Ok(limits)
}

/// The units of a batch are known when it is claimed, and the limits of several shards are asked before.
pub(super) fn of_batches(section: &Section<'_>, limits: &[LimitRule], shards: u16) -> Read<()> {
    let counts_messages = |limit: &&LimitRule| limit.unit == LimitUnit::Messages;
    match limits.iter().find(counts_messages).filter(|_| shards > 1) {
        None => Ok(()),
        Some(limit) => Err(section.wrong(
            "limits",
            format!(
                "the limit \"{}\" counts the messages of batches (unit = \"messages\"), which needs shards = 1; set shards = 1, or unit = \"calls\"",
                limit.name
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::config::testing::{errors_of, load_with, queue_errors, queue_of, settings_of};
    use crate::config::{digest, effective, render};
    use crate::domain::limit::{LimitKind, LimitUnit};
    use crate::domain::policy::QueuePolicy;

    fn names(queue: &QueuePolicy) -> Vec<String> {
        queue.limits.iter().map(|limit| limit.name.to_string()).collect()
    }

    #[test]
    fn messages_of_batches_are_counted_in_one_shard_only() {
        let lines = "limits = [{ quota = \"5/day\", unit = \"messages\" }]\nbatch = {}\nshards = ";
        let errors = queue_errors(&format!("{lines}2"));
        assert!(errors.contains("\"quota_day\" counts the messages of batches"), "{errors}");
        assert_eq!(queue_of(&format!("{lines}1")).limits.len(), 1);
    }

    #[test]
    fn every_key_is_read() {
        let queue = queue_of(
            "rate = \"20/s\"\nburst = 2\nlimits = [{ name = \"contract\", quota = \"50000/day\", time_zone = \"Asia/Shanghai\" }, { rate = \"600/min\", name = \"minutes\", burst = 5, unit = \"messages\" }, { quota = \"7/h\" }]",
        );
        assert_eq!(names(&queue), ["rate", "contract", "minutes", "quota_hour"]);
        let shown: Vec<_> = queue.limits.iter().map(|limit| limit.kind.to_string()).collect();
        assert_eq!(shown, ["20/s", "50000/day", "600/min", "7/hour"]);
        let zones: Vec<_> = queue.quotas().map(|quota| quota.zone().name()).collect();
        assert_eq!(zones, ["Asia/Shanghai", "UTC"]);
        assert!(matches!(queue.limits[2].kind, LimitKind::Rate { burst: 5, .. }));
        assert_eq!(queue.limits[2].unit, LimitUnit::Messages);
        assert_eq!(queue.limits[1].unit, LimitUnit::Calls);
        assert_eq!(
            queue.own_rate().map(|(rate, burst)| (rate.to_string(), burst)),
            Some(("20/s".to_owned(), 2))
        );
        assert!(queue_of("limits = []").limits.is_empty());
    }

    #[test]
    fn a_list_may_stand_in_the_environment_and_in_tables_of_its_own() {
        let text = "[queues.q.downstream]\ntype = \"null\"";
        let limits = [("TIDEGATE__QUEUES__Q__LIMITS", "[{ quota = \"5/day\" }]")];
        let settings = load_with(text, &limits, &[]).unwrap();
        assert_eq!(names(settings.queues.values().next().unwrap()), ["quota_day"]);
        let tables = "[[queues.q.limits]]\nquota = \"5/day\"\n[[queues.q.limits]]\nrate = \"5/s\"";
        assert_eq!(names(&queue_of(tables)), ["quota_day", "rate"]);
    }

    #[test]
    fn what_is_shown_reads_back() {
        let text = "[queues.q]\nrate = \"20/s\"\nlimits = [{ quota = \"50000/day\", time_zone = \"Asia/Shanghai\" }, { name = \"b\", rate = \"5/s\", unit = \"messages\" }]\ndownstream.type = \"null\"";
        let settings = settings_of(text);
        let shown = render(&settings);
        assert_eq!(settings_of(&shown).queues, settings.queues, "{shown}");
        assert_eq!(render(&settings_of(&shown)), shown);
        let queue = Arc::clone(settings.queues.values().next().unwrap());
        let view = serde_json::to_value(effective(&queue)).unwrap();
        assert_eq!(view["rate"], "20/s");
        let expected = serde_json::json!([
            { "name": "quota_day", "rate": null, "burst": null, "quota": "50000/day", "time_zone": "Asia/Shanghai", "unit": "calls" },
            { "name": "b", "rate": "5/s", "burst": 1, "quota": null, "time_zone": null, "unit": "messages" },
        ]);
        assert_eq!(view["limits"], expected);
    }

    #[test]
    fn a_changed_limit_is_another_configuration() {
        let with = |limits: &str| {
            let queue = format!("[queues.q]\nlimits = [{limits}]\ndownstream.type = \"null\"");
            digest(&settings_of(&queue))
        };
        let first = with("{ quota = \"5/day\" }");
        assert_eq!(with("{ quota = \"5/d\", time_zone = \"UTC\", name = \"quota_day\" }"), first);
        for other in [
            "",
            "{ quota = \"6/day\" }",
            "{ quota = \"5/week\" }",
            "{ quota = \"5/day\", time_zone = \"Europe/Berlin\" }",
            "{ quota = \"5/day\", name = \"other\" }",
            "{ quota = \"5/day\", unit = \"messages\" }",
        ] {
            assert_ne!(with(other), first, "{other}");
        }
    }

    #[test]
    fn bad_limits_are_refused_each_for_itself() {
        for (limit, part) in [
            (
                "{}",
                "queues.q.limits[0].rate: is missing; expected for example rate = \"20/s\", or quota",
            ),
            ("{ name = \"a\" }", "queues.q.limits[0].rate: is missing"),
            (
                "{ rate = \"1/s\", quota = \"5/day\" }",
                "queues.q.limits[0].quota: a limit is a rate or a quota",
            ),
            (
                "{ rate = \"1/fortnight\" }",
                "queues.q.limits[0].rate: \"1/fortnight\" is not a valid rate",
            ),
            (
                "{ rate = \"1/s\", burst = 0 }",
                "queues.q.limits[0].burst: found 0, expected a whole number",
            ),
            (
                "{ quota = \"5/s\" }",
                "queues.q.limits[0].quota: \"5/s\" is not a valid quota, because",
            ),
            ("{ quota = \"5/year\" }", "is not a valid quota; expected for example 1000/hour"),
            ("{ quota = \"0/day\" }", "with a number from 1 to 1000000000000"),
            ("{ quota = \"1000000000001/day\" }", "with a number from 1 to 1000000000000"),
            ("{ quota = 5 }", "queues.q.limits[0].quota: \"5\" is not a valid quota"),
            (
                "{ quota = \"5/day\", burst = 2 }",
                "queues.q.limits[0].burst: has no effect on a quota",
            ),
            (
                "{ rate = \"1/s\", time_zone = \"UTC\" }",
                "queues.q.limits[0].time_zone: has no effect on a rate",
            ),
            (
                "{ quota = \"5/day\", time_zone = \"Mars\" }",
                "limits[0].time_zone: \"Mars\" is not a valid time zone",
            ),
            (
                "{ quota = \"5/day\", unit = \"bytes\" }",
                "found \"bytes\", expected \"calls\" or \"messages\"",
            ),
            (
                "{ quota = \"5/day\", name = \"A b\" }",
                "limits[0].name: \"A b\" is not a valid limit name",
            ),
            ("{ qota = \"5/day\" }", "limits[0].qota: unknown key; did you mean quota?"),
            ("5", "queues.q.limits[0]: found 5, expected a table"),
        ] {
            let error = queue_errors(&format!("limits = [{limit}]"));
            assert!(error.contains(part), "{limit}: {error}");
        }
        let error =
            queue_errors("limits = [{ rate = \"x\" }, { quota = \"5/day\" }, { quota = \"y\" }]");
        assert!(error.contains("limits[0].rate") && error.contains("limits[2].quota"), "{error}");
        assert!(
            queue_errors("limits = { quota = \"5/day\" }")
                .contains("queues.q.limits: found a table, expected a list")
        );
    }

    #[test]
    fn what_this_version_does_not_have_is_said() {
        for (limit, part) in [
            (
                "{ rate = \"1/s\", per = \"labels.to\" }",
                "limits[0].per: this version does not have this setting",
            ),
            (
                "{ concurrency = 2 }",
                "limits[0].concurrency: this version does not have this setting",
            ),
            (
                "\"brand\"",
                "queues.q.limits[0]: found \"brand\", but this version does not have limits that several queues share",
            ),
        ] {
            let error = queue_errors(&format!("limits = [{limit}]"));
            assert!(error.contains(part), "{limit}: {error}");
        }
        assert!(
            errors_of("[limits.brand]\nquota = \"5/day\"")
                .contains("limits: this version does not have this setting")
        );
    }

    #[test]
    fn two_limits_of_one_name_are_refused_with_the_remedy() {
        let error = queue_errors("limits = [{ quota = \"5/day\" }, { quota = \"6/day\" }]");
        let expected = "queues.q.limits: two limits are named \"quota_day\"; give each a name of its own, for example name = \"quota_day_2\"";
        assert!(error.contains(expected), "{error}");
        let error = queue_errors("rate = \"1/s\"\nlimits = [{ rate = \"5/min\" }]");
        assert!(
            error
                .contains("two limits are named \"rate\", one of them the rate of the queue; give"),
            "{error}"
        );
        let many: Vec<_> =
            (0..17).map(|n| format!("{{ name = \"n{n}\", quota = \"5/day\" }}")).collect();
        let error = queue_errors(&format!("limits = [{}]", many.join(", ")));
        assert!(
            error.contains("found 17 limits, with the rate of the queue, expected at most 16"),
            "{error}"
        );
    }
}
