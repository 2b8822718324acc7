//! Limits: how much may start, and when.
//!
//! A queue has a list of them, and a call starts when all of them let it. A `rate` is an even pace with a burst; a
//! `quota` counts what starts in a calendar period, such as a day in a time zone. Either may count each value of a key for
//! itself, and so does a `concurrency`, which counts calls in flight. Owns their notation and arithmetic.
//! Refuses to read a clock, and to know where what was used is kept.

mod cost;
mod gcra;
mod name;
mod quota;
mod rate;
mod rule;
mod stack;
mod units;

pub use self::cost::{COST_MAX, Cost};
pub use self::gcra::{GrantedSlots, LEAD_US_FURTHEST, Limit, SlotWish};
pub use self::name::{BadLimitName, LIMIT_NAME_BYTES_MAX, LimitName};
pub use self::quota::{BadQuota, Quota, QuotaPeriod, UNITS_MAX};
pub use self::rate::{BadRate, RATE_PER_SECOND_MAX, Rate};
pub use self::rule::{CALLS_MAX, LimitKind, LimitKindName, LimitRule, LimitUnit};
pub use self::stack::{FirstSlot, KeptLimit, LimitStanding, StackedLimit, StackedLimits};
pub use self::units::Units;
