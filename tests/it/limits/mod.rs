//! The pace and the number of calls, over all nodes.

mod costs;
mod overrides;
pub(crate) mod rates;
mod slots;
pub(crate) mod stacked;
