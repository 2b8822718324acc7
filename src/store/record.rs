//! The record and the state entry of a message, packed and unpacked.
//!
//! The twin of `lua/include/record.lua` and `lua/include/state.lua`. To change a shape: raise its
//! version, let the reader take both, write the new one, and add cases for old and new below.

use std::borrow::Cow;

use bytes::{Buf, Bytes};
use ulid::Ulid;

use crate::domain::callback::CallbackOn;
use crate::domain::details::{DETAILS_BYTES_MAX, read_details, write_details};
use crate::domain::id::{MessageId, QueueName};
use crate::domain::message::{Details, Message, NewMessage};
use crate::domain::state::State;
use crate::store::redis::error::StoreError;
use crate::store::tail::{PackedAttempt, PackedProbes, Tail};

/// The newest record version that this program writes; a namespace with a newer one is refused.
pub(crate) const RECORD_VERSION: u8 = 2;

pub(super) const STATE_VERSION: u8 = 2;
pub(super) const RECORD_HEADER_BYTES: usize = 22;
pub(super) const STATE_HEADER_BYTES: usize = 87;
const FLAG_BODY_DROPPED: u8 = 1;
const FLAG_BODY_EDITED: u8 = 2;
/// Where the final states that are told stand in the flags of record and state entry.
const CALLBACK_SHIFT: u8 = 4;

/// What follows the part of the header that the script writes: the message's number in its call,
/// details and body.
///
/// # Errors
/// [`StoreError::TooLarge`] when the details do not fit: cut, they could never be read again.
pub(crate) fn pack_rest(message: &NewMessage, number: u8) -> Result<Vec<u8>, StoreError> {
    let details = write_details(&message.details);
    let length = u16::try_from(details.len()).map_err(|_| {
        StoreError::TooLarge(format!(
            "everything beside the payload takes {} bytes, more than {DETAILS_BYTES_MAX}; shorten headers or labels",
            details.len()
        ))
    })?;
    let mut rest = Vec::with_capacity(3 + details.len() + message.payload.len());
    rest.push(number);
    rest.extend_from_slice(&length.to_be_bytes());
    rest.extend_from_slice(&details);
    rest.extend_from_slice(&message.payload);
    Ok(rest)
}

/// What [`pack_rest`] packed.
pub(crate) fn unpack_rest(mut raw: Bytes) -> Result<(Details, Bytes), StoreError> {
    if raw.len() < 2 {
        return Err(StoreError::Reply("a record is too short".to_owned()));
    }
    let length = usize::from(raw.get_u16());
    if raw.len() < length {
        return Err(StoreError::Reply("a record's details are cut".to_owned()));
    }
    let details = read_details(&raw.split_to(length)).map_err(StoreError::Reply)?;
    Ok((details, raw))
}

/// A record, unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) priority: u8,
    pub(crate) due_ms: u64,
    pub(crate) expires_ms: u64,
    /// The final states that are told.
    pub(crate) callback: CallbackOn,
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
        if version != RECORD_VERSION {
            return Err(StoreError::Reply(format!("record version {version} is not known here")));
        }
        let flags = raw.get_u8();
        let rank = raw.get_u8();
        let due_ms = raw.get_uint(6);
        let expires_ms = raw.get_uint(6);
        let _sequence_and_number = raw.get_uint(7);
        let (details, body) = unpack_rest(raw)?;
        let payload = (flags & FLAG_BODY_DROPPED == 0).then_some(body);
        let callback = CallbackOn::of_bits(flags >> CALLBACK_SHIFT);
        let is_edited = flags & FLAG_BODY_EDITED != 0;
        Ok(Self { priority: rank % 16, due_ms, expires_ms, callback, details, payload, is_edited })
    }

    /// What is shown in place of a record that cannot be read.
    pub(crate) fn unreadable() -> Self {
        Self {
            priority: 0,
            due_ms: 0,
            expires_ms: 0,
            callback: CallbackOn::NONE,
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
        if version != STATE_VERSION {
            return Err(StoreError::Reply(format!("state version {version} is not known here")));
        }
        let letter = raw.get_u8();
        raw.advance(20);
        let callback = CallbackOn::of_bits(raw.get_u8() >> CALLBACK_SHIFT);
        let _band = raw.get_u8();
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
        callback: entry.callback,
        attempts: entry.attempts,
        throttles: entry.throttles,
        window_holds: entry.window_holds,
        rescues: entry.rescues,
        last_attempt: entry.tail.attempt.map(PackedAttempt::unpack),
        final_at_ms: (entry.final_ms > 0).then_some(entry.final_ms),
        reason: entry.tail.reason.map(Cow::into_owned),
        probes: entry.tail.probes.map(PackedProbes::unpack),
        reference: entry.tail.reference.map(Cow::into_owned),
        accepted_at_ms: None,
        decided_by: entry.tail.by.map(Cow::into_owned),
    }
}
