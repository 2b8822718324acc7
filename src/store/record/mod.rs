//! The record and the state entry of a message, packed and unpacked.
//!
//! The twin of `lua/include/record.lua` and `lua/include/state.lua`. A new field is an optional one (see `optional`)
//! and needs no new version. To change a shape otherwise: raise the version, let the readers take both, write the new
//! one once all nodes read it (see `format`), and add cases for old and new to the tests.

mod new;
mod optional;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::{Buf, Bytes};
use ulid::Ulid;

pub(crate) use new::{pack_rest, ranks, unpack_rest};
pub(crate) use optional::OptionalFields;
pub(in crate::store) use optional::{
    COLLAPSE_BYTES, COLLAPSE_HASH_BYTES, key_name_hash, key_value_hash, zone_hash,
};

use crate::domain::callback::CallbackOn;
use crate::domain::id::{MessageId, QueueName};
use crate::domain::message::{Attempt, Details, Message};
use crate::domain::state::State;
use crate::domain::waited::{Life, read_holds};
use crate::store::redis::error::StoreError;
use crate::store::tail::{PackedAttempt, PackedProbes, Tail};

/// The newest version of records and state entries that this program reads and writes.
///
/// A namespace with a newer one is refused. Version 3 is version 2 with optional fields. The state entry of a message has the version of its
/// record.
pub const RECORD_VERSION: u8 = 3;
/// The oldest that it reads; it writes it while some node reads no newer one.
pub(crate) const RECORD_VERSION_OLDEST: u8 = 2;

pub(super) const RECORD_HEADER_BYTES: usize = 22;
pub(super) const STATE_HEADER_BYTES: usize = 87;
const FLAG_BODY_DROPPED: u8 = 1;
const FLAG_BODY_EDITED: u8 = 2;
/// Of version 3: optional fields follow the header.
const FLAG_OPTIONAL_FIELDS: u8 = 4;
/// The same in a state entry, beside its band; its flags are all in use.
const BAND_OPTIONAL_FIELDS: u8 = 128;
/// Where the final states that are told stand in the flags of record and state entry.
const CALLBACK_SHIFT: u8 = 4;

/// Whether this program reads what is stored under this version.
pub(crate) const fn is_readable(version: u8) -> bool {
    RECORD_VERSION_OLDEST <= version && version <= RECORD_VERSION
}

fn cut(what: &str) -> StoreError {
    StoreError::Reply(format!("a record's {what} are cut"))
}

/// A record, unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) priority: u8,
    pub(crate) due_ms: u64,
    pub(crate) expires_ms: u64,
    /// The final states that are told.
    pub(crate) callback: CallbackOn,
    pub(crate) fields: OptionalFields,
    pub(crate) details: Details,
    /// `None` once it was dropped.
    pub(crate) payload: Option<Bytes>,
    /// Whether somebody changed the payload after it was accepted.
    pub(crate) is_edited: bool,
}

impl Record {
    pub(crate) fn unpack(mut raw: Bytes) -> Result<Self, StoreError> {
        if raw.len() < RECORD_HEADER_BYTES + 2 {
            return Err(StoreError::Reply("a record is too short".to_owned()));
        }
        let version = raw.get_u8();
        if !is_readable(version) {
            return Err(StoreError::Reply(format!("record version {version} is not known here")));
        }
        let flags = raw.get_u8();
        let rank = raw.get_u8();
        let due_ms = raw.get_uint(6);
        let expires_ms = raw.get_uint(6);
        let _sequence_and_number = raw.get_uint(7);
        let has_fields = version > RECORD_VERSION_OLDEST && flags & FLAG_OPTIONAL_FIELDS != 0;
        let fields = split_fields(has_fields, &mut raw)?;
        let (details, body) = unpack_rest(raw)?;
        let payload = (flags & FLAG_BODY_DROPPED == 0).then_some(body);
        let callback = CallbackOn::of_bits(flags >> CALLBACK_SHIFT);
        let is_edited = flags & FLAG_BODY_EDITED != 0;
        let priority = rank % 16;
        Ok(Self { priority, due_ms, expires_ms, callback, fields, details, payload, is_edited })
    }

    /// What is shown in place of a record that cannot be read.
    pub(crate) fn unreadable() -> Self {
        Self {
            priority: 0,
            due_ms: 0,
            expires_ms: 0,
            callback: CallbackOn::NONE,
            fields: OptionalFields::default(),
            details: Details::default(),
            payload: None,
            is_edited: false,
        }
    }
}

/// A state entry, unpacked.
#[derive(Debug, Clone)]
pub(crate) struct StateEntry {
    pub(crate) letter: u8,
    /// The final states that are told.
    pub(crate) callback: CallbackOn,
    pub(crate) due_ms: u64,
    pub(crate) expires_ms: u64,
    pub(crate) attempts: u32,
    pub(crate) throttles: u32,
    pub(crate) window_holds: u32,
    pub(crate) rescues: u32,
    /// When the first attempt began; 0 before.
    pub(crate) first_attempt_ms: u64,
    /// For how long the queue had been paused by then.
    pub(crate) paused_at_first_ms: u64,
    pub(crate) final_ms: u64,
    pub(crate) tail: Tail<'static>,
}

impl StateEntry {
    /// That of a message whose first claim this is: scripts do not spell it out.
    pub(crate) fn of_first_claim(record: &Record, claimed_ms: u64, paused_ms: u64) -> Self {
        Self {
            letter: b'L',
            callback: record.callback,
            due_ms: record.due_ms,
            expires_ms: record.expires_ms,
            attempts: 1,
            throttles: 0,
            window_holds: 0,
            rescues: 0,
            first_attempt_ms: claimed_ms,
            paused_at_first_ms: paused_ms,
            final_ms: 0,
            tail: Tail::default(),
        }
    }

    pub(crate) fn unpack(mut raw: Bytes) -> Result<Self, StoreError> {
        if raw.len() < STATE_HEADER_BYTES {
            return Err(StoreError::Reply("a state entry is too short".to_owned()));
        }
        let version = raw.get_u8();
        if !is_readable(version) {
            return Err(StoreError::Reply(format!("state version {version} is not known here")));
        }
        let letter = raw.get_u8();
        raw.advance(20);
        let callback = CallbackOn::of_bits(raw.get_u8() >> CALLBACK_SHIFT);
        let band = raw.get_u8();
        let _epoch = raw.get_u16();
        let due_ms = raw.get_uint(6);
        let expires_ms = raw.get_uint(6);
        let attempts = u32::from(raw.get_u16());
        let throttles = raw.get_u32();
        let window_holds = raw.get_u32();
        let rescues = u32::from(raw.get_u8());
        let (first_attempt_ms, paused_at_first_ms) = (raw.get_uint(6), raw.get_uint(6));
        raw.advance(20);
        let final_ms = raw.get_uint(6);
        let has_fields = version > RECORD_VERSION_OLDEST && band & BAND_OPTIONAL_FIELDS != 0;
        // No field of a state entry is known yet.
        let _fields = split_fields(has_fields, &mut raw)?;
        let tail = if raw.is_empty() { Tail::default() } else { Tail::unpack(&raw) };
        Ok(Self {
            letter,
            callback,
            due_ms,
            expires_ms,
            attempts,
            throttles,
            window_holds,
            rescues,
            first_attempt_ms,
            paused_at_first_ms,
            final_ms,
            tail,
        })
    }
}

fn split_fields(has_fields: bool, raw: &mut Bytes) -> Result<OptionalFields, StoreError> {
    if has_fields { OptionalFields::split_off(raw) } else { Ok(OptionalFields::default()) }
}

/// The state that a letter means; a waiting message is scheduled if it stands in due, else ready.
pub(crate) fn state_of(letter: u8, in_due: bool) -> State {
    match letter {
        b'L' => State::Leased,
        b'U' => State::Uncertain,
        b'A' => State::Accepted,
        b'D' => State::Delivered,
        b'X' => State::Dead,
        b'E' => State::Expired,
        b'C' => State::Cancelled,
        b'r' => State::Ready,
        _ if in_due => State::Scheduled,
        _ => State::Ready,
    }
}

/// Both halves together, as a message.
pub(crate) fn to_message(
    queue: &QueueName,
    ulid: Ulid,
    record: Record,
    entry: Option<StateEntry>,
    in_due: bool,
    past: &[Attempt],
) -> Message {
    let letter = entry.as_ref().map_or(b'w', |entry| entry.letter);
    let state = state_of(letter, in_due);
    let entry = entry.unwrap_or(StateEntry {
        letter,
        callback: record.callback,
        due_ms: record.due_ms,
        expires_ms: record.expires_ms,
        attempts: 0,
        throttles: 0,
        window_holds: 0,
        rescues: 0,
        first_attempt_ms: 0,
        paused_at_first_ms: 0,
        final_ms: 0,
        tail: Tail::default(),
    });
    let last = entry.tail.attempt.map(PackedAttempt::unpack);
    let due_ms = entry.due_ms;
    let waited = entry.tail.holds.filter(|_| entry.final_ms > 0).and_then(|holds| {
        let attempts = with_last(past, last.as_ref());
        // What came before is not known here; of attempts whose node was lost nobody knows more.
        if past.is_empty() && entry.attempts > 1 + entry.rescues {
            return None;
        }
        let (created_ms, final_ms) = (ulid.timestamp_ms(), entry.final_ms);
        let holds = read_holds(&holds);
        Life { created_ms, final_ms, due_ms, state, attempts: &attempts, holds: &holds }.waited()
    });
    Message {
        id: MessageId { queue: queue.clone(), ulid },
        state,
        payload: record.payload,
        is_edited: record.is_edited,
        details: record.details,
        created_at_ms: ulid.timestamp_ms(),
        due_at_ms: entry.due_ms,
        expires_at_ms: (entry.expires_ms > 0).then_some(entry.expires_ms),
        priority: record.priority,
        superseded: record.fields.superseded(),
        waits_for_older: false,
        older: None,
        callback: entry.callback,
        attempts: entry.attempts,
        throttles: entry.throttles,
        window_holds: entry.window_holds,
        rescues: entry.rescues,
        last_attempt: last,
        final_at_ms: (entry.final_ms > 0).then_some(entry.final_ms),
        reason: entry.tail.reason.map(Cow::into_owned),
        probes: entry.tail.probes.map(PackedProbes::unpack),
        reference: entry.tail.reference.map(Cow::into_owned),
        accepted_at_ms: None,
        decided_by: entry.tail.by.map(Cow::into_owned),
        waited,
    }
}

/// The attempts of a message with its last one, which may stand among those before it.
pub(crate) fn with_last(past: &[Attempt], last: Option<&Attempt>) -> Vec<Attempt> {
    // A reading of many messages takes no more of those before it than their times (see `lua/get`).
    let is_same = |known: &Attempt, last: &Attempt| {
        (known.attempt, known.started_at_ms) == (last.attempt, last.started_at_ms)
            && (known.outcome.is_empty() || known == last)
    };
    let is_new = |last: &&Attempt| !past.last().is_some_and(|known| is_same(known, last));
    past.iter().chain(last.filter(is_new)).cloned().collect()
}
