//! `[limits.<name>]`: accounts that several queues share, and how the list of a queue names one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{BURST_MAX, UNITS, kind};
use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Kind as _, parsed, settings, whole, word};
use crate::domain::limit::{LimitName, LimitRule, LimitUnit, Quota, Rate};
use crate::domain::suggest::nearest;
use crate::domain::zone::NamedZone;

/// The shared limits of a configuration.
pub(in crate::config) type SharedRules = BTreeMap<LimitName, Arc<LimitRule>>;

settings! {
    struct AccountSettings in "limits.NAME" of LimitRule {
        /// Units per time over all queues that name the limit, and over all nodes, at an even pace. A shared limit has one of
        /// `rate` and `quota`.
        rate: Option<Rate> = parsed("a rate").unset_means("none").example("\"20/s\""), |it| it.rate_and_burst().map(|(rate, _)| rate);
        /// Units of a `rate` that may start at once after a time without calls.
        burst: Option<u32> = whole(1..=BURST_MAX).unset_means("`1`").example("10"), |it| it.rate_and_burst().map(|(_, burst)| burst);
        /// Units in each `hour`, `day`, `week` (from Monday) or `month` of the calendar, over all queues that name the limit.
        quota: Option<Quota> = parsed("a quota").unset_means("none").example("\"10000/day\""),
            |it| it.quota().cloned();
        /// In which time zone the periods of a `quota` begin: an IANA name.
        time_zone: Option<NamedZone> = parsed("a time zone").unset_means("`UTC`").example("\"America/Los_Angeles\""),
            |it| it.quota().map(|quota| quota.zone().clone());
        /// What a batch takes: one unit (`calls`), or all that its messages cost (`messages`). Without batches both are the
        /// [cost](http.md#messages) of the message.
        unit: LimitUnit = word(&UNITS, &[]).or(LimitUnit::Calls), |it| it.unit;
    }
}

/// The settings of a queue's own limit that a shared one does not have, with what to do instead.
const OF_QUEUES_ALONE: [(&str, &str); 3] = [
    (
        "per",
        "is not possible, because a shared limit counts all messages of its queues together; give each queue a limit of its own with per, or remove per",
    ),
    (
        "concurrency",
        "is not possible, because a shared limit is a rate or a quota; set the concurrency of each queue",
    ),
    (
        "name",
        "is not possible, because the name of a shared limit stands in the title of its section, [limits.NAME]; remove name",
    ),
];

/// Reads `[limits.<name>]`.
pub(in crate::config) fn read(name: &str, field: &Field<'_>) -> Read<Arc<LimitRule>> {
    let name = name.parse::<LimitName>().map_err(|error| field.wrong(error.to_string()));
    let own_rate = LimitRule::own_rate_name();
    let name = match name {
        Ok(name) if name == own_rate => Err(field.wrong(format!(
            "\"{name}\" is the name of the rate of each queue; give the shared limit another name, for example [limits.{name}_2]"
        ))),
        name => name,
    };
    let rest = field.section(&[], |section| {
        let it = AccountSettings::of(section);
        let refused = OF_QUEUES_ALONE
            .iter()
            .filter(|(key, _)| section.field(key).is_some())
            .map(|(key, why)| section.wrong(key, *why));
        if let Some(reported) = refused.collect::<Vec<_>>().pop() {
            return Err(reported);
        }
        let what = (it.rate?, it.quota?, None);
        let kind = kind(section, what, false, it.burst?, it.time_zone?)?;
        Ok((kind, it.unit?))
    });
    let (name, (kind, unit)) = (name?, rest?);
    Ok(Arc::new(LimitRule { name, kind, unit, per: None, shared: true, cap: None }))
}

/// The limit that a queue names.
pub(super) fn named(
    section: &Section<'_>,
    name: &LimitName,
    accounts: &SharedRules,
) -> Read<LimitRule> {
    if let Some(rule) = accounts.get(name) {
        return Ok(LimitRule::clone(rule));
    }
    let known: Vec<&str> = accounts.keys().map(LimitName::as_str).collect();
    let remedy = match nearest(name.as_str(), known.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None if known.is_empty() => {
            format!("add [limits.{name}] with a rate or a quota")
        }
        None => format!("expected one of {}, or add [limits.{name}]", known.join(", ")),
    };
    Err(section.wrong("limits", format!("there is no shared limit \"{name}\"; {remedy}")))
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{errors_of, settings_of};
    use crate::config::{digest, render};

    const ACCOUNT: &str =
        "[limits.brand]\nquota = \"10000/day\"\ntime_zone = \"America/Los_Angeles\"\n";

    fn queue(limits: &str) -> String {
        format!("[queues.q]\nrate = \"5/s\"\nlimits = [{limits}]\ndownstream.type = \"null\"\n")
    }

    #[test]
    fn a_queue_names_a_shared_limit_and_has_its_values() {
        let text = format!("{ACCOUNT}{}", queue("{ quota = \"5/hour\" }, \"brand\""));
        let settings = settings_of(&text);
        let policy = settings.queues.values().next().unwrap();
        let limits: Vec<_> = policy
            .limits
            .iter()
            .map(|limit| (limit.name.to_string(), limit.kind.to_string(), limit.shared))
            .collect();
        let expected =
            [("rate", "5/s", false), ("quota_hour", "5/hour", false), ("brand", "10000/day", true)];
        let expected = expected.map(|(name, kind, shared)| (name.into(), kind.into(), shared));
        assert_eq!(limits, expected);
        assert!(policy.shares_limits());
        let shown = render(&settings);
        assert!(shown.contains("[limits.brand]") && shown.contains("\"brand\"]"), "{shown}");
        assert_eq!(settings_of(&shown), settings, "{shown}");
        let other = settings_of(&text.replace("10000", "9000"));
        assert_ne!(digest(&other), digest(&settings), "nodes with other values differ");
        assert_eq!(settings_of(ACCOUNT).limits.len(), 1, "no queue needs to name it");
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_remedy() {
        let of_queue = |limits: &str| format!("{ACCOUNT}{}", queue(limits));
        for (text, part) in [
            (of_queue("\"brnad\""), "there is no shared limit \"brnad\"; did you mean \"brand\"?"),
            (
                of_queue("\"other\""),
                "there is no shared limit \"other\"; expected one of brand, or add [limits.other]",
            ),
            (
                queue("\"brand\""),
                "there is no shared limit \"brand\"; add [limits.brand] with a rate or a quota",
            ),
            (of_queue("\"Brand\""), "queues.q.limits[0]: \"Brand\" is not a valid limit name"),
            (
                of_queue("\"brand\", \"brand\""),
                "the shared limit \"brand\" stands in the list twice",
            ),
            (
                of_queue("{ name = \"brand\", rate = \"1/s\" }"),
                "a limit of this queue is named \"brand\", as the shared limit [limits.brand] is; give it a name of its own, for example name = \"brand_2\"",
            ),
            (
                "[limits.rate]\nquota = \"5/day\"\n".to_owned(),
                "\"rate\" is the name of the rate of each queue",
            ),
            ("[limits.a]\n".to_owned(), "limits.a.rate: is missing"),
            (
                "[limits.a]\nrate = \"1/s\"\nquota = \"5/day\"\n".to_owned(),
                "limits.a.quota: a limit is a rate, a quota",
            ),
            (
                "[limits.a]\nquota = \"5/day\"\nper = \"group\"\n".to_owned(),
                "limits.a.per: is not possible",
            ),
            (
                "[limits.a]\nconcurrency = 5\nrate = \"1/s\"\n".to_owned(),
                "limits.a.concurrency: is not possible",
            ),
            (
                "[limits.a]\nquota = \"5/day\"\nburst = 2\n".to_owned(),
                "limits.a.burst: has no effect on a quota",
            ),
            (
                "[limits.A]\nquota = \"5/day\"\n".to_owned(),
                "limits.A: \"A\" is not a valid limit name",
            ),
        ] {
            let errors = errors_of(&text);
            assert!(errors.contains(part), "{part} not in\n{errors}");
        }
        let shards = "[limits.a]\nquota = \"5/day\"\nunit = \"messages\"\n[queues.q]\nlimits = [\"a\"]\nbatch = {}\nshards = 2\ndownstream.type = \"null\"\n";
        assert!(errors_of(shards).contains("\"a\" counts the messages of batches"));
    }
}
