//! `[[queues.<name>.limits]]`: the limits of a queue beside its own rate, and the checks across all of them.

pub(in crate::config) mod shared;

use super::keys;
use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Form, Kind, Shown, custom, parsed, settings, whole, word};
use crate::domain::keys::MessageKey;
use crate::domain::limit::{CALLS_MAX, LimitKind, LimitName, LimitRule, LimitUnit, Quota, Rate};
use crate::domain::zone::NamedZone;

/// Most units that may start at once: a bound against a slip of the finger.
pub(super) const BURST_MAX: u32 = 1_000_000;
pub(super) const BURST: u32 = 1;
/// Most calls in flight.
pub(super) const CONCURRENCY_MAX: u32 = CALLS_MAX;
/// Most limits of a queue, with its own rate: each call asks all of them.
const LIMITS_MAX: usize = 16;

settings! {
    struct OneLimit in "[queues.NAME.limits]" of LimitRule {
        /// Under this name the state of the limit is kept and shown, so that a limit with another name begins anew. Each limit of
        /// a queue has a name of its own.
        name: Option<LimitName> = parsed("a name").unset_means("`rate`, or that of the period, such as `quota_day`; with `per` after the key, such as `per_to`, `per_to_day`, `per_to_concurrency`").example("\"contract\""),
            |it| Some(it.name.clone());
        /// Units per time over all nodes, at an even pace. A limit has one of `rate`, `quota` and `concurrency`.
        rate: Option<Rate> = parsed("a rate").unset_means("none").example("\"20/s\""), |it| it.rate_and_burst().map(|(rate, _)| rate);
        /// Units of a `rate` that may start at once after a time without calls.
        burst: Option<u32> = whole(1..=BURST_MAX).unset_means("`1`").example("10"), |it| it.rate_and_burst().map(|(_, burst)| burst);
        /// Units in each `hour`, `day`, `week` (from Monday) or `month` of the calendar. They may start as fast as the other
        /// limits allow, and when all are used, nothing starts until the next period.
        quota: Option<Quota> = parsed("a quota").unset_means("none").example("\"50000/day\""),
            |it| it.quota().cloned();
        /// In which time zone the periods of a `quota` begin: an IANA name.
        time_zone: Option<NamedZone> = parsed("a time zone").unset_means("`UTC`").example("\"Asia/Shanghai\""),
            |it| it.quota().map(|quota| quota.zone().clone());
        /// Calls in flight over all nodes, of each value of the key `per`, which it needs. A message is one, whatever it costs.
        concurrency: Option<u32> = whole(1..=CONCURRENCY_MAX).unset_means("none").example("2"), |it| match it.kind {
            LimitKind::Concurrency(calls) => Some(calls),
            LimitKind::Rate { .. } | LimitKind::Quota(_) => None,
        };
        /// The limit holds for each value of this key by itself, for example for each recipient. All messages without the key
        /// share one value.
        per: Option<MessageKey> = keys::key().unset_means("all messages are counted together").example("\"labels.to\""), |it| it.per.clone();
        /// What a batch takes: one unit (`calls`), or all that its messages cost (`messages`). Without batches both are the
        /// [cost](http.md#messages) of the message. It has no effect with `per`: then each message takes its own cost.
        unit: Option<LimitUnit> = word(&UNITS, &[]).unset_is(LimitUnit::Calls).at_times_without_effect(),
            |it| Some(it.unit).filter(|_| it.per.is_none());
    }
}

const UNITS: [(&str, LimitUnit); 2] = [
    (LimitUnit::Calls.as_str(), LimitUnit::Calls),
    (LimitUnit::Messages.as_str(), LimitUnit::Messages),
];

/// One limit of the list of a queue.
#[derive(Debug, Clone)]
pub(super) enum ListedLimit {
    /// A limit of the queue alone.
    Own(LimitRule),
    /// The name of a shared limit.
    Shared(LimitName),
}

impl ListedLimit {
    pub(super) fn of(rule: &LimitRule) -> Self {
        if rule.shared { Self::Shared(rule.name.clone()) } else { Self::Own(rule.clone()) }
    }
}

/// One limit of the list.
pub(super) fn limit() -> impl Kind<Value = ListedLimit> {
    custom(
        "the name of a [shared limit](#limitsname), or a table as [below](#queuesnamelimits)",
        listed,
        |listed| match listed {
            ListedLimit::Own(rule) => Shown::Table(OneLimit::shown(rule)),
            ListedLimit::Shared(name) => name.as_str().into(),
        },
    )
    .shown_as(Form::OrText(Box::new(Form::Section("[queues.NAME.limits]"))))
}

fn listed(field: &Field<'_>) -> Read<ListedLimit> {
    match field.raw_text() {
        Some(text) if !text.trim_start().starts_with('{') => {
            let name = field.parse(|text| {
                text.parse().map_err(|error| {
                    format!("{error}; expected the name of a shared limit, or a table, for example {{ quota = \"50000/day\" }}")
                })
            });
            name.map(ListedLimit::Shared)
        }
        _ => read(field).map(ListedLimit::Own),
    }
}

fn read(field: &Field<'_>) -> Read<LimitRule> {
    field.section(&[], |section| {
        let it = OneLimit::of(section);
        let (rate, quota, calls, per) = (it.rate?, it.quota?, it.concurrency?, it.per?);
        let kind = kind(section, (rate, quota, calls), per.is_some(), it.burst?, it.time_zone?);
        let (name, unit, kind) = (it.name?, it.unit?.unwrap_or_default(), kind?);
        // Each message is counted under a key of its own, also in a batch.
        let unit = if per.is_some() { LimitUnit::Messages } else { unit };
        let name = name.unwrap_or_else(|| kind.default_name(per.as_ref()));
        Ok(LimitRule { name, kind, unit, per, shared: false, cap: None })
    })
}

/// A limit is a rate, a quota or a concurrency, and has what belongs to it.
fn kind(
    section: &Section<'_>,
    what: (Option<Rate>, Option<Quota>, Option<u32>),
    has_key: bool,
    burst: Option<u32>,
    zone: Option<NamedZone>,
) -> Read<LimitKind> {
    let no_effect = |key, sentence| Err(section.wrong(key, sentence));
    match what {
        (Some(_), None, None) if zone.is_some() => no_effect(
            "time_zone",
            "has no effect on a rate, which does not go by the calendar; use a quota, or remove time_zone",
        ),
        (None, Some(_), None) if burst.is_some() => no_effect(
            "burst",
            "has no effect on a quota, which may be used at any pace; use a rate, or remove burst",
        ),
        (None, None, Some(_)) if burst.is_some() => no_effect(
            "burst",
            "has no effect on a concurrency, which counts calls in flight; remove burst",
        ),
        (None, None, Some(_)) if zone.is_some() => no_effect(
            "time_zone",
            "has no effect on a concurrency, which does not go by the calendar; remove time_zone",
        ),
        (None, None, Some(_)) if !has_key => Err(section.wrong(
            "concurrency",
            "holds for each value of a key, and there is no per; add for example per = \"labels.customer\", or set the concurrency of the queue instead, which holds for all its calls",
        )),
        (Some(rate), None, None) => Ok(LimitKind::Rate { rate, burst: burst.unwrap_or(BURST) }),
        (None, Some(quota), None) => Ok(LimitKind::Quota(quota.in_zone(zone.unwrap_or_default()))),
        (None, None, Some(calls)) => Ok(LimitKind::Concurrency(calls)),
        (None, None, None) => Err(section.wrong(
            "rate",
            "is missing; expected for example rate = \"20/s\", or quota = \"50000/day\", or concurrency = 2 with per",
        )),
        (_, _, calls) => Err(section.wrong(
            if calls.is_some() { "concurrency" } else { "quota" },
            "a limit is a rate, a quota or a concurrency, and this one is more than one of them; make a limit of each",
        )),
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
    further: Read<Vec<ListedLimit>>,
    accounts: Option<&shared::SharedRules>,
) -> Read<Vec<LimitRule>> {
    let own = own(section, rate, burst);
    let (own, listed) = (own?, further?);
    let has_own = own.is_some();
    // Where the shared limits could not be read, their mistakes are reported already.
    let further = listed.into_iter().filter_map(|listed| match listed {
        ListedLimit::Own(rule) => Some(Ok(rule)),
        ListedLimit::Shared(name) => Some(shared::named(section, &name, accounts?)),
    });
    let further = further.collect::<Read<Vec<_>>>()?;
    let limits: Vec<_> = own.into_iter().chain(further).collect();
    let twice = |(at, limit): &(usize, &LimitRule)| {
        limits[..*at].iter().any(|earlier| earlier.name == limit.name)
    };
    let is_account = |limit: &&LimitRule| {
        !limit.shared && accounts.is_some_and(|accounts| accounts.contains_key(&limit.name))
    };
    if let Some(LimitRule { name, .. }) = limits.iter().find(is_account) {
        return Err(section.wrong(
            "limits",
            format!(
                "a limit of this queue is named \"{name}\", as the shared limit [limits.{name}] is; give it a name of its own, for example name = \"{name}_2\", or name the shared one: limits = [\"{name}\"]"
            ),
        ));
    }
    if let Some((_, limit)) = limits.iter().enumerate().find(twice) {
        let name = &limit.name;
        if limit.shared {
            return Err(section.wrong(
                "limits",
                format!("the shared limit \"{name}\" stands in the list twice; remove one of them"),
            ));
        }
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
    let counts_messages =
        |limit: &&LimitRule| limit.unit == LimitUnit::Messages && limit.per.is_none();
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
mod tests;
