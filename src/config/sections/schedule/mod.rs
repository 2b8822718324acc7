//! `[schedules.<name>]`: a recurring message.
//!
//! Owns the keys that say when, and the checks across them; those of the message are in `domain::draft`, and how a table
//! writes them in [`MessageTable`].

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::message_table::MessageTable;
use super::window::zone;
use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Beside, Kind, Shown, Table, custom, parsed, settings, text, word};
use crate::domain::details::check_room;
use crate::domain::draft::{self, Content};
use crate::domain::id::QueueName;
use crate::domain::message::{PayloadKind, RetryOverride};
use crate::domain::payload::to_base64;
use crate::domain::policy::{QueuePolicy, Unfit};
use crate::domain::schedule::{BadCadence, Cadence, CatchUp, Schedule, ScheduleName, check_labels};
use crate::domain::units::format_duration;

/// The zone of a pattern that names none.
const TIME_ZONE: &str = "UTC";

/// The queues of a configuration.
type Queues = BTreeMap<QueueName, Arc<QueuePolicy>>;

settings! {
    struct Recurring in "schedules.NAME" of Schedule {
        /// A queue of this file.
        queue: QueueName = parsed("a queue").required("\"erp\""), |it| it.queue.clone();
        /// Five fields (minute hour day month weekday), six with seconds first, or `@hourly`, `@daily`, `@weekly`,
        /// `@monthly`, `@yearly`; names (`MON`, `JAN`), `L`, `15W` and `FRI#3` work. A local time that clocks skip means the
        /// moment of the change; one that occurs twice means the first of the two; patterns for every hour follow real time.
        cron: Option<String> =
            text("a pattern").required_where("`cron` or `every` is required").example("\"30 0 * * *\""),
            |it| match &it.cadence {
                Cadence::Cron(cron) => Some(cron.pattern().to_owned()),
                Cadence::Every(_) => None,
            };
        /// The time zone of `cron`: an IANA name.
        time_zone: Option<String> = zone().unset_is(TIME_ZONE.to_owned()), |it| match &it.cadence {
            Cadence::Cron(cron) => Some(cron.time_zone().to_owned()),
            Cadence::Every(_) => None,
        };
        /// An interval instead of `cron`, counted from 1970-01-01 00:00 UTC.
        every: Option<Cadence> = interval().unset_means("").example("\"15m\""), |it| match &it.cadence {
            Cadence::Cron(_) => None,
            every @ Cadence::Every(_) => Some(every.clone()),
        };
        /// What is sent for ticks that were missed by more than a minute: `none`, `one` message for all of them, or `all` (at
        /// most the newest 1,000).
        catch_up: CatchUp = word(&CatchUp::WORDS, &[]).or(CatchUp::default()), |it| it.catch_up;
        /// The type of a `payload` that is a text, or of the bytes of `payload_base64`.
        _content_type as "content_type": Shown = CONTENT_TYPE, |it| it.details.content_type.as_deref().into();
        /// It is sent as JSON; a text with a `content_type` that is not JSON is sent as it is. `${...}` is not replaced, here
        /// and in what follows, because all of it is stored and shown with every message.
        _payload as "payload": Shown = PAYLOAD, |it| match it.details.kind {
            PayloadKind::Text => String::from_utf8_lossy(&it.payload).into_owned().into(),
            PayloadKind::Raw => Shown::Unset,
            PayloadKind::Json => {
                Shown::Json(serde_json::from_slice(&it.payload).unwrap_or_default())
            }
        };
        /// Bytes instead of `payload`, in base64; they are sent as they are.
        _payload_base64 as "payload_base64": Shown = PAYLOAD_BASE64, |it| match it.details.kind {
            PayloadKind::Raw => to_base64(&it.payload).into(),
            PayloadKind::Json | PayloadKind::Text => Shown::Unset,
        };
        /// Headers for the downstream.
        _headers as "headers": Shown = HEADERS, |it| texts(it.details.headers.iter().map(|(name, value)| (name, value)));
        /// In addition to `schedule = NAME`, which every message of a schedule has.
        _labels as "labels": Shown = LABELS, |it| texts(&it.details.labels);
        /// As in a [message](http.md#messages).
        _group as "group": Shown = GROUP, |it| it.details.group.as_deref().into();
        /// As in a message: 9 goes first.
        _priority as "priority": Shown = PRIORITY, |it| Shown::Whole(it.priority.into());
        /// How long after its message was put into the queue the message expires, if it has not been sent.
        _ttl as "ttl": Shown = TTL, |it| it.ttl_ms.map(format_duration).into();
        /// As in a message: what it changes in the `retry` of its queue.
        _retry as "retry": Shown = RETRY, |it| it.details.retry.as_ref().map_or(Shown::Unset, retry_shown);
        /// As in a message: how long an attempt may take, at most the `downstream.timeout` of the queue.
        _timeout as "timeout": Shown = TIMEOUT, |it| it.details.timeout_ms.map(format_duration).into();
        /// As in a message: where its messages go, if their queue sends each to its own url.
        _url as "url": Shown = URL, |it| it.details.target.as_ref().map(|target| target.url().to_string()).into();
        /// As in a message: the method, beside `url`.
        _method as "method": Shown = METHOD, |it| {
            it.details.target.as_ref().and_then(|it| it.method()).map(ToString::to_string).into()
        };
        /// As in a message: how many units it takes of the limits of the queue.
        _cost as "cost": Shown = COST, |it| Shown::Whole(it.details.cost.units().into());
        /// As in a message: while the message of an earlier tick waits, a newer one [takes its place](collapse.md).
        _collapse_key as "collapse_key": Shown = COLLAPSE_KEY, |it| it.details.collapse_key.as_deref().into();
    }
}

// The fields of a message are read by its draft; the manual says of them what a table may hold.
const CONTENT_TYPE: Beside = Beside::manual("a media type", "JSON", "\"text/plain\"");
const PAYLOAD_BASE64: Beside =
    Beside::manual("base64, up to 256KiB of bytes", "none", "\"aGVsbG8=\"");
const HEADERS: Beside = Beside::manual("a table of headers", "`{}`", "{ X-Source = \"erp\" }");
const LABELS: Beside = Beside::manual("a table of labels", "`{}`", "{ team = \"erp\" }");
const GROUP: Beside = Beside::manual("a text", "none", "\"order-42\"");
const PRIORITY: Beside = Beside::manual("`0` to `9`", "`0`", "9");
const TTL: Beside = Beside::manual("`1ms` to `3660d`", "never", "\"1h\"");
const TIMEOUT: Beside = Beside::manual("`1ms` to `1h`", "that of the queue", "\"5s\"");
const URL: Beside =
    Beside::manual("`http://`, `https://`", "none", "\"https://shop.example/jobs/close-day\"");
const METHOD: Beside = Beside::manual(
    "`POST`, `PUT`, `PATCH`, `DELETE`, `GET`, `HEAD`",
    "the `method` of the queue",
    "\"PUT\"",
);
const COST: Beside = Beside::manual("`1` to `10000`", "`1`", "3");
const COLLAPSE_KEY: Beside = Beside::manual("a text", "none", "\"stock\"");
const RETRY: Beside = Beside::manual("a table", "that of the queue", "{ max_attempts = 3 }");
const PAYLOAD: Beside =
    Beside::required("any value, up to 256KiB; or `payload_base64`", "{ job = \"close-day\" }");

/// `queues` are those of the same configuration; `None`: they cannot be told, for other mistakes.
pub(in crate::config) fn read(
    name: &str,
    field: &Field<'_>,
    queues: Option<&Queues>,
) -> Read<Arc<Schedule>> {
    let name = name.parse::<ScheduleName>().map_err(|error| field.wrong(error.to_string()));
    let schedule = field.section(&[], |section| {
        let it = Recurring::of(section);
        let queue = it.queue.and_then(|queue| known(section, queue, queues));
        let cadence = cadence(section, it.cron, it.every, it.time_zone);
        let mut table = MessageTable::of(section);
        let content = draft::content(&mut table);
        let Content { payload, details, priority, ttl_ms } = table.finish(content)?;
        check_room(&details).map_err(|why| section.wrong("headers", why))?;
        check_labels(&details.labels).map_err(|why| section.wrong("labels", why))?;
        let queue = queue?;
        if let Some(policy) = queues.and_then(|queues| queues.get(&queue)) {
            let placed = cadence.as_ref().map(|cadence| cadence.places(details.clone()));
            policy.check(placed.as_ref().unwrap_or(&details)).map_err(|unfit| match unfit {
                Unfit::Timeout(why) => section.wrong("timeout", why),
                Unfit::Url(why) => section.wrong("url", why),
                Unfit::Cost(why) => section.wrong("cost", why),
                Unfit::Key { key, why } => section.wrong(&key.to_string(), why),
                Unfit::CollapseKey(why) => section.wrong("collapse_key", why),
                Unfit::TimeZone(why) => section.wrong("time_zone", why),
            })?;
        }
        Ok(Schedule {
            name: name?,
            queue,
            cadence: cadence?,
            catch_up: it.catch_up?,
            payload,
            details,
            priority,
            ttl_ms,
        })
    });
    schedule.map(Arc::new)
}

fn known(section: &Section<'_>, queue: QueueName, queues: Option<&Queues>) -> Read<QueueName> {
    match queues {
        Some(queues) if !queues.contains_key(&queue) => Err(section.wrong(
            "queue",
            format!(
                "there is no queue \"{queue}\"; expected one of this configuration's: {}",
                queues.keys().map(QueueName::as_str).collect::<Vec<_>>().join(", ")
            ),
        )),
        _ => Ok(queue),
    }
}

fn texts<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Shown {
    let pairs = pairs.into_iter().map(|(name, value)| (name.clone(), value.as_str().into()));
    Shown::Pairs(pairs.collect())
}

fn retry_shown(retry: &RetryOverride) -> Shown {
    let time = |ms: Option<u64>| Shown::from(ms.map(format_duration));
    let number = |number: Option<f64>| number.map_or(Shown::Unset, Shown::Number);
    let delays = |delays: &Vec<u64>| {
        Shown::List(delays.iter().map(|delay_ms| format_duration(*delay_ms).into()).collect())
    };
    Shown::Section(Table::from([
        ("max_attempts", retry.max_attempts.map_or(Shown::Unset, |most| Shown::Whole(most.into()))),
        ("schedule", retry.schedule_ms.as_ref().map_or(Shown::Unset, delays)),
        ("initial", time(retry.initial_ms)),
        ("factor", number(retry.factor)),
        ("max", time(retry.max_ms)),
        ("jitter", number(retry.jitter)),
        ("max_age", time(retry.max_age_ms)),
    ]))
}

fn interval() -> impl Kind<Value = Cadence> {
    let read = |field: &Field<'_>| {
        field.parse(|text| Cadence::every(text).map_err(|error| error.to_string()))
    };
    custom("`100ms` to `366d`", read, |every: &Cadence| match every {
        Cadence::Every(ms) => format_duration(*ms).into(),
        Cadence::Cron(_) => Shown::Unset,
    })
}

/// `cron`, with its zone, or `every`.
fn cadence(
    section: &Section<'_>,
    cron: Read<Option<String>>,
    every: Read<Option<Cadence>>,
    zone: Read<Option<String>>,
) -> Read<Cadence> {
    let (cron, every, zone) = (cron?, every?, zone?);
    match (cron, every) {
        (Some(_), Some(_)) => Err(section.wrong("every", "give cron or every, not both")),
        (None, None) => Err(section
            .wrong("cron", "is missing; expected for example cron = \"30 0 * * *\", or every = \"15m\"")),
        (None, Some(_)) if zone.is_some() => Err(section.wrong(
            "time_zone",
            "has no effect on every, which counts from 1970-01-01 00:00 UTC; use cron, or remove time_zone",
        )),
        (None, Some(every)) => Ok(every),
        (Some(pattern), None) => {
            Cadence::cron(&pattern, zone.as_deref().unwrap_or(TIME_ZONE)).map_err(|error| {
                let key = if matches!(error, BadCadence::Zone(_)) { "time_zone" } else { "cron" };
                section.wrong(key, error.to_string())
            })
        }
    }
}
