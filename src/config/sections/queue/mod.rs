//! `[queues.<name>]`: what holds for one queue, and the checks across its settings.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::calendar::Calendars;
use super::limits::shared::SharedRules;
use super::limits::{BURST, BURST_MAX, CONCURRENCY_MAX, ListedLimit};
use super::{
    answers, backlog, batch, callback, collapse, downstream, keys, limits, probe, receipts,
    recipient_hours, retention, retry, window,
};
use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{
    Kind as _, LONG_MS, Shown, beside, duration, list, parsed, settings, size_in_memory, whole,
    word,
};
use crate::config::settings::Durability;
use crate::domain::callback_host::CallbackHosts;
use crate::domain::draft;
use crate::domain::egress::EgressAllow;
use crate::domain::id::{QueueName, SHARDS_MAX};
use crate::domain::keys::{Fairness, MessageKey, Ordering};
use crate::domain::lease;
use crate::domain::limit::Rate;
use crate::domain::outcome::OnUncertain;
use crate::domain::policy::{Downstream, QueuePolicy};
use crate::domain::receipt::ReceiptPolicy;
use crate::domain::units::format_duration;

/// The longest lease, in milliseconds: a dead node's messages come back so late.
const LEASE_MS_MAX: u64 = 86_400_000;
/// The most that is kept of an answer, in bytes.
const KEEP_RESPONSE_BYTES_MAX: u64 = 1 << 20;

const CONCURRENCY: u32 = 16;
/// The same where workers claim: each may hold many messages at once.
const IN_HANDS: u32 = 1000;

const LATER: [&str; 2] = ["adaptive", "breaker"];

settings! {
    struct Own in "queues.NAME" of QueuePolicy {
        /// Calls per time over all nodes; a batch is one call, and a message with a [cost](http.md#messages) counts as so many.
        rate: Option<Rate> = parsed("a rate").unset_means("no limit").example("\"20/s\""), |it| it.own_rate().map(|(rate, _)| rate);
        /// Calls that may start at once after a time without calls; needs a `rate`.
        burst: Option<u32> = whole(1..=BURST_MAX).unset_is(BURST), |it| Some(it.own_rate().map_or(BURST, |(_, burst)| burst));
        /// More limits, beside the `rate`: tables, and names of [shared limits](#limitsname). Every one of them has to let a call pass, and a message that one holds takes nothing of
        /// the others.
        limits: Vec<ListedLimit> = list(limits::limit()).or(Vec::new()), |it| it.further_limits().iter().map(ListedLimit::of).collect();
        /// Keys that every message has to bring, with a value that is not empty: messages without one are refused (400). Those
        /// that are here already, or are moved here, stay.
        required_keys: Vec<MessageKey> = list(keys::key()).or(Vec::new()), |it| it.required_keys.clone();
        /// How long after its due time a message is of use that has neither `ttl` nor `expires_at`. It counts from the due time; the
        /// `ttl` of a message itself counts from the moment at which it is taken in.
        ttl: Option<u64> = duration(1..=draft::LONG_MS).unset_means("for ever").example("\"1h\""), |it| it.ttl_ms;
        /// How long a node may hold a message without a sign of life. It must be at least `downstream.timeout` + 5s, so that
        /// it does not end during a call.
        lease: Option<u64> =
            duration(1..=LEASE_MS_MAX)
                .unset_is(lease::default_ms(downstream::TIMEOUT_MS))
                .told("the longer of `30s` and `downstream.timeout` + 10s"),
            |it| Some(it.lease_ms);
        /// How much of the downstream's answer is kept as the result.
        keep_response: usize = size_in_memory(0..=KEEP_RESPONSE_BYTES_MAX).or(4 << 10),
            |it| it.keep_response_bytes;
        /// Calls in flight over all nodes; with `type = "pull"`, messages that workers hold.
        concurrency: Option<u32> =
            whole(1..=CONCURRENCY_MAX).unset_is(CONCURRENCY).told("`16`; `1000` with `type = \"pull\"`"),
            |it| Some(it.concurrency);
        /// The priority of a message (0 to 9, 9 first) puts it into the band `priority × levels / 10`, rounded down; a higher
        /// band goes first.
        priority_levels: u8 = whole(1..=10).or(1), |it| it.priority_levels;
        /// Of each value of this key at most one message is on its way, and they leave in the order of their due times. With
        /// `none`, messages leave roughly in the order in which they became due.
        ordering: Option<Ordering> = keys::ordering().or(None), |it| it.ordering.clone();
        /// The values of this key that have messages waiting share by their weights what may start, whatever their backlogs.
        fairness: Option<Fairness> = keys::fairness().or(None), |it| it.fairness.clone();
        /// A waiting message goes up one priority band per this time, as if it had come with a higher priority; needs more than one
        /// of `priority_levels`.
        aging: Option<u64> = duration(1..=LONG_MS).unset_means("none").example("\"10m\""), |it| it.aging_ms;
        /// What is kept of finished messages.
        _retention as "retention": Shown = beside().shows("queues.NAME.retention"),
            |it| Shown::Table(retention::Kept::shown(&it.retention));
        /// How long a repeated idempotency key is recognised, at least.
        idempotency_window: u64 = duration(1..=LONG_MS).or(86_400_000), |it| it.idempotency_window_ms;
        /// What happens when nobody can know an attempt's outcome: `resend` (at least once), `park` (at most once: wait for a
        /// decision) or `probe` (at most once: [ask the downstream](outcomes.md#asking-the-downstream) first). The last two
        /// need `durability = "disk"` or `"replicas"`.
        on_uncertain: OnUncertain =
            word(&UNCERTAIN.map(|chosen| (chosen.as_str(), chosen)), &[]).or(OnUncertain::Resend),
            |it| it.on_uncertain;
        /// How long the receipt of an accepted message may take.
        _receipts as "receipts": Shown = beside().shows("queues.NAME.receipts"),
            |it| Shown::Table(receipts::Receipts::shown(&it.receipts));
        /// The number of parts into which the queue is divided; more than one helps only on a Redis Cluster. Cannot change
        /// while the queue holds messages. A queue with keys may have more than one only if all of them name the same key
        /// (see [several shards](limits.md#several-shards)).
        shards: u16 = whole(1..=SHARDS_MAX).or(1), |it| it.shards;
        /// Who receives.
        _downstream as "downstream": Shown = beside().shows("queues.NAME.downstream"),
            |it| Shown::Section(downstream::view(&it.downstream));
        /// Whom to ask about an attempt whose outcome is unknown.
        _probe as "probe": Shown = beside().shows("queues.NAME.probe").or_nothing(),
            |it| it.probe.as_ref().map_or(Shown::Unset, |probe| Shown::Section(probe::view(probe)));
        /// When to try again.
        _retry as "retry": Shown = beside().shows("queues.NAME.retry"), |it| Shown::Section(retry::Retry::shown(&it.retry));
        /// The hours.
        _window as "window": Shown = beside().shows("queues.NAME.window").or_nothing(), |it| {
            it.window.as_ref().map_or(Shown::Unset, |it| Shown::Section(window::Opening::shown(it)))
        };
        /// When recipients may be reached.
        _recipient_hours as "recipient_hours": Shown = beside().shows("queues.NAME.recipient_hours").or_nothing(), |it| {
            let shown = |it| Shown::Section(recipient_hours::Recipients::shown(it));
            it.recipient_hours.as_deref().map_or(Shown::Unset, shown)
        };
        /// Batches.
        _batch as "batch": Shown = beside().shows("queues.NAME.batch").or_nothing(), |it| {
            it.batch.as_ref().map_or(Shown::Unset, |it| Shown::Section(batch::Batch::shown(it)))
        };
        /// What may wait and be on its way: beyond it, messages are refused.
        _backlog as "backlog": Shown = beside().shows("queues.NAME.backlog").or_nothing(), |it| {
            it.backlog.as_ref().map_or(Shown::Unset, |it| Shown::Section(backlog::Backlog::shown(it)))
        };
        /// How long messages with a collapse key wait for newer ones.
        _collapse as "collapse": Shown = beside().shows("queues.NAME.collapse").or_nothing(), |it| {
            it.collapse.as_ref().map_or(Shown::Unset, |it| Shown::Section(collapse::Collapse::shown(it)))
        };
        /// Who is told of final states.
        _callback as "callback": Shown = beside().shows("queues.NAME.callback").or_nothing(), |it| {
            let shown = callback::Callback::shown;
            it.callback.as_ref().map_or(Shown::Unset, |callback| Shown::Section(shown(callback)))
        };
    }
}

const NO_BATCHES: &str = "has no effect where workers claim (downstream.type = \"pull\"): each claim says with max how many it takes; remove batch";
const NO_SHARED_CALLS: &str = "has no effect where each message brings its own url (downstream.url = \"message\"): a call carries one message; remove batch";
const UNCERTAIN: [OnUncertain; 3] = [OnUncertain::Resend, OnUncertain::Park, OnUncertain::Probe];

/// What a queue takes from other sections.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct OfServer<'a> {
    /// The store's: a queue that parks cannot do with less than the disk.
    pub(in crate::config) durability: Read<Durability>,
    /// Where callbacks may go whose messages name a url.
    pub(in crate::config) hosts: &'a CallbackHosts,
    /// What urls of messages may reach beside public addresses.
    pub(in crate::config) egress: &'a Arc<EgressAllow>,
}

/// `accounts` are the shared limits, and `calendars` those that a window
/// may name; `None`: they could not be read.
pub(in crate::config) fn read(
    name: &str,
    field: &Field<'_>,
    server: OfServer<'_>,
    (accounts, calendars): (Option<&SharedRules>, Option<&Calendars>),
) -> Read<Arc<QueuePolicy>> {
    let OfServer { durability, hosts, egress } = server;
    let name = name.parse::<QueueName>().map_err(|error| field.wrong(error.to_string()));
    let policy = field.section(&LATER, |section| {
        let own = Own::of(section);
        let downstream = section.required(
            "downstream",
            "downstream = { type = \"http\", url = \"https://sms.example/send\" }",
            |field| downstream::read(field, section.field("batch").is_some(), egress),
        );
        let timeout = downstream.as_ref().map(Downstream::timeout_ms).map_err(|reported| *reported);
        let limits = limits::all(section, own.rate, own.burst, own.limits, accounts);
        let lease = lease(section, own.lease, timeout);
        let on_uncertain = on_uncertain(section, own.on_uncertain, durability);
        let probe = probe::of_queue(section, on_uncertain, &downstream);
        let receipts = section.read_or("receipts", ReceiptPolicy::DEFAULT, receipts::read);
        let retention = section
            .read_or("retention", retention::DEFAULT, |field| retention::read(field, own.shards));
        let retry = section.read("retry", |field| retry::read(field, on_uncertain));
        let window = section.read("window", |field| window::read(field, timeout, calendars));
        let recipient_hours = section.read("recipient_hours", recipient_hours::read);
        let batch = section.read("batch", batch::read);
        let backlog = section.read("backlog", |field| backlog::read(field, own.shards));
        let callback = section.read("callback", |field| callback::read(field, hosts));
        let collapse = collapse::of_queue(section, &own.shards);
        let aging = keys::aging(section, own.aging, own.priority_levels);
        if let (Ok(ordering), Ok(fairness), Ok(limits), Ok(backlog), Ok(shards)) =
            (&own.ordering, &own.fairness, &limits, &backlog, &own.shards)
        {
            let named = (ordering.as_ref(), fairness.as_ref(), limits.as_slice(), backlog.as_ref());
            keys::in_shards(section, named, *shards)?;
        }
        if let (Ok(limits), Ok(Some(_)), Ok(shards)) = (&limits, &batch, &own.shards) {
            limits::of_batches(section, limits, *shards)?;
        }
        answers::of_singles(section, &downstream, &batch)?;
        let policy = QueuePolicy {
            name: name?,
            limits: limits?,
            required_keys: own.required_keys?,
            backlog: backlog?,
            ttl_ms: own.ttl?,
            lease_ms: lease?,
            keep_response_bytes: own.keep_response?,
            concurrency: own.concurrency?.unwrap_or_else(|| calls(&downstream)),
            priority_levels: own.priority_levels?,
            ordering: own.ordering?,
            fairness: own.fairness?,
            aging_ms: aging?,
            retention: retention?,
            idempotency_window_ms: own.idempotency_window?,
            on_uncertain: on_uncertain?,
            probe: probe?,
            receipts: receipts?,
            shards: own.shards?,
            downstream: downstream?,
            retry: retry?.unwrap_or_default(),
            window: window?,
            recipient_hours: recipient_hours?,
            batch: batch?,
            collapse: collapse?,
            callback: callback?.or_else(|| callback::without_section(hosts)),
            overrides: Vec::new(),
            configured: None,
            origins: field.context().origins(),
        };
        fits_downstream(section, &policy)?;
        Ok(policy)
    });
    policy.map(Arc::new)
}

/// How many calls may be under way, where the configuration does not say it.
fn calls(downstream: &Read<Downstream>) -> u32 {
    let is_pulled = downstream.as_ref().is_ok_and(|it| it.capabilities().is_pulled);
    if is_pulled { IN_HANDS } else { CONCURRENCY }
}

/// Checks that the queue asks for nothing that its kind of downstream does not have.
fn fits_downstream(section: &Section<'_>, policy: &QueuePolicy) -> Read<()> {
    let can = policy.downstream.capabilities();
    if policy.batch.is_some() && !can.takes_batches {
        let why = if can.is_pulled { NO_BATCHES } else { NO_SHARED_CALLS };
        return Err(section.wrong("batch", why));
    }
    if can.brings_urls {
        return Ok(());
    }
    let (ordering, fairness) = (policy.ordering.as_ref(), policy.fairness.as_ref());
    let named = (ordering, fairness, policy.limits.as_slice(), policy.backlog.as_ref());
    keys::of_no_host(section, named, &policy.required_keys)
}

fn lease(section: &Section<'_>, lease: Read<Option<u64>>, timeout: Read<u64>) -> Read<u64> {
    let (lease_ms, timeout_ms) = (lease?, timeout?);
    let shortest_ms = lease::shortest_ms(timeout_ms);
    match lease_ms {
        None => Ok(lease::default_ms(timeout_ms)),
        Some(lease_ms) if lease_ms >= shortest_ms => Ok(lease_ms),
        Some(lease_ms) => Err(section.wrong(
            "lease",
            format!(
                "found \"{}\", expected at least {}: downstream.timeout {} and a margin of {}, or another node would send the message too; lengthen lease or shorten downstream.timeout",
                format_duration(lease_ms),
                format_duration(shortest_ms),
                format_duration(timeout_ms),
                format_duration(shortest_ms - timeout_ms),
            ),
        )),
    }
}

fn on_uncertain(
    section: &Section<'_>,
    chosen: Read<OnUncertain>,
    durability: Read<Durability>,
) -> Read<OnUncertain> {
    match (chosen?, durability?) {
        (chosen, level @ (Durability::Memory | Durability::Everysec))
            if chosen.is_at_most_once() =>
        {
            Err(section.wrong(
                "on_uncertain",
                format!(
                    "\"{}\" promises at most once, which a Redis that may forget cannot keep; set redis.durability to \"disk\" or \"replicas\" (it is \"{}\"), or on_uncertain to \"resend\"",
                    chosen.as_str(),
                    level.as_str()
                ),
            ))
        }
        (chosen, _) => Ok(chosen),
    }
}
