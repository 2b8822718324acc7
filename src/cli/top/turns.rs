//! When the daemon is asked: what is seen, seldom, and one request after the other.
//!
//! Owns the pace. Pure: elapsed time comes in. Refuses to know what is asked.

use super::ask::Ask;

/// Between two requests for what is shown already.
const BETWEEN_MS: u64 = 1000;
/// Before the first request for a screen that was just opened: a key that is held down asks for nothing.
const AT_FIRST_MS: u64 = 150;
/// Most of the daemon's time that is taken: an answer that took long is asked for that much less often.
const SHARE: u64 = 10;

/// What was asked, and when.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The newest request of each kind, each with the moment of its answer and how long that took.
    asked: Vec<(Ask, u64, u64)>,
    last_ms: Option<u64>,
}

impl Turns {
    /// What is to be asked now, of these; nothing yet, where all of them are new enough.
    pub(super) fn next(&self, asks: &[Ask], now_ms: u64) -> Option<Ask> {
        let since_last_ms = self.last_ms.map_or(u64::MAX, |last| now_ms.saturating_sub(last));
        let entry = |ask: &Ask| self.asked.iter().find(|(known, ..)| known == ask);
        if let Some(ask) = asks.iter().find(|ask| entry(ask).is_none()) {
            return (since_last_ms >= AT_FIRST_MS).then(|| ask.clone());
        }
        if since_last_ms < BETWEEN_MS {
            return None;
        }
        let is_old = |(ask, at_ms, took_ms): &&(Ask, u64, u64)| {
            let holds_ms = ask.holds_ms().max(took_ms.saturating_mul(SHARE));
            now_ms.saturating_sub(*at_ms) >= holds_ms
        };
        let old = asks.iter().filter_map(entry).filter(is_old);
        old.min_by_key(|(_, at_ms, _)| *at_ms).map(|(ask, ..)| ask.clone())
    }

    /// This was answered, or could not be, after so long.
    pub(super) fn answered(&mut self, ask: &Ask, now_ms: u64, took_ms: u64) {
        // What nobody has looked at since is asked at once when it is seen again.
        self.asked.retain(|(known, at_ms, took_ms)| {
            let holds_ms = known.holds_ms().max(took_ms.saturating_mul(SHARE));
            known != ask && now_ms.saturating_sub(*at_ms) < holds_ms.saturating_mul(2)
        });
        self.asked.push((ask.clone(), now_ms, took_ms));
        self.last_ms = Some(now_ms);
    }

    /// Something was done: what is shown is not true any more.
    pub(super) fn anew(&mut self) {
        self.asked.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::state::State;

    /// The moments in which something is asked while these are seen, where each answer takes `took_ms`.
    fn asked(asks: &[Ask], took_ms: u64, until_ms: u64) -> Vec<(u64, Ask)> {
        let (mut turns, mut asked, mut now_ms) = (Turns::default(), Vec::new(), 0);
        while now_ms < until_ms {
            if let Some(ask) = turns.next(asks, now_ms) {
                asked.push((now_ms, ask.clone()));
                now_ms += took_ms;
                turns.answered(&ask, now_ms, took_ms);
            }
            now_ms += 50;
        }
        asked
    }

    #[test]
    fn a_screen_makes_one_request_a_second_at_most() {
        let queues = asked(&[Ask::Queues], 0, 10_000);
        assert_eq!(
            queues.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            [0, 2000, 4000, 6000, 8000]
        );
        let both = [Ask::Queue("sms".to_owned()), Ask::Messages("sms".to_owned(), State::Dead)];
        let told = asked(&both, 0, 10_000);
        assert_eq!(told[0].1, both[0]);
        assert_eq!(told[1], (150, both[1].clone()), "what is not there yet does not wait");
        for pair in told[1..].windows(2) {
            assert!(pair[1].0 - pair[0].0 >= 1000, "{told:?}");
            assert_ne!(pair[0].1, pair[1].1, "in turn");
        }
    }

    #[test]
    fn a_slow_daemon_is_asked_seldom() {
        let told = asked(&[Ask::Queues], 3000, 100_000);
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(asked(&[Ask::Findings], 0, 60_000).len(), 6);
    }

    #[test]
    fn what_was_left_is_asked_when_it_is_seen_again_and_after_a_step() {
        let mut turns = Turns::default();
        turns.answered(&Ask::Queues, 0, 0);
        turns.answered(&Ask::Nodes, 500, 0);
        assert_eq!(turns.next(&[Ask::Queues], 900), None, "it is new enough");
        turns.answered(&Ask::Nodes, 5000, 0);
        assert_eq!(turns.next(&[Ask::Queues], 5200), Some(Ask::Queues));
        turns.answered(&Ask::Queues, 5300, 0);
        turns.anew();
        assert_eq!(turns.next(&[Ask::Queues], 5450), Some(Ask::Queues));
    }
}
