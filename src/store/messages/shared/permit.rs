//! A permit for a further call at a queue that shares limits: a part of a batch, a callback, a probe.
//!
//! Owns the order: first whether the queue is paused or its gate shut, then what all limits say, then their units.

use std::time::Duration;

use super::Messages;
use super::places::{PlannedCall, ReserveOutcome};
use crate::domain::limit::Units;
use crate::store::StoreError;
use crate::store::messages::gate::ClaimWish;
use crate::store::messages::grant::{Granted, GrantedCalls};
use crate::store::messages::permit::Permit;
use crate::store::queue::Queue;

impl Messages {
    /// The slot of a call that takes these units, of every limit of the queue without a key.
    pub(in crate::store) async fn permit_sharing(
        &self,
        queue: &Queue,
        wish: ClaimWish,
        units: Units,
    ) -> Result<Permit, StoreError> {
        if let Granted::Wait(..) = self.may_send(queue, wish).await? {
            return Ok(Permit::Shut);
        }
        let planned = PlannedCall { units, least: units.messages };
        // The queue's own limits are among the places, and its slot is not known before they are asked.
        Ok(match self.reserve(queue, wish, vec![planned], 0).await? {
            ReserveOutcome::Wait(wait) => Permit::Wait(wait.unwrap_or(Duration::ZERO)),
            ReserveOutcome::Calls(reservation) => {
                let granted = GrantedCalls::reserved(&reservation);
                let slot_us = granted.slots_us().first().copied().unwrap_or_default();
                for place in &reservation.places {
                    if let Some(account) = &place.account {
                        account.settle(place.units(account));
                    }
                }
                Permit::Granted(self.wire.clock.instant_of(slot_us)?, Units { slot_us, ..units })
            }
        })
    }
}
