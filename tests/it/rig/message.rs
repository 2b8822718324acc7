//! One message of a run: what is drawn by chance, and the line that asks for it.
//!
//! Owns delays, expiries, priorities, keys, costs and kinds of payloads. Refuses to know how it is sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::Rng;
use rand::rngs::StdRng;

use super::history::{Sent, Verdict, body_hash};
use super::payload;
use super::producer::Target;
use crate::support::clocks::wall_us;

const DELAY_MS_MAX: u64 = 3000;
/// Long enough that most of those with an end arrive, faults or not.
const LIFE_MS: std::ops::Range<u64> = 3000..12_000;

const GROUPS: u32 = 12;
const CUSTOMERS: u32 = 8;
const COST_MAX: u32 = 4;
/// So few that most messages meet another one of their key.
const COLLAPSE_KEYS: u32 = 5;

/// A message on its way to its verdict.
#[derive(Debug)]
pub(super) struct Draft {
    /// The request, as one line of JSON.
    pub(super) line: String,
    pub(super) sent: Sent,
    /// An earlier request may have brought it in.
    pub(super) may_be_in: bool,
}

pub(super) fn draft(random: &mut StdRng, target: &Target, key: u64) -> Draft {
    let now_us = wall_us();
    let payload = payload::json(random, key);
    let mut bytes = payload.clone().into_bytes();
    let mut line = format!("{{\"idempotency_key\":\"{key}\"");
    // A batch is JSON and shows raw bytes in its own way.
    if !target.is_batched && random.random_ratio(1, 10) {
        bytes.extend((0..random.random_range(0..50)).map(|_| random.random::<u8>()));
        let field = format!(",\"payload_base64\":\"{}\"", STANDARD.encode(&bytes));
        line.push_str(&field);
    } else {
        line.extend([",\"payload\":", &payload]);
    }
    let (mut due_ms, mut expires_ms) = (0, 0);
    if random.random_ratio(2, 5) {
        due_ms = now_us / 1000 + random.random_range(1..DELAY_MS_MAX);
        line.extend([",\"due_at\":\"", &moment(due_ms), "\""]);
    }
    // An event that expires here and arrives there would look like one that came to some queues only.
    if !target.is_topic && random.random_ratio(1, 30) {
        expires_ms = due_ms.max(now_us / 1000) + random.random_range(LIFE_MS);
        line.extend([",\"expires_at\":\"", &moment(expires_ms), "\""]);
    }
    if random.random_ratio(1, 2) {
        line.extend([",\"priority\":", &random.random_range(0..10).to_string()]);
    }
    let (group, customer, cost) = flow(random, target, &mut line);
    let collapse_key = target.collapses.then(|| random.random_range(0..COLLAPSE_KEYS));
    if let Some(key) = collapse_key {
        line.extend([",\"collapse_key\":\"k", &key.to_string(), "\""]);
    }
    line.push('}');
    let sent = Sent {
        key,
        queue: target.queues[0],
        body_hash: body_hash(&bytes),
        due_ms,
        expires_ms,
        group,
        customer,
        collapse_key,
        is_collapsed: false,
        cost,
        first_try_us: now_us,
        request: None,
        verdict: Verdict::Unknown,
    };
    Draft { line, sent, may_be_in: false }
}

/// Group, customer and cost, where the queue goes by them. Few groups and customers, some of them with much more
/// to do than others, and a few messages without.
fn flow(
    random: &mut StdRng,
    target: &Target,
    line: &mut String,
) -> (Option<u32>, Option<u32>, u32) {
    let mut value = |names: u32| {
        let name = random.random_range(0..names).min(random.random_range(0..names));
        (!random.random_ratio(1, 20)).then_some(name)
    };
    let (group, customer) =
        if target.has_keys { (value(GROUPS), value(CUSTOMERS)) } else { (None, None) };
    if let Some(group) = group {
        line.extend([",\"group\":\"g", &group.to_string(), "\""]);
    }
    if let Some(customer) = customer {
        line.extend([",\"labels\":{\"customer\":\"c", &customer.to_string(), "\"}"]);
    }
    let costs = target.has_costs && random.random_ratio(1, 3);
    let cost = if costs { random.random_range(1..=COST_MAX) } else { 1 };
    if costs {
        line.extend([",\"cost\":", &cost.to_string()]);
    }
    (group, customer, cost)
}

/// As requests and answers say it.
pub(crate) fn moment(ms: u64) -> String {
    let ms = i64::try_from(ms).expect("milliseconds fit for ages");
    jiff::Timestamp::from_millisecond(ms).expect("near the present").to_string()
}
