//! One message and how its attempt ended, as the scripts take it.

use super::Lease;
use crate::domain::failing::Sign;
use crate::domain::limit::Units;
use crate::domain::message::Attempt;
use crate::store::redis::script::{arg, row};
use crate::store::tail::Tail;

/// One message and how its attempt ended, borrowed from whoever says so.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Settled<'a> {
    /// The claim.
    pub(in crate::store) lease: &'a Lease,
    /// What is kept of the attempt.
    pub(in crate::store) attempt: Option<&'a Attempt>,
    /// Why it is given up or parked.
    pub(in crate::store) reason: Option<&'a str>,
    /// For retry: how long to wait.
    pub(in crate::store) delay_ms: u64,
    /// For accept: the downstream's own name for it.
    pub(in crate::store) reference: Option<&'a str>,
    /// For retry: nothing was tried, or not in earnest. The attempt is given back and counted as a
    /// throttle.
    pub(in crate::store) is_throttle: bool,
    /// The outcome of this attempt or an earlier one is unknown: the downstream may have the message.
    pub(in crate::store) is_in_doubt: bool,
    /// What its attempt shows of the downstream. Of a batch one message says so for all.
    pub(in crate::store) sign: Sign,
    /// What its call took of limits, where it surely did not start.
    pub(in crate::store) units: Units,
}

impl<'a> Settled<'a> {
    /// With nothing to say of the attempt.
    pub(in crate::store) const fn of(lease: &'a Lease) -> Self {
        Self {
            lease,
            attempt: None,
            reason: None,
            delay_ms: 0,
            reference: None,
            is_throttle: false,
            is_in_doubt: false,
            sign: Sign::None,
            units: Units::NONE,
        }
    }

    pub(in crate::store) fn tail(&self) -> Vec<u8> {
        if self.attempt.is_none() && self.reason.is_none() {
            return Vec::new();
        }
        Tail::of_attempt(self.attempt, self.reason, self.reference, self.is_in_doubt)
    }

    /// Ulid, token and last attempt, as most verbs take them.
    pub(super) fn whole(&self) -> [Vec<u8>; 3] {
        row!(Bury Park: ulid = arg(self.lease.ulid), token = &self.lease.token, last_attempt = self.tail())
    }
}
