//! The last words on a message: what the Rust side keeps at the end of a state entry.
//!
//! Owns their shape, which the scripts take as it is, but for two: a claim looks for `in_doubt`, and a
//! receipt writes who decided.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::message::{Attempt, Message, Probes};
use crate::domain::waited::{AttemptWait, WaitedFor};

/// What the Rust side keeps at the end of a state entry: opaque to the scripts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tail<'a> {
    /// Whether an attempt's outcome is unknown: claims tell it with the header (see `claimed_header`
    /// in `lua/include/packed.lua`).
    #[serde(rename = "u", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) in_doubt: bool,
    /// The last try.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<PackedAttempt<'a>>,
    /// When the last try ended, as a claim tells it, which tells nothing else of it, ms.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended_ms: Option<u64>,
    /// Why it is dead, uncertain or decided.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Cow<'a, str>>,
    /// What the downstream was asked while it was uncertain.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) probes: Option<PackedProbes<'a>>,
    /// The downstream's own name for it.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<Cow<'a, str>>,
    /// Who decided, if it was not the downstream's answer.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<Cow<'a, str>>,
    /// What held its queue while it waited, where it is final and had waited for long (see `lua/include/hold_tail`, which writes it).
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(crate) holds: Option<Cow<'a, str>>,
}

/// What the downstream was asked, with short names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackedProbes<'a> {
    n: u32,
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    w: Option<Cow<'a, str>>,
}

impl<'a> PackedProbes<'a> {
    pub(crate) fn pack(probes: &'a Probes) -> Self {
        Self {
            n: probes.count,
            at: probes.last_at_ms,
            c: probes.status_code,
            w: probes.error.as_deref().map(Cow::Borrowed),
        }
    }

    pub(crate) const fn count(&self) -> u32 {
        self.n
    }

    pub(crate) fn unpack(self) -> Probes {
        Probes {
            count: self.n,
            last_at_ms: self.at,
            status_code: self.c,
            error: self.w.map(Cow::into_owned),
            next_at_ms: None,
        }
    }
}

/// An attempt with short names: it is stored per message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackedAttempt<'a> {
    n: u32,
    s: u64,
    e: u64,
    // What it had waited for stands before its outcome: a reading of many messages takes no more of an attempt (see `lua/get`).
    #[serde(default, skip_serializing_if = "is_zero")]
    l: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    q: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    g: Option<Cow<'a, str>>,
    o: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    w: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    b: Option<String>,
}

impl<'a> Tail<'a> {
    pub(crate) fn pack(attempt: Option<&'a Attempt>, reason: Option<&'a str>) -> Vec<u8> {
        let (attempt, reason) = (attempt.map(pack_attempt), reason.map(Cow::Borrowed));
        Self { attempt, reason, ..Self::default() }.to_bytes()
    }

    /// Of a message whose node was lost while it may have been sending it.
    pub(crate) fn lost(reason: &'a str) -> Vec<u8> {
        Self { in_doubt: true, reason: Some(reason.into()), ..Self::default() }.to_bytes()
    }

    pub(crate) fn of_attempt(
        attempt: Option<&'a Attempt>,
        reason: Option<&'a str>,
        reference: Option<&'a str>,
        in_doubt: bool,
    ) -> Vec<u8> {
        let attempt = attempt.map(pack_attempt);
        let (reason, reference) = (reason.map(Cow::Borrowed), reference.map(Cow::Borrowed));
        Self { in_doubt, attempt, reason, reference, ..Self::default() }.to_bytes()
    }

    /// The last words on a message that somebody decided on.
    pub(crate) fn decided(message: &'a Message, reason: Option<&'a str>, by: &'a str) -> Self {
        Self {
            // It was uncertain; who sends it again may know better, and the downstream may not.
            in_doubt: true,
            attempt: message.last_attempt.as_ref().map(pack_attempt),
            reason: reason.or(message.reason.as_deref()).map(Cow::Borrowed),
            probes: message.probes.as_ref().filter(|p| p.count > 0).map(PackedProbes::pack),
            reference: message.reference.as_deref().map(Cow::Borrowed),
            by: Some(by.into()),
            holds: None,
            ended_ms: None,
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Of a tail that cannot be read nothing is known, so it may have said that an outcome is unknown. The
    /// message itself stays readable.
    pub(crate) fn unpack(raw: &[u8]) -> Self {
        serde_json::from_slice(raw).unwrap_or_else(|_| Self { in_doubt: true, ..Self::default() })
    }
}

fn pack_attempt(attempt: &Attempt) -> PackedAttempt<'_> {
    use base64::Engine as _;
    let (content_type, body) =
        attempt.response.as_ref().map(|(kind, body)| (kind.as_deref(), body)).unzip();
    PackedAttempt {
        n: attempt.attempt,
        s: attempt.started_at_ms,
        e: attempt.ended_at_ms,
        l: attempt.wait.late_ms,
        q: attempt.wait.hours_ms,
        g: pack_stood(&attempt.wait.stood).map(Cow::Owned),
        o: Cow::Borrowed(&attempt.outcome),
        c: attempt.status_code,
        w: attempt.error.as_deref().map(Cow::Borrowed),
        t: content_type.flatten().map(Cow::Borrowed),
        b: body.map(|body| base64::engine::general_purpose::STANDARD_NO_PAD.encode(body)),
    }
}

/// As `<what>=<ms> ...`.
fn pack_stood(stood: &[(WaitedFor, u64)]) -> Option<String> {
    let words: Vec<String> = stood.iter().map(|(what, ms)| format!("{what}={ms}")).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// What cannot be read is left out.
fn read_stood(text: &str) -> Vec<(WaitedFor, u64)> {
    let read = |word: &str| {
        let (what, ms) = word.split_once('=')?;
        Some((what.parse().ok()?, ms.parse().ok()?))
    };
    text.split(' ').filter_map(read).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it by reference")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl PackedAttempt<'_> {
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
            outcome: self.o.into_owned(),
            status_code: self.c,
            error: self.w.map(Cow::into_owned),
            response: body.map(|body| (self.t.map(Cow::into_owned), body)),
            wait: AttemptWait {
                late_ms: self.l,
                hours_ms: self.q,
                stood: self.g.as_deref().map(read_stood).unwrap_or_default(),
            },
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
