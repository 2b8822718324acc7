//! How a downstream behaves, drawn anew for each call.
//!
//! Owns the shares of its misdeeds. Pure: the same mood, seed and call give the same answer.

use serde::{Deserialize, Serialize};

use crate::rig::history::Answer;

/// Of a thousand calls, so many are treated like this; the rest get 200 at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mood {
    /// 200 after a while, up to `slow_ms_max`.
    pub(crate) slow: u32,
    pub(crate) slow_ms_max: u32,
    /// Never answered.
    pub(crate) hang: u32,
    /// The connection is reset, nothing was done.
    pub(crate) reset: u32,
    /// What was asked is done, and then the connection is reset.
    pub(crate) lie: u32,
    /// What was asked is done, and never answered.
    pub(crate) book_silently: u32,
    /// 422.
    pub(crate) refuse: u32,
    pub(crate) fail: u32,
    pub(crate) throttle: u32,
    pub(crate) garbage: u32,
}

impl Mood {
    /// A downstream as it is on most days.
    pub(crate) const EVERYDAY: Self = Self {
        slow: 20,
        slow_ms_max: 100,
        hang: 1,
        reset: 3,
        lie: 3,
        fail: 5,
        throttle: 0,
        garbage: 5,
        book_silently: 0,
        refuse: 0,
    };

    /// One that takes its time, books in silence, and refuses some for good.
    pub(crate) const COSTLY: Self = Self {
        slow: 100,
        slow_ms_max: 400,
        fail: 50,
        book_silently: 60,
        refuse: 40,
        ..Self::EVERYDAY
    };

    /// One that takes everything.
    pub(crate) const GOOD: Self = Self {
        slow: 0,
        slow_ms_max: 0,
        hang: 0,
        reset: 0,
        lie: 0,
        fail: 0,
        throttle: 0,
        garbage: 0,
        book_silently: 0,
        refuse: 0,
    };

    /// What this call gets, and after how many milliseconds.
    pub(super) fn answer(&self, seed: u64, call: u64) -> (Answer, u64) {
        let random = scramble(seed ^ call.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut left = u32::try_from(random % 1000).expect("below 1000");
        let mut falls = |share: u32| {
            let hit = left < share;
            left = left.wrapping_sub(share);
            hit
        };
        if falls(self.slow) {
            return (Answer::Taken, (random >> 32) % u64::from(self.slow_ms_max.max(1)));
        }
        for (share, answer) in [
            (self.hang, Answer::Silence),
            (self.reset, Answer::Unsaid),
            (self.lie, Answer::TakenUnsaid),
            (self.fail, Answer::Failed),
            (self.throttle, Answer::Throttled),
            (self.garbage, Answer::Garbage),
            (self.book_silently, Answer::TakenSilence),
            (self.refuse, Answer::Refused),
        ] {
            if falls(share) {
                return (answer, 0);
            }
        }
        (Answer::Taken, 0)
    }
}

/// The finalizer of splitmix64: neighbours become strangers.
fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn a_mood_keeps_its_shares() {
    let mood = Mood { lie: 100, fail: 50, ..Mood::GOOD };
    let answers: Vec<_> = (0..10_000).map(|call| mood.answer(7, call).0).collect();
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    assert!((800..1200).contains(&count(Answer::TakenUnsaid)));
    assert!((350..650).contains(&count(Answer::Failed)));
    assert_eq!(count(Answer::Silence), 0);
}
