//! The queues of a run: a plain fast one, and one for each thing that must hold besides.
//!
//! Owns their configuration and, beside it, what the checker is told of it. Refuses to know faults.

use std::fmt::Write as _;

use tidegate::domain::lease;

use super::history::{Limit, Queue};
use crate::support::clocks::wall_us;

/// The queue whose uncertain messages wait for a decision.
pub(super) const PARKED: &str = "parked";
/// What the window's turns are made of, in seconds.
const OPEN_S: u64 = 4;
const SHUT_S: u64 = 2;
const DAY_S: u64 = 86_400;

/// A queue, and its part of all messages in percent.
pub(crate) struct Kind {
    pub(crate) queue: Queue,
    pub(crate) percent: u32,
    lines: String,
}

/// The queues of a run that starts now and harms for so many seconds; `shards` for each of them.
/// Leases are as short as they may be, so that the messages of a killed node come back soon.
pub(crate) fn all(shards: u32, timeout_ms: u64, seconds: u64) -> Vec<Kind> {
    let (open_ms, rules) = turns(wall_us() / 1_000_000, seconds);
    let kind = |name: &str, percent, concurrency, lines: &str| Kind {
        queue: Queue {
            name: name.to_owned(),
            concurrency,
            batch_max: 1,
            timeout_ms,
            lease_ms: lease::shortest_ms(timeout_ms),
            ..Queue::default()
        },
        percent,
        lines: lines.to_owned(),
    };
    let mut kinds = vec![
        kind("fast", 73, 240, "priority_levels = 3"),
        kind("limited", 4, 64, "rate = \"40/s\"\nburst = 5"),
        kind("window", 6, 64, &format!("window.time_zone = \"UTC\"\nwindow.open = [{rules}]")),
        kind(PARKED, 5, 64, "on_uncertain = \"park\""),
        kind("bulk", 12, 24, "batch = { max_items = 40, max_wait = \"200ms\" }"),
    ];
    kinds[1].queue.limit = Some(Limit { calls_per_s: 40.0, burst: 5 });
    kinds[2].queue.open_ms = Some(open_ms);
    kinds[3].queue.parks = true;
    kinds[4].queue.batch_max = 40;
    for kind in &mut kinds {
        write!(kind.lines, "\nshards = {shards}").expect("to a String");
    }
    kinds
}

/// The configuration of all of them, before this downstream.
pub(crate) fn toml(kinds: &[Kind], port: u16) -> String {
    let mut text = String::new();
    for (number, Kind { queue, lines, .. }) in kinds.iter().enumerate() {
        let Queue { name, concurrency, timeout_ms, lease_ms, .. } = queue;
        write!(
            text,
            r#"
            [queues.{name}]
            concurrency = {concurrency}
            lease = "{lease_ms}ms"
            downstream.url = "http://127.0.0.1:{port}/q/{number}"
            downstream.timeout = "{timeout_ms}ms"
            downstream.headers = {{ Rig-Life = "${{RIG_LIFE}}" }}
            retry = {{ initial = "100ms", max = "2s", max_attempts = 1000 }}
            {lines}
            "#
        )
        .expect("to a String");
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
