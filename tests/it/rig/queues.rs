//! The queues of a run: a plain fast one, and one for each thing that must hold besides.
//!
//! Owns their configuration and, beside it, what the checker is told of it. Refuses to know faults.

use std::fmt::Write as _;

use tidegate::domain::lease;

use super::flow::{self, Key, Limit, LimitKind};
use super::history::Queue;
use super::recorder::{HOOK, LATER, ROUGH, USUAL};
use super::run::Size;
use crate::support::clocks::wall_us;

/// The topic, whose events go to the last queues but one.
pub(super) const TOPIC: &str = "paid";
pub(super) const SCHEDULE: &str = "tick";
/// What the schedule sends.
pub(super) const TICK: &str = "\"tick\"";
const TICK_MS: u64 = 250;
/// What the window's turns are made of, in seconds.
const OPEN_S: u64 = 4;
const SHUT_S: u64 = 2;
const DAY_S: u64 = 86_400;
/// Parts of all messages.
const STACKED_PERCENT: u32 = 4;
const LIMITED_PERCENT: u32 = 4;
const PARKED_PERCENT: u32 = 5;
const SHARING_PERCENT: u32 = LIMITED_PERCENT + PARKED_PERCENT;
const KEYED_PERCENT: u32 = 5;
const BOTH_PERCENT: u32 = 4;
/// Units a second of a queue in which newer messages take the places of older ones, so that some always wait.
const NEWEST_UNITS_PER_S: f64 = 6.0;
const SHARES: &str = "fairness = { by = \"labels.customer\", weights = { c0 = 3 } }";
const FEW: &str = "batch = { max_items = 10, max_wait = \"100ms\" }";

/// Which queues a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cast {
    /// Those of the main job: due, limits, costs, windows, batches, parking, order, shares, collapse keys.
    Usual,
    /// Callbacks, receipts, probes, a topic and a schedule.
    Outcomes,
}

/// A queue, and its part of all messages in percent.
pub(crate) struct Kind {
    pub(crate) queue: Queue,
    pub(crate) percent: u32,
    /// It gets the events of the topic, and nothing else.
    pub(crate) subscribes: bool,
    lines: String,
    /// The most shards that it may have.
    shards_max: u32,
}

/// The queues of a run of this size that starts now; `shards` for each that may have several.
/// Leases are as short as they may be, so that the messages of a killed node come back soon.
pub(crate) fn all(cast: Cast, shards: u32, size: &Size) -> Vec<Kind> {
    let mut kinds = match cast {
        Cast::Usual => usual(size),
        Cast::Outcomes => outcomes(size.timeout_ms),
    };
    for Kind { queue, lines, shards_max, .. } in &mut kinds {
        let shards = shards.min(*shards_max);
        let flow = flow::toml(queue.order, &queue.limits);
        write!(lines, "\nshards = {shards}\n{flow}").expect("to a String");
    }
    kinds
}

fn kind(name: &str, percent: u32, concurrency: u32, timeout_ms: u64, lines: &str) -> Kind {
    Kind {
        queue: Queue {
            name: name.to_owned(),
            concurrency,
            batch_max: 1,
            timeout_ms,
            lease_ms: lease::shortest_ms(timeout_ms),
            ..Queue::default()
        },
        percent,
        subscribes: false,
        lines: lines.to_owned(),
        shards_max: u32::MAX,
    }
}

fn outcomes(timeout_ms: u64) -> Vec<Kind> {
    let kind = |name: &str, percent, lines: &str| kind(name, percent, 64, timeout_ms, lines);
    let probe = "on_uncertain = \"probe\"\nprobe = { url = \"RECORDER/asked/{id}\", after = \"200ms\", max_attempts = 1000 }";
    let mut kinds = vec![
        kind("told", 30, ""),
        kind("later", 25, ""),
        kind("asked", 30, probe),
        kind("stock", 100, ""),
        kind("points", 0, ""),
        kind("sms", 0, ""),
        kind("ticks", 0, ""),
    ];
    kinds[0].queue.tells = true;
    kinds[1].queue.tells = true;
    kinds[1].queue.accepts = true;
    kinds[2].queue.probes = true;
    for kind in &mut kinds[3..6] {
        kind.subscribes = true;
    }
    kinds[6].queue.every_ms = TICK_MS;
    kinds
}

fn usual(size: &Size) -> Vec<Kind> {
    let (open_ms, rules) = turns(wall_us() / 1_000_000, size.length.as_secs());
    let kind = |name: &str, percent, concurrency, lines: &str| {
        kind(name, percent, concurrency, size.timeout_ms, lines)
    };
    let mut kinds = vec![
        kind("fast", 45, 240, "priority_levels = 3"),
        kind("limited", LIMITED_PERCENT, 64, ""),
        kind("window", 6, 64, &format!("window.time_zone = \"UTC\"\nwindow.open = [{rules}]")),
        kind("parked", PARKED_PERCENT, 64, "on_uncertain = \"park\""),
        kind("bulk", 12, 24, "batch = { max_items = 40, max_wait = \"200ms\" }"),
        kind("stacked", STACKED_PERCENT, 64, ""),
        kind("ordered", 5, 64, "priority_levels = 3"),
        kind("keyed", KEYED_PERCENT, 64, SHARES),
        kind("both", BOTH_PERCENT, 24, &format!("{SHARES}\n{FEW}")),
        kind("newest", 5, 64, "on_uncertain = \"park\""),
        kind("settled", 5, 64, "collapse = { wait = \"150ms\", max_wait = \"600ms\" }"),
    ];
    kinds[1].queue.limits = [vec![Limit::rate(40.0, 5)], accounts(size)].concat();
    kinds[3].queue.limits = accounts(size);
    kinds[2].queue.open_ms = Some(open_ms);
    kinds[3].queue.parks = true;
    kinds[4].queue.batch_max = 40;
    kinds[5].queue.limits = stacked(size);
    kinds[6].queue.order = Some(Key::Group);
    kinds[7].queue.limits = keyed(size);
    kinds[8].queue.order = Some(Key::Group);
    kinds[8].queue.limits = both(size);
    kinds[8].queue.batch_max = 10;
    // It goes by two keys, which only one shard can.
    kinds[8].shards_max = 1;
    kinds[9].queue.limits = vec![Limit::rate(NEWEST_UNITS_PER_S, 2)];
    kinds[9].queue.parks = true;
    for kind in &mut kinds[9..] {
        kind.queue.collapses = true;
        kind.shards_max = 1;
    }
    kinds
}

/// Accounts that two queues share: a quota that is used up at about the middle of the run, and a rate.
fn accounts(size: &Size) -> Vec<Limit> {
    let units = size.messages(SHARING_PERCENT) / 2;
    let line = LimitKind::Rate { units_per_s: 60.0, burst: 5 };
    vec![
        Limit::of("account", LimitKind::Quota { units }).shared(),
        Limit::of("line", line).shared(),
    ]
}

/// A quota that is used up at about the middle of the run, and two rates: by turns each of them holds.
fn stacked(size: &Size) -> Vec<Limit> {
    let minute = LimitKind::Rate { units_per_s: 50.0, burst: 30 };
    vec![
        Limit::rate(70.0, 10),
        Limit::of("contract", LimitKind::Quota { units: size.messages(STACKED_PERCENT) / 2 }),
        Limit::of("minute", minute),
    ]
}

/// A pace that holds what comes in bursts, and lets no backlog grow: the customer with the most messages has a fourth of
/// them, and a message costs 1.5 on average.
fn own_rate(size: &Size, percent: u32) -> Limit {
    let per_s = size.per_s as f64 * f64::from(percent) / 100.0;
    let units_per_s = (per_s * 0.45).ceil();
    Limit::of("own_rate", LimitKind::Rate { units_per_s, burst: 3 }).per(Key::Customer)
}

fn keyed(size: &Size) -> Vec<Limit> {
    vec![
        own_rate(size, KEYED_PERCENT),
        Limit::of("own_calls", LimitKind::Concurrency { calls: 2 }).per(Key::Customer),
    ]
}

/// The quota is used up by the customers with the most messages only.
fn both(size: &Size) -> Vec<Limit> {
    let units = size.messages(BOTH_PERCENT) / 5;
    vec![
        own_rate(size, BOTH_PERCENT),
        Limit::of("own_quota", LimitKind::Quota { units }).per(Key::Customer),
        Limit::of("all", LimitKind::Rate { units_per_s: 60.0, burst: 10 }).by_messages(),
    ]
}

/// The configuration of all of them, before this downstream.
pub(crate) fn toml(kinds: &[Kind], port: u16) -> String {
    let recorder = format!("http://127.0.0.1:{port}");
    let limits = kinds.iter().flat_map(|kind| &kind.queue.limits);
    let mut text = flow::sections(limits);
    for (number, Kind { queue, lines, .. }) in kinds.iter().enumerate() {
        let Queue { name, concurrency, timeout_ms, lease_ms, .. } = queue;
        let door = match queue {
            Queue { accepts: true, .. } => LATER,
            Queue { order: Some(_), .. } => ROUGH,
            _ => USUAL,
        };
        let lines = lines.replace("RECORDER", &recorder);
        write!(
            text,
            r#"
            [queues.{name}]
            concurrency = {concurrency}
            lease = "{lease_ms}ms"
            downstream.url = "{recorder}/{door}/{number}"
            downstream.timeout = "{timeout_ms}ms"
            downstream.headers = {{ Rig-Life = "${{RIG_LIFE}}" }}
            retry = {{ initial = "100ms", max = "2s", max_attempts = 1000 }}
            {lines}
            "#
        )
        .expect("to a String");
        if queue.tells {
            let on = "[\"delivered\", \"dead\", \"expired\", \"cancelled\"]";
            let retry = "{ initial = \"100ms\", max = \"1s\", max_attempts = 1000 }";
            let more = format!("on = {on}, timeout = \"{timeout_ms}ms\", retry = {retry}");
            writeln!(text, "callback = {{ url = \"{recorder}{HOOK}\", {more} }}")
                .expect("to a String");
        }
    }
    let subscribed: Vec<_> =
        kinds.iter().filter(|kind| kind.subscribes).map(|kind| &kind.queue.name).collect();
    if !subscribed.is_empty() {
        writeln!(text, "[topics.{TOPIC}]\nqueues = {subscribed:?}").expect("to a String");
    }
    for Queue { name, every_ms, .. } in kinds.iter().map(|kind| &kind.queue) {
        if *every_ms > 0 {
            let what = format!("payload = {TICK}\ncatch_up = \"all\"");
            writeln!(
                text,
                "[schedules.{SCHEDULE}]\nqueue = \"{name}\"\nevery = \"{every_ms}ms\"\n{what}"
            )
            .expect("to a String");
        }
    }
    text
}

/// Openings and their rules: by turns while the run harms, then for good.
fn turns(now_s: u64, seconds: u64) -> (Vec<(u64, u64)>, String) {
    let (mut open_ms, mut rules, mut from_s) = (Vec::new(), Vec::new(), now_s - 1);
    let end_s = now_s + seconds;
    loop {
        let is_last = from_s > end_s;
        let to_s = from_s + if is_last { 4 * 3600 } else { OPEN_S };
        open_ms.push((from_s * 1000, to_s * 1000));
        rules.push(format!("{{ from = \"{}\", to = \"{}\" }}", time(from_s), time(to_s)));
        if is_last {
            return (open_ms, rules.join(", "));
        }
        from_s = to_s + SHUT_S;
    }
}

fn time(at_s: u64) -> String {
    let s = at_s % DAY_S;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}
