//! What a worker shows to settle a message: the lease, and what is known of the attempt.
//!
//! The store checks the lease; the rest only says what would be lost otherwise (when the attempt
//! began), so that any node can settle what another one handed out.

use std::fmt;
use std::str::FromStr;

use crate::store::Claimed;

/// Length of a lease's token.
const LEASE_BYTES: usize = 20;

/// A worker's token: `<lease>.<attempt>.<started>.<first attempt>.<paused since>`, and behind it `.<slot>.<cost>` where
/// the queue has quotas; numbers in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerToken {
    /// The lease's own token.
    pub lease: String,
    /// Which attempt it is.
    pub attempt: u32,
    /// When it was handed out, ms by Redis.
    pub started_at_ms: u64,
    /// When the first attempt began, ms by Redis.
    pub first_attempt_ms: u64,
    /// For how long the queue had been paused since then.
    pub paused_since_first_ms: u64,
    /// In which moment the limits counted it, ms by Redis, where the queue has quotas: what is released goes back there.
    pub slot_ms: Option<u64>,
    /// What it costs, where the slot is known; 0: a program before this one made the token.
    pub cost: u64,
}

impl WorkerToken {
    /// For a message that is handed out now.
    #[must_use]
    pub fn new(message: &Claimed, now_ms: u64, paused_ms: u64, has_quotas: bool) -> Self {
        Self {
            lease: message.lease.token.clone(),
            attempt: message.attempt,
            started_at_ms: now_ms,
            first_attempt_ms: message.first_attempt_ms,
            paused_since_first_ms: paused_ms.saturating_sub(message.paused_at_first_ms),
            slot_ms: has_quotas.then_some(message.units.slot_us / 1000),
            cost: if has_quotas { message.units.messages } else { 0 },
        }
    }
}

impl fmt::Display for WorkerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:x}.{:x}.{:x}.{:x}",
            self.lease,
            self.attempt,
            self.started_at_ms,
            self.first_attempt_ms,
            self.paused_since_first_ms
        )?;
        self.slot_ms.map_or(Ok(()), |slot_ms| write!(f, ".{slot_ms:x}"))?;
        if self.cost > 0 { write!(f, ".{:x}", self.cost) } else { Ok(()) }
    }
}

impl FromStr for WorkerToken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut parts = text.split('.');
            let lease = parts.next().filter(|lease| {
                lease.len() == LEASE_BYTES && lease.bytes().all(|b| b.is_ascii_alphanumeric())
            })?;
            let read = |part: &str| u64::from_str_radix(part, 16).ok();
            let mut number = || parts.next().and_then(read);
            let token = Self {
                lease: lease.to_owned(),
                attempt: u32::try_from(number()?).ok()?,
                started_at_ms: number()?,
                first_attempt_ms: number()?,
                paused_since_first_ms: number()?,
                slot_ms: None,
                cost: 0,
            };
            let token = match (parts.next(), parts.next()) {
                (None, _) => token,
                (Some(slot), None) => Self { slot_ms: Some(read(slot)?), ..token },
                (Some(slot), Some(cost)) => {
                    let cost = read(cost).filter(|cost| *cost > 0)?;
                    Self { slot_ms: Some(read(slot)?), cost, ..token }
                }
            };
            parts.next().is_none().then_some(token)
        };
        read().ok_or_else(|| {
            let shown: String = text.chars().take(100).collect();
            format!("found \"{shown}\", expected the token that came with the message's claim")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_nothing_else_does() {
        let token = WorkerToken {
            lease: "ABCDEFGHJKMN0000002a".to_owned(),
            attempt: 2,
            started_at_ms: 1_763_640_000_000,
            first_attempt_ms: 1_763_639_000_000,
            paused_since_first_ms: 0,
            slot_ms: None,
            cost: 0,
        };
        let counted = WorkerToken { slot_ms: Some(1_763_640_000_007), ..token.clone() };
        let costly = WorkerToken { cost: 300, ..counted.clone() };
        for token in [token, counted, costly] {
            assert_eq!(token.to_string().parse(), Ok(token.clone()));
            let text = WorkerToken { slot_ms: None, cost: 0, ..token }.to_string();
            let bad =
                ["", "x", &text[1..], &text[..text.len() - 2], "a.b.c.d.e"].map(str::to_owned);
            for bad in bad.into_iter().chain([format!("{text}.x"), format!("{text}.0.0")]) {
                assert!(bad.parse::<WorkerToken>().unwrap_err().contains("claim"), "{bad}");
            }
        }
    }
}
