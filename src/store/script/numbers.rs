//! Numbers that Rust and a script must agree on: a script takes them from here, as `RUST.<name>`.
//!
//! Each has its place in Rust; here it only gets its name in Lua.

use super::super::audit::Fault;
use super::super::callbacks::SNAPSHOT_VERSION;
use super::super::claim::LEAD_US_FURTHEST;
use super::super::clock_watch::DOUBT_PAUSE;
use super::super::gate::Gate;
use super::super::intake::FINGERPRINT_BYTES;
use super::super::prune::{PRUNED_AGE, PRUNED_BYTES, PRUNED_MESSAGES};
use super::super::read::NEVER_MS;
use super::super::record::{
    RECORD_HEADER_BYTES, RECORD_VERSION, STATE_HEADER_BYTES, STATE_VERSION,
};
use super::super::settle::Verdict;

const NUMBERS: [(&str, u64); 35] = [
    ("RECORD_VERSION", RECORD_VERSION as u64),
    ("RECORD_HEADER_BYTES", RECORD_HEADER_BYTES as u64),
    ("STATE_VERSION", STATE_VERSION as u64),
    ("STATE_HEADER_BYTES", STATE_HEADER_BYTES as u64),
    ("SNAPSHOT_VERSION", SNAPSHOT_VERSION as u64),
    ("NEVER_MS", NEVER_MS),
    ("LEAD_US_FURTHEST", LEAD_US_FURTHEST),
    ("DOUBT_WAIT_US", DOUBT_PAUSE.as_secs() * 1_000_000),
    ("GATE_OPEN", Gate::Open as u64),
    ("GATE_EMPTY", Gate::Empty as u64),
    ("GATE_PAUSED", Gate::Paused as u64),
    ("GATE_SHUT", Gate::Shut as u64),
    ("GATE_CONCURRENCY", Gate::Concurrency as u64),
    ("GATE_LIMIT", Gate::Limit as u64),
    ("GATE_GATHERING", Gate::Gathering as u64),
    ("GATE_STALE", Gate::Stale as u64),
    ("GATE_DOUBT", Gate::Doubt as u64),
    ("VERDICT_OK", Verdict::Ok as u64),
    ("VERDICT_ALREADY", Verdict::Already as u64),
    ("VERDICT_STALE", Verdict::Stale as u64),
    ("VERDICT_GONE", Verdict::Gone as u64),
    ("VERDICT_LATE", Verdict::Late as u64),
    ("PRUNED_AGE", PRUNED_AGE),
    ("PRUNED_MESSAGES", PRUNED_MESSAGES),
    ("PRUNED_BYTES", PRUNED_BYTES),
    ("FAULT_UNPLACED", Fault::Unplaced.code()),
    ("FAULT_MISPLACED", Fault::Misplaced.code()),
    ("FAULT_LEFTOVER", Fault::Leftover.code()),
    ("FAULT_EXPIRY", Fault::Expiry.code()),
    ("FAULT_LARGEST", Fault::Largest.code()),
    ("FAULT_UNREADABLE", Fault::Unreadable.code()),
    ("FAULT_DUPLICATE", Fault::Duplicate.code()),
    ("FAULT_COUNT", Fault::Count.code()),
    ("FAULT_WEIGHT", Fault::Weight.code()),
    ("FINGERPRINT_BYTES", FINGERPRINT_BYTES as u64),
];

/// The number of this name.
pub(super) fn number(name: &str) -> Option<u64> {
    NUMBERS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}
