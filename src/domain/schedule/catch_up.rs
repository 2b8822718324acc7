//! What becomes of ticks that nobody could fire in time.
//!
//! A pure function of the cadence, the oldest tick that was not fired, and now. Its work is bounded
//! whatever the outage: a schedule of every second that rested for a year is looked back upon in
//! leaps, not tick by tick.

use super::cadence::Cadence;

/// A tick later than this is a missed one. Long enough for a failover, so that the nightly job is not
/// lost to one at midnight.
pub const ON_TIME_MS: u64 = 60_000;
/// Ticks that `all` catches up at most: the newest ones.
pub const CATCH_UP_MAX: usize = 1000;
/// Nothing older is caught up. Shards remember ticks for longer (see `store/lua/fire.lua`).
const HORIZON_MS: u64 = 366 * 86_400_000;
/// The first leap back.
const LEAP_MS: u64 = 1000;

/// What becomes of missed ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// They are left out.
    None,
    /// The newest of them is fired, for all of them.
    #[default]
    One,
    /// Each is fired, oldest first.
    All,
}

impl CatchUp {
    /// Every choice with its word.
    pub const WORDS: [(&'static str, Self); 3] =
        [("none", Self::None), ("one", Self::One), ("all", Self::All)];

    /// The word in config and HTTP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::One => "one",
            Self::All => "all",
        }
    }
}

/// What is to be done about a schedule whose next tick has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The nominal time of the tick to fire, if any.
    pub fire_ms: Option<u64>,
    /// The nominal time of the tick after that; it may be due too. `None`: never again.
    pub next_ms: Option<u64>,
    /// Ticks that are left out for good; of many, at least [`CATCH_UP_MAX`].
    pub missed: u64,
}

/// What is to be done at `now_ms` about a schedule whose oldest tick that was not fired is `next_ms`.
#[must_use]
pub fn due(cadence: &Cadence, catch_up: CatchUp, next_ms: u64, now_ms: u64) -> Due {
    if next_ms > now_ms {
        return Due { fire_ms: None, next_ms: Some(next_ms), missed: 0 };
    }
    let (pending, left_out) = newest(cadence, next_ms, now_ms);
    let Some((&latest_ms, older)) = pending.split_last() else {
        // All of it lies beyond the horizon.
        return Due { fire_ms: None, next_ms: cadence.next_after(now_ms), missed: left_out };
    };
    let older = u64::try_from(older.len()).unwrap_or(u64::MAX);
    let is_on_time = now_ms - latest_ms <= ON_TIME_MS;
    let skip_to = |fire_ms: Option<u64>, missed| Due {
        fire_ms,
        next_ms: cadence.next_after(latest_ms),
        missed: left_out + missed,
    };
    match catch_up {
        CatchUp::None if !is_on_time => skip_to(None, older + 1),
        CatchUp::None | CatchUp::One => skip_to(Some(latest_ms), older),
        CatchUp::All => {
            let first_ms = pending[0];
            Due { fire_ms: Some(first_ms), next_ms: cadence.next_after(first_ms), missed: left_out }
        }
    }
}

/// The ticks from `next_ms` to now: all of them, or the newest few hundred and (at least) how many
/// come before those.
fn newest(cadence: &Cadence, next_ms: u64, now_ms: u64) -> (Vec<u64>, u64) {
    let since = |from_ms: u64| -> Vec<u64> {
        // The one at `from_ms` itself counts.
        let ticks = cadence.after(from_ms.saturating_sub(1));
        ticks.take_while(|at_ms| *at_ms <= now_ms).take(CATCH_UP_MAX + 1).collect()
    };
    let oldest_ms = next_ms.max(now_ms.saturating_sub(HORIZON_MS));
    let all = since(oldest_ms);
    let beyond = u64::from(oldest_ms > next_ms);
    if all.len() <= CATCH_UP_MAX {
        return (all, beyond);
    }
    let mut found = Vec::new();
    let mut leap_ms = LEAP_MS;
    loop {
        let wider = since(now_ms.saturating_sub(leap_ms).max(oldest_ms));
        if wider.len() > CATCH_UP_MAX {
            break;
        }
        found = wider;
        leap_ms = leap_ms.saturating_mul(2);
    }
    (found, CATCH_UP_MAX as u64)
}
