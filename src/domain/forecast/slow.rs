//! The second implementation, message by message: slow, and without a fluid.

use super::whole;
use crate::domain::limit::{Limit, LimitKind};
use crate::domain::policy::QueuePolicy;

/// When each message starts, in the order in which they are due: one line, no key, every message costs one unit. A call takes no
/// time.
pub(super) fn starts_ms(policy: &QueuePolicy, due_ms: &[u64]) -> Vec<f64> {
    let mut arrivals_us = vec![0.0; policy.limits.len()];
    let mut used = vec![(0, 0); policy.limits.len()];
    let mut at_ms = 0.0_f64;
    let mut starts = Vec::new();
    for due in due_ms {
        let from_ms = at_ms.max(whole(*due));
        at_ms = start_ms(policy, from_ms, &arrivals_us, &used);
        take(policy, at_ms, &mut arrivals_us, &mut used);
        starts.push(at_ms);
    }
    starts
}

fn start_ms(policy: &QueuePolicy, from_ms: f64, arrivals_us: &[f64], used: &[(u64, u64)]) -> f64 {
    let mut at_ms = from_ms;
    loop {
        let before_ms = at_ms;
        if let Some(window) = &policy.window {
            let open_ms = window.next_start_ms(floor(at_ms), window.min_remaining_ms());
            at_ms = at_ms.max(whole(open_ms.expect("it opens")));
        }
        for (n, rule) in policy.limits.iter().enumerate() {
            match &rule.kind {
                LimitKind::Rate { rate, burst } => {
                    let limit = Limit::new(*rate, *burst);
                    at_ms = at_ms.max(limit.slot_us(arrivals_us[n], at_ms * 1000.0) / 1000.0);
                }
                LimitKind::Quota(quota) => {
                    let [start_ms, next_ms, _] = quota.boundaries_ms(floor(at_ms));
                    if used[n] == (start_ms, quota.units()) {
                        at_ms = whole(next_ms);
                    }
                }
                LimitKind::Concurrency(_) => {}
            }
        }
        if at_ms <= before_ms {
            return at_ms;
        }
    }
}

fn take(policy: &QueuePolicy, at_ms: f64, arrivals_us: &mut [f64], used: &mut [(u64, u64)]) {
    for (n, rule) in policy.limits.iter().enumerate() {
        match &rule.kind {
            LimitKind::Rate { rate, burst } => {
                let limit = Limit::new(*rate, *burst);
                arrivals_us[n] = arrivals_us[n].max(at_ms * 1000.0) + limit.period_us();
            }
            LimitKind::Quota(quota) => {
                let start_ms = quota.boundaries_ms(floor(at_ms))[0];
                used[n] =
                    if used[n].0 == start_ms { (start_ms, used[n].1 + 1) } else { (start_ms, 1) };
            }
            LimitKind::Concurrency(_) => {}
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a moment")]
fn floor(at_ms: f64) -> u64 {
    at_ms.floor() as u64
}
