//! Numbers that Rust and a script must agree on: a script takes them from here, as `RUST.<name>`.
//!
//! Each has its place in Rust; here it only gets its name in Lua.

use crate::domain::gates::Gate;
use crate::domain::index_fault::Fault;
use crate::domain::limit::LEAD_US_FURTHEST;
use crate::domain::waited::{HOLDS_MAX, WAITED_MS};
use crate::store::callbacks::SNAPSHOT_VERSION;
use crate::store::messages::claim::{LANES_MOVED_MAX, LANES_WANTED_MAX, LATE_BY_QUEUE_US};
use crate::store::messages::gate::ClaimStatus;
use crate::store::messages::intake::{BACKLOG_FULL, FINGERPRINT_BYTES};
use crate::store::messages::prune::{PRUNED_AGE, PRUNED_BYTES, PRUNED_MESSAGES};
use crate::store::messages::read::NEVER_MS;
use crate::store::messages::settle::{VERDICT_COLLAPSES, Verdict};
use crate::store::messages::shared::{RESERVED_LATE_US, RESERVED_PART};
use crate::store::queue::HORIZON_US;
use crate::store::record::{
    COLLAPSE_BYTES, COLLAPSE_HASH_BYTES, RECORD_HEADER_BYTES, RECORD_VERSION,
    RECORD_VERSION_OLDEST, STATE_HEADER_BYTES,
};
use crate::store::wire::clock_watch::DOUBT_PAUSE;
use crate::store::wire::format::FORMAT_SETTLE_MS;

const NUMBERS: &[(&str, u64)] = &[
    ("RECORD_VERSION", RECORD_VERSION as u64),
    ("RECORD_HEADER_BYTES", RECORD_HEADER_BYTES as u64),
    ("RECORD_VERSION_OLDEST", RECORD_VERSION_OLDEST as u64),
    ("STATE_HEADER_BYTES", STATE_HEADER_BYTES as u64),
    ("FORMAT_SETTLE_MS", FORMAT_SETTLE_MS),
    ("SNAPSHOT_VERSION", SNAPSHOT_VERSION as u64),
    ("NEVER_MS", NEVER_MS),
    ("WAITED_MS", WAITED_MS),
    ("HOLDS_MAX", HOLDS_MAX as u64),
    ("LEAD_US_FURTHEST", LEAD_US_FURTHEST as u64),
    ("DOUBT_WAIT_US", DOUBT_PAUSE.as_secs() * 1_000_000),
    ("CLAIM_TAKEN", code(ClaimStatus::Taken)),
    ("CLAIM_EMPTY", code(ClaimStatus::Empty)),
    ("CLAIM_PAUSED", code(ClaimStatus::Held(Gate::Pause))),
    ("CLAIM_SHUT", code(ClaimStatus::Held(Gate::Throttled))),
    ("CLAIM_CONCURRENCY", code(ClaimStatus::Held(Gate::Concurrency))),
    ("CLAIM_LIMIT", code(ClaimStatus::Held(Gate::Limit))),
    ("CLAIM_GATHERING", code(ClaimStatus::Held(Gate::Batch))),
    ("CLAIM_STALE", code(ClaimStatus::Stale)),
    ("CLAIM_DOUBT", code(ClaimStatus::ClockInDoubt)),
    ("CLAIM_KEYS", code(ClaimStatus::KeysHold)),
    ("CLAIM_STRUCTURE", code(ClaimStatus::OtherStructure)),
    ("CLAIMED_AHEAD_MS", 2 * HORIZON_US / 1000),
    ("LATE_BY_QUEUE_US", LATE_BY_QUEUE_US),
    ("RESERVED_LATE_US", RESERVED_LATE_US),
    ("RESERVED_PART", RESERVED_PART),
    ("LANES_WANTED_MAX", LANES_WANTED_MAX),
    ("LANES_MOVED_MAX", LANES_MOVED_MAX),
    ("VERDICT_OK", Verdict::Ok as u64),
    ("VERDICT_ALREADY", Verdict::Already as u64),
    ("VERDICT_STALE", Verdict::Stale as u64),
    ("VERDICT_GONE", Verdict::Gone as u64),
    ("VERDICT_LATE", Verdict::Late as u64),
    ("VERDICT_COLLAPSES", VERDICT_COLLAPSES),
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
    ("FAULT_STRAY", Fault::Stray.code()),
    ("FAULT_LANE", Fault::Lane.code()),
    ("FAULT_BUSY", Fault::Busy.code()),
    ("FAULT_BLOCKER", Fault::Blocker.code()),
    ("FAULT_LENT", Fault::Lent.code()),
    ("FAULT_TURN", Fault::Turn.code()),
    ("FAULT_HELD", Fault::Held.code()),
    ("FAULT_FLIGHT", Fault::Flight.code()),
    ("FAULT_HELD_KEYS", Fault::HeldKeys.code()),
    ("FAULT_BACKLOG", Fault::Backlog.code()),
    ("FINGERPRINT_BYTES", FINGERPRINT_BYTES as u64),
    ("BACKLOG_FULL", BACKLOG_FULL),
    ("BACKLOG_FULL_BYTES", BACKLOG_FULL + 1),
    ("BACKLOG_FULL_KEY", BACKLOG_FULL + 2),
    ("COLLAPSE_BYTES", COLLAPSE_BYTES as u64),
    ("COLLAPSE_HASH_BYTES", COLLAPSE_HASH_BYTES as u64),
];

const fn code(status: ClaimStatus) -> u64 {
    status.code().expect("a script names it")
}

/// The number of this name.
pub(super) fn number(name: &str) -> Option<u64> {
    NUMBERS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}
