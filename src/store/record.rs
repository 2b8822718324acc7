//! The record and the state entry of a message, packed and unpacked.
//!
//! The twin of `lua/include/record.lua` and `lua/include/state.lua`. To change a shape: raise its
//! version, let the reader take both, write the new one, and add cases for old and new below.

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::error::StoreError;
use crate::domain::callback::CallbackOn;
use crate::domain::details::{DETAILS_BYTES_MAX, read_details, write_details};
use crate::domain::id::{MessageId, QueueName};
use crate::domain::message::{Attempt, Details, Message, NewMessage, Probes};
use crate::domain::state::State;

/// The newest record version that this program writes; a namespace with a newer one is refused.
pub(crate) const RECORD_VERSION: u8 = 2;

const STATE_VERSION: u8 = 2;
const RECORD_HEADER_BYTES: usize = 22;
const STATE_HEADER_BYTES: usize = 87;
const FLAG_BODY_DROPPED: u8 = 1;
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
        Ok(Self { priority: rank % 16, due_ms, expires_ms, callback, details, payload })
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
    pub(crate) tail: Tail,
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

/// What the Rust side keeps at the end of a state entry: opaque to the scripts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tail {
    /// The last try.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<PackedAttempt>,
    /// Why it is dead, uncertain or decided.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// What the downstream was asked while it was uncertain.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) probes: Option<PackedProbes>,
    /// The downstream's own name for it.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    /// Who decided, if it was not the downstream's answer.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
}

/// What the downstream was asked, with short names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackedProbes {
    n: u32,
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    w: Option<String>,
}

impl PackedProbes {
    pub(crate) fn pack(probes: &Probes) -> Self {
        Self {
            n: probes.count,
            at: probes.last_at_ms,
            c: probes.status_code,
            w: probes.error.clone(),
        }
    }

    pub(crate) const fn count(&self) -> u32 {
        self.n
    }

    fn unpack(self) -> Probes {
        Probes {
            count: self.n,
            last_at_ms: self.at,
            status_code: self.c,
            error: self.w,
            next_at_ms: None,
        }
    }
}

/// An attempt with short names: it is stored per message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackedAttempt {
    n: u32,
    s: u64,
    e: u64,
    o: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    w: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    b: Option<String>,
}

impl Tail {
    pub(crate) fn pack(attempt: Option<&Attempt>, reason: Option<&str>) -> Vec<u8> {
        let (attempt, reason) = (attempt.map(pack_attempt), reason.map(str::to_owned));
        Self { attempt, reason, ..Self::default() }.to_bytes()
    }

    pub(crate) fn of_attempt(
        attempt: Option<&Attempt>,
        reason: Option<&str>,
        reference: Option<&str>,
    ) -> Vec<u8> {
        let (reason, reference) = (reason.map(str::to_owned), reference.map(str::to_owned));
        Self { attempt: attempt.map(pack_attempt), reason, reference, ..Self::default() }.to_bytes()
    }

    /// The last words on a message that somebody decided on.
    pub(crate) fn decided(message: &Message, reason: Option<&str>, by: &str) -> Self {
        Self {
            attempt: message.last_attempt.as_ref().map(pack_attempt),
            reason: reason.map(str::to_owned).or_else(|| message.reason.clone()),
            probes: message.probes.as_ref().filter(|p| p.count > 0).map(PackedProbes::pack),
            reference: message.reference.clone(),
            by: Some(by.to_owned()),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// An unreadable tail reads as none: the message itself matters more than its last words.
    pub(crate) fn unpack(raw: &[u8]) -> Self {
        serde_json::from_slice(raw).unwrap_or_default()
    }
}

fn pack_attempt(attempt: &Attempt) -> PackedAttempt {
    use base64::Engine as _;
    let (content_type, body) = attempt.response.clone().unzip();
    PackedAttempt {
        n: attempt.attempt,
        s: attempt.started_at_ms,
        e: attempt.ended_at_ms,
        o: attempt.outcome.clone(),
        c: attempt.status_code,
        w: attempt.error.clone(),
        t: content_type.flatten(),
        b: body.map(|body| base64::engine::general_purpose::STANDARD_NO_PAD.encode(body)),
    }
}

impl PackedAttempt {
    pub(crate) fn unpack(self) -> Attempt {
        use base64::Engine as _;
        let body = self.b.map(|text| {
            let decoded = base64::engine::general_purpose::STANDARD_NO_PAD.decode(text);
            Bytes::from(decoded.unwrap_or_default())
        });
        Attempt {
            attempt: self.n,
            started_at_ms: self.s,
            ended_at_ms: self.e,
            outcome: self.o,
            status_code: self.c,
            error: self.w,
            response: body.map(|body| (self.t, body)),
        }
    }
}

/// Past attempts as the script keeps them, one tail a line.
pub(crate) fn read_history(raw: &[u8]) -> Vec<Attempt> {
    raw.split(|byte| *byte == b'\n')
        .filter_map(|line| Tail::unpack(line).attempt)
        .map(PackedAttempt::unpack)
        .collect()
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
        reason: entry.tail.reason,
        probes: entry.tail.probes.map(PackedProbes::unpack),
        reference: entry.tail.reference,
        accepted_at_ms: None,
        decided_by: entry.tail.by,
    }
}
