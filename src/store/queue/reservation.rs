//! What a claim has reserved of limits before it is made: the slots of its calls, and what each limit has counted for them.
//!
//! Owns what is left over when the claim has taken its messages. Refuses to know how limits are asked.

use std::sync::Arc;

use super::Account;
use crate::domain::limit::Units;

/// The calls that a claim may start, and what was taken for them where.
#[derive(Debug, Default)]
pub(in crate::store) struct Reservation {
    /// Their slots by the time of the home shard, in order, and what each may take.
    pub(in crate::store) calls: Vec<Units>,
    pub(in crate::store) is_batch: bool,
    /// A limit counts the messages of the batch, which carries no more than was reserved.
    pub(in crate::store) counts_messages: bool,
    pub(in crate::store) places: Vec<ReservedAt>,
}

/// What was taken at one place.
#[derive(Debug)]
pub(in crate::store) struct ReservedAt {
    /// The account; `None`: the home slot of the queue, with its own limits.
    pub(in crate::store) account: Option<Arc<Account>>,
    /// Under this number it goes back.
    pub(in crate::store) number: String,
    /// For each call of the reservation, with the slot that it has there.
    pub(in crate::store) taken: Vec<Units>,
}

impl Reservation {
    /// A call has started in this slot, with so many messages. It is one of those that none has used yet.
    pub(in crate::store) fn used(&self, taken: &mut [Option<Units>], started: Units) {
        let free = |(at, call): (usize, &Units)| {
            (call.slot_us == started.slot_us && taken[at].is_none()).then_some(at)
        };
        // A batch is one call, whatever slots its messages show.
        let found = self.calls.iter().enumerate().find_map(free);
        let Some(at) = (if self.is_batch { Some(0) } else { found }) else { return };
        let before = taken[at].unwrap_or(Units::NONE);
        taken[at] = Some(Units {
            slot_us: started.slot_us,
            calls: before.calls + started.calls,
            messages: before.messages + started.messages,
        });
    }
}

impl ReservedAt {
    /// What was taken here in all.
    pub(in crate::store) fn units(&self, account: &Account) -> u64 {
        let unit = account.shard.limits().unit();
        self.taken.iter().map(|taken| taken.of(unit)).sum()
    }

    /// What of it was not used, with the place of its call among all.
    pub(in crate::store) fn unused(&self, used: &[Option<Units>]) -> Vec<(usize, Units)> {
        let left = self.taken.iter().zip(used).map(|(taken, used)| {
            let used = used.unwrap_or(Units::NONE);
            Units {
                slot_us: taken.slot_us,
                calls: taken.calls.saturating_sub(used.calls),
                messages: taken.messages.saturating_sub(used.messages),
            }
        });
        let some = |(_, units): &(usize, Units)| units.calls + units.messages > 0;
        left.enumerate().filter(some).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(slot_us: u64, calls: u64, messages: u64) -> Units {
        Units { slot_us, calls, messages }
    }

    fn left(reservation: &Reservation, started: &[Units]) -> Vec<(usize, Units)> {
        let mut used = vec![None; reservation.calls.len()];
        for started in started {
            reservation.used(&mut used, *started);
        }
        reservation.places[0].unused(&used)
    }

    fn reservation(calls: &[Units], is_batch: bool, ahead_us: u64) -> Reservation {
        let taken = calls.iter().map(|it| Units { slot_us: it.slot_us + ahead_us, ..*it });
        let place = ReservedAt { account: None, number: "a.1".to_owned(), taken: taken.collect() };
        Reservation {
            calls: calls.to_vec(),
            is_batch,
            counts_messages: is_batch,
            places: vec![place],
        }
    }

    #[test]
    fn what_no_call_used_is_left_with_the_slot_of_its_place() {
        let all = [units(10, 1, 1), units(10, 3, 3), units(20, 1, 1)];
        let reservation = reservation(&all, false, 5);
        assert_eq!(left(&reservation, &all), []);
        let left = left(&reservation, &[units(10, 1, 1), units(10, 2, 2)]);
        assert_eq!(left, [(1, units(15, 1, 1)), (2, units(25, 1, 1))]);
    }

    #[test]
    fn of_a_batch_what_it_does_not_carry_is_left() {
        let reservation = reservation(&[units(10, 1, 9)], true, 0);
        assert_eq!(left(&reservation, &[]), [(0, units(10, 1, 9))]);
        let started = [units(10, 1, 4), units(10, 0, 3)];
        assert_eq!(left(&reservation, &started), [(0, units(10, 0, 2))]);
    }
}
