//! `[queues.<name>.ordering]` and `[queues.<name>.fairness]`: by which keys of its messages a queue goes, and the checks
//! across all that name a key.

use std::collections::BTreeMap;

use config::ValueKind;

use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{
    Bounds, Form, Kind, LONG_MS, Shown, Table, custom, duration, number, parsed, settings, word,
};
use crate::domain::backlog::BacklogPolicy;
use crate::domain::keys::{Fairness, MessageKey, Ordering, Until, WEIGHT_MAX, WEIGHT_MIN, Weight};
use crate::domain::limit::LimitRule;
use crate::domain::message::NAME_BYTES_MAX;

const NO_HOST: &str = "the key \"host\" is that of messages which bring their own url; set downstream.url = \"message\", or use \"group\" or \"labels.NAME\"";
/// Where a queue goes by no key.
const NONE: &str = "none";

settings! {
    struct Order in "queues.NAME.ordering" of Ordering {
        /// The key. Messages without it are in no order.
        by: MessageKey = key().required("\"labels.conversation\""), |it| it.by.clone();
        /// When the next message of the same value may start: with `accepted`, once the downstream has accepted the one before
        /// it, or that one is final; with `final`, only when it is final.
        until: Until = word(&Until::ALL.map(|until| (until.as_str(), until)), &[]).or(Until::Accepted), |it| it.until;
        /// A message that is uncertain, or has failed since its first attempt, for longer than this no longer holds up those
        /// behind it.
        stall: Option<u64> = duration(1..=LONG_MS).unset_means("they wait until it is decided").example("\"1h\""), |it| it.stall_ms;
    }
}

settings! {
    struct Shares in "queues.NAME.fairness" of Fairness {
        /// The key. All messages without it share one value, the empty one.
        by: MessageKey = key().required("\"labels.tenant\""), |it| it.by.clone();
        /// The weights of single values, such as `{ acme = 5 }`: a value with weight 5 gets five times as much as one with
        /// weight 1 while both have messages waiting. `""` is the value of messages without the key.
        weights: BTreeMap<String, Weight> = weights().or(BTreeMap::new()), |it| it.weights.clone();
        /// The weight of all other values.
        weight: Weight = Weights.or(Weight::DEFAULT), |it| it.weight;
    }
}

/// A key.
pub(super) const fn key() -> impl Kind<Value = MessageKey> {
    parsed("a key (`group`, `labels.NAME` or `host`)")
}

/// Order, or none.
pub(super) fn ordering() -> impl Kind<Value = Option<Ordering>> {
    let read = |field: &Field<'_>| {
        by_key(field, Ordering::by, |section| {
            let Order { by, until, stall } = Order::of(section);
            Ok(Ordering { by: by?, until: until?, stall_ms: stall? })
        })
    };
    let accepted = "`none`, a key (`group`, `labels.NAME` or `host`), or a table as [below](#queuesnameordering)";
    custom(accepted, read, |it: &Option<Ordering>| or_none(it.as_ref().map(Order::shown)))
        .shown_as(Form::OrWord(NONE, Box::new(Form::Section("queues.NAME.ordering"))))
}

/// Shares, or none.
pub(super) fn fairness() -> impl Kind<Value = Option<Fairness>> {
    let read = |field: &Field<'_>| {
        by_key(field, Fairness::by, |section| {
            let Shares { by, weights, weight } = Shares::of(section);
            Ok(Fairness { by: by?, weights: weights?, weight: weight? })
        })
    };
    let accepted = "`none`, a key (`group`, `labels.NAME` or `host`), or a table as [below](#queuesnamefairness)";
    custom(accepted, read, |it: &Option<Fairness>| or_none(it.as_ref().map(Shares::shown)))
        .shown_as(Form::OrWord(NONE, Box::new(Form::Section("queues.NAME.fairness"))))
}

/// `"none"`, a key alone, or a table.
fn by_key<T>(
    field: &Field<'_>,
    by: fn(MessageKey) -> T,
    table: impl FnOnce(&Section<'_>) -> Read<T>,
) -> Read<Option<T>> {
    match field.kind() {
        ValueKind::String(text) if !text.trim_start().starts_with('{') => {
            field.parse(|text| match text {
                NONE => Ok(None),
                key => key
                    .parse()
                    .map(|key| Some(by(key)))
                    .map_err(|error| format!("{error}; or \"{NONE}\"")),
            })
        }
        ValueKind::String(_) | ValueKind::Table(_) => field.section(&[], table).map(Some),
        _ => Err(field.expected(
            "\"none\", a key such as \"labels.to\", or a table such as { by = \"labels.to\" }",
        )),
    }
}

fn or_none(table: Option<Table>) -> Shown {
    table.map_or_else(|| NONE.into(), Shown::Table)
}

/// A weight.
struct Weights;

impl Kind for Weights {
    type Value = Weight;

    fn read(&self, field: &Field<'_>) -> Read<Weight> {
        let number = number(range()).read(field)?;
        Weight::of_number(number).map_err(|error| field.wrong(error.to_string()))
    }

    fn show(&self, value: &Weight) -> Shown {
        Shown::Number(value.number())
    }

    fn bounds(&self) -> Bounds {
        Bounds::Number(range())
    }
}

fn range() -> std::ops::RangeInclusive<f64> {
    f64::from(WEIGHT_MIN) / 1000.0..=f64::from(WEIGHT_MAX) / 1000.0
}

/// Weights by values of a key.
fn weights() -> impl Kind<Value = BTreeMap<String, Weight>> {
    let read = |field: &Field<'_>| {
        let weights = field.entries(|value, field| match value.len() {
            0..=NAME_BYTES_MAX => Ok((value.to_owned(), Weights.read(field)?)),
            bytes => Err(field.wrong(format!(
                "the name of the weight has {bytes} bytes, and a value of a key has at most {NAME_BYTES_MAX}; shorten it"
            ))),
        });
        Ok(weights?.into_iter().collect())
    };
    let show = |weights: &BTreeMap<String, Weight>| {
        let pairs = weights.iter().map(|(value, weight)| (value.clone(), Weights.show(weight)));
        Shown::Pairs(pairs.collect())
    };
    custom("a table of weights, each `0.01` to `1000`", read, show)
        .shown_as(Form::Named(Box::new(Weights.form())))
}

/// A message gains levels only where there are some.
pub(super) fn aging(
    section: &Section<'_>,
    aging: Read<Option<u64>>,
    levels: Read<u8>,
) -> Read<Option<u64>> {
    match (aging?, levels?) {
        (Some(_), 1) => Err(section.wrong(
            "aging",
            "has no effect with priority_levels = 1; set priority_levels, for example priority_levels = 3, or remove aging",
        )),
        (aging, _) => Ok(aging),
    }
}

/// What may name a key.
type Naming<'a> =
    (Option<&'a Ordering>, Option<&'a Fairness>, &'a [LimitRule], Option<&'a BacklogPolicy>);

/// Checks that nothing goes by the host of messages which bring no url.
pub(super) fn of_no_host(
    section: &Section<'_>,
    named: Naming<'_>,
    required: &[MessageKey],
) -> Read<()> {
    let required = required.iter().map(|key| ("required_keys", String::new(), key));
    let mut named = named_keys(named).chain(required);
    match named.find(|(_, _, key)| **key == MessageKey::Host) {
        Some((setting, ..)) => Err(section.wrong(setting, NO_HOST)),
        None => Ok(()),
    }
}

/// Every key that is named: in which setting, what it is called there, and the key.
fn named_keys<'a>(
    (ordering, fairness, limits, backlog): Naming<'a>,
) -> impl Iterator<Item = (&'static str, String, &'a MessageKey)> {
    let ordering = ordering.map(|it| ("ordering", "ordering".to_owned(), &it.by));
    let fairness = fairness.map(|it| ("fairness", "fairness".to_owned(), &it.by));
    let of_limit = |limit: &LimitRule| format!("the limit \"{}\"", limit.name);
    let limits =
        limits.iter().filter_map(move |it| Some(("limits", of_limit(it), it.per.as_ref()?)));
    let of_backlog = backlog.and_then(|it| it.per_key.as_ref());
    let backlog = of_backlog.map(|per_key| ("backlog", "backlog".to_owned(), &per_key.key));
    ordering.into_iter().chain(fairness).chain(limits).chain(backlog)
}

/// What a key holds up must be in one place: in one shard, or, where all go by one and the same key, in the shard of its value.
pub(super) fn in_shards(
    section: &Section<'_>,
    (ordering, fairness, limits, backlog): Naming<'_>,
    shards: u16,
) -> Read<()> {
    let mut named = named_keys((ordering, fairness, limits, backlog));
    let Some((_, first, key)) = named.next().filter(|_| shards > 1) else { return Ok(()) };
    let Some((_, other, another)) = named.find(|(_, _, other)| *other != key) else {
        return Ok(());
    };
    Err(section.wrong(
        "shards",
        format!(
            "found {shards}, but a queue with keys needs shards = 1, unless ordering, fairness, backlog and every limit with per name the same key; here {first} goes by {key}, and {other} by {another}; set shards = 1"
        ),
    ))
}

#[cfg(test)]
mod tests;
